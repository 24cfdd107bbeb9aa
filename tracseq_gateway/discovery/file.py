"""Instances from a file that somebody else writes, in place or by renaming another."""

from __future__ import annotations

import os
import stat
from typing import Final

from twisted.internet.defer import Deferred, fail

from tracseq_gateway.config import Instance
from tracseq_gateway.discovery.document import LARGEST, Form, parse
from tracseq_gateway.discovery.source import Aside, NotFound

PIECE: Final = 1 << 16
"""Bytes that are read at once."""


class FileSource:
    """Reads the file each time, and looks at what is in it when that has changed."""

    def __init__(self, file: str, aside: Aside[tuple[Instance, ...]]) -> None:
        self._file = file
        self._form: Form = "TOML" if file.endswith(".toml") else "JSON"
        self._aside = aside
        self._reading = False
        self._data: bytes | None = None
        self._found: tuple[Instance, ...] = ()

    def __str__(self) -> str:
        return f"file {self._file}"

    def find(self) -> Deferred[tuple[Instance, ...]]:
        """See :class:`tracseq_gateway.discovery.source.Source`."""
        if self._reading:  # a file of a network that hangs: a second thread would hang as well
            return fail(NotFound("still being read"))
        self._reading = True
        return self._aside(self._read)

    def _read(self) -> tuple[Instance, ...]:
        """Read and parse; in a thread, one at a time."""
        try:
            data = _content(self._file)
            if data != self._data:
                self._data, self._found = None, parse(data, self._form)
                self._data = data
            return self._found
        finally:
            self._reading = False


def _content(file: str) -> bytes:
    """What is in a regular file of at most :data:`LARGEST` bytes. Raises :class:`NotFound`."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # a pipe would be waited for
                raise NotFound("not a regular file")
            data = bytearray()
            while piece := os.read(descriptor, PIECE):
                data += piece
                if len(data) > LARGEST:
                    raise NotFound(f"more than {LARGEST} bytes")
        finally:
            os.close(descriptor)
    except OSError as error:
        raise NotFound(f"unreachable file ({error.strerror})") from None
    return bytes(data)
