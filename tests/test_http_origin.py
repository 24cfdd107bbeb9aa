"""Where a request comes from: what proxies in front are believed, and how it is said to a service (RFC 7239)."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.kit_client import request, request_parser
from tracseq_gateway.http.origin import ForwardedLines, is_trusted, parse_address

INSIDE = (ip_network("10.0.0.0/8"), ip_network("2001:db8:1::/48"))
TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
PAIR = rf'{TOKEN}=(?:{TOKEN}|"(?:[\t !#-\[\]-~]|\\[\t -~])*")'
ELEMENT = rf"{PAIR}(?:;[ \t]*{PAIR})*"
FORWARDED = re.compile(rf"{ELEMENT}(?:[ \t]*,[ \t]*{ELEMENT})*").fullmatch
"""Forwarded as RFC 7239 section 4 has it, without its empty pairs and elements, but with a space after a semicolon."""

JUNK = [
    *b"unknown|_hidden||,|evil.test|999.1.1.1|1.2.3|1.2.3.4.5|10.0.0.256|[::1|::1]|[::1]x|1.2.3.4:x|1.2.3.4:".split(
        b"|"
    ),
    *b"0x7f.1|01.2.3.4|127.1|'|\xe9|\xb2.1.1.1|1.2.3.4 x|1.2.3.4;x".split(b"|"),
]


class Origin:
    """What a service is told about one request."""

    def __init__(self, peer: str, *fields: bytes, host: bytes | None = b"gw.test", secure: bool = False) -> None:
        writer = ForwardedLines(peer, b"https" if secure else b"http", 8000, INSIDE, b"gw")
        if host == b"gw.test":
            head = request_parser().parse(request(b"/", *fields))
        else:
            lines = [b"GET / HTTP/1.0", *([] if host is None else [b"Host: " + host]), *fields, b"", b""]
            head = request_parser().parse(b"\r\n".join(lines))
        lines = writer.lines(head)[:-2].split(b"\r\n")
        self.said = {name.decode(): value.decode() for name, _, value in (line.partition(b": ") for line in lines)}
        self.count = len(lines)
        self.client = writer.client

    def __getattr__(self, name: str) -> str | None:
        return self.said.get({"hops": "x-forwarded-for", "forwarded": "forwarded"}.get(name, f"x-forwarded-{name}"))


def elements(forwarded: str) -> list[dict[str, str]]:
    """Read a Forwarded field strictly: one dict for each hop, values without their quotes."""
    assert FORWARDED(forwarded), f"not what RFC 7239 allows: {forwarded!r}"
    hops = []
    for element in re.findall(ELEMENT, forwarded):
        pairs = (pair.partition("=") for pair in re.findall(PAIR, element))
        hops.append(
            {name: re.sub(r"\\(.)", r"\1", value[1:-1]) if value[0] == '"' else value for name, _, value in pairs}
        )
    return hops


class UntrustedTests(SynchronousTestCase):
    def test_plain(self) -> None:
        """A service is told the client's address, the scheme, the host and the port, in both ways."""
        origin = Origin("192.0.2.7")
        self.assertEqual((origin.hops, origin.client), ("192.0.2.7", "192.0.2.7"))
        self.assertEqual((origin.proto, origin.host, origin.port), ("http", "gw.test", "8000"))
        self.assertEqual(origin.forwarded, "for=192.0.2.7;host=gw.test;proto=http")
        self.assertEqual(Origin("192.0.2.7", secure=True).proto, "https")

    def test_replaced(self) -> None:
        """Whatever a peer that is not trusted says of its origin is replaced."""
        origin = Origin(
            "192.0.2.7",
            b"X-Forwarded-For: 10.0.0.1",
            b"x-forwarded-for: 127.0.0.1",
            b"X-Forwarded-Proto: https",
            b"X-Forwarded-Host: evil",
            b"X-Forwarded-Port: 1",
            b"Forwarded: for=10.0.0.1;host=evil;proto=https",
        )
        self.assertEqual(origin.said, Origin("192.0.2.7").said)
        self.assertEqual(origin.client, "192.0.2.7")

    def test_ipv6(self) -> None:
        """An IPv6 address stands in brackets and quotes in Forwarded, and plainly in X-Forwarded-For."""
        origin = Origin("2001:db8::7", host=b"[::1]:8000")
        self.assertEqual((origin.hops, origin.host), ("2001:db8::7", "[::1]:8000"))
        self.assertEqual(origin.forwarded, 'for="[2001:db8::7]";host="[::1]:8000";proto=http')

    def test_host_with_port(self) -> None:
        """A host with a port is quoted in Forwarded."""
        self.assertEqual(Origin("192.0.2.7", host=b"gw:80").forwarded, 'for=192.0.2.7;host="gw:80";proto=http')

    def test_no_host(self) -> None:
        """A request of HTTP/1.0 without a Host says nothing of a host, or nothing more than that it is empty."""
        origin = Origin("192.0.2.7", host=None)
        self.assertIsNone(origin.host)
        self.assertEqual(elements(origin.forwarded or "")[0].get("host", ""), "")

    def test_changes_with_the_host(self) -> None:
        """On a kept connection each request's own host and version are told."""
        writer = ForwardedLines("192.0.2.7", b"http", 8000, (), b"gw")
        seen = []
        for host, minor in [(b"a", 1), (b"b", 1), (b"b", 0), (b"a", 1), (b"a", 1)]:
            head = request_parser().parse(b"GET / HTTP/1.%d\r\nHost: %b\r\n\r\n" % (minor, host))
            lines = writer.lines(head)
            self.assertIn(b"x-forwarded-host: %b\r\n" % host, lines)
            self.assertIn(b"via: 1.%d gw\r\n" % minor, lines)
            seen.append(lines)
        self.assertEqual(seen[0], seen[3])

    @given(st.from_regex(rb"([A-Za-z0-9._~%!$&'*+=-]{1,12}|\[[0-9A-Fa-f:.]{1,12}\])(:[0-9]{0,5})?", fullmatch=True))
    @example(b"a=b")
    @example(b"[1.2]")
    @settings(max_examples=100, deadline=None)
    def test_any_host(self, host: bytes) -> None:
        """Forwarded is well formed, and says the host, for every Host that is accepted."""
        (element,) = elements(Origin("192.0.2.7", host=host).forwarded or "")
        self.assertEqual(element, {"for": "192.0.2.7", "host": host.decode(), "proto": "http"})


