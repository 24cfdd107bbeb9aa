"""Services behind TLS for tests: Python's own ``ssl`` in a thread, as far from our side of it as can be."""

from __future__ import annotations

import socket
import ssl
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.certificate_kit import Authority, Issued

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret"

Talk = Callable[["TLSService", ssl.SSLSocket], None]
"""What a service does with a connection whose handshake is done."""


def answer_all(service: TLSService, connection: ssl.SSLSocket) -> None:
    """Answer each request, which must come in one piece."""
    while data := connection.recv(65536):
        service.requests.append(data)
        connection.sendall(ANSWER)


class TLSService:
    """Listens on 127.0.0.1 until :meth:`stop`; each connection has a thread."""

    def __init__(
        self,
        issued: Issued,
        talk: Talk = answer_all,
        *,
        clients: Authority | None = None,
        newest: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED,
        oldest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2,
    ) -> None:
        """``clients``: who must have issued the certificate that clients have to show."""
        self.requests: list[bytes] = []
        self.handshakes: list[tuple[str | None, bool, str | None]] = []
        """Of each: the version, whether a session was resumed, the protocol by ALPN."""
        self.names: list[str | None] = []
        """What clients asked for by SNI."""
        self.failures: list[str] = []
        """Why handshakes failed."""
        self._talk = talk
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version, self.context.maximum_version = oldest, newest
        self.context.set_alpn_protocols(["h2", "http/1.1"])
        self.context.sni_callback = self._asked_for
        self.show(issued)
        if clients is not None:
            self.context.verify_mode = ssl.CERT_REQUIRED
            self.context.load_verify_locations(cadata=clients.certificate_pem.decode())
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        """As an instance's."""
        return f"https://127.0.0.1:{self.port}"

    def show(self, issued: Issued) -> None:
        """Show this certificate from now on."""
        with tempfile.TemporaryDirectory() as directory:
            self.context.load_cert_chain(*issued.write_to(directory))

    def _asked_for(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        self.names.append(name)

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(accepted,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, accepted: socket.socket) -> None:
        self._open.add(accepted)
        accepted.settimeout(10)
        try:
            with self.context.wrap_socket(accepted, server_side=True) as connection:
                self._open.add(connection)
                version, protocol = connection.version(), connection.selected_alpn_protocol()
                self.handshakes.append((version, bool(connection.session_reused), protocol))
                self._talk(self, connection)
        except OSError as error:  # ssl.SSLError among them
            self.failures.append(str(error))
        finally:
            accepted.close()

    def hang_up(self) -> None:
        """Close all connections, without a word of TLS."""
        for each in list(self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def stop(self) -> None:
        """Listen no more, close all connections, and wait for their threads."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()
        for thread in self._threads:
            thread.join(5)


class ClearService:
    """Answers whatever comes in clear with the same bytes; with none, it says nothing and stays."""

    def __init__(self, answer: bytes = ANSWER) -> None:
        self.received: list[bytes] = []
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """As that of an instance which ought to speak TLS."""
        return f"https://127.0.0.1:{self.port}"

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._open.append(connection)
                self.received.append(connection.recv(65536))
                if self._answer:
                    connection.sendall(self._answer)

    def stop(self) -> None:
        """Close everything."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._thread.join(5)


def write(directory: str | Path, name: str, content: bytes) -> str:
    """Put something into a file, and return its path."""
    path = Path(directory) / name
    path.write_bytes(content)
    return str(path)
