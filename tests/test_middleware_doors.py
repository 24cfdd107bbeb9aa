"""The doors that look at where a request comes from and at what kind of body it has."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from attrs import define
from twisted.trial.unittest import SynchronousTestCase

from tests.kit_client import request, request_parser
from tracseq_gateway.errors import ADDRESS_DENIED, BAD_REQUEST, UNSUPPORTED_MEDIA_TYPE, GatewayError
from tracseq_gateway.http.request_head import RequestHead
from tracseq_gateway.middleware.addresses import address_lists
from tracseq_gateway.middleware.chain import Link
from tracseq_gateway.middleware.content_type import content_types


@define
class FakeRequest:
    """What the links look at."""

    client: str = "192.0.2.7"
    head: RequestHead | None = None
    answer_lines: bytes = b""


def verdict_on(link: Link, fake: FakeRequest) -> GatewayError | None:
    """What a link says of a request."""
    visitor: Any = fake
    verdict = link(visitor)
    assert verdict is None or isinstance(verdict, GatewayError)
    return verdict


class AddressTests(SynchronousTestCase):
    def link(self, allow: tuple[str, ...], deny: tuple[str, ...]) -> Link:
        link = address_lists([ip_network(text) for text in allow], [ip_network(text) for text in deny])
        assert link is not None
        return link

    def check(self, allow: tuple[str, ...], deny: tuple[str, ...], table: dict[str, bool]) -> None:
        """Check who is let in, when asked for the first time and again."""
        link = self.link(allow, deny)
        for client, admitted in [*table.items(), *table.items()]:
            self.assertEqual(verdict_on(link, FakeRequest(client)) is None, admitted, client)

    def test_no_lists(self) -> None:
        """Without lists there is no door."""
        self.assertIsNone(address_lists([], []))

    def test_allow(self) -> None:
        """With addresses that are allowed, the others are not."""
        self.check(
            ("10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"),
            (),
            {
                "10.0.0.0": True,
                "10.255.255.255": True,
                "11.0.0.0": False,
                "9.255.255.255": False,
                "192.0.2.7": True,
                "192.0.2.8": False,
                "2001:db8::1": True,
                "2001:DB8:0:0:0:0:0:1": True,
                "2001:db9::1": False,
                "::1": False,
            },
        )

    def test_deny(self) -> None:
        """With addresses that are denied alone, all others are allowed, of either family."""
        self.check(
            (),
            ("192.0.2.0/24", "2001:db8:bad::/48"),
            {"192.0.2.7": False, "192.0.3.7": True, "2001:db8:bad::1": False, "2001:db8::1": True, "127.0.0.1": True},
        )

    def test_deny_wins(self) -> None:
        """What is denied is not let in for being allowed as well, whichever network is the larger."""
        table = {"10.0.0.1": True, "10.6.6.6": False, "10.6.6.7": True, "192.0.2.7": False}
        self.check(("10.0.0.0/8",), ("10.6.6.6/32",), table)
        self.check(("10.6.6.6/32",), ("10.0.0.0/8",), dict.fromkeys(table, False))

    def test_everybody(self) -> None:
        """A family can be denied as a whole; it holds for that family alone."""
        self.check((), ("0.0.0.0/0",), {"192.0.2.7": False, "::ffff:192.0.2.7": False, "2001:db8::1": True})
        self.check((), ("::/0",), {"192.0.2.7": True, "::ffff:192.0.2.7": True, "2001:db8::1": False})

    def test_mapped(self) -> None:
        """An IPv4 address is the same door-wise when it is mapped into IPv6, in the list as well as at the door."""
        table = {
            "10.0.0.1": True,
            "::ffff:10.0.0.1": True,
            "::FFFF:0a00:1": True,
            "::10.0.0.1": False,
            "11.0.0.1": False,
        }
        self.check(("10.0.0.0/8",), (), table)
        self.check(("::ffff:10.0.0.0/104",), (), table)
        self.check((), ("::ffff:10.0.0.0/104",), {client: not admitted for client, admitted in table.items()})

    def test_unreadable(self) -> None:
        """What is no address is refused by either list, even by one that denies somebody else."""
        clients = (
            "",
            "unknown",
            "localhost",
            "_hidden",
            "10.0.0.1.2",
            "010.0.0.1",
            "10.1",
            "0x0a000001",
            "fe80::1%eth0",
        )
        for allow, deny in ((("0.0.0.0/0", "::/0"), ()), ((), ("192.0.2.7/32",))):
            self.check(allow, deny, dict.fromkeys(clients, False))

    def test_error(self) -> None:
        """The refusal is a 403 that does not say which rule it was."""
        refused = [
            verdict_on(self.link(*lists), FakeRequest(client))
            for lists, client in (
                ((("10.0.0.0/8",), ()), "192.0.2.7"),
                (((), ("192.0.2.0/24",)), "192.0.2.7"),
                (((), ("192.0.2.0/24",)), "nonsense"),
            )
        ]
        self.assertEqual(len(set(refused)), 1)
        assert refused[0] is not None
        self.assertEqual((refused[0].kind, refused[0].kind.status), (ADDRESS_DENIED, 403))
        self.assertNotIn("192", refused[0].detail)

    def test_many(self) -> None:
        """Verdicts stay right when more addresses have come than are remembered."""
        link = self.link((), ("10.0.0.0/17",))
        for number in range(0, 1 << 17, 3):
            client = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
            self.assertEqual(verdict_on(link, FakeRequest(client)) is None, number >= 1 << 15, client)


class ContentTypeTests(SynchronousTestCase):
    ALLOWED = ("application/json", "image/*", "Text/CSV")

    def visit(
        self, *fields: bytes, allowed: tuple[str, ...] = ALLOWED, body: bytes = b"{}"
    ) -> tuple[GatewayError | None, bytes]:
        """Send a request through the door: return its verdict, and the lines that the answer gets."""
        head = request_parser().parse(request(b"/", *fields, method=b"POST", body=body).removesuffix(body))
        fake = FakeRequest(head=head, answer_lines=b"a: b\r\n")
        return verdict_on(content_types(allowed), fake), fake.answer_lines

    def test_allowed(self) -> None:
        """A media type is allowed whatever its case and its parameters."""
        for value in (
            b"application/json",
            b"Application/JSON",
            b"application/json;charset=utf-8",
            b"application/json ; charset=utf-8",
            b"application/json\t;",
            b"image/png",
            b"image/svg+xml",
            b"IMAGE/PNG;q=1",
            b"text/csv; header=present",
        ):
            self.assertEqual(self.visit(b"Content-Type: " + value), (None, b"a: b\r\n"), value)

    def test_refused(self) -> None:
        """Another media type, and what is none, is refused with 415."""
        for value in (
            b"",
            b"text/plain",
            b"application/jsonx",
            b"application/json+x",
            b"application/xjson",
            b"xapplication/json",
            b"application",
            b"application/",
            b"/json",
            b"application /json",
            b"application/ json",
            b"application/json,text/plain",
            b"text/plain, application/json",
            b"text/plain; application/json",
            b"application/json x",
            b"application\\json",
            b"image",
            b"image/",
            b"image/*",
            b"imagex/png",
            b"*/*",
            b"*/json",
            b"application/\xeajson",
            b"multipart/form-data; boundary=application/json",
        ):
            error, _ = self.visit(b"Content-Type: " + value)
            assert error is not None, value
            self.assertEqual((error.kind, error.kind.status), (UNSUPPORTED_MEDIA_TYPE, 415))

    def test_missing(self) -> None:
        """A body of which nothing is said is refused, of known length or not; the refusal names what would do."""
        for fields, body in (([], b"{}"), ([b"Transfer-Encoding: chunked"], b"")):
            error, lines = self.visit(*fields, body=body)
            assert error is not None
            self.assertEqual(error.kind, UNSUPPORTED_MEDIA_TYPE)
            self.assertIn("application/json, image/*, Text/CSV", error.detail)
            self.assertEqual(lines, b"a: b\r\naccept: application/json, image/*, Text/CSV\r\n")

    def test_several(self) -> None:
        """Two Content-Type fields refuse the request, even if they agree: services differ in which they take."""
        for second in (b"application/json", b"text/html", b""):
            error, _ = self.visit(b"Content-Type: application/json", b"content-type: " + second)
            assert error is not None
            self.assertEqual((error.kind, error.kind.status), (BAD_REQUEST, 400))

    def test_no_body(self) -> None:
        """Without a body it does not matter what is said."""
        for fields in ([], [b"Content-Length: 0"], [b"Content-Type: text/html"], [b"Content-Type: a"] * 2):
            self.assertEqual(self.visit(*fields, body=b""), (None, b"a: b\r\n"))

    def test_any(self) -> None:
        """Any type can be allowed; it must still be said, and be one."""
        for value, good in ((b"a/b", True), (b"text/html;x", True), (b"", False), (b"nonsense", False)):
            error, _ = self.visit(b"Content-Type: " + value, allowed=("*/*",))
            self.assertEqual(error is None, good, value)

    def test_all(self) -> None:
        """Where no types are named, nothing need be said; but nothing may be said twice."""
        for fields in ([], [b"Content-Type: nonsense"], [b"Content-Type: text/plain"]):
            self.assertEqual(self.visit(*fields, allowed=()), (None, b"a: b\r\n"))
        error, _ = self.visit(b"Content-Type: a/b", b"Content-Type: a/b", allowed=())
        assert error is not None
        self.assertEqual(error.kind, BAD_REQUEST)

    def test_wrong_settings(self) -> None:
        """What is no media type is refused when it is configured."""
        for text in (
            "",
            "json",
            "*/json",
            "image/",
            "image/p*",
            "a/b; c=d",
            "a/b, c/d",
            "a b/c",
            "a/b\r\n",
            "caf\u00e9/x",
        ):
            error = self.assertRaises(ValueError, content_types, ["application/json", text])
            self.assertIn(repr(text), str(error))
