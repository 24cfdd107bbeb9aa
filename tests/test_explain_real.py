"""``tracseq-gateway explain`` of a gateway in processes of its own, with its own Redis and a service behind it."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import jwt
from twisted.trial.unittest import SynchronousTestCase

from tests.explain_kit import comparable
from tests.running_kit import RunningGateway
from tests.token_kit import SECRET, VARIABLE

CONFIGURATION = """
[services.samples]
prefix = "/samples"
instances = ["@UPSTREAM@"]
roles = { DELETE = "lab_administrator" }
rate_limit = { requests_per_minute = 1, burst = 3 }

[auth]
enabled = true
service = ""

[rate_limit]
enabled = true
"""


class RealTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.gateway = RunningGateway(CONFIGURATION, {VARIABLE: SECRET}, workers=2)
        self.addCleanup(self.gateway.stop)
        content = {"sub": "u-1", "role": "lab_technician", "jti": "s-1", "exp": 4_000_000_000}
        self.token = jwt.encode(content, SECRET, "HS256")
        self.file = self.gateway.directory / "token"
        self.file.write_text(self.token + "\n")

    def test_as_it_then_is(self) -> None:
        """The request fares as was said: passed on with these lines to this instance, until its rate is used up."""
        self.gateway.until(lambda: self.left() == 3)  # its workers have found Redis
        for left in (3, 2, 1):
            status, said = self.explain("GET", "/samples/7?full=1", "--token-file", str(self.file), "-H", "X-A: b")
            self.assertEqual((0, "passed", left), (status, said["outcome"], left_by(said)))
            connection = self.gateway.connect()
            fields = {"Host": "localhost", "X-A": "b", "Authorization": f"Bearer {self.token}"}
            connection.putrequest("GET", "/samples/7?full=1", skip_host=True, skip_accept_encoding=True)
            for name, value in fields.items():
                connection.putheader(name, value)
            connection.endheaders()
            answer = json.loads(connection.getresponse().read())
            connection.close()
            received = [
                f"GET {answer['path']} HTTP/1.1",
                *(f"{name}: {value}" for name, value in answer["fields"].items()),
            ]
            self.assertEqual(sorted(comparable(received)), sorted(comparable(said["upstream"]["head"])))
        status, said = self.explain("GET", "/samples/7", "--token-file", str(self.file))
        self.assertEqual((1, "quota-exceeded"), (status, said["answer"]["error"]))
        self.assertEqual(429, self.gateway.get("/samples/7", Authorization=f"Bearer {self.token}")[0])

    def test_text(self) -> None:
        """People get a report of a screen or two; the token is neither in it nor in the log. What cannot be asked has
        status 2, as has a worker that there is not."""
        status, printed, complained = self.gateway.command(
            "explain", "DELETE", "/samples/7", "--token-file", str(self.file), "--worker", "1"
        )
        self.assertEqual((1, ""), (status, complained))
        lines = printed.splitlines()
        self.assertEqual("DELETE /samples/7 from 127.0.0.1", lines[0])
        self.assertEqual("would be refused with 403 (forbidden)", lines[1])
        self.assertRegex(lines[2], r"as worker 1 \(pid \d+\) sees it now; nothing was sent or charged")
        self.assertIn("user u-1, lab_technician: the role lab_administrator is needed", printed)
        self.assertIn("  HTTP/1.1 403 Forbidden", lines)
        self.assertNotIn(self.token, printed + self.gateway.log.read_text())
        [socket] = Path(self.gateway.directory).glob("*/control.sock")
        self.assertEqual(0o600, stat.S_IMODE(os.stat(socket).st_mode))

        for words, why in (
            (("--from", "nowhere"), "is no IP address"),
            (("--worker", "7"), "no worker 7 serves"),
            (("--token-file", "/nowhere/token"), "--token-file: /nowhere/token cannot be read"),
        ):
            status, printed, complained = self.gateway.command("explain", "GET", "/samples", *words)
            self.assertEqual((2, ""), (status, printed))
            self.assertIn(why, complained)

    def explain(self, *words: str) -> tuple[int, dict[str, Any]]:
        status, printed, complained = self.gateway.command("explain", *words, "--json")
        self.assertEqual("", complained)
        said: dict[str, Any] = json.loads(printed)
        return status, said

    def left(self) -> int | None:
        _, said = self.explain("GET", "/samples/7", "--token-file", str(self.file))
        return left_by(said)


def left_by(said: dict[str, Any]) -> int | None:
    """How many requests the caller has left, as all workers count; None while they do not."""
    [limits] = [step for step in said["steps"] if step["name"] == "limits"]
    shared = any(line.startswith("all workers together count") for line in limits["lines"])
    return int(limits["facts"]["limits"][0]["left"]) if shared else None
