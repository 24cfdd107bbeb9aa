"""WebSockets through a whole gateway, to a service of another make, by clients of others."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.process_kit import freePort
from tests.running_kit import ROOT, RunningGateway

CONFIGURATION = """
[gateway]
drain_seconds = 3
[services.live]
prefix = "/"
rewrite = ""
instances = ["http://127.0.0.1:{port}"]
health = {{ interval = 0 }}
[rate_limit]
enabled = false
"""
KOSOKU = (sys.executable, "-c", "import sys; from kosoku._cli import main; sys.exit(main())")
SLOW_CASES = ("9.*", "12.*", "13.*")
"""Autobahn's cases of long messages and of compression, which take minutes and say nothing about what is between."""


class WebSocketTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.port = freePort()
        self.echo = subprocess.Popen([sys.executable, "-m", "tests.websocket_echo", str(self.port)], cwd=ROOT)
        self.addCleanup(self.echo.wait)
        self.addCleanup(self.echo.kill)
        self.gateway = RunningGateway(CONFIGURATION.format(port=self.port))
        self.addCleanup(self.gateway.stop)
        self.gateway.until(self.opens)

    def opens(self) -> bool:
        try:
            with self.connect():
                return True
        except Exception:  # refused, as long as the service starts
            return False

    def connect(self) -> AbstractContextManager[ClientConnection]:
        return connect(f"ws://127.0.0.1:{self.gateway.port}/live", ping_interval=None)

    def echoed(self, client: ClientConnection, message: str | bytes) -> bool:
        client.send(message)
        return client.recv(timeout=5) == message

    def closed(self, client: ClientConnection) -> int | None:
        """The status with which the other side closes."""
        try:
            client.recv(timeout=8)
        except ConnectionClosed as end:
            return end.rcvd.code if end.rcvd is not None else None
        raise AssertionError("a message instead of a close")

    def test_messages(self) -> None:
        """Texts, bytes and long messages come back as they were sent, compressed or not."""
        with self.connect() as client:
            for message in ("ein Ä", b"\x00\xff", "x" * 300_000, b"y" * 1_000_000):
                self.assertTrue(self.echoed(client, message))

    def test_reload(self) -> None:
        """A reload cuts no WebSocket before the time to drain is over; then its client is told to go (1001)."""
        old = self.enterContext(self.connect())
        status, _, complained = self.gateway.command("reload")
        self.assertEqual(status, 0, complained)
        self.assertTrue(self.echoed(old, "after the reload"))
        with self.connect() as new:
            self.assertEqual(self.closed(old), 1001)
            self.assertTrue(self.echoed(new, "still here"))

    def test_stop(self) -> None:
        """A stop tells every client at once."""
        client = self.enterContext(self.connect())
        self.gateway.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.closed(client), 1001)

    def test_conformance(self) -> None:
        """Autobahn's cases come out through the gateway as they do directly, each of them."""
        direct, through = self.outcomes(self.port), self.outcomes(self.gateway.port)
        self.assertGreater(len(direct), 200)
        self.assertEqual(through, direct)

    def outcomes(self, port: int) -> dict[str, tuple[str, str]]:
        with tempfile.TemporaryDirectory() as directory:
            excluded = [word for case in SLOW_CASES for word in ("-x", case)]
            command = [*KOSOKU, *excluded, "-p", "8", "-o", directory, f"127.0.0.1:{port}"]
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)
            found: dict[str, tuple[str, str]] = {}
            for file in Path(directory).glob("index*.json"):
                for cases in json.loads(file.read_text()).values():
                    found |= {case: (told["behavior"], told["behaviorClose"]) for case, told in cases.items()}
            return found
