"""The control socket, with real sockets and a client in a thread."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tracseq_gateway.process import control_socket
from tracseq_gateway.process.control_client import ControlClient, NoAnswer, NoGateway
from tracseq_gateway.process.control_socket import LONGEST_REQUEST, MOST_CLIENTS, Answer, Command, ControlSocket

T = TypeVar("T")


class ControlSocketTests(TestCase):
    """``ControlSocket`` and ``ControlClient``."""

    timeout = 20

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.directory = Path(tempfile.mkdtemp())  # trial's own are too deep for a socket
        self.addCleanup(shutil.rmtree, self.directory)
        self.path = self.directory / "control.sock"
        self.held: Deferred[Answer] = Deferred()
        self.control = self.listen(
            echo=lambda request, client: succeed({"heard": request}), hold=lambda request, client: self.held
        )

    def listen(self, **commands: Command) -> ControlSocket:
        control = ControlSocket(self.reactor, self.path, commands)
        control.open()
        self.addCleanup(control.close)
        return control

    def thread(self, call: Callable[[], T]) -> Deferred[T]:
        """A client blocks, so it has a thread of its own."""
        return deferToThread(call)

    def asked(self, **request: object) -> Deferred[dict[str, Any]]:
        """The answer to a request on a connection of its own."""

        def ask() -> dict[str, Any]:
            with ControlClient(self.path, 5.0) as client:
                return client.ask(request)

        return self.thread(ask)

    def raw(self, data: bytes) -> Deferred[bytes]:
        """The line that is answered to these bytes."""

        def talk() -> bytes:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(5.0)
                client.connect(os.fspath(self.path))
                client.sendall(data)
                with client.makefile("rb") as answers:
                    return answers.readline()

        return self.thread(talk)

    async def test_private(self) -> None:
        """The socket is for the gateway's user alone, and gone when it is closed."""
        self.assertEqual(0o600, stat.S_IMODE(self.path.stat().st_mode))
        self.assertEqual(["control.sock"], os.listdir(self.directory))
        await self.control.close()
        self.assertEqual([], os.listdir(self.directory))

    async def test_asked(self) -> None:
        """A command is given the whole request, and its answer comes back; a client may ask again."""

        def twice() -> list[dict[str, Any]]:
            with ControlClient(self.path, 5.0) as client:
                return [client.ask({"command": "echo", "number": number}) for number in (1, 2)]

        self.assertEqual(
            [{"heard": {"command": "echo", "number": number}} for number in (1, 2)], await self.thread(twice)
        )

    async def test_large(self) -> None:
        """An answer may be long."""
        self.held.callback({"lines": ["x" * 100] * 10_000})
        self.assertEqual(10_000, len((await self.asked(command="hold"))["lines"]))

    async def test_wrong(self) -> None:
        """What is no command is answered with those that there are, and what is too long is cut off."""
        for line in (b"\xff\n", b"[]\n", b'{"command": "shutdown"}\n', b"{}\n", b"[" * 4000 + b"\n"):
            self.assertIn(b"known here: echo, hold", await self.raw(line))
        self.assertIn(b"at most 24576 bytes", await self.raw(b"x" * (LONGEST_REQUEST + 1)))
        with self.assertRaisesRegex(NoAnswer, "says: the request is no object"):
            await self.asked(command="shutdown")

    async def test_failure(self) -> None:
        """A command that fails is answered as such, and the log has the reason."""
        self.held.errback(ValueError("a secret"))
        with self.assertRaisesRegex(NoAnswer, r"the command failed \(ValueError\)"):
            await self.asked(command="hold")
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))

    async def test_nobody(self) -> None:
        """Where nobody listens, or nobody any more, it is said that no gateway is there."""
        await self.control.close()
        with self.assertRaisesRegex(NoGateway, f"no gateway can be reached in {self.directory}: No such file"):
            await self.asked(command="echo")
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(os.fspath(self.path))
        with self.assertRaisesRegex(NoGateway, "Connection refused"):
            await self.asked(command="echo")

    async def test_closed(self) -> None:
        """A client that waits when the gateway ends is told so."""
        asked = self.asked(command="hold")
        while not self.control.clients:
            await deferLater(self.reactor, 0.01)
        await deferLater(self.reactor, 0.05)
        await self.control.close()
        with self.assertRaisesRegex(NoAnswer, "ended before it answered"):
            await asked
        self.held.callback({})

    async def test_leftOver(self) -> None:
        """A socket that a gateway has left which was killed is in nobody's way."""
        await self.control.close()
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(os.fspath(self.path))
        self.control.open()
        self.assertEqual({"heard": {"command": "echo"}}, await self.asked(command="echo"))

    async def test_silent(self) -> None:
        """A client that says nothing is not waited for."""
        self.patch(control_socket, "SILENT_SECONDS", 0.05)
        client = ControlClient(self.path, 5.0)
        self.addCleanup(client.connection.close)
        self.assertEqual(b"", await self.thread(lambda: client.connection.recv(1)))

    async def test_many(self) -> None:
        """So many clients are served at once, and no more."""
        clients = [ControlClient(self.path, 5.0) for _ in range(MOST_CLIENTS)]
        for client in clients:
            self.addCleanup(client.connection.close)
        while len(self.control.clients) < MOST_CLIENTS:
            await deferLater(self.reactor, 0.01)
        with self.assertRaises(NoAnswer):
            await self.asked(command="echo")
        self.assertEqual(MOST_CLIENTS, len(self.control.clients))
        self.assertEqual({"heard": {"command": "echo"}}, await self.thread(lambda: clients[0].ask({"command": "echo"})))
        for client in clients:
            client.connection.close()
        while self.control.clients:
            await deferLater(self.reactor, 0.01)
        self.assertLess(threading.active_count(), 20)
