"""Warnings about a configuration that can be served as it is, and perhaps should not be."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from attrs import evolve

from tracseq_gateway.config.certificates import certificate_facts, read_revocation_lists
from tracseq_gateway.config.files import is_socket
from tracseq_gateway.config.model import Config
from tracseq_gateway.config.problem import KeyPath, Problem
from tracseq_gateway.config.secrets import missing_secrets
from tracseq_gateway.config.sources import Sources
from tracseq_gateway.config.tls import Tls

EXPIRY_SECONDS = 14 * 86400.0
"""How long before its end a certificate is warned of."""


def advise(config: Config, environ: Mapping[str, str], sources: Sources) -> Iterator[Problem]:
    """Yield what an operator may have overlooked, and the secrets that a start would need here."""
    if config.gateway.environment == "production" and not config.auth.enabled:
        yield sources.problem(
            ("auth", "enabled"), "is false: anybody may call", "true would be right in production", "warning"
        )
    if config.auth.jwt.jwks_url.startswith("http:"):
        yield sources.problem(
            ("auth", "jwt", "jwks_url"),
            "fetches keys in clear: whoever sits between can make tokens",
            "https would be right",
            "warning",
        )
    if config.access_log.target == "journald" and not is_socket(config.access_log.journal):
        yield sources.problem(
            ("access_log", "target"),
            f"there is no journal at {config.access_log.journal}",
            "its lines are lost until there is one",
            "warning",
        )
    for path, wrong, right in _of_tls(config.tls, time.time()):
        yield sources.problem(path, wrong, right, "warning")
    yield from _uploads(config, sources)
    for problem in missing_secrets(config, environ):
        yield evolve(problem, level="warning")


def _of_tls(tls: Tls, now: float) -> Iterator[tuple[KeyPath, str, str]]:
    """Certificates that clients will refuse, or soon; and revocation lists that let no client in."""
    renewed = "a renewed one would be right"
    for index, pair in enumerate(tls.certificates):
        path: KeyPath = ("tls", "certificates", index, "file")
        facts = certificate_facts(pair.file)
        if now < facts.begins:
            yield path, f"is for a time that begins on {_day(facts.begins)}", "one that holds now would be right"
        elif now >= facts.expires:
            yield path, f"expired on {_day(facts.expires)}: no client will believe it", renewed
        elif now + EXPIRY_SECONDS > facts.expires:
            yield path, f"expires on {_day(facts.expires)}", renewed
    for revocations in read_revocation_lists(tls.client_crl) if tls.client_crl else ():
        following = revocations.next_update_utc
        if following is not None and following.timestamp() <= now:
            wrong = f"was to be renewed by {_day(following.timestamp())}: no client of that authority gets in"
            yield ("tls", "client_crl"), wrong, "the authority's present list would be right"


def _day(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).date().isoformat()


def _uploads(config: Config, sources: Sources) -> Iterator[Problem]:
    """Uploads that are allowed by their service, and yet never find room."""
    kept = config.uploads
    if not kept.directory:
        return
    most = min(kept.max_bytes, kept.max_bytes_per_client or kept.max_bytes)
    for name, service in config.services.items():
        if service.uploads.paths and service.uploads.max_size > most:
            yield sources.problem(
                ("services", name, "uploads", "max_size"),
                f"is more than the {most} bytes for which there can be room",
                "more in uploads.max_bytes and uploads.max_bytes_per_client would be right",
                "warning",
            )
