"""``tracseq-gateway revoke``, as a process of its own, with real servers."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from twisted.internet.utils import getProcessOutputAndValue

from tests.config_files import ROOT, SERVICE
from tests.redis_kit import RedisTestCase
from tracseq_gateway.config import Redis
from tracseq_gateway.identity.revocations import Revocations
from tracseq_gateway.redis.control import RedisControl

COMMAND = "import sys; from tracseq_gateway.cli import main; sys.exit(main(['revoke', *sys.argv[1:]]))"


class RevokeTests(RedisTestCase):
    async def run_command(self, *arguments: str) -> tuple[int, str, str]:
        """Return the exit status, what was printed and what was complained of."""
        command = ["-c", COMMAND, *arguments]
        printed, complained, status = await getProcessOutputAndValue(sys.executable, command, self.environ())
        return status, printed.decode(), complained.decode()

    def environ(self) -> dict[str, str]:
        """An environment without a gateway's run directory, and without the settings of who runs the tests."""
        directory = os.path.abspath(self.mktemp())
        os.makedirs(directory)
        return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TMPDIR": directory}

    def config(self, text: str) -> str:
        file: str = self.mktemp()
        Path(file).write_text(SERVICE + text)
        return os.path.abspath(file)

    async def worker(self, url: str) -> Revocations:
        """What one worker knows, once it hears the others."""
        control = RedisControl(self.reactor, Redis(url=url))
        self.addCleanup(control.stop)
        control.start()
        worker = Revocations(control, "tracseq:ratelimit", self.reactor, time.time, 86400.0)
        self.addCleanup(worker.stop)
        worker.start()
        await self.until(lambda: worker.shared)
        return worker

    async def test_session(self) -> None:
        """Every worker hears at once that a session is revoked, and the command says how many did."""
        redis = self.server()
        workers = [await self.worker(redis.url) for _ in range(2)]
        file = self.config(f'[redis]\nurl = "{redis.url}"\n')
        done = await self.run_command("--session", "s-1", "--config", file)
        self.assertEqual((0, "session s-1 is revoked: 2 workers heard it\n", ""), done)
        await self.until(lambda: all(worker.is_revoked("s-1", "", None) for worker in workers), 1.0)

    async def test_embedded(self) -> None:
        """The embedded Redis is found in the run directory of the configuration."""
        redis = self.server()
        worker = await self.worker(redis.url)
        file = self.config(f'[gateway]\nrun_directory = "{redis.directory}"\n')
        done = await self.run_command("--user", "u-1", "-c", file)
        self.assertEqual((0, "user u-1 is revoked: 1 worker heard it\n", ""), done)
        await self.until(lambda: worker.is_revoked("", "u-1", time.time() - 1), 1.0)

    async def test_json(self) -> None:
        """For a program, what was revoked and by how many it was heard, or why it was not."""
        redis = self.server()
        file = self.config(f'[redis]\nurl = "{redis.url}"\n')
        status, printed, _ = await self.run_command("--session", "s-1", "--config", file, "--json")
        self.assertEqual((0, {"kind": "session", "name": "s-1", "workers": 0}), (status, json.loads(printed)))
        status, printed, complained = await self.run_command("--session", "a\nb", "--config", file, "--json")
        self.assertEqual((1, ""), (status, complained))
        self.assertIn("--session: not an id", json.loads(printed)["error"])
        file = self.config("[redis]\nurl = 7\n")
        status, printed, _ = await self.run_command("--session", "a", "--config", file, "--json")
        self.assertEqual((1, True), (status, ":5: redis.url: " in json.loads(printed)["error"]))

    async def test_unreachable(self) -> None:
        """Without a Redis the status is 1, and what is said names where it was looked for, without a password."""
        file = self.config('[redis]\nurl = "redis://:sesame@127.0.0.1:1"\n')
        status, printed, complained = await self.run_command("--user", "u-1", "--config", file)
        self.assertEqual((1, ""), (status, printed))
        self.assertRegex(complained, r"^tracseq-gateway revoke: redis://127\.0\.0\.1:1 gave no answer, so nothing is ")
        self.assertNotIn("sesame", complained)
        status, _, complained = await self.run_command("--user", "u-1", "--port", "8123")
        self.assertEqual(1, status)
        self.assertRegex(complained, r"revoke: unix:///.*/tracseq-gateway-8123/redis\.sock gave no answer")

    async def test_refused(self) -> None:
        """A Redis that refuses is an error in its own words."""
        redis = self.server("--maxmemory", "1", "--maxmemory-policy", "noeviction")
        file = self.config(f'[redis]\nurl = "{redis.url}"\n')
        status, printed, complained = await self.run_command("--session", "s-1", "--config", file)
        self.assertEqual((1, ""), (status, printed))
        self.assertRegex(complained, r"refused, so nothing is revoked: OOM ")

    async def test_usage(self) -> None:
        """A session or a user must be named, one of both; an id that is none and a bad configuration are errors."""
        for arguments in ((), ("--session", "s", "--user", "u"), ("--session",)):
            self.assertEqual(2, (await self.run_command(*arguments))[0])
        status, _, complained = await self.run_command("--session", "a\nb")
        self.assertEqual(1, status)
        self.assertIn("revoke: --session: not an id", complained)
        status, _, complained = await self.run_command("--session", "a", "--config", self.config("[redis]\nurl = 7\n"))
        self.assertEqual(1, status)
        self.assertIn(":5: redis.url: ", complained)
