"""The own log of a whole gateway: by ``twistd --logger``, at levels that change while it runs."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.journal_kit import RealJournal, missing
from tests.running_kit import RunningGateway
from tracseq_gateway.own_log import JOURNAL_VARIABLE

SERVICE = '[services.samples]\nprefix = "/samples"\ninstances = ["@UPSTREAM@"]\nhealth.interval = 0.1\n'
SECRETS = {
    "AUTHENTICATION__JWT_SECRET_KEY": "jwt-s3cr3t-jwt-s3cr3t-jwt-s3cr3t-jwt",
    "TRACSEQ_IDENTITY_KEY": "identity-s3cr3t-identity-s3cr3t-identity",
}


class JournaledGateway(RunningGateway):
    """Its log is in the journal."""

    def __init__(self, journal: RealJournal) -> None:
        self.journal = journal
        logger = ("--logger", "tracseq_gateway.own_log.journald")
        super().__init__(SERVICE, {JOURNAL_VARIABLE: journal.socket}, twistd=logger)

    def said(self) -> str:
        return self.log.read_text() + "\n".join(str(one["MESSAGE"]) for one in self.entries())

    def entries(self, *matches: str) -> list[dict[str, Any]]:
        return self.journal.entries("SYSLOG_IDENTIFIER=tracseq-gateway", *matches)


class LoggerTests(SynchronousTestCase):
    def test_journald(self) -> None:
        """With the observer for the journal, supervisor and workers are in it with fields, at levels that change."""
        if missing():
            raise SkipTest(missing())
        journal = RealJournal()
        self.addCleanup(journal.stop)
        gateway = JournaledGateway(journal)
        self.addCleanup(gateway.stop)
        (entry,) = gateway.entries("TRACSEQ_NAMESPACE=tracseq_gateway.process.supervisor")
        self.assertEqual(("6", str(gateway.process.pid)), (entry["PRIORITY"], entry["_PID"]))
        self.assertNotIn("TRACSEQ_PROCESS", entry)
        self.assertTrue(gateway.entries("TRACSEQ_PROCESS=worker 1"))
        self.assertEqual(0, gateway.command("log-level", "tracseq_gateway.process.attendant", "debug")[0])
        gateway.until(lambda: gateway.entries("PRIORITY=7", "TRACSEQ_NAMESPACE=tracseq_gateway.process.attendant"))
        self.assertEqual("", gateway.log.read_text())

    def test_json(self) -> None:
        """With the observer for JSON every line of the log is an object, whoever said it."""
        gateway = RunningGateway(SERVICE, twistd=("--logger", "tracseq_gateway.own_log.json"))
        self.addCleanup(gateway.stop)
        said = [json.loads(line) for line in gateway.log.read_text().splitlines()]
        self.assertTrue([one for one in said if one["namespace"] == "tracseq_gateway.process.supervisor"])
        self.assertTrue([one for one in said if one.get("process") == "worker 0"])


class LevelTests(SynchronousTestCase):
    def test_changes(self) -> None:
        """Levels change in supervisor and workers without a restart; a reload goes back to the file, its form too."""
        gateway = RunningGateway(SERVICE)
        self.addCleanup(gateway.stop)

        def heard(text: str) -> bool:
            seen = len(gateway.said())
            gateway.until(lambda: gateway.get("/samples")[0] == 200 and len(gateway.worker_pids()) >= 2)
            return text in gateway.said()[seen:]

        self.assertFalse(heard("#debug]"))
        self.assertEqual((0, "info\n", ""), gateway.command("log-level"))
        self.assertEqual((0, "debug\n", ""), gateway.command("log-level", "debug"))
        for source in ("[tracseq_gateway.upstream.health#debug]", "[worker 0#debug]", "[worker 1#debug]"):
            gateway.until(lambda source=source: heard(source))  # type: ignore[misc]
        status, printed, _ = gateway.command("log-level", "tracseq_gateway.upstream", "error", "--json")
        expected = {"level": "debug", "levels": {"tracseq_gateway.upstream": "error"}}
        self.assertEqual((0, expected), (status, json.loads(printed)))
        status, _, complained = gateway.command("log-level", "loud")
        self.assertEqual(1, status)
        self.assertIn('"loud" is no level', complained)
        gateway.configure(SERVICE + '[log]\nlevel = "warn"\nformat = "json"\n')
        self.assertEqual(0, gateway.command("reload")[0])
        self.assertEqual((0, "warn\n", ""), gateway.command("log-level"))
        self.assertEqual(0, gateway.command("log-level", "info")[0])
        last = json.loads(gateway.said().splitlines()[-1])
        self.assertEqual(("info", "tracseq_gateway.process.log_levels"), (last["level"], last["namespace"]))

    def test_secrets(self) -> None:
        """At the lowest level there is no secret in any log: none of a request, and none of the gateway's own."""
        keys = "[log]\nlevel = 'debug'\n[access_log]\ntarget = 'stdout'\nheaders = ['Referer']\n"
        auth = "[auth]\nenabled = true\nservice = ''\nservice_key = 'service-s3cr3t'\n"
        gateway = RunningGateway(SERVICE + keys + auth, SECRETS)
        self.addCleanup(gateway.stop)
        requests: tuple[dict[str, Any], ...] = (
            {"Authorization": "Bearer s3cr3t"},
            {"Authorization": "Bearer a.b.s3cr3t"},
            {"Authorization": "Basic s3cr3t"},
            {"X_API_Key": "s3cr3t"},
            {"Cookie": "session=s3cr3t"},
            {"Referer": "http://lab/?access_token=s3cr3t"},
        )
        for fields in requests:
            self.assertEqual(401, gateway.get("/samples?token=s3cr3t", **fields)[0])
        gateway.until(lambda: gateway.said().count('"status":401') == 6)
        gateway.command("reload")
        self.assertNotIn("s3cr3t", gateway.said())
