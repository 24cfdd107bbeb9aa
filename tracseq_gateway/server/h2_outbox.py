"""What the streams of one HTTP/2 connection have to send, sent by turns.

Each stream that has something to send and a window for it gets a frame at a time, one after the other, so that a long
answer does not hold up a short one. A stream whose window is closed waits aside until its client opens it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from h2.connection import H2Connection

FRAME = 16384
"""Bytes of the longest DATA frame that is sent; what every client takes (RFC 9113 section 4.2)."""
BATCH = 65536
"""Bytes after which a write is made of what has been collected."""
LEAST = 1024
"""Bytes of a frame that is of use although a window cut it short."""


class Sender(Protocol):
    """A stream, as far as it sends."""

    number: int

    def next_piece(self, room: int) -> tuple[bytes, bool] | None:
        """Give at most ``room`` bytes to send, and whether they are the last; None: all must wait for a window."""

    def piece_sent(self) -> bool:
        """It was sent; return whether there is more."""

    def all_sent(self) -> None:
        """The last bytes were sent."""


class Outbox:
    """Sends for the streams of one connection, as far as windows allow."""

    def __init__(self, h2: H2Connection) -> None:
        self._h2 = h2
        self._ready: OrderedDict[int, Sender] = OrderedDict()
        """Those whose turn comes, in its order."""
        self._waiting: dict[int, Sender] = {}
        """Those that wait for a window."""

    def add(self, stream: Sender) -> None:
        """A stream has something to send."""
        if stream.number not in self._waiting:
            self._ready[stream.number] = stream

    def drop(self, stream: Sender) -> None:
        """A stream sends no more."""
        self._waiting.pop(stream.number, None)
        self._ready.pop(stream.number, None)

    def clear(self) -> None:
        """Nobody sends any more."""
        self._ready.clear()
        self._waiting.clear()

    def window_opened(self, number: int) -> None:
        """The window of a stream has grown, or, with 0, that of the connection."""
        if number:
            stream = self._waiting.pop(number, None)
            if stream is not None:
                self._ready[number] = stream
        else:
            self.windows_changed()

    def windows_changed(self) -> None:
        """The windows of all streams may have grown."""
        self._ready.update(self._waiting)
        self._waiting.clear()

    def fill(self) -> int:
        """Hand frames over to h2, until there is a batch of them or nothing more can go; return how many were of use.

        A client that opens its window by a few bytes each time could else have an answer in as many frames as it likes.
        """
        h2, ready = self._h2, self._ready
        frames, left = 0, BATCH
        while ready and left > 0:
            number, stream = ready.popitem(last=False)
            room = min(FRAME, h2.local_flow_control_window(number))
            piece = stream.next_piece(room)
            if piece is None:
                self._waiting[number] = stream
                continue
            data, last = piece
            h2.send_data(number, data, last)
            if last or len(data) < room or room >= LEAST:
                frames += 1
            left -= len(data)
            if last:
                stream.all_sent()
            elif stream.piece_sent():
                ready[number] = stream
        return frames
