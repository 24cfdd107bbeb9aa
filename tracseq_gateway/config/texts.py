"""Rules for the text of single keys: each takes a value of the right type and returns it, or raises :class:`Wrong`.

A few make two spellings of one thing equal: ``/samples/`` is ``/samples``. What passes can be put into a request line,
a header field or a socket address as it stands.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from tracseq_gateway.config.model import (
    ACTIVE_BALANCES,
    AccessLog,
    Auth,
    Gateway,
    Health,
    Instance,
    Metrics,
    Redis,
    Service,
)
from tracseq_gateway.config.problem import Wrong, quoted, show
from tracseq_gateway.config.url import is_host, parse_url
from tracseq_gateway.config.values import one_of

# RFC 3986 section 3.3: unreserved and sub-delims. A prefix is matched and sent as it stands, so neither
# percent-encoding nor the rest of pchar has a place in it.
_PATH = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=/-]*")
_TARGET = re.compile(r"/[!-~]*")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110 section 5.6.2
_METHOD = re.compile(r"[A-Z][A-Z-]*")
_REDIS_URL = re.compile(r"(?:rediss?|unix|sentinel)://.+", re.DOTALL)


def listen_address(host: str) -> str:
    """An address or a name to listen on."""
    if not is_host(host):
        raise Wrong(f"{show(host)} is not an address", '"0.0.0.0", "127.0.0.1" or "::" would be right')
    return host


def token(text: str) -> str:
    """What may stand as a field name or a pseudonym in a header."""
    if not _TOKEN.fullmatch(text):
        raise Wrong(f"{show(text)} cannot stand in a header", "letters, digits and hyphens would be right")
    return text


def path(text: str) -> str:
    """An absolute path in normal form; a trailing slash makes no difference and is dropped."""
    if not text.startswith("/"):
        raise Wrong(f'{show(text)} does not start with "/"', "a path from the root would be right")
    if "//" in text:
        raise Wrong(f"{show(text)} has an empty segment", "one slash between two segments would be right")
    if any(segment in (".", "..") for segment in text.split("/")):
        raise Wrong(f"{show(text)} has a dot segment", "the path that it resolves to would be right")
    if not _PATH.fullmatch(text):
        odd = quoted(next(mark for mark in text if not _PATH.fullmatch(mark)))
        raise Wrong(f"{show(text)} has a {odd} in it", "letters, digits and any of -._~!$&'()*+,;= would be right")
    return text if text == "/" else text.removesuffix("/")


def rewrite(text: str) -> str:
    """A path, or nothing: ``/`` is nothing too."""
    return "" if text in ("", "/") else path(text)


def request_target(text: str) -> str:
    """A path, perhaps with a query, that goes into a request line as it stands."""
    if not _TARGET.fullmatch(text) or "#" in text:
        raise Wrong(f"{show(text)} is not a path", 'a path such as "/health", without spaces, would be right')
    return text


def public_paths(paths: tuple[str, ...]) -> tuple[str, ...]:
    """Paths below a prefix."""
    for index, text in enumerate(paths):
        if not _TARGET.fullmatch(text):
            raise Wrong(f'{show(text)} does not start with "/"', 'a path such as "/login" would be right', (index,))
    return paths


def active_balance(name: str) -> str:
    """A policy that this version has; the rest of the model's are for later ones."""
    if name not in ACTIVE_BALANCES:
        known = ", ".join(sorted(ACTIVE_BALANCES))
        raise Wrong(f"{show(name)} is known, not yet supported", f"one of {known} would be right")
    return name


def methods(roles: dict[str, str]) -> dict[str, str]:
    """A table whose keys are HTTP methods."""
    for name in roles:
        if not _METHOD.fullmatch(name):
            raise Wrong(f"{show(name)} is not a method", 'a method such as "DELETE", in capitals, is', (name,))
    return roles


def instance_url(url: str) -> str:
    """A URL that :func:`parse_url` takes."""
    parse_url(url)
    return url


def redis_url(url: str) -> str:
    """``embedded``, or a URL of Redis; it may hold a password, so it is never shown."""
    if url != "embedded" and not _REDIS_URL.fullmatch(url):
        raise Wrong(
            "is not the address of a Redis",
            '"embedded" or a URL that starts with redis://, rediss://, unix:// or sentinel:// would be right',
        )
    return url


def log_target(target: str) -> str:
    """A word, or a file that can be written."""
    if target in ("stdout", "journald", "off"):
        return target
    directory = os.path.dirname(target) or "."
    if "\0" in target or not target or os.path.isdir(target):
        raise Wrong(f"{show(target)} is not a file", "stdout, journald, off or a file's path would be right")
    if not os.path.isdir(directory):
        raise Wrong(f"{show(target)} is an unreachable file", "a file in a directory that exists would be right")
    if not os.access(target if os.path.exists(target) else directory, os.W_OK):
        raise Wrong(f"{show(target)} is an unreachable file", "a file that this user may write would be right")
    return target


def log_format(name: str) -> str:
    """The name of a line format."""
    return one_of(name, ("json", "combined"))


RULES: Mapping[tuple[type, str], Callable[[Any], Any]] = {
    (Gateway, "host"): listen_address,
    (Gateway, "via"): token,
    (Health, "path"): request_target,
    (Instance, "url"): instance_url,
    (Service, "prefix"): path,
    (Service, "rewrite"): rewrite,
    (Service, "balance"): active_balance,
    (Service, "public"): public_paths,
    (Service, "roles"): methods,
    (Redis, "url"): redis_url,
    (Auth, "api_key_header"): token,
    (AccessLog, "target"): log_target,
    (AccessLog, "format"): log_format,
    (Metrics, "path"): path,
}
"""By table and key, what a value must be beyond its type."""
