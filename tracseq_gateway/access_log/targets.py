"""Where lines go. These write and may block: only the writer's own thread calls them."""

from __future__ import annotations

import os
import select
import stat
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol, TypeVar

from attrs import frozen

from tracseq_gateway.journal.sender import Sender

ATOMIC: Final = select.PIPE_BUF
"""Bytes that arrive in one piece in a pipe or a socket into which several processes write (POSIX: at least 512)."""
CHECK_SECONDS: Final = 1.0
"""How long a log file that was rotated away may still be written to."""


Line = TypeVar("Line", str, bytes)
"""A line of ASCII with its line feed, or an entry of the journal."""
_Written = TypeVar("_Written", str, bytes, contravariant=True)


@frozen
class Lost:
    """What could not be written."""

    lines: int
    reason: str
    """For the operator; names the target."""


class Target(Protocol[_Written]):
    """Somewhere to write to."""

    def write(self, lines: Sequence[_Written]) -> Lost | None:
        """Write whole lines, waiting as long as it takes; say what could not be written. Raises nothing."""


class StandardOutput:
    """The standard output of this process, which it shares with the other workers."""

    def __init__(self) -> None:
        # A descriptor of our own: should somebody close number 1, the next file opened would take its place. Python
        # has noticed if it was closed from the start.
        self._sink = None if sys.stdout is None else _Sink(os.dup(1))

    def write(self, lines: Sequence[str]) -> Lost | None:
        """See ``Target``."""
        if self._sink is None:
            return Lost(len(lines), "standard output is closed")
        return self._sink.write(lines, "standard output")


class LogFile:
    """A file that is appended to; several workers may do so at once. Made if it is missing, for owner and group.

    It may be renamed or removed (logrotate): within a second what is written goes to a new file of the old name.
    """

    def __init__(self, path: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._sink: _Sink | None = None
        self._check_at = 0.0

    def write(self, lines: Sequence[str]) -> Lost | None:
        """See ``Target``."""
        try:
            sink = self._current()
        except OSError as error:
            return Lost(len(lines), f"{self._path}: {error.strerror}")
        return sink.write(lines, self._path)

    def _current(self) -> _Sink:
        now = self._clock()
        if self._sink is not None and now >= self._check_at and not self._sink.is_at(self._path):
            self._sink.close()
            self._sink = None
        if self._sink is None or now >= self._check_at:
            self._check_at = now + CHECK_SECONDS
        if self._sink is None:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._sink = _Sink(os.open(self._path, flags, 0o640))
        return self._sink


class Journal:
    """The journal that listens at ``path``, now or later."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._sender = Sender(path, wait=True)

    def write(self, lines: Sequence[bytes]) -> Lost | None:
        """See ``Target``. While nobody listens, all that is not sent is lost."""
        for done, entry in enumerate(lines):
            try:
                self._sender.send(entry)
            except OSError as error:
                return Lost(len(lines) - done, f"the journal at {self._path}: {error.strerror}")
        return None


class _Sink:
    """An open descriptor, which belongs to it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        self._torn = False

    def write(self, lines: Sequence[str], name: str) -> Lost | None:
        """Write lines to a file all at once, to a pipe or socket in pieces that do not mix with those of others."""
        done = 0
        try:
            for piece in ["".join(lines).encode("ascii")] if self._regular else _pieces(lines, ATOMIC):
                for written in self._write_all(piece):
                    done += written.count(b"\n")
        except OSError as error:
            return Lost(len(lines) - done, f"{name}: {error.strerror}")
        return None

    def is_at(self, path: str) -> bool:
        """Whether this is still the file that ``path`` names, as far as can be told."""
        try:
            return os.path.samestat(os.stat(path), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False
        except OSError:
            return True  # the directory may no longer be searched, for one: what is open can still be written to

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._descriptor)

    def _write_all(self, piece: bytes) -> Iterator[bytes]:
        """Write ``piece``, yielding what of it is written; after an error, begin the next on a line of its own."""
        if self._torn:
            self._wait_write(b"\n")
            self._torn = False
        rest = piece
        while rest:
            count = self._wait_write(rest)
            yield rest[:count]
            self._torn = rest[count - 1 : count] != b"\n"
            rest = rest[count:]

    def _wait_write(self, data: bytes) -> int:
        while True:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:  # somebody who shares it has set O_NONBLOCK
                room = select.poll()
                room.register(self._descriptor, select.POLLOUT)
                room.poll()


def _pieces(lines: Sequence[str], most: int) -> Iterator[bytes]:
    """Join lines to pieces of at most ``most`` bytes; only a line that is longer itself makes a longer piece."""
    piece: list[str] = []
    size = 0
    for line in lines:
        if size + len(line) > most and piece:
            yield "".join(piece).encode("ascii")
            piece, size = [], 0
        piece.append(line)
        size += len(line)
    if piece:
        yield "".join(piece).encode("ascii")
