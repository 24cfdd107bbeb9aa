"""What finds the instances of a service: the one extension point of this room, and what may come of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final, Protocol, TypeVar

from attrs import evolve
from twisted.internet.defer import Deferred

from tracseq_gateway.config import Instance
from tracseq_gateway.config.url import Authority, parse_url

MOST_INSTANCES: Final = 200
"""Instances of one service: with the longest names, as many as there is room for in one message to a worker."""

Found = TypeVar("Found")

Aside = Callable[[Callable[[], Found]], Deferred[Found]]
"""Calls a function where it does not hold up the reactor, in a thread; fires with what it returns or raises."""


class NotFound(Exception):
    """A look-up gave nothing that could be used; the text says why, in a few words for the log."""


class Source(Protocol):
    """Where a service's instances are found. ``str()`` of it is its name in the log."""

    def find(self) -> Deferred[tuple[Instance, ...]]:
        """Look up all instances that there are now, good or not: :func:`usable` is for others to apply.

        Fails with :class:`NotFound`. Never blocks the reactor, is never called while a look-up is under way, and ends
        when the Deferred is cancelled.
        """


def usable(found: Iterable[Instance]) -> tuple[Instance, ...]:
    """Those to which a connection can be opened, each once and in normal form, in the order of their URLs.

    :raises NotFound: if there is none, or more than :data:`MOST_INSTANCES`.
    """
    places: dict[str, Instance] = {}
    useless = 0
    for instance in found:
        place = _normal(parse_url(instance.url))
        if place is None:
            useless += 1
        else:
            places.setdefault(place.url(), Instance(place.url(), instance.weight))
    if len(places) > MOST_INSTANCES:
        raise NotFound(f"{len(places)} instances, more than {MOST_INSTANCES}")
    if not places:
        raise NotFound("addresses that cannot be connected to, and no others" if useless else "no instance")
    return tuple(places[url] for url in sorted(places))


def _normal(place: Authority) -> Authority | None:
    """The same place, an address in its shortest form; None if nobody can be there."""
    try:
        address = ip_address(place.host)
    except ValueError:
        return place  # a name
    return None if _is_useless(address) else evolve(place, host=str(address))


def all_secure(found: tuple[Instance, ...]) -> tuple[Instance, ...]:
    """What was found for a service that is spoken to over TLS: none of it may ask for less.

    :raises NotFound: if an instance would be spoken to in clear.
    """
    for instance in found:
        if not parse_url(instance.url).tls:
            raise NotFound(f"{instance.url} would be spoken to in clear, and the service is configured with TLS")
    return found


_THIS_NETWORK: Final = ip_network("0.0.0.0/8")


def _is_useless(address: IPv4Address | IPv6Address) -> bool:
    """Tell whether an address stands for nobody, for many, or for somebody who differs by the network card."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return _is_useless(address.ipv4_mapped)
    if address.is_unspecified or address.is_multicast or address.is_link_local:
        return True
    return isinstance(address, IPv4Address) and (address.is_reserved or address in _THIS_NETWORK)
