"""Instances from the addresses of a name: A and AAAA records."""

from __future__ import annotations

from attrs import frozen
from twisted.internet.defer import Deferred

from tracseq_gateway.config import Instance
from tracseq_gateway.config.url import Authority
from tracseq_gateway.discovery.names import Names
from tracseq_gateway.discovery.source import NotFound


@frozen
class AddressSource:
    """Each address of a name is an instance, on one port."""

    name: str
    port: int
    names: Names
    seconds: float
    """How long a look-up may take."""
    tls: bool = False
    """Whether the instances are spoken to over TLS."""

    def __str__(self) -> str:
        return f"DNS {self.name}"

    def find(self) -> Deferred[tuple[Instance, ...]]:
        """See :class:`tracseq_gateway.discovery.source.Source`."""
        return Deferred.fromCoroutine(self._find())

    async def _find(self) -> tuple[Instance, ...]:
        addresses = await self.names.addresses(self.name, self.seconds)
        if not addresses:
            raise NotFound("no such name, or none with an address")
        return tuple(Instance(Authority(address, self.port, self.tls).url()) for address in addresses)
