"""Where a request comes from: whatever a proxy wrote, services are told what is well formed; a stranger is not heard.

An input is the field lines of a request.
"""

from __future__ import annotations

from ipaddress import ip_address

from tests.kit_client import request_parser
from tests.test_http_origin import INSIDE, elements
from tracseq_gateway.errors import RequestRefused
from tracseq_gateway.http.origin import ForwardedLines, is_trusted

_NAMES = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "forwarded", "via")
_PROXY = "10.0.0.9"


def one_input(data: bytes) -> None:
    """Let a proxy, and a stranger, send a request with these fields."""
    try:
        head = request_parser().parse(b"GET / HTTP/1.1\r\nHost: gw.test\r\n" + data.strip(b"\r\n") + b"\r\n\r\n")
    except RequestRefused:
        return
    stranger = ForwardedLines("192.0.2.7", b"http", 8000, INSIDE, b"gw")
    plain = request_parser().parse(b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % head.host)
    assert stranger.lines(head) == stranger.lines(plain) and stranger.client == "192.0.2.7"
    proxy = ForwardedLines(_PROXY, b"http", 8000, INSIDE, b"gw")
    lines = proxy.lines(head)
    assert lines == proxy.lines(head), "another origin the second time"
    *said, empty = lines.split(b"\r\n")
    values = {name.decode(): value.decode() for name, _, value in (line.partition(b": ") for line in said)}
    assert empty == b"" and sorted(values) == sorted(_NAMES) and len(said) == len(values), lines
    _check(values, proxy)


def _check(values: dict[str, str], proxy: ForwardedLines) -> None:
    hops = values["x-forwarded-for"].split(", ")
    assert hops[-1] == _PROXY and [str(ip_address(hop)) for hop in hops] == hops, hops
    strangers = [hop for hop in hops if not is_trusted(ip_address(hop), INSIDE)]
    assert strangers[:-1] == [] and proxy.client == (strangers or hops)[0], (proxy.client, hops)
    assert values["x-forwarded-proto"] == ("https" if proxy.secure else "http")
    assert values["x-forwarded-port"].isdigit() and values["x-forwarded-host"].isprintable()
    assert elements(values["forwarded"])[-1] == {"for": _PROXY, "host": "gw.test", "proto": "http"}
