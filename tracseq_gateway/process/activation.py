"""Sockets that were opened by somebody else: by systemd (sd_listen_fds(3)), or by a gateway before this one."""

from __future__ import annotations

import socket
from collections.abc import MutableMapping, Sequence
from typing import Final

from tracseq_gateway.process.sockets import ListenError

FIRST: Final = 3
"""The descriptor of the first socket that systemd passes."""

_VARIABLES: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


def activated(environ: MutableMapping[str, str], pid: int, first: int = FIRST) -> list[socket.socket]:
    """Take the listening sockets that systemd has passed to process ``pid``, which are none without its variables.

    The variables are removed from ``environ``, for they mean nothing to our children. Raises :class:`ListenError` for
    what is no listening TCP socket.
    """
    given = {name: environ.pop(name, "") for name in _VARIABLES}
    if not given["LISTEN_FDS"] or given["LISTEN_PID"] != str(pid):
        return []
    if not given["LISTEN_FDS"].isdecimal():
        raise ListenError(f"LISTEN_FDS is {given['LISTEN_FDS']!r}: a number of sockets would be right")
    return [listening(first + number) for number in range(int(given["LISTEN_FDS"]))]


def listening(descriptor: int) -> socket.socket:
    """The listening TCP socket behind a descriptor, which now belongs to it; raises :class:`ListenError`."""
    try:
        found = socket.socket(fileno=descriptor)
    except OSError as error:
        raise _wrong(descriptor, f"is no socket ({error.strerror})") from error
    try:
        if found.family not in (socket.AF_INET, socket.AF_INET6) or found.type != socket.SOCK_STREAM:
            raise _wrong(descriptor, "is no TCP socket")
        if not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise _wrong(descriptor, "does not listen")
    except ListenError:
        found.close()
        raise
    found.setblocking(False)
    found.set_inheritable(False)
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return found


def shared_out(sockets: Sequence[socket.socket], workers: int) -> list[socket.socket]:
    """A socket for each worker: some have the same one when there are fewer sockets.

    With more sockets than ``workers`` there is a worker for each, since nobody would answer at the others.
    """
    return [sockets[number % len(sockets)] for number in range(max(workers, len(sockets)))]


def _wrong(descriptor: int, what: str) -> ListenError:
    right = "in the socket unit, ListenStream= with a port (and Accept=no) would be right"
    return ListenError(f"LISTEN_FDS: descriptor {descriptor} {what}; {right}")
