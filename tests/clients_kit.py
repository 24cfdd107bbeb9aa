"""What real clients are asked to do, what they say that they saw, and a gateway for them."""

from __future__ import annotations

import atexit
import functools
import json
import shutil
import socket
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from attrs import Factory, field, fields_dict, frozen

from benchmarks.certificates import KINDS, certificate
from tests.clients_service import LabService
from tests.running_kit import RunningGateway
from tracseq_gateway.config.model import Config

CONFIGURATION = """
[defaults]
auth = "none"
rewrite = ""
max_body = 0
health = {{ interval = 0 }}

[auth]
enabled = true
service = ""
jwt = {{ algorithms = ["HS256"], secret_env = "TEST_SECRET", issuer = "tests", audience = "gateway" }}

[services.lab]
prefix = "/lab"
instances = ["http://127.0.0.1:{port}"]

[services.closed]
prefix = "/closed"
instances = ["http://127.0.0.1:{port}"]
auth = "required"

[services.small]
prefix = "/small"
instances = ["http://127.0.0.1:{port}"]
max_body = 100000

[services.seldom]
prefix = "/seldom"
instances = ["http://127.0.0.1:{port}"]
rate_limit = {{ requests_per_minute = 1, burst = 1 }}

[rate_limit]
enabled = true
default = {{ requests_per_minute = 600000, burst = 100000 }}
"""
TLS = """
[tls]
certificates = [{{ file = "{file}", key_file = "{key_file}" }}]
"""
COMPRESSION = """
[compression]
enabled = true
"""
HTTP2 = """
[http2]
clear = true
"""
SECRET = {"TEST_SECRET": "a secret for tests that is long enough for HS256"}


@frozen
class Ask:
    """One request."""

    path: str
    method: str = "GET"
    body: bytes | None = None
    fields: dict[str, str] = Factory(dict)
    chunked: bool = False
    """Whether the client is not to know how long the body is before it has sent it."""


@frozen
class Seen:
    """What a client says that it saw. Redirects were followed; codings were undone."""

    status: int
    fields: dict[str, str] = Factory(dict)
    """By their names in lower case; ``:version`` is the version of HTTP, from clients that tell it."""
    body: bytes = field(default=b"", repr=False)
    failure: str = ""
    """What it says in place of an answer; ``status`` is 0 then."""

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def knows(table: str) -> bool:
    """Whether the gateway has such a table in its configuration."""
    return table in fields_dict(Config)


class Client(Protocol):
    """A real client. Its proxies, if its environment names some, are switched off."""

    def run(self, base: str, asks: Sequence[Ask], *, at_once: bool = False, ca: str | None = None) -> list[Seen]:
        """Ask below ``base`` (scheme and authority), as one session: one after the other, or all at once.

        ``ca`` is the file of the authority to trust, for https.
        """


class Relay:
    """Passes connections on to another port, so that it is known how many a client opens and what they carry."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listening.getsockname()[1]
        self.connections = 0
        self.answered = 0
        """Bytes that went to clients."""
        self._clients: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        with suppress(OSError):  # it is shut down at the end
            while True:
                client, _ = self._listening.accept()
                self.connections += 1
                self._clients.append(client)
                self._threads.append(threading.Thread(target=self._serve, args=(client,), daemon=True))
                self._threads[-1].start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._target)) as server:
            asking = threading.Thread(target=self._pass, args=(client, server, False), daemon=True)
            asking.start()
            self._pass(server, client, True)
            asking.join()

    def _pass(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        with suppress(OSError):  # whoever leaves, the other hears of it by what follows
            while data := source.recv(65536):
                target.sendall(data)
                if answers:
                    self.answered += len(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def stop(self) -> None:
        """Close everything; clients that keep their connections lose them."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for client in self._clients:
            with suppress(OSError):  # it has left
                client.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)


@functools.cache
def shared_service() -> LabService:
    """One service for all gateways of a run."""
    service = LabService()
    atexit.register(service.stop)
    return service


@functools.cache
def shared_gateway() -> RunningGateway:
    """One gateway for all clients of a run that come in clear: starting it costs as much as ten tests."""
    return _started(HTTP2 if knows("http2") else "")


@functools.cache
def shared_secure_gateway() -> tuple[RunningGateway, str]:
    """One for all that come over TLS, and the file of the certificate that it shows."""
    directory = tempfile.mkdtemp(prefix="clients-tls-")
    atexit.register(shutil.rmtree, directory)
    shown = certificate(KINDS[0], Path(directory))
    tls = TLS.format(file=shown.file, key_file=shown.key_file)
    return _started(tls), str(shown.file)


def _started(further: str) -> RunningGateway:
    configuration = CONFIGURATION.format(port=shared_service().port) + (COMPRESSION if knows("compression") else "")
    gateway = RunningGateway(configuration + further, SECRET, workers=1)
    atexit.register(gateway.stop)
    return gateway
