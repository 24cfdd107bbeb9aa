"""The sandbox: seven stand-in services with demo data, so that a frontend can be developed on a laptop.

It is no part of production: tokens are real, but mail, sequencers and sensors are imitated, and every demo user has
the same password. ``python -m tracseq_gateway.sandbox`` runs it as one child process on sockets that it is given.

This module imports neither Twisted nor Klein, so that whoever starts the sandbox can read its facts at no cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, get_args

from tracseq_gateway.config.policies import Role

SERVICES: Final[Mapping[str, int]] = MappingProxyType(
    {
        "auth": 8080,
        "samples": 8081,
        "storage": 8082,
        "templates": 8083,
        "sequencing": 8084,
        "notifications": 8085,
        "rag": 8086,
    }
)
"""The services in the order in which they are shown, each with its default TCP port."""

ROLES: Final[tuple[str, ...]] = get_args(Role)
"""The roles, lowest first."""

DEMO_PASSWORD: Final = "tracseq-demo"  # noqa: S105 - printed in the banner, worthless elsewhere
"""The password of every demo user."""


def demo_users() -> list[tuple[str, str]]:
    """Return one pair of role and e-mail address for each role, lowest first."""
    return [(role, f"{role}@sandbox.tracseq.test") for role in ROLES]
