"""The browser's request, and a small blocking client that sends it on plain sockets."""

from __future__ import annotations

import socket
from pathlib import Path

from attrs import frozen

HEADERS_FILE = Path(__file__).parent / "conf" / "browser.headers"
PATH = "/route0/benchmark"
"""What is asked where one route is enough."""


class NotAnswered(Exception):
    """The answer was cut short, or is not a 200."""


@frozen
class Answer:
    """A whole answer."""

    status: int
    body: bytes


def browser_request(port: int, path: str = PATH, token: str | None = None) -> bytes:
    """The bytes of a GET with a browser's ten header fields, among them a bearer token: ``token``, or one of 600 bytes
    that no issuer knows."""
    fields = HEADERS_FILE.read_text().splitlines()
    if token is not None:
        fields = [f"Authorization: Bearer {token}" if field.startswith("Authorization:") else field for field in fields]
    lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", *fields]
    return "".join(line + "\r\n" for line in [*lines, ""]).encode()


def answer_length(received: bytes | bytearray) -> int | None:
    """The length of the whole answer, head and body, that ``received`` begins; None until its head is there.

    Every server here frames its answers by Content-Length; one that does not, or that answers with other than 200,
    raises :exc:`NotAnswered`.
    """
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    status_line, *fields = bytes(received[:end]).split(b"\r\n")
    if status_line.split(b" ", 2)[1] != b"200":
        raise NotAnswered(f"answered with {status_line.decode('latin-1')!r}")
    for line in fields:
        name, _colon, value = line.partition(b":")
        if name.lower() == b"content-length":
            return end + 4 + int(value)
    raise NotAnswered("the answer has no Content-Length")


def connect(port: int, *, timeout: float = 10.0, receive_buffer: int | None = None) -> socket.socket:
    """Connect to 127.0.0.1; ``receive_buffer`` bounds the window that the other side may fill."""
    connection = socket.socket()
    try:
        connection.settimeout(timeout)
        if receive_buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.connect(("127.0.0.1", port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        connection.close()
        raise
    return connection


def receive(connection: socket.socket) -> Answer:
    """Read one whole answer; the connection can be used again."""
    received = bytearray()
    while True:
        data = connection.recv(65536)
        if not data:
            raise NotAnswered(f"the connection was closed after {len(received)} bytes of the answer")
        received += data
        length = answer_length(received)
        if length is not None and len(received) >= length:
            head = received.find(b"\r\n\r\n") + 4
            return Answer(200, bytes(received[head:length]))


def ask(port: int, path: str = PATH, *, token: str | None = None, timeout: float = 10.0) -> Answer:
    """Send the browser's request on a new connection and return the answer."""
    with connect(port, timeout=timeout) as connection:
        connection.sendall(browser_request(port, path, token))
        return receive(connection)
