"""Listening sockets: one for each worker, all on one port, and those of the sandbox's services.

The sockets are opened before twistd goes to the background and gives up its privileges, and the supervisor keeps its
own copy of each: connections that wait on the socket of a worker that died are served by its successor.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Final

BACKLOG: Final = 4096
"""Connections that may wait on one socket; the kernel clips it to net.core.somaxconn."""

_REASONS: Final = {
    errno.EADDRINUSE: "the port is taken by another program",
    errno.EACCES: "permission denied",
    errno.EADDRNOTAVAIL: "this host has no such address",
}


class ListenError(Exception):
    """A socket cannot be opened; the text is for the operator and names address and port."""


def openListeners(host: str, port: int, count: int) -> list[socket.socket]:
    """Open ``count`` listening sockets on one port; port 0 takes any free one, the same for all.

    Raises :class:`ListenError` when the host is unknown or the port is taken.
    """
    family, address = _resolve(host, port)
    listeners: list[socket.socket] = []
    try:
        if port != 0:
            # With SO_REUSEPORT a second gateway of the same user would share the port in silence: ask without it first.
            _bind(family, address).close()
        for _ in range(count):
            listener = _bind(family, address, share=True)
            listeners.append(listener)
            listener.listen(BACKLOG)
            address = listener.getsockname()
    except OSError as error:
        for listener in listeners:
            listener.close()
        raise _listenError(error, host, port) from error
    return listeners


def openNear(host: str, port: int) -> socket.socket:
    """Open one listening socket on ``port``, or on a free port when that is taken.

    Raises :class:`ListenError` for any other reason.
    """
    family, address = _resolve(host, port)
    try:
        try:
            listener = _bind(family, address)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            listener = _bind(family, _resolve(host, 0)[1])
        listener.listen(BACKLOG)
    except OSError as error:
        raise _listenError(error, host, port) from error
    return listener


def _resolve(host: str, port: int) -> tuple[int, tuple[object, ...]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise ListenError(f"cannot listen on {host} port {port}: unknown host ({error})") from error
    family, _, _, _, address = found[0]
    return family, address


def _bind(family: int, address: tuple[object, ...], *, share: bool = False) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setblocking(False)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Linux hands the option on to accepted connections: one system call less for each.
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if family == socket.AF_INET6:
            # "::" is every address of both families, whatever net.ipv6.bindv6only says.
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if share:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


def _listenError(error: OSError, host: str, port: int) -> ListenError:
    reason = _REASONS.get(error.errno or 0) or os.strerror(error.errno or 0)
    return ListenError(f"cannot listen on {host} port {port}: {reason}")
