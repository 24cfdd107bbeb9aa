"""Which limits hold for a request, and under which keys they are counted."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import Literal

from attrs import frozen

from tracseq_gateway.http.request_head import RequestHead
from tracseq_gateway.interfaces import Request
from tracseq_gateway.limits.gcra import Policy

Per = Literal["client", "address", "service", "everyone"]

_MOST_ADDRESSES = 10_000


@frozen(eq=False)
class Rule:
    """A limit, who shares it, and for which requests it holds."""

    policy: Policy
    prefix: bytes
    """What its keys begin with."""
    per: Per = "client"
    applies: Callable[[RequestHead], bool] | None = None
    """None: it holds for all requests that come here."""


class Keys:
    """Makes the keys of one gateway's limits: ``PREFIX:WHAT:WHO``.

    Who is ``u:`` and a user's id, ``k:`` and the name of an API key, or ``a:`` and an address. An IPv6 client is known
    by its first 64 bits: that much one subscriber has for himself (RFC 6177).
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix.encode()
        self._addresses: dict[str, bytes] = {}

    def begin(self, what: str) -> bytes:
        """The beginning of the keys of one limit."""
        return b"%b:%b:" % (self._prefix, what.encode())

    def client(self, request: Request) -> bytes:
        """Who a client is: its user, else its API key, else its address."""
        identity = request.identity
        return identity.client if identity is not None else self.address(request.client)

    def address(self, client: str) -> bytes:
        """Who an address is."""
        who = self._addresses.get(client)
        if who is None:
            if len(self._addresses) >= _MOST_ADDRESSES:
                self._addresses.clear()
            who = self._addresses[client] = b"a:" + _network(client).encode()
        return who

    def of(self, rule: Rule, request: Request) -> bytes:
        """The key of one limit for one request."""
        if rule.per == "client":
            return rule.prefix + self.client(request)
        if rule.per == "address":
            return rule.prefix + self.address(request.client)
        if rule.per == "service":
            return rule.prefix + b"s:" + request.service.encode()
        return rule.prefix


def _network(client: str) -> str:
    try:
        address = ip_address(client)
    except ValueError:
        return client[:64]
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return f"{IPv6Address(int(address) >> 64 << 64)}/64"
