"""Replies of Redis within a stream of bytes, so that one of them can be replaced by another."""

from __future__ import annotations


class Unfinished(Exception):
    """More bytes are needed."""


def end_of_reply(data: bytes, begin: int) -> int:
    """Where the reply that starts at ``begin`` ends; raises :exc:`Unfinished` if that is not there yet."""
    line = data.find(b"\r\n", begin)
    if line < 0:
        raise Unfinished
    kind, text, after = data[begin : begin + 1], data[begin + 1 : line], line + 2
    if kind == b"$":
        length = int(text)
        end = after if length < 0 else after + length + 2
        if end > len(data):
            raise Unfinished
        return end
    if kind in b"*~>%":
        count = max(int(text), 0) * (2 if kind == b"%" else 1)
        for _each in range(count):
            after = end_of_reply(data, after)
        return after
    return after


class Replies:
    """Cuts a stream into whole replies."""

    def __init__(self) -> None:
        self._data = b""

    def cut(self, data: bytes) -> list[bytes]:
        """The replies that are whole with these further bytes."""
        self._data += data
        found, begin = [], 0
        while begin < len(self._data):
            try:
                end = end_of_reply(self._data, begin)
            except Unfinished:
                break
            found.append(self._data[begin:end])
            begin = end
        self._data = self._data[begin:]
        return found

    def rest(self) -> bytes:
        """What has come of a reply that is not whole; it is forgotten here."""
        data, self._data = self._data, b""
        return data
