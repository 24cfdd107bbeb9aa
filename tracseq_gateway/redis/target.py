"""Who to connect to, as the configuration says it: an endpoint, what to say there, and how long it may take."""

from __future__ import annotations

from typing import Any, Final

from attrs import frozen
from twisted.internet.interfaces import IStreamClientEndpoint

from tracseq_gateway.config.policies import Redis
from tracseq_gateway.config.redis_url import Login, Sentinels, Tcp, parse_address
from tracseq_gateway.redis.endpoint import server_endpoint
from tracseq_gateway.redis.sentinel import SENTINEL_SECONDS, MasterEndpoint

ATTEMPT_SECONDS: Final = 0.5
"""How long it may take to connect to a server and to log in."""


@frozen
class Target:
    """A Redis to connect to."""

    endpoint: IStreamClientEndpoint
    login: Login
    attempt_seconds: float = ATTEMPT_SECONDS


def target_of(reactor: Any, settings: Redis) -> Target:
    """Give what ``settings.url`` leads to; it must be a URL, not ``embedded``.

    Raises ValueError or OSError for a URL or a file of certificates that cannot be used.
    """
    address = parse_address(settings.url)

    def reach(server: Tcp) -> IStreamClientEndpoint:
        return server_endpoint(reactor, server, settings.ca, ATTEMPT_SECONDS)

    if isinstance(address.place, Sentinels):
        seconds = ATTEMPT_SECONDS + SENTINEL_SECONDS * len(address.place.hosts)
        return Target(MasterEndpoint(reactor, address.place, address.login, reach), address.login, seconds)
    return Target(server_endpoint(reactor, address.place, settings.ca, ATTEMPT_SECONDS), address.login)