class TrustedTests(SynchronousTestCase):
    def test_chain(self) -> None:
        """The client is the rightmost address that is not itself a trusted proxy; what lies beyond is not passed on."""
        for chain, client, hops in [
            ("198.51.100.1", "198.51.100.1", "198.51.100.1, 10.0.0.9"),
            ("198.51.100.1, 10.0.0.1", "198.51.100.1", "198.51.100.1, 10.0.0.1, 10.0.0.9"),
            ("1.1.1.1, 198.51.100.1, 10.0.0.1", "198.51.100.1", "198.51.100.1, 10.0.0.1, 10.0.0.9"),
            ("10.0.0.7, 198.51.100.1", "198.51.100.1", "198.51.100.1, 10.0.0.9"),
            ("10.0.0.7, 10.0.0.8", "10.0.0.7", "10.0.0.7, 10.0.0.8, 10.0.0.9"),
            ("2001:DB8::1, 2001:db8:1::1", "2001:db8::1", "2001:db8::1, 2001:db8:1::1, 10.0.0.9"),
            ("198.51.100.1:4711", "198.51.100.1", "198.51.100.1, 10.0.0.9"),
            ("[2001:db8::1]:4711, [2001:db8:1::1]", "2001:db8::1", "2001:db8::1, 2001:db8:1::1, 10.0.0.9"),
            ("\t198.51.100.1 ,10.0.0.1\t", "198.51.100.1", "198.51.100.1, 10.0.0.1, 10.0.0.9"),
        ]:
            origin = Origin("10.0.0.9", b"X-Forwarded-For: " + chain.encode())
            self.assertEqual((origin.client, origin.hops), (client, hops), chain)

    def test_junk(self) -> None:
        """A hop that is no address ends what is believed; it is not passed on."""
        for junk in JUNK:
            alone = Origin("10.0.0.9", b"X-Forwarded-For: " + junk)
            self.assertEqual((alone.client, alone.hops), ("10.0.0.9", "10.0.0.9"), junk)
            behind = Origin("10.0.0.9", b"X-Forwarded-For: 1.1.1.1, %b, 10.0.0.1" % junk)
            self.assertEqual((behind.client, behind.hops), ("10.0.0.1", "10.0.0.1, 10.0.0.9"), junk)

    def test_scopes(self) -> None:
        """An IPv6 address with a scope means something on one machine only: as a hop it is junk like any other."""
        for junk in (b"fe80::1%eth0", b"fe80::1%\xe9", b'fe80::1%";host=evil', b"2001:db8:1::1%a b"):
            origin = Origin("10.0.0.9", b"X-Forwarded-For: " + junk)
            self.assertEqual((origin.client, origin.hops), ("10.0.0.9", "10.0.0.9"), junk)

    def test_several_lines(self) -> None:
        """Lines of one field are one list, in their order."""
        origin = Origin("10.0.0.9", b"X-Forwarded-For: 1.1.1.1, 198.51.100.1", b"x-forwarded-for: 10.0.0.1")
        self.assertEqual((origin.client, origin.hops), ("198.51.100.1", "198.51.100.1, 10.0.0.1, 10.0.0.9"))

    def test_underscores(self) -> None:
        """A field that is spelt with underscores is nothing that a proxy said."""
        origin = Origin("10.0.0.9", b"X_Forwarded_For: 1.1.1.1", b"X-Forwarded_Proto: https")
        self.assertEqual((origin.client, origin.proto), ("10.0.0.9", "http"))

    def test_endless_chain(self) -> None:
        """Of a chain of trusted proxies, the nearest 32 are read and passed on."""
        chain = ", ".join(f"10.1.{n // 250}.{n % 250}" for n in range(1000))
        origin = Origin("10.0.0.9", b"X-Forwarded-For: " + chain.encode())
        self.assertEqual((origin.hops or "").split(", "), [*chain.split(", ")[-32:], "10.0.0.9"])

    def test_rest(self) -> None:
        """Scheme, host and port of a trusted proxy are believed."""
        origin = Origin(
            "10.0.0.9", b"X-Forwarded-Proto: HTTPS", b"X-Forwarded-Host: www.test:8443", b"X-Forwarded-Port: 8443"
        )
        self.assertEqual((origin.proto, origin.host, origin.port), ("https", "www.test:8443", "8443"))
        self.assertEqual(origin.client, "10.0.0.9")

    def test_bad_rest(self) -> None:
        """What is no scheme, host or port is not believed, even from a trusted proxy."""
        origin = Origin(
            "10.0.0.9", b"X-Forwarded-Proto: https, http", b"X-Forwarded-Host: a, b", b"X-Forwarded-Port: 123456"
        )
        self.assertEqual((origin.proto, origin.host, origin.port), ("http", "gw.test", "8000"))
        for host in (b"", b"a b", b"a/b", b'"', b"a;b", b"a" * 256, b"\xe9"):
            self.assertEqual(Origin("10.0.0.9", b"X-Forwarded-Host: " + host).host, "gw.test")
        for port in (b"", b"-1", b"x", b"8 0", b"\xb2"):
            self.assertEqual(Origin("10.0.0.9", b"X-Forwarded-Port: " + port).port, "8000")

    def test_forwarded_continues(self) -> None:
        """What a trusted proxy wrote into Forwarded stays, and the proxy is added to it."""
        said = 'for="[2001:db8::1]:4711";proto=https;by=_gw, for=10.0.0.1'
        origin = Origin("10.0.0.9", b"Forwarded: " + said.encode())
        self.assertEqual(origin.forwarded, f"{said}, for=10.0.0.9;host=gw.test;proto=http")

    def test_own_element(self) -> None:
        """Our own element of Forwarded tells of our own hop, whatever the proxy says of the one before."""
        origin = Origin("10.0.0.9", b"X-Forwarded-Proto: https", b"X-Forwarded-Host: www.test")
        self.assertEqual(elements(origin.forwarded or ""), [{"for": "10.0.0.9", "host": "gw.test", "proto": "http"}])

    def test_forwarded_alone(self) -> None:
        """A trusted proxy that speaks RFC 7239 only is believed like one that sends X-Forwarded-*."""
        origin = Origin("10.0.0.9", b'Forwarded: for="198.51.100.1:4711";proto=https;host=www.test, for=10.0.0.1')
        self.assertEqual((origin.client, origin.hops), ("198.51.100.1", "198.51.100.1, 10.0.0.1, 10.0.0.9"))
        self.assertEqual((origin.proto, origin.host), ("https", "www.test"))

    @given(
        st.one_of(
            st.text(st.sampled_from('for=by;host"\\,: _-.1a[]'), max_size=30),
            st.sampled_from(["for=1.1.1.1", 'for="', 'for="a\\', ",", ";", "for", "=", 'for="x" ', "for=1.1.1.1;"]),
        )
    )
    @settings(max_examples=150, deadline=None)
    def test_any_forwarded(self, said: str) -> None:
        """Whatever a trusted proxy wrote, Forwarded stays well formed and our own element the last."""
        origin = Origin("10.0.0.9", b"Forwarded: " + said.encode())
        last = elements(origin.forwarded or "")[-1]
        self.assertEqual(last, {"for": "10.0.0.9", "host": "gw.test", "proto": "http"})

    @given(
        st.lists(st.binary(max_size=12).map(lambda part: re.sub(rb"[\x00-\x08\x0a-\x1f\x7f]", b"", part)), max_size=4)
    )
    @settings(max_examples=150, deadline=None)
    def test_any_chain(self, parts: list[bytes]) -> None:
        """Whatever stands in X-Forwarded-For, what goes on is a list of addresses that ends with the peer."""
        origin = Origin("10.0.0.9", b"X-Forwarded-For: " + b",".join(parts))
        hops = [str(ip_address(hop)) for hop in (origin.hops or "").split(", ")]
        self.assertEqual(hops[-1], "10.0.0.9")
        self.assertIn(origin.client, hops)

    def test_memory(self) -> None:
        """On a kept connection of a proxy, what one request says of its client is not taken for the next one's."""
        writer = ForwardedLines("10.0.0.9", b"http", 8000, INSIDE, b"gw")
        for chain, client in [(b"1.1.1.1", "1.1.1.1"), (None, "10.0.0.9"), (b"2.2.2.2", "2.2.2.2"), (b"x", "10.0.0.9")]:
            fields = [] if chain is None else [b"X-Forwarded-For: " + chain]
            lines = writer.lines(request_parser().parse(request(b"/", *fields)))
            self.assertEqual(writer.client, client)
            self.assertIn(b"%b" % client.encode(), lines)


