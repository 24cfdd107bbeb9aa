"""The PROXY header: its end does not depend on the split, and it carries an address in its usual spelling, or none."""

from __future__ import annotations

from ipaddress import ip_address

from tracseq_gateway.server.proxy_header import (
    LONGEST_BLOCK,
    LONGEST_LINE,
    BadProxyHeader,
    carried_address,
    header_length,
)


def one_input(data: bytes) -> None:
    """Take any bytes for the beginning of a connection."""
    whole = _length(data)
    for size in range(min(len(data), LONGEST_BLOCK + 16)):
        part = _length(data[:size])
        assert part is None or part == whole or (whole == "bad" and part == "bad"), (size, part, whole)
    if not isinstance(whole, int):
        assert whole == "bad" or len(data) < LONGEST_BLOCK + 16, "nothing decided"
        return
    assert 0 < whole <= max(LONGEST_LINE, LONGEST_BLOCK + 16) and whole <= len(data)
    try:
        address = carried_address(data[:whole])
    except BadProxyHeader:
        return
    if address is not None:
        assert str(ip_address(address)) == address and not address.startswith("::ffff:"), address


def _length(data: bytes) -> int | str | None:
    try:
        return header_length(data)
    except BadProxyHeader:
        return "bad"
