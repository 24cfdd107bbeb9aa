"""Sessions end everywhere: what they opened at any worker is closed within a moment."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack

from twisted.trial.unittest import SynchronousTestCase
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import ServerConnection, serve

from tests.running_kit import RunningGateway
from tests.test_identity_real import SECRET, token

CONFIGURATION = """
[gateway]
run_directory = "@DIRECTORY@/run"
[services.live]
prefix = "/live"
rewrite = ""
instances = ["http://127.0.0.1:{port}"]
health = {{ interval = 0 }}
[auth]
enabled = true
service = ""
jwt = {{ algorithms = ["HS256"], secret_env = "TEST_SECRET", issuer = "tests", audience = "gateway" }}
[rate_limit]
enabled = false
"""


def echo(connection: ServerConnection) -> None:
    try:
        for message in connection:
            connection.send(message)
    except ConnectionClosed:
        pass  # without a Close of its own, as from whoever may no longer


class SessionTests(SynchronousTestCase):
    def setUp(self) -> None:
        service = serve(echo, "127.0.0.1", 0)
        serving = threading.Thread(target=service.serve_forever, daemon=True)
        serving.start()
        self.addCleanup(serving.join, 5)
        self.addCleanup(service.shutdown)
        port = service.socket.getsockname()[1]
        self.gateway = RunningGateway(CONFIGURATION.format(port=port), {"TEST_SECRET": SECRET})
        self.addCleanup(self.gateway.stop)
        self.opened = ExitStack()
        self.addCleanup(self.opened.close)

    def open(self, bearer: str) -> ClientConnection:
        url = f"ws://127.0.0.1:{self.gateway.port}/live?access_token={bearer}"
        return self.opened.enter_context(connect(url, ping_interval=None))

    def closed(self, client: ClientConnection) -> tuple[int, str] | None:
        """With which status the gateway closes, and why."""
        try:
            client.recv(timeout=5)
        except ConnectionClosed as end:
            return (end.rcvd.code, end.rcvd.reason) if end.rcvd is not None else None
        raise AssertionError("a message instead of a close")

    def test_revoked(self) -> None:
        """A session that is ended loses its WebSockets at all workers within a second or two, and no other one does."""
        lost = [self.open(token("session-1")) for _ in range(12)]
        kept = [self.open(token("session-2")) for _ in range(12)]
        begun = time.monotonic()
        status, _, complained = self.gateway.command("revoke", "--session", "session-1")
        self.assertEqual(status, 0, complained)
        self.assertEqual([self.closed(one) for one in lost], [(1008, "the session has ended")] * 12)
        self.assertLess(time.monotonic() - begun, 3.0)  # the command's own start among it
        for one in kept:
            one.send("still here")
            self.assertEqual(one.recv(timeout=5), "still here")
