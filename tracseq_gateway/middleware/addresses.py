"""The door that looks at where a request comes from."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network

from tracseq_gateway.config.keys import Network
from tracseq_gateway.errors import ADDRESS_DENIED, GatewayError
from tracseq_gateway.http.origin import is_trusted, parse_address
from tracseq_gateway.interfaces import Request
from tracseq_gateway.middleware.chain import Link

_MOST_KNOWN = 16384
_MAPPED = IPv6Network("::ffff:0:0/96")
_DENIED = GatewayError(ADDRESS_DENIED, "requests from this address are not taken")


def address_lists(allow: Sequence[Network], deny: Sequence[Network]) -> Link | None:
    """Refuse with 403 an address that is denied, or is not among those allowed; None when both lists are empty.

    What is denied wins; an empty ``allow`` allows all. An IPv4 address mapped into IPv6 counts as itself, so that
    ``::/0`` does not hold for it. An address that cannot be read is refused. Looks at the client as trusted proxies
    name it, not at the proxy.
    """
    if not allow and not deny:
        return None
    verdicts = _Verdicts([_plain(network) for network in allow], [_plain(network) for network in deny])

    def check(request: Request) -> GatewayError | None:
        return verdicts[request.client]

    return check


class _Verdicts(dict[str, GatewayError | None]):
    """From an address to the verdict. Bounded: when it is full it starts anew."""

    def __init__(self, allow: Sequence[Network], deny: Sequence[Network]) -> None:
        super().__init__()
        self._allow = allow
        self._deny = deny

    def __missing__(self, client: str) -> GatewayError | None:
        verdict = None if self._admits(client) else _DENIED
        if len(self) >= _MOST_KNOWN:
            self.clear()
        self[client] = verdict
        return verdict

    def _admits(self, client: str) -> bool:
        address = parse_address(client)
        if address is None or is_trusted(address, self._deny):
            return False
        return not self._allow or is_trusted(address, self._allow)


def _plain(network: Network) -> Network:
    """The network as the addresses in it are compared: IPv4 where it is mapped into IPv6."""
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        return IPv4Network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - _MAPPED.prefixlen))
    return network
