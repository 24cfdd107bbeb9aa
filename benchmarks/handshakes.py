"""Connections that begin and end and do nothing in between, over TLS or in clear, one after the other."""

from __future__ import annotations

import socket
import ssl
import time

from benchmarks.certificates import HOST, Certificate
from benchmarks.errors import BenchmarkError
from benchmarks.http_client import browser_request, connect, receive


def _secured(port: int, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> ssl.SSLSocket:
    return context.wrap_socket(connect(port), server_hostname=HOST, session=session)


def _leave(connection: socket.socket) -> None:
    """Say that nothing will come, and wait until the server has closed: then it has done all that there is to do."""
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(65536):
        pass


def ask_securely(port: int, context: ssl.SSLContext) -> ssl.SSLSession:
    """Ask once over TLS; returns the session that the server offers to resume."""
    with _secured(port, context) as connection:
        connection.sendall(browser_request(port))
        receive(connection)
        session = connection.session
    if session is None or not session.has_ticket:
        raise BenchmarkError("the server gives no tickets")
    return session


def in_clear(port: int, seconds: float) -> int:
    """Connect and leave for so long; returns how often."""
    count, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        with connect(port) as connection:
            _leave(connection)
        count += 1
    return count


def shake_hands(certificate: Certificate, port: int, seconds: float, *, resumed: bool) -> int:
    """Connect, shake hands and leave for so long; returns how often.

    With ``resumed`` the client shows a ticket each time, and :exc:`BenchmarkError` is raised if that is not taken; or
    if another version than TLS 1.3 is spoken.
    """
    context = certificate.context()
    session = ask_securely(port, context) if resumed else None
    count, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        with _secured(port, context, session) as connection:
            if connection.version() != "TLSv1.3" or connection.session_reused is not resumed:
                raise BenchmarkError(f"{connection.version()}, resumed: {connection.session_reused}")
            _leave(connection)
        count += 1
    return count
