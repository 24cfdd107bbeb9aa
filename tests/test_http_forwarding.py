"""What goes on to a service and back to a client, what does not, and what only the gateway may say."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.kit import Answer, read_answers
from tests.kit_client import request, request_parser
from tracseq_gateway.http.answer_head import AnswerParser
from tracseq_gateway.http.fields import Fields
from tracseq_gateway.http.forwarding import (
    drops_from_answer,
    drops_from_request,
    known_answer_lines,
    outgoing_head,
    request_head,
)
from tracseq_gateway.http.origin import ForwardedLines

HOP_BY_HOP = (
    b"connection keep-alive proxy-connection proxy-authenticate proxy-authorization te trailer "
    b"transfer-encoding upgrade http2-settings"
).split()
# What only the gateway may tell a service, and what some frameworks take for method or path.
RESERVED = (
    b"forwarded x-forwarded-for x-forwarded-proto x-forwarded-host x-forwarded-port x-real-ip "
    b"x-forwarded-user x-forwarded-prefix x-user-id x-user-email x-user-role x-user-anything x-session-id "
    b"x-consumer-id x-consumer-username remote-user x-remote-user x-client-cert x-client-cert-subject "
    b"x-ssl-client-verify x-original-url x-rewrite-url x-request-id x-http-method x-http-method-override "
    b"x-method-override proxy host content-length expect"
).split()
PASSED = (
    b"accept authorization cookie range content-type user-agent x-api-key x-user x-users-id proxy-x "
    b"x-forwarded te-x origin idempotency-key x-custom_name via traceparent"
).split()


def spellings(name: bytes) -> Iterable[bytes]:
    """A name as it stands, in capitals, and with each of its dashes as an underscore."""
    for parts in product(*([part] if part != b"-" else [b"-", b"_"] for part in split_dashes(name))):
        spelt = b"".join(parts)
        yield from (spelt, spelt.title(), spelt.upper())


def split_dashes(name: bytes) -> list[bytes]:
    """Split a name so that each dash stands for itself."""
    return name.replace(b"-", b"\0-\0").split(b"\0")


def forwarded(data: bytes, target: bytes = b"/up?x=%2F", host: bytes = b"up:1", request_id: bytes = b"id1") -> Fields:
    """Read a request, write it for a service, and return the fields that the service sees."""
    head = request_parser().parse(data)
    lines = ForwardedLines("192.0.2.7", b"http", 8000, (), b"gw").lines(head)
    written = request_head(head, target, host, lines, request_id)
    line, *fields = written[:-4].split(b"\r\n")
    assert written.endswith(b"\r\n\r\n") and line == b"%b %b HTTP/1.1" % (head.method, target), written
    return [(name, value) for name, _, value in (field.partition(b": ") for field in fields)]


def names(fields: Fields) -> list[bytes]:
    return [name for name, _ in fields]


def values(fields: Fields, name: bytes) -> list[bytes]:
    return [value for key, value in fields if key == name]


OURS = (b"host x-forwarded-for x-forwarded-proto x-forwarded-host x-forwarded-port forwarded via x-request-id").split()


class RequestTests(SynchronousTestCase):
    def test_plain(self) -> None:
        """Fields that mean nothing to the gateway go on in their order, with their values, before what it adds."""
        fields = forwarded(request(b"/", *(name + b": v %b" % name for name in PASSED)))
        self.assertEqual(fields[0], (b"host", b"up:1"))
        self.assertEqual(fields[1 : len(PASSED) + 1], [(name, b"v " + name) for name in PASSED])
        self.assertEqual(sorted(names(fields[len(PASSED) + 1 :])), sorted(OURS[1:]))

    def test_reserved(self) -> None:
        """What only the gateway may say never goes on, in any case and with dashes written as underscores."""
        for name in RESERVED:
            for spelt in spellings(name):
                # Those that would break the framing of this very request are the parser's to judge.
                if spelt.lower() in (b"host", b"content-length", b"expect"):
                    continue
                fields = forwarded(request(b"/", spelt + b": evil", b"X-Kept: 1"))
                self.assertEqual([field for field in fields if b"evil" in field[1]], [], spelt)
                self.assertEqual(sorted(names(fields)), sorted([*OURS, b"x-kept"]), spelt)

    def test_hop_by_hop(self) -> None:
        """Fields of one hop go no further, underscored twins among them."""
        for name in HOP_BY_HOP:
            for spelt in spellings(name):
                if spelt.lower() != b"transfer-encoding":
                    self.assertEqual(sorted(names(forwarded(request(b"/", spelt + b": x")))), sorted(OURS), spelt)
                self.assertTrue(drops_from_request(spelt.lower()))

    def test_connection_names(self) -> None:
        """What Connection names goes no further, on whichever line and in whichever case it is named."""
        fields = forwarded(
            request(b"/", b"X-One: 1", b"connection: x-ONE, close", b"x-two: 2", b"CONNECTION: ,X-Two", b"X-Three: 3")
        )
        self.assertEqual(sorted(names(fields)), sorted([*OURS, b"x-three"]))

    def test_connection_cannot_name_ours(self) -> None:
        """No client can name away framing, Host, its request id, or what says where it comes from."""
        every = b", ".join([*OURS, b"content-length", b"transfer-encoding", b"date"])
        for body in (b"Content-Length: 5", b"Transfer-Encoding: chunked"):
            fields = forwarded(request(b"/", b"Connection: " + every, body, method=b"POST"))
            self.assertEqual(sorted(names(fields)), sorted([*OURS, body.partition(b":")[0].lower()]))

    def test_framing(self) -> None:
        """A service gets one framing field, in one canonical spelling, or none where none is needed."""
        for method, lines, framing in [
            (b"POST", [b"content-LENGTH: 0005"], [(b"content-length", b"5")]),
            (b"POST", [b"TRANSFER-encoding:  Chunked"], [(b"transfer-encoding", b"chunked")]),
            (b"POST", [], [(b"content-length", b"0")]),
            (b"PUT", [b"Content-Length: 0"], [(b"content-length", b"0")]),
            (b"PATCH", [], [(b"content-length", b"0")]),
            (b"GET", [], []),
            (b"GET", [b"Content-Length: 0"], []),
            (b"DELETE", [], []),
            (b"GET", [b"Content-Length: 7"], [(b"content-length", b"7")]),
            (b"DELETE", [b"Transfer-Encoding: chunked"], [(b"transfer-encoding", b"chunked")]),
        ]:
            fields = forwarded(request(b"/", *lines, method=method))
            sent = [field for field in fields if field[0] in (b"content-length", b"transfer-encoding")]
            self.assertEqual(sent, framing, (method, lines))

    def test_host_and_id(self) -> None:
        """The service sees the host and the request id that it is given, once."""
        fields = forwarded(request(b"/", b"X-Request-Id: theirs"), host=b"samples:8081", request_id=b"ours")
        self.assertEqual(values(fields, b"host"), [b"samples:8081"])
        self.assertEqual(values(fields, b"x-request-id"), [b"ours"])

    def test_via(self) -> None:
        """What others wrote into Via stays, and our own hop comes last, with the version that we received."""
        for minor in (0, 1):
            data = request(b"/", b"Via: 1.0 first, 1.1 second", b"Via: 1.1 third", version=b"HTTP/1.%d" % minor)
            via = [b"1.0 first, 1.1 second", b"1.1 third", b"1.%d gw" % minor]
            self.assertEqual(values(forwarded(data), b"via"), via)

    def test_max_forwards(self) -> None:
        """OPTIONS loses one hop; in other methods Max-Forwards means nothing and is not passed on."""
        options = forwarded(request(b"/", b"Max-Forwards: 3", method=b"OPTIONS"))
        self.assertEqual(values(options, b"max-forwards"), [b"2"])
        self.assertEqual(values(forwarded(request(b"/", b"Max-Forwards: 3")), b"max-forwards"), [])

    @given(st.lists(st.sampled_from([*HOP_BY_HOP, *RESERVED, *PASSED]), max_size=8), st.data())
    @settings(max_examples=150, deadline=None)
    def test_any_fields(self, chosen: list[bytes], data: st.DataObject) -> None:
        """Whatever a client sends and names, the service sees one Host, our identity lines once, and none of his."""
        framing = (b"content-length", b"transfer-encoding", b"host", b"expect")
        spelt = [data.draw(st.sampled_from(sorted(set(spellings(name))))) for name in chosen]
        lines = [name + b": evil" for name in spelt if name.lower() not in framing]
        named = b", ".join(data.draw(st.lists(st.sampled_from([*PASSED, *OURS]), max_size=4)))
        fields = forwarded(request(b"/", *lines, b"Connection: " + named))
        for name in OURS:
            self.assertEqual(len([value for value in values(fields, name) if value != b"evil"]), 1, name)
        for name, value in fields:
            if value == b"evil":
                self.assertIn(name.replace(b"_", b"-"), [passed.replace(b"_", b"-") for passed in PASSED])


class AnswerTests(SynchronousTestCase):
    def answer(self, *lines: bytes, version: bytes = b"1.1", status: bytes = b"200") -> Answer:
        """What a client sees of an answer with these lines, but for the framing, which the channel adds."""
        head = AnswerParser(known_answer_lines()).parse(
            b"\r\n".join([b"HTTP/%b %b OK" % (version, status), *lines, b"", b""]), b"GET"
        )
        block = outgoing_head(head, b"gw")
        self.assertIs(outgoing_head(head, b"gw"), block)
        fields = b"".join(name + b": " + value + b"\r\n" for name, value in block.pairs)
        self.assertEqual(block.lines(), b"HTTP/1.1 200 OK\r\n" + fields)
        (read,) = read_answers(block.lines() + b"\r\n")
        return read

    def test_plain(self) -> None:
        """Fields go on in their order and with their repetitions; our hop is added to Via."""
        fields = [(b"etag", b'"1"'), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"x-user-id", b"7"),
                  (b"via", b"1.1 up"), (b"date", b"Sun, 06 Nov 1994 08:49:37 GMT"), (b"x-empty", b"")]  # fmt: skip
        read = self.answer(*(name.title() + b":  " + value + b"\t" for name, value in fields))
        self.assertEqual(read.fields, [*fields, (b"via", b"1.1 gw")])
        self.assertEqual(self.answer(version=b"1.0").fields, [(b"via", b"1.0 gw")])

    def test_hop_by_hop(self) -> None:
        """Fields of one hop, framing, the service's request id and what Connection names go no further."""
        for name in (*HOP_BY_HOP, b"content-length", b"x-request-id"):
            self.assertTrue(drops_from_answer(name))
        read = self.answer(
            b"Connection: X-One, close",
            b"Keep-Alive: timeout=5",
            b"x-one: 1",
            b"X-Two: 2",
            b"Proxy-Authenticate: Basic",
            b"Trailer: X-Sum",
            b"Upgrade: h2c",
            b"X-Request-Id: theirs",
            b"Transfer-Encoding: chunked",
        )
        self.assertEqual(read.fields, [(b"x-two", b"2"), (b"via", b"1.1 gw")])

    def test_length_is_the_channels(self) -> None:
        """Content-Length does not go on as a line, but as a number."""
        self.assertEqual(self.answer(b"Content-Length: 5", b"A: b").fields, [(b"a", b"b"), (b"via", b"1.1 gw")])

    def test_date_that_connection_names(self) -> None:
        """A Date that Connection takes away is missed, so that the client gets one from us."""
        head = AnswerParser(known_answer_lines()).parse(
            b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nConnection: date\r\n\r\n", b"GET"
        )
        block = outgoing_head(head, b"gw")
        self.assertEqual((block.pairs, block.dated), ([(b"via", b"1.1 gw")], False))