class AddressTests(SynchronousTestCase):
    def test_trust(self) -> None:
        """An address is trusted if a network of its own kind has it; IPv4 in IPv6 counts as IPv4."""
        for text in ("10.0.0.1", "::ffff:10.0.0.1", "2001:db8:1::5"):
            self.assertTrue(is_trusted(ip_address(text), INSIDE), text)
        for text in ("11.0.0.1", "::ffff:11.0.0.1", "2001:db8:2::5", "::a00:1", "::1"):
            self.assertFalse(is_trusted(ip_address(text), INSIDE), text)
        self.assertFalse(is_trusted(ip_address("10.0.0.1"), ()))

    def test_mapped_peer(self) -> None:
        """A proxy that comes by IPv4 to a socket of IPv6 is the proxy that it is."""
        self.assertEqual(Origin("::ffff:10.0.0.9", b"X-Forwarded-For: 1.1.1.1").client, "1.1.1.1")
        self.assertEqual(Origin("::ffff:11.0.0.9", b"X-Forwarded-For: 1.1.1.1").client, "::ffff:11.0.0.9")

    def test_parse(self) -> None:
        """Addresses come with and without a port, IPv6 with and without brackets."""
        for text, address in {
            "1.2.3.4": "1.2.3.4", "1.2.3.4:80": "1.2.3.4", "::1": "::1", "[::1]": "::1", "[::1]:80": "::1", "": None,
            "x": None, "1.2.3.4:x": None, "[::1": None, "1": None, "1.2.3.4/8": None, "fe80::1%eth0": None,
        }.items():  # fmt: skip
            self.assertEqual(parse_address(text), None if address is None else ip_address(address), text)
