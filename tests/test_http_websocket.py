"""WebSocket handshakes, and where frames end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tracseq_gateway.http.forwarding import known_request_lines
from tracseq_gateway.http.request_head import HeadLimits, RequestHead, RequestParser
from tracseq_gateway.http.websocket import FrameEnds, accept_of, handshake_fault

KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
VERSION = b"Sec-WebSocket-Version: 13"


def head(*fields: bytes, method: bytes = b"GET") -> RequestHead:
    lines = [b"%b /live HTTP/1.1" % method, b"Host: a", b"Connection: Upgrade", b"Upgrade: websocket", *fields]
    raw = b"\r\n".join(lines) + b"\r\n\r\n"
    return RequestParser(HeadLimits(), known_request_lines()).parse(raw)


def frame(payload: int, masked: bool) -> bytes:
    """A frame with so many bytes of payload, its length written as short as it can be."""
    if payload < 126:
        size = bytes([payload | masked << 7])
    elif payload < 65536:
        size = bytes([126 | masked << 7]) + payload.to_bytes(2, "big")
    else:
        size = bytes([127 | masked << 7]) + payload.to_bytes(8, "big")
    return b"\x82" + size + b"mask" * masked + b"\xff" * payload


class HandshakeTests(SynchronousTestCase):
    def status(self, *fields: bytes, method: bytes = b"GET") -> int | None:
        fault = handshake_fault(head(*fields, method=method))
        return None if fault is None else fault.kind.status

    def test_sound(self) -> None:
        """One key of sixteen bytes and version 13 open a WebSocket."""
        self.assertIsNone(self.status(KEY, VERSION))

    def test_version(self) -> None:
        """Another version, or more than one, gets 426."""
        for versions in ([], [b"Sec-WebSocket-Version: 8"], [VERSION, VERSION], [b"Sec-WebSocket-Version: 13, 8"]):
            self.assertEqual(self.status(KEY, *versions), 426, versions)

    def test_key(self) -> None:
        """No key, two of them, or one that is none get 400."""
        for keys in ([], [KEY, KEY], [b"Sec-WebSocket-Key: c2hvcnQ="], [b"Sec-WebSocket-Key: \xff\xff"]):
            self.assertEqual(self.status(VERSION, *keys), 400, keys)

    def test_method(self) -> None:
        """Only GET opens one."""
        self.assertEqual(self.status(KEY, VERSION, method=b"POST"), 400)

    def test_accept(self) -> None:
        """The answer to a key is the one that RFC 6455 gives as its example."""
        self.assertEqual(accept_of(head(KEY, VERSION)), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")


SIZES = st.lists(st.sampled_from([0, 1, 125, 126, 127, 65535, 65536]) | st.integers(0, 300), max_size=6)


class FrameEndTests(SynchronousTestCase):
    @given(SIZES, st.booleans(), st.lists(st.integers(1, 70000), max_size=8))
    def test_any_pieces(self, sizes: list[int], masked: bool, cuts: list[int]) -> None:
        """In whatever pieces frames come, it is between two of them exactly where one has ended."""
        frames = [frame(size, masked) for size in sizes]
        data = b"".join(frames)
        ends = {sum(map(len, frames[:number])) for number in range(len(frames) + 1)}
        follower, position = FrameEnds(), 0
        for size in [*cuts, len(data) + 1]:
            piece = data[position : position + size]
            self.assertEqual(follower.feed(piece), len(piece))
            position += len(piece)
            self.assertEqual(follower.between, position in ends)

    def test_close(self) -> None:
        """A Close is noticed as soon as its head has come, in one piece or in several; nothing else is one."""
        for opcode in range(16):
            for length in (b"\x02", b"\x7e\x00\x02", b"\x82mask"):
                data = bytes([0x80 | opcode]) + length + b"\x03\xe8"
                for cut in range(len(data)):
                    follower = FrameEnds()
                    follower.feed(b"\x81\x01x" + data[:cut])
                    self.assertFalse(follower.closed and cut < 1 + len(length))
                    follower.feed(data[cut:])
                    self.assertEqual((follower.closed, follower.between), (opcode == 8, True))

    @given(SIZES, st.integers(1, 400))
    def test_to_end(self, sizes: list[int], first: int) -> None:
        """It can be asked to stop at the end of the frame that is under way."""
        frames = [frame(size, False) for size in [*sizes, 5]]
        data = b"".join(frames)
        follower = FrameEnds()
        follower.feed(data[:first])
        if follower.between:
            return
        position = first + follower.feed(data[first:], to_end=True)
        self.assertTrue(follower.between)
        self.assertIn(position, {sum(map(len, frames[: number + 1])) for number in range(len(frames))})
        self.assertLessEqual(position - first, max(map(len, frames)))
