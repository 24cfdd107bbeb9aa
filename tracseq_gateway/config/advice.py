"""Warnings about a configuration that can be served as it is, and perhaps should not be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import evolve

from tracseq_gateway.config.files import is_socket
from tracseq_gateway.config.model import Config
from tracseq_gateway.config.problem import Problem
from tracseq_gateway.config.secrets import missing_secrets
from tracseq_gateway.config.sources import Sources


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
    yield from _uploads(config, sources)
    for problem in missing_secrets(config, environ):
        yield evolve(problem, level="warning")


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
