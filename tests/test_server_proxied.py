"""Connections that come by way of a proxy with a PROXY header."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import maybeDeferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.kit import SPLITS, read_answers
from tests.kit_client import Handler, MemoryServer, Visitor, answer_whole, request, slices
from tracseq_gateway.config.model import Client
from tracseq_gateway.net.deadlines import Deadlines
from tracseq_gateway.net.transport import EagerPort
from tracseq_gateway.server.proxy_header import LONGEST_BLOCK, LONGEST_LINE
from tracseq_gateway.server.request import GatewayRequest
from tracseq_gateway.server.site import GatewaySite

PROXY = "10.0.0.5"
TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"), ip_network("127.0.0.0/8"))
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def line(words: str = "TCP4 198.51.100.9 192.0.2.1 50000 443") -> bytes:
    """A header of version 1."""
    return f"PROXY {words}\r\n".encode("latin-1")


def block(body: bytes, family: int = 0x11, command: int = 0x21, length: int | None = None) -> bytes:
    """A header of version 2."""
    said = len(body) if length is None else length
    return SIGNATURE + bytes([command, family]) + said.to_bytes(2, "big") + body


def addresses(source: str, extensions: bytes = b"", family: int | None = None) -> bytes:
    """A header of version 2 that carries addresses, and further bytes behind them."""
    packed = ip_address(source).packed
    kind = family or (0x11 if len(packed) == 4 else 0x21)
    return block(packed + bytes(len(packed)) + b"\xc3\x50\x01\xbb" + extensions, kind)


def say_client(request: GatewayRequest) -> None:
    """Answer with the client's address and what a service would hear of it."""
    lines = dict(line.split(b": ", 1) for line in request.forwarded.split(b"\r\n") if line)
    answer_whole(request, b"%b|%b" % (request.client.encode(), lines[b"x-forwarded-for"]))


class ProxiedServer(MemoryServer):
    """A server whose connections must begin with a PROXY header."""

    def __init__(self, **limits: Any) -> None:
        super().__init__(say_client, **limits)
        serve_proxied(self.site)


def serve_proxied(site: GatewaySite) -> None:
    """Make a site's connections proxied ones."""
    site.trusted = TRUSTED
    site.proxied = True


def bodies(visitor: Visitor) -> list[bytes]:
    return [answer.body for answer in visitor.answers()]


CARRIED = {
    line(): b"198.51.100.9",
    line("TCP6 2001:DB8:0:0:0:0:0:9 ::1 1 65535"): b"2001:db8::9",
    line("TCP6 ::ffff:198.51.100.9 ::1 1 2"): b"198.51.100.9",
    line("TCP4 255.255.255.255 255.255.255.255 65535 65535"): b"255.255.255.255",
    line("TCP6 " + "ffff:" * 7 + "fffe " + "ffff:" * 7 + "ffff 65535 65535"): b"ffff:" * 7 + b"fffe",
    addresses("198.51.100.9"): b"198.51.100.9",
    addresses("2001:db8::9"): b"2001:db8::9",
    addresses("::ffff:198.51.100.9"): b"198.51.100.9",
    addresses("198.51.100.9", family=0x12): b"198.51.100.9",  # a proxy that the client reached by QUIC
    addresses("198.51.100.9", b"\x04\x00\x03abc"): b"198.51.100.9",
    addresses("198.51.100.9", bytes(LONGEST_BLOCK - 12)): b"198.51.100.9",
}
LOCAL = [
    block(b"", 0x00, 0x20),
    block(b"junk", 0x11, 0x20),
    addresses("198.51.100.9").replace(b"\x21\x11", b"\x20\x11"),
]
UNKNOWN = [
    line("UNKNOWN"),
    line("UNKNOWN "),
    line("UNKNOWN 198.51.100.9 192.0.2.1 1 2"),
    line("UNKNOWN " + "x" * 91),
    block(b"", 0x00),
    block(b"junk", 0x00),
    block(bytes(12), 0x01),
    block(bytes(216), 0x31),
]

