"""The supervisor's reload, with real processes and a stand-in for the worker."""

from __future__ import annotations

from attrs import evolve
from twisted.internet.task import deferLater
from twisted.python.filepath import FilePath

from tests.process_kit import freePort
from tests.supervisor_kit import Client, SupervisorCase
from tracseq_gateway.config import Config, Discovery, Instance, RateLimiting, Seconds, Service
from tracseq_gateway.process.configured import Configured
from tracseq_gateway.process.reload_report import Reloaded


class ReloadTests(SupervisorCase):
    """``Supervisor.reload``."""

    async def test_reload(self) -> None:
        """A reload replaces all workers; who holds a connection to an old one keeps it."""
        await self.start(workers=2)
        old = await self.all(2)
        client = await self.connect()
        await client.ask("hold")
        config = evolve(self.next.config, services={"rag": Service("rag", "/rag")})
        self.next = Configured(config, warnings=("a warning",))
        reloaded = await self.supervisor.reload()
        self.assertEqual(Reloaded(True, ("services.rag: added",), ("a warning",)), reloaded)
        while await self.who() in old:  # it takes them a moment to hear of it
            await deferLater(self.reactor, 0.01)
        self.assertEqual(2, len(await self.all(2)))
        self.assertEqual("done", await client.ask("done"))
        self.assertEqual(0, self.supervisor.workers.restarts)
        self.assertIn("reload: services.rag: added", self.log())

    async def test_reloadRefused(self) -> None:
        """What cannot be loaded, or served, changes nothing, and it is said why."""
        await self.start()
        worker = await self.who()
        self.refused = ["file:1: no", "file:2: nor this"]
        self.assertEqual(Reloaded(False, problems=tuple(self.refused)), await self.supervisor.reload())
        self.refused = []
        limited = evolve(self.next.config, rate_limit=RateLimiting(enabled=True))
        for wanted, why in (
            (Configured(self.next.config, {"STAND_IN": "crash"}), "worker 0 exited with status 1 before it served"),
            (Configured(limited), "there is no server to start"),
        ):
            self.next = wanted
            reloaded = await self.supervisor.reload()
            problem = f"workers with the new configuration cannot be had: {why}"
            self.assertEqual(Reloaded(False, problems=(problem,)), reloaded)
            self.assertIn(f"reload: {problem}", self.log())
        self.assertEqual(worker, await self.who())

    async def test_reloadsCollapse(self) -> None:
        """All who ask during a reload get one further, and one that is asked for during a stop is refused."""
        await self.start()
        asked = [self.supervisor.reload() for _ in range(5)]
        self.assertEqual([Reloaded(True)] * 5, [await one for one in asked])
        self.assertEqual(2, sum(line.startswith("reloaded") for line in self.log()))
        late = self.supervisor.reload()
        await self.stop()
        refused = Reloaded(False, problems=("workers with the new configuration cannot be had: the gateway stops",))
        self.assertEqual(refused, await late)
        self.assertFalse((await self.supervisor.reload()).accepted)

    async def test_discovered(self) -> None:
        """What was discovered holds for the new workers, even if it is not found again, unless they look elsewhere."""
        url, file = f"http://127.0.0.1:{freePort()}", FilePath(self.mktemp())
        file.setContent(f'["{url}"]'.encode())
        service = Service("samples", discovery=Discovery(file=file.path, interval=Seconds(0.1)))
        await self.start(config=Config(services={"samples": service}))
        client = await self.connect()
        while await client.ask("news") != "samples unhealthy connection refused":
            await deferLater(self.reactor, 0.02)
        file.remove()
        old = await self.who()
        self.assertEqual(Reloaded(True), await self.supervisor.reload())
        client = await self.successor(old)
        self.assertEqual(repr({"samples": url}), await client.ask("lists"))
        self.assertEqual("samples unhealthy connection refused", await client.ask("news"))
        fixed = Service("samples", instances=(Instance(url),))
        self.next = Configured(evolve(self.next.config, services={"samples": fixed}))
        old = await self.who()
        self.assertTrue((await self.supervisor.reload()).accepted)
        client = await self.successor(old)
        self.assertEqual("{}", await client.ask("lists"))
        self.assertEqual("samples unhealthy connection refused", await client.ask("news"))

    async def successor(self, old: int) -> Client:
        """A connection to the worker that follows ``old``."""
        while True:
            client = await self.connect()
            if int(await client.ask("who")) != old:
                return client
            await deferLater(self.reactor, 0.01)
