"""The sandbox as a child: its sockets, its configuration, and its life. The real one has tests of its own."""

from __future__ import annotations

import socket
from typing import cast

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.process_kit import FakeProcess, FakeReactor
from tracseq_gateway.config import Config, Instance, Service
from tracseq_gateway.process.reactor import IReactor
from tracseq_gateway.process.sandbox_process import LIFETIME_FD, SandboxProcess, standIn


class StandInTests(SynchronousTestCase):
    """``standIn``."""

    def test_replaced(self) -> None:
        """The sandbox takes the place of the services of its names; others stay, and so does all else."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            samples = Service("samples", prefix="/lab/samples", instances=(Instance("http://a"), Instance("http://b")))
            other = Service("reports", instances=(Instance("http://c"),))
            config = Config(services={"samples": samples, "reports": other})
            replaced = standIn(config, {"samples": listener, "auth": listener})
        here = evolve(samples, instances=(Instance(f"http://127.0.0.1:{port}"),))
        self.assertEqual(Config(services={"samples": here, "reports": other}), replaced)


class SandboxProcessTests(SynchronousTestCase):
    """``SandboxProcess`` without a process."""

    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.sockets = {"auth": socket.socket(), "rag": socket.socket()}
        self.sandbox = SandboxProcess(self.reactor.typed, "/data", self.sockets, ("sandbox",))

    def start(self) -> FakeProcess:
        self.sandbox.start()
        (child,) = self.reactor.spawned
        return child

    def end(self, child: FakeProcess) -> None:
        """Stop, and let the child go."""
        gone = self.sandbox.stop()
        child.exit(0)
        self.successResultOf(gone)

    def test_handover(self) -> None:
        """The child is told its data folder, a descriptor for each service, and one that ends with us."""
        child = self.start()
        self.assertEqual(
            ["sandbox", "--data", "/data", "--lifetime", "3", "--socket", "auth=4", "--socket", "rag=5"], child.args
        )
        self.assertEqual(
            [self.sockets["auth"].fileno(), self.sockets["rag"].fileno()], [child.files[4], child.files[5]]
        )
        self.assertIn(LIFETIME_FD, child.files)
        self.end(child)

    def test_stop(self) -> None:
        """A stop closes the sockets, and is over when the child is gone."""
        child = self.start()
        gone = self.sandbox.stop()
        self.assertEqual([-1, -1], [listener.fileno() for listener in self.sockets.values()])
        self.assertNoResult(gone)
        child.exit(0)
        self.successResultOf(gone)
        self.assertEqual(([], []), (child.signals, self.reactor.getDelayedCalls()))

    def test_stuck(self) -> None:
        """A child that does not leave within half a second is killed."""
        child = self.start()
        gone = self.sandbox.stop()
        self.reactor.advance(0.5)
        self.assertEqual(["KILL"], child.signals)
        child.exit(signal=9)
        self.successResultOf(gone)

    def test_crash(self) -> None:
        """A child that dies is followed by another, at once and then after pauses; a stop does not wait for one."""
        self.start().exit(1)
        self.reactor.advance(0.0)
        self.reactor.spawned[-1].exit(1)
        self.reactor.advance(0.9)
        self.assertEqual(2, len(self.reactor.spawned))
        self.successResultOf(self.sandbox.stop())
        self.reactor.advance(10.0)
        self.assertEqual(2, len(self.reactor.spawned))


class LifetimeTests(TestCase):
    """``SandboxProcess`` with a process."""

    timeout = 20

    async def test_lifetime(self) -> None:
        """A child that watches the lifetime descriptor is told by its end that it has to leave."""
        from twisted.internet import reactor

        watches = ("sh", "-c", f"cat <&{LIFETIME_FD}; echo left >&2")
        sandbox = SandboxProcess(cast(IReactor, reactor), "/data", {}, watches)
        killed: list[None] = []
        self.patch(sandbox, "kill", lambda: killed.append(None))
        sandbox.start()
        await sandbox.stop()
        self.assertEqual([], killed)
