"""Single slow transfers, by a client that looks at every byte."""

from __future__ import annotations

import socket
import time
import zlib

from attrs import frozen

from tests.faults.bodies import body_of

PIECES_A_SECOND = 20
PIECE = 4096
SILENCE = 20.0
"""Seconds after which the client gives up."""


@frozen
class Transfer:
    """What became of one."""

    trouble: str
    """Empty: it came whole and right."""
    announced_close: bool = False
    """Whether the answer said ``Connection: close``."""


def upload(port: int, path: str, seconds: float) -> Transfer:
    """Send a body over so many seconds, and read the answer."""
    count = max(int(seconds * PIECES_A_SECOND), 1)
    body = body_of("slow-upload", count * PIECE)
    head = f"POST {path} HTTP/1.1\r\nHost: gateway\r\nX-Request-Id: slow-upload\r\nContent-Length: {len(body)}\r\n\r\n"
    try:
        with socket.create_connection(("127.0.0.1", port), SILENCE) as connection:
            connection.sendall(head.encode())
            for number in range(count):
                connection.sendall(body[number * PIECE : (number + 1) * PIECE])
                time.sleep(1 / PIECES_A_SECOND)
            return _read(connection, "slow-upload", 1024)
    except OSError as error:
        return Transfer(f"{type(error).__name__}: {error}")


def download(port: int, path: str, seconds: float) -> Transfer:
    """Read an answer that the service gives over so many seconds."""
    size = max(int(seconds * PIECES_A_SECOND), 1) * PIECE
    target = f"{path}?size={size}&seconds={seconds}"
    head = f"GET {target} HTTP/1.1\r\nHost: gateway\r\nX-Request-Id: slow-download\r\n\r\n"
    try:
        with socket.create_connection(("127.0.0.1", port), SILENCE) as connection:
            connection.sendall(head.encode())
            return _read(connection, "slow-download", size)
    except OSError as error:
        return Transfer(f"{type(error).__name__}: {error}")


def _read(connection: socket.socket, request_id: str, size: int, crc: int = -1, pause: float = 0.0) -> Transfer:
    received = bytearray()
    while (end := received.find(b"\r\n\r\n")) < 0 or len(received) < end + 4 + size:
        time.sleep(pause)
        data = connection.recv(16384)
        if not data:
            return Transfer(f"cut after {len(received)} bytes")
        received += data
        if not received.startswith(b"HTTP/1.1 200 "[: len(received)]):
            return Transfer(received.partition(b"\r\n")[0].decode("latin-1"))
    head, body = bytes(received[:end]).lower(), bytes(received[end + 4 :])
    if body != body_of(request_id, size):
        return Transfer("wrong body")
    if crc >= 0 and b"x-body-crc: %d" % crc not in head:
        return Transfer("the service received something else")
    return Transfer("", b"connection: close" in head)


def upload_at_once(port: int, path: str, size: int, request_id: str) -> Transfer:
    """Send a body as fast as it is taken; the service says what it received."""
    body = body_of(request_id, size)
    head = f"POST {path} HTTP/1.1\r\nHost: gateway\r\nX-Request-Id: {request_id}\r\nContent-Length: {size}\r\n\r\n"
    try:
        with socket.create_connection(("127.0.0.1", port), SILENCE) as connection:
            connection.sendall(head.encode() + body)
            return _read(connection, request_id, 1024, zlib.crc32(body))
    except OSError as error:
        return Transfer(f"{type(error).__name__}: {error}")


def download_slowly(port: int, path: str, size: int, rate: int, request_id: str) -> Transfer:
    """Read a body at so many bytes a second, with a small window."""
    head = f"GET {path}?size={size} HTTP/1.1\r\nHost: gateway\r\nX-Request-Id: {request_id}\r\n\r\n"
    try:
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
            connection.settimeout(SILENCE)
            connection.connect(("127.0.0.1", port))
            connection.sendall(head.encode())
            return _read(connection, request_id, size, pause=16384 / rate)
    except OSError as error:
        return Transfer(f"{type(error).__name__}: {error}")
