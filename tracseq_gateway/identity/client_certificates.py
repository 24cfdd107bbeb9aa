"""Clients that are known by their certificate: from the names in it to an :class:`Identity`.

What the certificate itself is worth was decided when TLS was agreed on.
"""

from __future__ import annotations

from collections.abc import Mapping

from tracseq_gateway.config.client_names import LONGEST_NAME
from tracseq_gateway.config.policies import ClientCertificate as Settings
from tracseq_gateway.interfaces import ClientCertificate, Identity

MOST_KNOWN = 1024
"""Identities that are kept of those that one pattern stands for."""


class ClientCertificates:
    """Built once from the configuration."""

    def __init__(self, settings: Mapping[str, Settings]) -> None:
        self._exact: dict[str, Identity] = {}
        patterns: list[tuple[str, str, Settings]] = []
        for name, each in settings.items():
            if each.match.startswith("URI:") and each.match.endswith("*"):
                patterns.append((each.match[:-1], name, each))
            else:
                self._exact[each.match] = _identity(name, each, each.match)
        # Of two patterns the longer one says more.
        self._patterns = sorted(patterns, key=lambda pattern: -len(pattern[0]))
        self._known: dict[str, Identity] = {}

    def find(self, certificate: ClientCertificate) -> Identity | None:
        """Say whose certificate this is; None when nobody is known by it.

        Its names are tried in their order, each in full first. The same object each time, as long as it is kept.
        """
        for name in certificate.names:
            if name.startswith("DNS:"):
                name = f"DNS:{name[4:].lower()}"
            found = self._exact.get(name) or self._known.get(name) or self._by_pattern(name)
            if found is not None:
                return found
        return None

    def _by_pattern(self, name: str) -> Identity | None:
        if len(name) > LONGEST_NAME or not name.isascii() or not name.isprintable():
            return None  # it could not be told to a service
        for beginning, table, settings in self._patterns:
            if name.startswith(beginning) and len(name) > len(beginning):
                if len(self._known) >= MOST_KNOWN:
                    self._known.clear()
                identity = self._known[name] = _identity(table, settings, name)
                return identity
        return None


def _identity(table: str, settings: Settings, name: str) -> Identity:
    return Identity(
        kind="certificate",
        subject=settings.subject or name.partition(":")[2],
        role=settings.role,
        email=settings.email,
        key_name=f"certificate:{table}",
        services=frozenset(settings.services),
        methods=frozenset(method.encode("ascii") for method in settings.methods),
        rate_limit=settings.rate_limit,
    )
