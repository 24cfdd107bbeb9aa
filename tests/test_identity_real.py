"""Sessions as they end in the field: several workers, one Redis, and a token that dies at all of them."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from typing import Any

import jwt
from twisted.trial.unittest import SynchronousTestCase

from tests.running_kit import ROOT, RunningGateway

SECRET = "a secret for tests that is long enough for HS256"

CONFIGURATION = """
[gateway]
run_directory = "@DIRECTORY@/run"

[services.auth]
prefix = "/auth"
instances = ["@UPSTREAM@"]

[services.samples]
prefix = "/samples"
instances = ["@UPSTREAM@"]
roles = { DELETE = "lab_administrator" }

[auth]
enabled = true
service = ""
jwt = { algorithms = ["HS256"], secret_env = "TEST_SECRET", issuer = "tests", audience = "gateway" }
"""


def token(session: str = "session-1", user: str = "user-1", role: str = "guest") -> str:
    now = int(time.time())
    claims = {"sub": user, "role": role, "jti": session, "iat": now - 10, "exp": now + 600}
    return jwt.encode({**claims, "iss": "tests", "aud": "gateway"}, SECRET, "HS256")


class SessionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.gateway = RunningGateway(CONFIGURATION, {"TEST_SECRET": SECRET})
        self.addCleanup(self.gateway.stop)
        self.connections = [self.gateway.connect() for _ in range(16)]
        for connection in self.connections:
            self.addCleanup(connection.close)

    def ask(self, connection: http.client.HTTPConnection, bearer: str, path: str = "/samples/1") -> int:
        connection.request("GET", path, headers={"Authorization": f"Bearer {bearer}"})
        answer = connection.getresponse()
        answer.read()
        return answer.status

    def statuses(self, bearer: str) -> set[int]:
        """What all connections get, which lie on all workers."""
        return {self.ask(connection, bearer) for connection in self.connections}

    def revoke(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the operator's command."""
        program = "import sys; from tracseq_gateway.cli import main; sys.exit(main())"
        command = [sys.executable, "-c", program, "revoke", *arguments]
        command += ["--config", str(self.gateway.directory / "gateway.toml"), "--port", str(self.gateway.port)]
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=20)

    def test_revoked_by_hand(self) -> None:
        """A session that the operator ends is refused by every worker within a second, and no other one is."""
        first, second = token("session-1"), token("session-2", "user-2")
        self.assertEqual((self.statuses(first), self.statuses(second)), ({200}, {200}))
        done = self.revoke("--session", "session-1")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertLess(self.gateway.until(lambda: self.statuses(first) == {401}), 1.0)
        self.assertEqual(self.statuses(second), {200})
        done = self.revoke("--user", "user-2")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertLess(self.gateway.until(lambda: self.statuses(second) == {401}), 1.0)

    def test_survives_redis_and_workers(self) -> None:
        """What was revoked stays revoked when Redis is lost, and for a worker that is started later."""
        bearer = token()
        self.assertEqual(self.statuses(bearer), {200})
        self.assertEqual(self.revoke("--session", "session-1").returncode, 0)
        self.gateway.until(lambda: self.statuses(bearer) == {401})
        os.kill(self.gateway.redis_pid(), signal.SIGKILL)
        self.gateway.until(lambda: self.gateway.log.read_text().count("embedded Redis serves") == 2)
        self.assertEqual(self.statuses(bearer), {401})
        shared = self.gateway.until(lambda: self.gateway.get("/health")[1]["sessions"] == "shared")
        self.assertLess(shared, 5.0)
        os.kill(self.gateway.worker_pids()[0], signal.SIGKILL)
        self.gateway.until(lambda: len(self.gateway.worker_pids()) == 3)
        for _ in range(12):
            answer: Any = self.gateway.get("/samples/1", Authorization=f"Bearer {bearer}")
            self.assertEqual(answer[0], 401)


class LogoutTests(SynchronousTestCase):
    def test_logout(self) -> None:
        """Who logs out through one worker is refused by all of them within a second; a failed log-out ends nothing."""
        configuration = CONFIGURATION.replace('service = ""', 'service = "auth"\nvalidate_path = "/validate"')
        configuration += 'when_service_is_down = "local"\n'  # the echo does not keep the Auth Service's contract
        gateway = RunningGateway(configuration, {"TEST_SECRET": SECRET})
        self.addCleanup(gateway.stop)
        connections = [gateway.connect() for _ in range(12)]
        for connection in connections:
            self.addCleanup(connection.close)

        def statuses() -> set[int]:
            found = set()
            for connection in connections:
                connection.request("GET", "/samples/1", headers={"Authorization": f"Bearer {bearer}"})
                answer = connection.getresponse()
                answer.read()
                found.add(answer.status)
            return found

        bearer = token()
        self.assertEqual(statuses(), {200})
        said = f"Bearer {bearer}"
        self.assertEqual(gateway.get("/auth/logout", "POST", Authorization=said, X_Answer_With="500")[0], 500)
        self.assertEqual(statuses(), {200})
        self.assertEqual(gateway.get("/auth/logout", "POST", Authorization=said)[0], 200)
        self.assertLess(gateway.until(lambda: statuses() == {401}), 1.0)