MALFORMED = {
    "a request": request(b"/"),
    "a TLS handshake": b"\x16\x03\x01\x02\x00",
    "an empty line": b"\r\n",
    "lower case": b"proxy TCP4 198.51.100.9 192.0.2.1 1 2\r\n",
    "a longer word": b"PROXYTCP4 198.51.100.9 192.0.2.1 1 2\r\n",
    "two spaces": line(" TCP4 198.51.100.9 192.0.2.1 1 2"),
    "two spaces later": line("TCP4  198.51.100.9 192.0.2.1 1 2"),
    "a tab": line("TCP4\t198.51.100.9 192.0.2.1 1 2"),
    "nothing": b"PROXY \r\n",
    "another protocol": line("UDP4 198.51.100.9 192.0.2.1 1 2"),
    "a protocol of no number": line("TCP 198.51.100.9 192.0.2.1 1 2"),
    "unknown and more": line("UNKNOWNX"),
    "unknown and bytes": line("UNKNOWN \x00"),
    "no addresses": line("TCP4"),
    "one address": line("TCP4 198.51.100.9"),
    "one port": line("TCP4 198.51.100.9 192.0.2.1 1"),
    "three ports": line("TCP4 198.51.100.9 192.0.2.1 1 2 3"),
    "a space at the end": line("TCP4 198.51.100.9 192.0.2.1 1 2 "),
    "a large port": line("TCP4 198.51.100.9 192.0.2.1 65536 2"),
    "a large destination port": line("TCP4 198.51.100.9 192.0.2.1 1 65536"),
    "a signed port": line("TCP4 198.51.100.9 192.0.2.1 +1 2"),
    "a negative port": line("TCP4 198.51.100.9 192.0.2.1 -1 2"),
    "an underlined port": line("TCP4 198.51.100.9 192.0.2.1 1_0 2"),
    "a port of letters": line("TCP4 198.51.100.9 192.0.2.1 http 2"),
    "a port in other digits": line("TCP4 198.51.100.9 192.0.2.1 \xb2 2"),
    "a short address": line("TCP4 198.51.100 192.0.2.1 1 2"),
    "a large address": line("TCP4 198.51.100.256 192.0.2.1 1 2"),
    "an octal address": line("TCP4 198.51.100.009 192.0.2.1 1 2"),
    "a name": line("TCP4 localhost 192.0.2.1 1 2"),
    "bytes for an address": line("TCP4 \xff\xfe 192.0.2.1 1 2"),
    "IPv6 for IPv4": line("TCP4 2001:db8::9 192.0.2.1 1 2"),
    "IPv4 for IPv6": line("TCP6 198.51.100.9 192.0.2.1 1 2"),
    "a scope": line("TCP6 fe80::1%eth0 ::1 1 2"),
    "a bad destination": line("TCP4 198.51.100.9 nowhere 1 2"),
    "a destination of the other family": line("TCP4 198.51.100.9 ::1 1 2"),
    "a bare LF": b"PROXY TCP4 198.51.100.9 192.0.2.1 1 2\n" + request(b"/"),
    "a line too long": b"PROXY UNKNOWN " + b"x" * (LONGEST_LINE - 15) + b"\r\n",
    "no end": b"PROXY UNKNOWN " + b"x" * LONGEST_LINE,
    "half a signature": SIGNATURE[:8] + b"X",
    "version 1 in version 2": block(b"", 0x00, 0x11),
    "version 3": block(b"", 0x00, 0x31),
    "another command": block(bytes(12), 0x11, 0x22),
    "another family": block(bytes(12), 0x41),
    "another transport": block(bytes(12), 0x13),
    "no addresses in version 2": block(b"", 0x11),
    "few addresses in version 2": block(bytes(11), 0x11),
    "addresses of the smaller family": block(bytes(12), 0x21),
    "few unix addresses": block(bytes(215), 0x31),
    "too many extensions": block(b"", 0x11, length=LONGEST_BLOCK + 1),
    "most extensions": block(b"", 0x00, 0x20, length=65535),
}


