"""Sends entries to systemd-journald."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from typing import Final

_TOO_LARGE: Final = frozenset({errno.EMSGSIZE, errno.ENOBUFS})
_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


class Sender:
    """A socket of our own, by which entries go to the journal that listens at ``path``.

    Each is sent to that name anew, so a journald that was restarted gets the next. With ``wait``, sending waits until
    the journal takes the entry; without, BlockingIOError says that it is busy.
    """

    def __init__(self, path: str, *, wait: bool) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(wait)

    def send(self, entry: bytes) -> None:
        """Send one entry; raises OSError when the journal is not there, or does not take it."""
        try:
            self._socket.sendto(entry, self._path)
        except OSError as error:
            if error.errno not in _TOO_LARGE:
                raise
            self._send_as_file(entry)

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def _send_as_file(self, entry: bytes) -> None:
        """Send what is too large for a datagram: a file in memory that nobody can change any more."""
        file = os.memfd_create("journal-entry", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            rest = memoryview(entry)
            while rest:
                rest = rest[os.write(file, rest) :]
            fcntl.fcntl(file, fcntl.F_ADD_SEALS, _SEALS)
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", file))
            self._socket.sendmsg([], [rights], 0, self._path)
        finally:
            os.close(file)
