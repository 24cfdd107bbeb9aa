"""The supervisor with real processes and sockets, and a stand-in for the worker."""

from __future__ import annotations

import os
import signal

from twisted.internet.error import ConnectError
from twisted.internet.task import deferLater
from twisted.python.filepath import FilePath

from tests.process_kit import freePort
from tests.supervisor_kit import SupervisorCase
from tracseq_gateway.config import Config, Discovery, Instance, Seconds, Service


class SupervisorTests(SupervisorCase):
    """What it does, in itself and for its workers."""

    async def test_killed(self) -> None:
        """A killed worker is replaced within a second; who connects meanwhile is served by its successor."""
        await self.start()
        old = await self.who()
        os.kill(old, signal.SIGKILL)
        killed = self.reactor.seconds()
        await self.until(lambda: any("was killed by SIGKILL" in line for line in self.log()))
        self.assertEqual(0, self.supervisor.workers.running)
        waiting = await self.connect()
        new = int(await waiting.ask("who"))
        self.assertNotEqual(old, new)
        self.assertLess(self.reactor.seconds() - killed, 3.0)  # generous, for a busy machine
        self.assertEqual(1, self.supervisor.workers.restarts)

    async def test_othersServeOn(self) -> None:
        """All workers share the port, and the death of one is not noticed on a connection to another."""
        await self.start(workers=2)
        pids = await self.all(2)
        client = await self.connect()
        survivor = int(await client.ask("who"))
        (victim,) = pids - {survivor}
        os.kill(victim, signal.SIGKILL)
        await self.until(lambda: self.supervisor.workers.restarts == 1 and self.supervisor.workers.running == 2)
        self.assertEqual(survivor, int(await client.ask("who")))
        self.assertEqual(2, len(await self.all(2) - {victim}))

    async def test_drain(self) -> None:
        """A stop refuses new connections at once, lets open requests finish, and then no process is left."""
        await self.start(workers=2)
        pids = await self.all(2)
        client = await self.connect()
        self.assertEqual("held", await client.ask("hold"))
        stopped = self.stop()
        begun = self.reactor.seconds()
        while True:
            try:
                await self.connect()
            except ConnectError:  # refused, or reset when the socket closes upon us
                break
            self.assertLess(self.reactor.seconds() - begun, 5.0, "still accepted")
        self.assertNoResult(stopped)
        self.assertEqual("done", await client.ask("done"))
        await stopped
        self.assertIn("stopped: 0 requests were cut", self.log())
        for pid in pids:
            self.assertRaises(ProcessLookupError, os.kill, pid, 0)

    async def test_cut(self) -> None:
        """Requests that are open at the end of the drain are cut, and the log says how many."""
        await self.start(drain=0.2)
        client = await self.connect()
        await client.ask("hold")
        await self.stop()
        await client.gone
        self.assertIn("stopped: 1 requests were cut", self.log())

    async def test_stuck(self) -> None:
        """A worker that does not even drain is killed a second after its time, and the log says so."""
        await self.start(drain=0.1)
        os.kill(await self.who(), signal.SIGSTOP)
        await self.stop()
        self.assertIn("stopped: 0 requests were cut, and those of 1 workers that had to be killed", self.log())

    async def test_kill(self) -> None:
        """A supervisor that is told not to wait has no process left at once."""
        await self.start(drain=20.0)
        client = await self.connect()
        await client.ask("hold")
        stopped = self.stop()
        self.supervisor.kill()
        await stopped
        await client.gone

    async def test_terminatedWorker(self) -> None:
        """A worker that gets SIGTERM finishes what is open while its successor already serves."""
        await self.start()
        client = await self.connect()
        old = int(await client.ask("who"))
        await client.ask("hold")
        os.kill(old, signal.SIGTERM)
        await self.until(lambda: self.supervisor.workers.restarts == 1 and self.supervisor.workers.running == 1)
        self.assertNotEqual(old, await self.who())
        self.assertEqual("done", await client.ask("done"))

    async def test_cannotStart(self) -> None:
        """What a worker that cannot start says is in the supervisor's log, with its number and how it ended."""
        os.environ["STAND_IN"] = "crash"
        self.launch(1, 10.0, Config())
        await self.until(lambda: len(self.deaths()) == 2)
        self.assertIn("cannot start", self.log())
        self.assertEqual("worker 0 exited with status 1 before it served; starting another", self.deaths()[0])
        self.assertIn("crash 2 in a row, next start in 1 s", self.deaths()[1])
        del os.environ["STAND_IN"]
        await self.until(lambda: self.supervisor.workers.running == 1)

    async def test_variables(self) -> None:
        """Variables that are for the workers are in their environment, and not in the supervisor's own."""
        self.launch(1, 10.0, Config(), {"STAND_IN": "crash"})
        await self.until(lambda: "cannot start" in self.log())
        self.assertNotIn("STAND_IN", os.environ)

    def deaths(self) -> list[str]:
        return [line for line in self.log() if "exited with status" in line]

    async def test_health(self) -> None:
        """What the probes find reaches the workers, also one that is started later."""
        service = Service("samples", instances=(Instance(f"http://127.0.0.1:{freePort()}"),))
        await self.start(config=Config(services={"samples": service}))
        client = await self.connect()
        self.assertEqual("samples unhealthy connection refused", await client.ask("news"))
        os.kill(int(await client.ask("who")), signal.SIGKILL)
        await self.until(lambda: self.supervisor.workers.restarts == 1 and self.supervisor.workers.running == 1)
        self.assertEqual("samples unhealthy connection refused", await (await self.connect()).ask("news"))

    async def test_discovery(self) -> None:
        """Instances that are found while the gateway runs reach the workers, also one that is started later."""
        file = FilePath(self.mktemp())
        service = Service("samples", discovery=Discovery(file=file.path, interval=Seconds(0.1)))
        await self.start(config=Config(services={"samples": service}))
        client = await self.connect()
        self.assertEqual("{}", await client.ask("lists"))
        url = f"http://127.0.0.1:{freePort()}"
        file.setContent(f'["{url}"]'.encode())
        news: list[str] = []
        while news[-1:] != ["samples unhealthy connection refused"]:
            news.append(await client.ask("news"))
            await deferLater(self.reactor, 0.02)
        self.assertEqual(repr({"samples": url}), await client.ask("lists"))
        file.remove()
        os.kill(int(await client.ask("who")), signal.SIGKILL)
        await self.until(lambda: self.supervisor.workers.restarts == 1 and self.supervisor.workers.running == 1)
        client = await self.connect()
        self.assertEqual(repr({"samples": url}), await client.ask("lists"))
        self.assertEqual("samples unhealthy connection refused", await client.ask("news"))
