"""Names and addresses in every spelling: what only the gateway may say is said by the gateway alone."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.kit import MemoryGateway
from tests.kit_client import request
from tests.test_http_forwarding import HOP_BY_HOP, OURS, PASSED, RESERVED, forwarded, names
from tests.test_http_origin import INSIDE, Origin

SIGNS = st.sampled_from([b"-", b"-", b"_", b".", b"!", b"~", b"|", b"'", b"*", b"+"])
FRAMING = (b"content-length", b"transfer-encoding", b"host", b"expect", b"connection")


@st.composite
def spelled(draw: st.DrawFn, known: list[bytes]) -> bytes:
    """One of these names in any case, with any sign for a dash."""
    name = draw(st.sampled_from(known))
    parts = [draw(st.sampled_from([part, part.upper(), part.title()])) for part in name.split(b"-")]
    return b"".join(part + draw(SIGNS) for part in parts[:-1]) + parts[-1]


def plain(name: bytes) -> bytes:
    """A name as a service may take it for: one sign is like another."""
    return re.sub(rb"[^0-9a-z]", b"-", name.lower())


class RequestTests(SynchronousTestCase):
    @given(st.lists(spelled([*HOP_BY_HOP, *RESERVED]), max_size=6), st.lists(spelled([*PASSED, *OURS]), max_size=3))
    @settings(max_examples=300, deadline=None)
    def test_names(self, reserved: list[bytes], named: list[bytes]) -> None:
        """No field of one hop, and none that only the gateway may say, arrives in a client's words."""
        lines = [name + b": evil" for name in reserved if name.lower() not in FRAMING]
        fields = forwarded(request(b"/", *lines, b"X-Kept: 1", b"Connection: " + b", ".join(named)))
        self.assertEqual([value for _, value in fields if value == b"evil"], [], reserved)
        self.assertEqual(sorted(names(fields)), sorted([*OURS, b"x-kept"]))

    @given(st.lists(spelled(PASSED), max_size=6, unique_by=plain), st.data())
    @settings(max_examples=200, deadline=None)
    def test_nominated(self, passed: list[bytes], data: st.DataObject) -> None:
        """Connection takes away what it names, in whatever case, and nothing else."""
        away = data.draw(st.lists(st.sampled_from(passed), unique=True) if passed else st.just([]))
        shouted = b",".join(name.swapcase() for name in away)
        fields = forwarded(request(b"/", *(name + b": kept" for name in passed), b"Connection:" + shouted))
        kept = [name.lower() for name in passed if name not in away]
        self.assertEqual([name for name, value in fields if value == b"kept"], kept)


class AnswerTests(SynchronousTestCase):
    @given(st.lists(st.sampled_from([*HOP_BY_HOP, b"etag", b"x-user-id", b"vary", b"age"]), max_size=6), st.data())
    @settings(max_examples=150, deadline=None)
    def test_names(self, sent: list[bytes], data: st.DataObject) -> None:
        """No field of one hop reaches a client, nor one that a service's Connection names, in whatever case."""
        away = data.draw(st.lists(st.sampled_from([b"ETag", b"VARY", b"Age", b"date", b"via"]), max_size=2))
        lines = b"".join(b"%b: v\r\n" % name.title() for name in sent if name not in FRAMING)
        answer = b"HTTP/1.1 200 OK\r\n%bConnection: %b\r\nContent-Length: 2\r\n\r\nok" % (lines, b",".join(away))
        (received,) = MemoryGateway(answer=answer).exchange(request()).answers()
        kept = [name for name in sent if name not in HOP_BY_HOP and name not in [one.lower() for one in away]]
        self.assertEqual([name for name, value in received.fields if value == b"v"], kept)
        self.assertEqual((received.body, len(received.values(b"date"))), (b"ok", 1))


ADDRESSES = st.one_of(
    st.ip_addresses(v=4, network="10.0.0.0/30"),
    st.ip_addresses(v=6, network="2001:db8:1::/126"),
    st.ip_addresses(v=4, network="203.0.113.0/29"),
    st.ip_addresses(v=6, network="2001:db8:2::/126"),
)
"""Of trusted proxies, and of others."""


@st.composite
def hops(draw: st.DrawFn) -> tuple[IPv4Address | IPv6Address, str]:
    """An address, and how a proxy may write it."""
    address = draw(ADDRESSES)
    host = f"[{address}]" if address.version == 6 else str(address)
    return address, draw(st.sampled_from([str(address), host, f"{host}:80"]))


class OriginTests(SynchronousTestCase):
    @given(st.lists(hops(), max_size=5), st.integers(0, 5), st.sampled_from(["x-forwarded-for", "forwarded", "lines"]))
    @settings(max_examples=300, deadline=None)
    def test_client(self, chain: list[tuple[IPv4Address | IPv6Address, str]], junk: int, form: str) -> None:
        """The client is the rightmost address that is no trusted proxy's, and only what lies behind it is passed on."""
        texts = [text for _, text in chain]
        known = [address for address, _ in chain]
        if junk < len(chain):
            texts.insert(junk, "unknown")
            known = known[junk:]
        if form == "forwarded":
            fields = ["Forwarded: " + ", ".join(f'for="{text}"' for text in texts)] if texts else []
        else:
            every = [f"X-Forwarded-For: {text}" for text in texts]
            fields = every if form == "lines" else ["X-Forwarded-For: " + ",".join(texts)]
        origin = Origin("10.0.0.9", *(field.encode() for field in fields))
        behind: list[IPv4Address | IPv6Address] = [ip_address("10.0.0.9")]
        for address in reversed(known):
            if not any(behind[0] in network for network in INSIDE):
                break
            behind.insert(0, address)
        self.assertEqual((origin.hops or "").split(", "), [str(address) for address in behind])
        self.assertEqual(origin.client, str(behind[0]))
        self.assertEqual(Origin("192.0.2.7", *(field.encode() for field in fields)).hops, "192.0.2.7")
