"""Streams that are made of good and bad pieces of messages: what the targets of ``tests.fuzz`` promise holds for them.

A fuzzer that starts from bytes seldom gets to a second request on one connection; these start from whole messages.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz import client_stream, service_stream
from tests.fuzz.echo import MARK, EchoGateway, finals, said_of
from tests.fuzz.plain_http import read_requests
from tests.fuzz.splits import splits

METHODS = st.sampled_from([b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"])
PATHS = st.sampled_from([b"/a", b"/a/../b", b"//a/./b/", b"/%2e%2e/c?d=/../e", b"/a%20b", b"/", b"/x" * 50])
HARMLESS = [b"X-A: 1", b"x_user_id: 7", b"Via: 1.0 other", b"Accept:", b"Connection: keep-alive", b"Cookie: a=b; c"]
FRAMED = st.one_of(
    st.just((b"", b"")),
    st.binary(max_size=40).map(lambda body: (b"Content-Length: %d\r\n" % len(body), body)),
    st.lists(st.binary(min_size=1, max_size=20), max_size=3).map(
        lambda chunks: (
            b"Transfer-Encoding: chunked\r\n",
            b"".join(b"%x;a=b\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\nHost: evil\r\n\r\n",
        )
    ),
)
"""The field that frames a body, and the body as it is sent."""


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A good request."""
    fields = b"".join(field + b"\r\n" for field in draw(st.lists(st.sampled_from(HARMLESS), max_size=3)))
    framing, body = draw(FRAMED)
    return b"%b %b HTTP/1.1\r\nHost: gw.test\r\n%b%b\r\n%b" % (draw(METHODS), draw(PATHS), fields, framing, body)


DAMAGE = st.sampled_from(
    [
        b"", b"\r", b"\n", b"\r\n", b" ", b"\t", b"\0", b":", b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"+",
        b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: identity\r\n", b"Host: b\r\n", b"0", b"0\r\n\r\n", b"x",
        b"Connection: close\r\n", b"Connection: Content-Length, Host\r\n", b"Upgrade: h2c\r\nConnection: Upgrade\r\n",
        b"Expect: 100-continue\r\n", b"GET /smuggled HTTP/1.1\r\nHost: c\r\n\r\n", b"HTTP/1.0", b"\x80", b";", b"1",
    ]
)  # fmt: skip
"""What is put into good messages."""
CHANGES = st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 3), DAMAGE), max_size=3)
"""Where, instead of how many bytes, what."""


def damaged(data: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    """Put something else in the place of some bytes; preferably at the beginning of a line."""
    for place, length, put in changes:
        starts = [at + 2 for at in range(len(data)) if data.startswith(b"\r\n", at)]
        at = starts[place // 2 % len(starts)] if place % 2 and starts else place % (len(data) + 1)
        data = data[:at] + put + data[at + length :]
    return data


class ClientTests(SynchronousTestCase):
    @given(st.lists(requests(), min_size=1, max_size=4))
    @settings(max_examples=150, deadline=None)
    def test_good(self, stream: list[bytes]) -> None:
        """Every request of a good stream reaches the service, and each is answered by its own answer, in any split."""
        data = b"".join(stream)
        plain = read_requests(data)
        self.assertEqual(len(plain), len(stream))
        for pieces in splits(data):
            gateway = EchoGateway()
            client = gateway.client()
            gateway.send(client, pieces)
            answers = finals(client, *(one.method for one in plain))
            self.assertEqual([answer.status for answer in answers], [200] * len(stream))
            for asked, answer in zip(plain, answers, strict=True):
                if answer.values(MARK) and asked.method != b"HEAD":
                    said = said_of(asked.method, client_stream.resolved(asked.target), asked.body)
                    self.assertEqual(answer.body, said)
                self.assertTrue(answer.values(MARK) or client_stream.resolved(asked.target) == b"/")

    @given(st.lists(requests(), min_size=1, max_size=3).map(b"".join), CHANGES)
    @settings(max_examples=400, deadline=None)
    def test_damaged(self, stream: bytes, changes: list[tuple[int, int, bytes]]) -> None:
        """However a stream is damaged, its well-formed requests alone go upstream, in whatever split it comes."""
        client_stream.one_input(damaged(stream, changes))


ANSWERS = st.lists(
    st.sampled_from(
        [
            b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 204 No Content\r\n", b"HTTP/1.1 304 \r\n",
            b"HTTP/1.1 103 Early Hints\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"Content-Length: 5\r\n", b"hello",
            b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"X-A: b\r\n", b"\r\n", b"5\r\nhello\r\n",
            b"0\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
        ]
    ),
    max_size=7,
).map(b"".join)  # fmt: skip


class ServiceTests(SynchronousTestCase):
    @given(st.integers(0, 7), ANSWERS, CHANGES)
    @settings(max_examples=400, deadline=None)
    def test_damaged(self, who: int, stream: bytes, changes: list[tuple[int, int, bytes]]) -> None:
        """Whatever a service sends, its client gets one outcome in every split, and the next one his own answer."""
        service_stream.one_input(bytes([who]) + damaged(stream, changes))
