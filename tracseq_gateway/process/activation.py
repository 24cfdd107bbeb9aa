"""Sockets that were opened by somebody else: by systemd (sd_listen_fds(3)), or by a gateway before this one."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tracseq_gateway.process.sockets import ListenError

FIRST: Final = 3
"""The descriptor of the first socket that systemd passes."""


def first_environment() -> Mapping[str, str]:
    """The environment that this process was started with; empty where the system does not keep it (nor has systemd).

    ``os.environ`` will not do: Twisted takes systemd's variables out of it when its endpoints are imported.
    """
    try:
        pairs = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return {}
    return {name: value for name, _, value in (os.fsdecode(pair).partition("=") for pair in pairs)}


def activated(environ: Mapping[str, str], pid: int, first: int = FIRST) -> list[socket.socket]:
    """Take the listening sockets that systemd has passed to process ``pid``, which are none without its variables.

    Raises :class:`ListenError` for what is no listening TCP socket.
    """
    count = environ.get("LISTEN_FDS", "")
    if not count or environ.get("LISTEN_PID") != str(pid):
        return []
    if not count.isdecimal():
        raise ListenError(f"LISTEN_FDS is {count!r}: a number of sockets would be right")
    return [listening(first + number) for number in range(int(count))]


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