class HeaderTests(SynchronousTestCase):
    def test_carried(self) -> None:
        """The address that a header carries is the client's, for the gateway and for the services."""
        for header, client in CARRIED.items():
            visitor = ProxiedServer().visit(header + request(b"/"), peer=PROXY)
            self.assertEqual(bodies(visitor), [client + b"|" + client], header)

    def test_pieces(self) -> None:
        """It does not matter in which pieces header and requests come."""
        for header, client in CARRIED.items():
            for name, split in SPLITS.items():
                visitor = ProxiedServer().visit(*split(header + request(b"/1") + request(b"/2")), peer=PROXY)
                self.assertEqual(bodies(visitor), [client + b"|" + client] * 2, (name, header))
            visitor = ProxiedServer().visit(header, request(b"/1"), request(b"/2"), peer=PROXY)
            self.assertEqual(len(bodies(visitor)), 2)

    def test_body(self) -> None:
        """A body that comes with header and head is the request's."""
        visitor = ProxiedServer().visit(line() + request(b"/", method=b"POST", body=b"x" * 99), peer=PROXY)
        self.assertEqual(visitor.statuses(), [200])

    def test_whole_header_alone(self) -> None:
        """A header without a request is answered by nothing, and waits."""
        for header in (*CARRIED, *LOCAL, *UNKNOWN):
            visitor = ProxiedServer().visit(header, peer=PROXY)
            self.assertEqual((visitor.received, visitor.connected), (b"", True), header)

    def test_proxy_itself(self) -> None:
        """What the proxy says for itself comes from its own address, and it is believed as a proxy is."""
        for header in LOCAL:
            visitor = ProxiedServer().visit(header + request(b"/"), peer=PROXY)
            self.assertEqual(bodies(visitor), [b"10.0.0.5|10.0.0.5"], header)
        forwarded = request(b"/", b"X-Forwarded-For: 203.0.113.1")
        visitor = ProxiedServer().visit(LOCAL[0] + forwarded, peer=PROXY)
        self.assertEqual(bodies(visitor), [b"203.0.113.1|203.0.113.1, 10.0.0.5"])

    def test_unknown(self) -> None:
        """A client that the proxy cannot name has the proxy's address, and cannot name itself."""
        for header in UNKNOWN:
            for fields in ([], [b"X-Forwarded-For: 203.0.113.1"], [b"Forwarded: for=203.0.113.1"]):
                visitor = ProxiedServer().visit(header + request(b"/", *fields), peer=PROXY)
                self.assertEqual(bodies(visitor), [b"10.0.0.5|10.0.0.5"], header)

    def test_forwarded_by_the_client(self) -> None:
        """A carried client is believed no further for the proxy's sake; another trusted proxy is."""
        forwarded = request(b"/", b"X-Forwarded-For: 203.0.113.1")
        visitor = ProxiedServer().visit(line() + forwarded, peer=PROXY)
        self.assertEqual(bodies(visitor), [b"198.51.100.9|198.51.100.9"])
        visitor = ProxiedServer().visit(line("TCP4 10.9.9.9 192.0.2.1 1 2") + forwarded, peer=PROXY)
        self.assertEqual(bodies(visitor), [b"203.0.113.1|203.0.113.1, 10.9.9.9"])

    def test_second_header(self) -> None:
        """A header is taken once: a client cannot send another, of either version."""
        for header in (line("TCP4 203.0.113.1 192.0.2.1 1 2"), addresses("203.0.113.1")):
            visitor = ProxiedServer().visit(line() + header + request(b"/"), peer=PROXY)
            self.assertEqual((visitor.statuses(), visitor.closed), ([400], True))

    @given(st.lists(st.integers(0, 4096), max_size=8), st.sampled_from(sorted(CARRIED)))
    def test_any_pieces(self, cuts: list[int], header: bytes) -> None:
        """However the bytes are cut, the client is the same."""
        data = header + request(b"/")
        visitor = ProxiedServer().visit(*slices(data, cuts), peer=PROXY)
        self.assertEqual(bodies(visitor), [CARRIED[header] + b"|" + CARRIED[header]])

    @given(st.ip_addresses())
    def test_versions_agree(self, source: IPv4Address | IPv6Address) -> None:
        """Both versions carry the same address to the same client."""
        other = "192.0.2.1" if source.version == 4 else "::1"
        seen = {
            bodies(ProxiedServer().visit(header + request(b"/"), peer=PROXY))[0].partition(b"|")[0]
            for header in (line(f"TCP{source.version} {source} {other} 1 2"), addresses(str(source)))
        }
        mapped = source.ipv4_mapped if isinstance(source, IPv6Address) else None
        self.assertEqual(seen, {str(mapped or source).encode()})


