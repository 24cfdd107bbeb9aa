"""Instances from SRV records (RFC 2782): hosts, ports and weights.

The hosts' names are looked up here, too: what a worker gets are addresses, so that it can go on with them when the name
server is away.
"""

from __future__ import annotations

from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred, DeferredList

from tracseq_gateway.config import Instance
from tracseq_gateway.config.url import Authority, is_host
from tracseq_gateway.discovery.names import Names
from tracseq_gateway.discovery.source import MOST_INSTANCES, NotFound


@frozen
class LocationSource:
    """Each address of each record of the lowest priority is an instance."""

    name: str
    names: Names
    seconds: float
    """How long a look-up may take."""
    tls: bool = False
    """Whether the instances are spoken to over TLS."""

    def __str__(self) -> str:
        return f"SRV {self.name}"

    def find(self) -> Deferred[tuple[Instance, ...]]:
        """See :class:`tracseq_gateway.discovery.source.Source`."""
        return Deferred.fromCoroutine(self._find())

    async def _find(self) -> tuple[Instance, ...]:
        locations, known = await self.names.locations(self.name, self.seconds / 2)
        # "." as target: decidedly not available. Port 0 is nobody's.
        locations = [one for one in locations if one.port and is_host(one.target)]
        first = min((one.priority for one in locations), default=0)
        locations = [one for one in locations if one.priority == first]
        missing = sorted({one.target for one in locations} - known.keys())
        if len(missing) > MOST_INSTANCES:
            raise NotFound(f"{len(missing)} hosts, more than {MOST_INSTANCES}")
        known |= await self._look_up(missing)
        return tuple(
            Instance(Authority(address, one.port, self.tls).url(), max(1, one.weight))  # 0: as little as there can be
            for one in locations
            for address in known[one.target]
        )

    async def _look_up(self, targets: list[str]) -> dict[str, list[str]]:
        """The addresses of all targets; one that has none is no instance, one that cannot be asked for is an error."""
        asked = [Deferred.fromCoroutine(self.names.addresses(target, self.seconds / 2)) for target in targets]
        results: list[tuple[bool, Any]] = await DeferredList(asked, consumeErrors=True)
        for answered, result in results:
            if not answered:
                result.raiseException()
        return {target: found for target, (_, found) in zip(targets, results, strict=True)}
