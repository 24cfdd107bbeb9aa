"""Listening sockets: shared among our workers, and with nobody else."""

from __future__ import annotations

import socket
from contextlib import ExitStack, closing

from twisted.trial.unittest import SynchronousTestCase

from tracseq_gateway.process.sockets import ListenError, openListeners, openNear


class SocketTests(SynchronousTestCase):
    """``openListeners`` and ``openNear``."""

    def setUp(self) -> None:
        self.stack = ExitStack()
        self.addCleanup(self.stack.close)

    def listen(self, host: str, port: int, count: int) -> list[socket.socket]:
        listeners = openListeners(host, port, count)
        for listener in listeners:
            self.stack.enter_context(closing(listener))
        return listeners

    def test_onePort(self) -> None:
        """All sockets listen on one port, also when the port is chosen by the system."""
        listeners = self.listen("127.0.0.1", 0, 3)
        (port,) = {listener.getsockname()[1] for listener in listeners}
        self.assertNotEqual(0, port)
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            pass

    def test_options(self) -> None:
        """The sockets do not block, and what they accept sends without delay."""
        (listener,) = self.listen("127.0.0.1", 0, 1)
        self.assertFalse(listener.getblocking())
        with socket.create_connection(listener.getsockname(), timeout=5):
            listener.settimeout(5)
            accepted, _ = listener.accept()
            self.stack.enter_context(closing(accepted))
        self.assertTrue(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    def test_takenByAnotherGateway(self) -> None:
        """A port is taken even when its owner would share it, and the error names address and port."""
        port = self.listen("127.0.0.1", 0, 2)[0].getsockname()[1]
        error = self.assertRaises(ListenError, openListeners, "127.0.0.1", port, 2)
        self.assertEqual(f"cannot listen on 127.0.0.1 port {port}: the port is taken by another program", str(error))

    def test_freeAgain(self) -> None:
        """A port whose sockets are closed can be opened at once, though a connection to it was just closed."""
        (listener,) = openListeners("127.0.0.1", 0, 1)
        address = listener.getsockname()
        client = socket.create_connection(address, timeout=5)
        listener.settimeout(5)
        listener.accept()[0].close()
        client.close()
        listener.close()
        self.listen("127.0.0.1", address[1], 2)

    def test_noSuchAddress(self) -> None:
        """An address that is not this host's is named."""
        error = self.assertRaises(ListenError, openListeners, "192.0.2.1", 0, 1)
        self.assertEqual("cannot listen on 192.0.2.1 port 0: this host has no such address", str(error))

    def test_unknownHost(self) -> None:
        """A host name that cannot be resolved is named."""
        error = self.assertRaises(ListenError, openListeners, "no host", 8000, 1)
        self.assertIn("cannot listen on no host port 8000: unknown host", str(error))

    def test_ipv6(self) -> None:
        """``::`` listens on all addresses of both families."""
        try:
            (listener,) = self.listen("::", 0, 1)
        except ListenError as error:
            self.skipTest(f"no IPv6 here: {error}")
        with socket.create_connection(("127.0.0.1", listener.getsockname()[1]), timeout=5):
            pass

    def test_near(self) -> None:
        """The sandbox takes the port that it wants, and a free one when that is taken."""
        first = self.stack.enter_context(closing(openNear("127.0.0.1", 0)))
        wanted = first.getsockname()[1]
        second = self.stack.enter_context(closing(openNear("127.0.0.1", wanted)))
        self.assertNotIn(second.getsockname()[1], (0, wanted))
        first.close()
        third = self.stack.enter_context(closing(openNear("127.0.0.1", wanted)))
        self.assertEqual(wanted, third.getsockname()[1])