class RefusalTests(SynchronousTestCase):
    def assert_cut(self, visitor: Visitor, what: object) -> None:
        """Check that a connection was cut without a word."""
        self.assertEqual((visitor.received, visitor.connected, visitor.aborted), (b"", False, True), what)

    def test_malformed(self) -> None:
        """What is no header is cut at once, with nothing answered, however it comes and whatever follows."""
        for what, data in MALFORMED.items():
            for name, split in SPLITS.items():
                server = ProxiedServer()
                visitor = server.visit(*split(data), peer=PROXY)
                visitor.send(request(b"/"))
                self.assert_cut(visitor, (what, name))
                self.assertEqual((server.site.active, len(server.site.channels)), (0, 0))

    def test_at_the_first_bad_byte(self) -> None:
        """What can become no header is cut before more of it comes."""
        for data in (b"G", b"PX", b"PROXY\t", b"\r\r", SIGNATURE[:-1] + b"\r", SIGNATURE + b"\x11\x00\x00\x00"):
            self.assert_cut(ProxiedServer().visit(data, peer=PROXY), data)
        for data in (b"P", b"PROXY", SIGNATURE, block(b"", length=LONGEST_BLOCK), line()[:-1], b"PROXY " + b"x" * 100):
            self.assertTrue(ProxiedServer().visit(data, peer=PROXY).connected, data)

    @given(st.binary(min_size=1, max_size=120), st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE]))
    def test_any_bytes(self, data: bytes, start: bytes) -> None:
        """No bytes that come instead of a header break anything, and none are answered."""
        visitor = ProxiedServer().visit(start + data, peer=PROXY)
        self.assertTrue(visitor.aborted or visitor.connected)
        self.assertEqual(visitor.received, b"")

    def test_untrusted(self) -> None:
        """A peer that is no trusted proxy is cut before it says anything, with or without a header."""
        for peer in ("192.0.2.7", "11.0.0.1", "::1", "fe80::1%eth0", "::ffff:192.0.2.7"):
            server = ProxiedServer()
            self.assert_cut(server.visit(peer=peer), peer)
            self.assert_cut(server.visit(line() + request(b"/"), peer=peer), peer)
            self.assertEqual(len(server.site.channels), 0)

    def test_trusted(self) -> None:
        """A proxy is trusted by either family, mapped or not."""
        for peer in ("10.255.0.1", "::ffff:10.0.0.1", "fd00::1"):
            self.assertEqual(len(bodies(ProxiedServer().visit(line() + request(b"/"), peer=peer))), 1, peer)

    def test_too_late(self) -> None:
        """Header and first head have the time of one head together; a header that is late is answered by nothing."""
        for pieces in ([], [b"PROXY "], [SIGNATURE], [line()]):
            server = ProxiedServer(head_seconds=5.0)
            visitor = server.visit(*pieces, peer=PROXY)
            server.pass_time(4.5)
            self.assertTrue(visitor.connected)
            server.pass_time(0.8)
            self.assertEqual((visitor.received, visitor.connected), (b"", False), pieces)

    def test_dribbled(self) -> None:
        """Bytes that trickle in do not put the end off."""
        server = ProxiedServer(head_seconds=5.0)
        visitor = server.visit(peer=PROXY)
        for byte in line():
            visitor.send(bytes([byte]))
            server.pass_time(0.5)
        self.assertEqual((visitor.received, visitor.connected), (b"", False))

    def test_half_a_head_behind_it(self) -> None:
        """Behind the header a head that does not come in time is refused as ever."""
        server = ProxiedServer(head_seconds=5.0)
        visitor = server.visit(line() + b"GET / HTTP/1.1\r\n", peer=PROXY)
        server.pass_time(5.3)
        self.assertEqual(visitor.statuses(), [408])

    def test_drained(self) -> None:
        """A connection that has brought no header when the gateway stops is given the moment that others are given."""
        server = ProxiedServer()
        idle, late = server.visit(b"PRO", peer=PROXY), server.visit(peer=PROXY)
        drained = server.site.drain(30.0)
        late.send(line() + request(b"/"))
        server.pass_time(1.0)
        self.assertEqual((idle.received, idle.connected, late.statuses()), (b"", False, [200]))
        self.assertEqual(self.successResultOf(drained), 0)

    def test_max_connections(self) -> None:
        """Connections are counted before their header comes."""
        server = ProxiedServer(max_connections=1)
        first = server.visit(peer=PROXY)
        self.assertFalse(server.visit(line(), peer=PROXY).connected)
        first.send(line() + request(b"/"))
        self.assertEqual(first.statuses(), [200])


class SocketTests(TestCase):
    async def test_real_connection(self) -> None:
        """On a real socket the header is taken off, both versions, and the malformed get a reset or an end."""
        from twisted.internet import reactor

        deadlines = Deadlines(reactor)
        self.addCleanup(deadlines.stop)
        site = GatewaySite(Handler(say_client), reactor, deadlines, Client(), (), "gw")
        serve_proxied(site)
        listening = socket.create_server(("127.0.0.1", 0))
        number: int = listening.getsockname()[1]
        port = EagerPort.adopt(reactor, listening, site)

        def talk(data: bytes) -> bytes:
            received = b""
            with socket.create_connection(("127.0.0.1", number), 10) as client:
                client.sendall(data)
                try:
                    while more := client.recv(65536):
                        received += more
                except ConnectionResetError:
                    return received
            return received

        last = request(b"/", b"Connection: close")
        try:
            for header in (line(), addresses("198.51.100.9")):
                (answer,) = read_answers(await deferToThread(talk, header + last), ended=True)
                self.assertEqual(answer.body, b"198.51.100.9|198.51.100.9")
            self.assertEqual(await deferToThread(talk, last), b"")
        finally:
            await maybeDeferred(port.stopListening)
            await deferLater(reactor, 0)
