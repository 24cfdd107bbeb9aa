"""What one worker finds out about a service, in a whole gateway: the others act on it, and those that come later."""

from __future__ import annotations

import json
import os
import signal

from twisted.trial.unittest import SynchronousTestCase

from tests.process_kit import freePort
from tests.running_kit import RunningGateway

CONFIGURATION = """
[defaults]
health = {{ interval = 0 }}
auth = "none"

[services.half]
prefix = "/half"
instances = ["@UPSTREAM@", "http://127.0.0.1:{dead}"]

[services.dead]
prefix = "/dead"
instances = ["http://127.0.0.1:{dead}"]
"""


class SharedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.gateway = RunningGateway(CONFIGURATION.format(dead=freePort()), workers=2)
        self.addCleanup(self.gateway.stop)

    def everywhere(self, service: str, member: str) -> set[str]:
        """What workers show of a service, on connections of their own: by 24 of them, all are asked."""
        shown = set()
        for _ in range(24):
            status, document = self.gateway.get("/health/services")
            self.assertEqual(status, 200)
            shown.add(json.dumps(document["services"][service][member]))
        return shown

    def ejected(self) -> set[str]:
        return {
            json.dumps([instance["ejected"] for instance in json.loads(instances)])
            for instances in self.everywhere("half", "instances")
        }

    def test_shared(self) -> None:
        """One connection fails five times: all workers know, no client noticed, and the log says it once."""
        connection = self.gateway.connect()
        for _ in range(20):
            connection.request("GET", "/half/x")
            answer = connection.getresponse()
            answer.read()
            self.assertEqual(answer.status, 200)
        statuses = []
        for _ in range(8):
            connection.request("GET", "/dead/x")
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
        connection.close()
        self.assertEqual(statuses, [502] * 5 + [503] * 3)
        self.gateway.until(lambda: self.ejected() == {"[false, true]"}, 2.0)
        self.gateway.until(lambda: self.everywhere("dead", "circuit") == {'"open"'}, 2.0)
        self.assertEqual({self.gateway.get("/dead/x")[0] for _ in range(12)}, {503})
        log = self.gateway.log.read_text()
        self.assertEqual((log.count("is ejected for 30 s"), log.count("the circuit is open for 60 s")), (1, 1))
        for pid in self.gateway.worker_pids():
            os.kill(pid, signal.SIGKILL)
        self.gateway.until(lambda: self.gateway.log.read_text().count(" serves (pid ") == 4)
        self.assertEqual((self.ejected(), self.everywhere("dead", "circuit")), ({"[false, true]"}, {'"open"'}))
