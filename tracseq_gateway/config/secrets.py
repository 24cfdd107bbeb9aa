"""The secrets that stay in the environment: the configuration only names their variables.

A file is checked on machines that do not have them, so a secret that is missing is a warning there; the gateway does
not start without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tracseq_gateway.config.model import Config
from tracseq_gateway.config.problem import Problem, Wrong
from tracseq_gateway.config.sources import ENVIRONMENT
from tracseq_gateway.config.tracing import HEADERS_VARIABLE, Tracing, collector_fields

SECRET_BYTES: Mapping[str, int] = {"HS256": 32, "HS384": 48, "HS512": 64}
"""The least size of a secret: that of the hash (RFC 7518 section 3.2)."""

SIGNING_BYTES = 32
"""The least size of the key that signs the identity headers, with HMAC-SHA-256."""


def missing_secrets(config: Config, environ: Mapping[str, str]) -> list[Problem]:
    """Return what the environment lacks of the secrets that the gateway cannot start without.

    A secret that is there and too short is as good as missing. The problems are errors, under the names of the
    variables; no value is shown. Nothing is needed while ``auth.enabled`` and ``tracing.enabled`` are false.
    """
    problems = list(_of_tracing(config.tracing, environ)) if config.tracing.enabled else []
    auth = config.auth
    if not auth.enabled:
        return problems
    hashed = [name for name in auth.jwt.algorithms if name in SECRET_BYTES]
    if hashed:
        strongest = max(hashed, key=SECRET_BYTES.__getitem__)
        least = SECRET_BYTES[strongest]
        size = _size(auth.jwt.secret_env, environ)
        right = f"the secret of the {strongest} tokens, of at least {least} bytes, would be right"
        if size < least:
            problems.append(_problem(auth.jwt.secret_env, size, right))
    if 0 < (size := _size(auth.identity_key_env, environ)) < SIGNING_BYTES:
        right = f"a key of at least {SIGNING_BYTES} bytes, or none, would be right"
        problems.append(_problem(auth.identity_key_env, size, right))
    return problems


def _of_tracing(tracing: Tracing, environ: Mapping[str, str]) -> Iterator[Problem]:
    variable = tracing.headers_env
    text = environ.get(variable, "")
    if not text and variable not in ("", HEADERS_VARIABLE):
        right = "the fields for the collector would be right"
        yield Problem(ENVIRONMENT, 0, variable, "is not set", right)
    try:
        collector_fields(text)
    except Wrong as fault:
        yield Problem(ENVIRONMENT, 0, variable, fault.wrong, fault.right)


def _size(variable: str, environ: Mapping[str, str]) -> int:
    return len(environ.get(variable, "").encode(errors="surrogateescape"))


def _problem(variable: str, size: int, right: str) -> Problem:
    return Problem(ENVIRONMENT, 0, variable, f"holds only {size} bytes" if size else "is not set", right)
