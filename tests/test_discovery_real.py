"""A running gateway whose instances are swapped under load, and name servers that hang."""

from __future__ import annotations

import json
import os
import threading
import time
from random import Random
from typing import Any, cast

from twisted.internet.task import deferLater
from twisted.names.dns import Record_A
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.discovery_kit import NameServer
from tests.running_kit import EchoService, RunningGateway
from tracseq_gateway.config import Discovery, Instance, Seconds
from tracseq_gateway.discovery.names import Names
from tracseq_gateway.discovery.watcher import Tools, Watcher
from tracseq_gateway.discovery.watchers import sources

CONFIGURATION = """
[services.echo]
prefix = "/echo"
rewrite = ""
instances = ["@UPSTREAM@"]
health.path = "/"
discovery = { file = "@DIRECTORY@/instances.json", interval = 0.2 }
"""


class SwapTests(SynchronousTestCase):
    """Instances that a file lists, replaced while clients ask."""

    def setUp(self) -> None:
        self.gateway = RunningGateway(CONFIGURATION)
        self.addCleanup(self.gateway.stop)
        self.others = [EchoService() for _ in range(3)]
        for other in self.others:
            self.addCleanup(other.stop)
        self.ending = threading.Event()
        self.statuses: list[object] = []

    def swap(self, *services: EchoService) -> None:
        """Replace the file by one with these instances."""
        directory = self.gateway.directory
        new = directory / "new.json"
        new.write_text(json.dumps({"instances": [url(service) for service in services]}))
        os.rename(new, directory / "instances.json")

    def shown(self) -> set[str]:
        """The instances that the status page shows."""
        _, document = self.gateway.get("/health/services")
        return {instance["url"] for instance in document["services"]["echo"]["instances"]}

    def ask(self, number: int) -> None:
        """One client: requests without a pause, on one connection."""
        connection = self.gateway.connect()
        try:
            while not self.ending.is_set():
                method, body = ("POST", b"x" * 20_000) if number % 2 else ("GET", None)
                try:
                    connection.request(method, f"/echo/{number}", body)
                    answer = connection.getresponse()
                    echoed = json.loads(answer.read())
                    right = echoed["size"] == len(body or b"") and echoed["path"] == f"/{number}"
                    self.statuses.append(answer.status if right else "another's answer")
                except Exception as error:  # whatever it is, the client saw it
                    self.statuses.append(repr(error))
                    return
        finally:
            connection.close()

    def test_underLoad(self) -> None:
        """No request fails while instances come and go, in both workers, and what is shown follows the file."""
        self.assertEqual({url(self.gateway.service)}, self.shown())
        clients = [threading.Thread(target=self.ask, args=(number,)) for number in range(6)]
        for client in clients:
            client.start()
        try:
            one, two, three = self.others
            for services in ((one,), (two, three), (one, two), (three,), (one, two, three), (two,)):
                self.swap(*services)
                expected = {url(service) for service in services}
                for _ in range(4):  # whichever worker answers
                    self.gateway.until(lambda: self.shown() == expected)  # noqa: B023
        finally:
            self.ending.set()
            for client in clients:
                client.join()
        self.assertGreater(len(self.statuses), 100)
        self.assertEqual({200}, set(self.statuses))

    def test_rubbish(self) -> None:
        """A file that holds rubbish, or is gone, changes nothing, and one line of the log says so."""
        one = self.others[0]
        self.swap(one)
        self.gateway.until(lambda: self.shown() == {url(one)})
        file = self.gateway.directory / "instances.json"
        file.write_text('{"instances": ["http://0.0.0.0:80"]}')
        self.gateway.until(lambda: "cannot be connected to" in self.gateway.log.read_text())
        file.unlink()
        time.sleep(0.5)
        self.assertEqual({url(one)}, self.shown())
        self.assertEqual(200, self.gateway.get("/echo/x")[0])
        # Once before there was a file, and once for all that came to pass since.
        self.assertEqual(2, self.gateway.log.read_text().count("its instances stay as they are"))
        self.swap(self.others[1])
        self.gateway.until(lambda: self.shown() == {url(self.others[1])})
        self.assertIn("answers again", self.gateway.log.read_text())


def url(service: EchoService) -> str:
    return f"http://127.0.0.1:{service.port}"


class HangingResolverTests(TestCase):
    """DNS that vanishes, changes, gives useless addresses and hangs, on a real reactor."""

    timeout = 30

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.server = NameServer(reactor)
        self.addCleanup(self.server.stop)
        self.told: list[tuple[Instance, ...]] = []
        names = Names(reactor, lambda: [("127.0.0.1", self.server.port)], self.mktemp())
        settings = Discovery(dns="samples.internal", port=80, interval=Seconds(0.1), timeout=Seconds(1.0))
        source = sources(reactor, cast(Any, None), names)(settings, False)
        tools = Tools(self.reactor, lambda service, found: self.told.append(found), Random(7))
        self.watcher = Watcher("samples", source, settings, tools)
        self.addCleanup(self.watcher.stop)
        self.lags: list[float] = []

    def list(self, *addresses: str) -> None:
        self.server.records["samples.internal"] = [Record_A(address) for address in addresses]

    async def looked(self, count: int = 2) -> None:
        """Wait until the name server was asked so many times more."""
        asked = len(self.server.asked)
        while len(self.server.asked) < asked + 2 * count:
            await deferLater(self.reactor, 0.01)

    def tick(self) -> None:
        """Measure how late the reactor runs, every five milliseconds."""
        due = self.reactor.seconds() + 0.005

        def tock() -> None:
            self.lags.append(self.reactor.seconds() - due)
            self.tick()

        self.ticking = self.reactor.callLater(0.005, tock)

    async def test_faults(self) -> None:
        """The last good answer holds through all of it, and the reactor is never blocked."""
        first, second = (Instance("http://10.0.0.1:80"),), (Instance("http://10.0.0.2:80"),)
        self.list("10.0.0.1")
        self.watcher.start()
        await self.looked()
        del self.server.records["samples.internal"]
        await self.looked()
        self.list("0.0.0.0", "224.0.0.1")
        await self.looked()
        self.assertEqual([first], self.told)
        self.server.mood = "silent"
        self.tick()
        began = self.reactor.seconds()
        await self.looked(5)
        hung = self.reactor.seconds() - began
        self.ticking.cancel()
        self.assertEqual([first], self.told)
        self.server.mood = "answers"
        self.list("10.0.0.2")
        while len(self.told) < 2:
            await deferLater(self.reactor, 0.01)
        self.assertEqual([first, second], self.told)
        self.assertGreater(hung, 1.0)
        self.assertLess(sorted(self.lags)[len(self.lags) * 9 // 10], 0.05)
        self.assertLess(max(self.lags), 0.5)  # far below what it hung, with room for a busy machine
