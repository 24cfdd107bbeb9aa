"""What name servers say of names, without the reactor ever waiting for them.

Not by the system's own look-up, which takes a thread for as long as a server is silent and knows no SRV records.
Nothing is remembered: a name server on the way remembers as long as it may.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from ipaddress import ip_address
from typing import Any, Final

from attrs import frozen
from twisted.internet.defer import Deferred, DeferredList
from twisted.names import dns
from twisted.names.hosts import searchFileForAll
from twisted.python.failure import Failure
from twisted.python.filepath import FilePath

from tracseq_gateway.discovery.questions import NoSuchName, Server, ask

MOST_SERVERS: Final = 3
"""Servers of a resolv.conf that count, as for the system's own look-ups."""


def configured_servers(file: str = "/etc/resolv.conf") -> list[Server]:
    """Address and port of the name servers in a resolv.conf(5); without any, that of this host.

    Raises OSError if there is such a file and it cannot be read.
    """
    try:
        with open(file, encoding="latin-1") as stream:
            lines = [line.split() for line in stream]
    except FileNotFoundError:
        lines = []
    found = [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver" and _is_address(words[1])]
    return [(address, dns.PORT) for address in found[:MOST_SERVERS] or ["127.0.0.1"]]


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


@frozen
class Location:
    """One SRV record (RFC 2782)."""

    priority: int
    weight: int
    port: int
    target: str


@frozen
class Names:
    """How names are looked up: as they stand, without search domains."""

    reactor: Any
    servers: Callable[[], Sequence[Server]] = configured_servers
    """The name servers; asked for anew for each question, for they may change. May raise OSError."""
    hosts: str = "/etc/hosts"
    """A hosts(5) file; what it says of a name's addresses is all that is asked for."""

    async def addresses(self, name: str, seconds: float) -> list[str]:
        """The addresses of a name, IPv4 and IPv6; none if it has none or does not exist.

        An error in one family counts only when the other has nothing, for there are servers that know one family.

        :raises NotFound: if no server gives an answer.
        """
        hosted: list[str] = searchFileForAll(FilePath(self.hosts), name.encode("ascii"))
        if hosted:
            return hosted
        asked = [Deferred.fromCoroutine(self._ask(name, kind, seconds)) for kind in (dns.A, dns.AAAA)]
        found: list[str] = []
        failures: list[Failure] = []
        results: list[tuple[bool, Any]] = await DeferredList(asked, consumeErrors=True)
        for answered, result in results:
            if answered:
                found += _addresses(result.answers)
            elif not result.check(NoSuchName):
                failures.append(result)
        if failures and not found:
            failures[0].raiseException()
        return found

    async def locations(self, name: str, seconds: float) -> tuple[list[Location], dict[str, list[str]]]:
        """The SRV records of a name, and those addresses of their targets that came along.

        :raises NotFound: if no server gives an answer, or there is no such name.
        """
        message = await self._ask(name, dns.SRV, seconds)
        records: list[Any] = [answer.payload for answer in message.answers if answer.type == dns.SRV]
        locations = [Location(one.priority, one.weight, one.port, _text(one.target)) for one in records]
        known: dict[str, list[str]] = {}
        for extra in message.additional:
            known.setdefault(_text(extra.name), []).extend(_addresses([extra]))
        return locations, known

    async def _ask(self, name: str, kind: int, seconds: float) -> dns.Message:
        return await ask(self.reactor, self.servers(), dns.Query(name.encode("ascii"), kind, dns.IN), seconds)


def _addresses(records: Iterable[Any]) -> list[str]:
    return [str(ip_address(one.payload.address)) for one in records if one.type in (dns.A, dns.AAAA)]


def _text(name: dns.Name) -> str:
    return name.name.decode("latin-1").lower()
