"""The fault kit itself: injector, instances, load, books and statistics. The scenarios are run by ``make faults``."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.certificate_kit import Authority
from tests.faults.asked import Asked, Told, between
from tests.faults.bodies import body_of
from tests.faults.control import Child, ChildError
from tests.faults.figures import at_least, at_most, milliseconds, none, percentile, worst
from tests.faults.injector import listening
from tests.faults.instance import Seen
from tests.faults.ledger import compare
from tests.faults.resp import Replies
from tests.faults.scenarios import NOT_YET, SCENARIOS
from tests.faults.setup import Setup, configuration
from tests.faults.soak import FAULTS, soak
from tests.faults.tampering import Tampering
from tracseq_gateway.config import load

SECONDS = 5.0


def asked(id: str, method: str = "GET", trouble: str = "", seconds: float = 0.001, due: float = 0.0) -> Asked:
    """What came of a request."""
    return Asked(id, method, due, due + seconds, 0 if trouble else 200, trouble)


def seen(id: str, method: str = "GET") -> Seen:
    """What a service wrote down."""
    return (id, method, 200, 0.0, "/items", "")


class TamperingTests(SynchronousTestCase):
    """Where in the bytes something happens."""

    def test_deed(self) -> None:
        """The nearest position counts, also one that has been passed already; beyond it nothing passes."""
        tampering = Tampering(cut_after=100, stall_after=60)
        self.assertEqual(tampering.deed(0, 50), (50, None))
        self.assertEqual(tampering.deed(50, 100), (10, "stall"))
        self.assertEqual(tampering.deed(70, 10), (0, "stall"))
        self.assertEqual(Tampering(reset_after=0).deed(0, 1), (0, "reset"))

    def test_corrupted(self) -> None:
        """One byte is inverted, in whichever piece it comes."""
        tampering = Tampering(corrupt_at=3)
        self.assertEqual(tampering.corrupted(0, b"abc"), b"abc")
        self.assertEqual(tampering.corrupted(3, b"def"), bytes([ord("d") ^ 255]) + b"ef")

    def test_negative(self) -> None:
        """A fault that cannot be is refused."""
        self.assertRaises(ValueError, Tampering, latency=-1)


class RepliesTests(SynchronousTestCase):
    """Where one reply of Redis ends and the next begins."""

    STREAM = (b"+OK\r\n", b":1\r\n", b"$-1\r\n", b"$5\r\na\r\nbc\r\n", b"*2\r\n:1\r\n*1\r\n$1\r\nx\r\n", b"-ERR no\r\n")

    def test_cut(self) -> None:
        """Replies are found in one piece as well as byte by byte."""
        data = b"".join(self.STREAM)
        self.assertEqual(Replies().cut(data), list(self.STREAM))
        replies = Replies()
        self.assertEqual([one for at in range(len(data)) for one in replies.cut(data[at : at + 1])], list(self.STREAM))

    def test_rest(self) -> None:
        """What is not whole is kept until it is asked for."""
        replies = Replies()
        self.assertEqual(replies.cut(b"+OK\r\n$5\r\nab"), [b"+OK\r\n"])
        self.assertEqual((replies.rest(), replies.rest()), (b"$5\r\nab", b""))


class LedgerTests(SynchronousTestCase):
    """The books of clients and services."""

    def test_agrees(self) -> None:
        """A GET may be seen twice, and what a client did not get to know is only counted."""
        ledger = compare(
            [asked("a"), asked("b", "POST"), asked("c", "POST", "over 5 s")],
            [seen("a"), seen("a"), seen("b", "POST"), seen("c", "POST"), seen("somebody else's")],
            [("a", "GET"), ("a", "GET"), ("b", "POST"), ("c", "POST"), ("d", "GET")],
        )
        self.assertTrue(ledger.agrees)
        self.assertEqual((ledger.lost, ledger.attempts, ledger.requests), (1, 4, 3))

    def test_disagrees(self) -> None:
        """An answer that no service gave, a POST that was seen twice, and somebody else's answer are found."""
        ledger = compare(
            [asked("a"), asked("b", "POST"), asked("c", trouble="wrong id")],
            [seen("b", "POST"), seen("b", "POST"), seen("c")],
            [],
        )
        self.assertEqual((ledger.unseen, ledger.repeated, ledger.foreign), (("a",), ("b",), ("c",)))
        self.assertFalse(ledger.agrees)


class FigureTests(SynchronousTestCase):
    """Statistics and limits."""

    def test_percentile(self) -> None:
        """A percentile is a value that was measured, by nearest rank; of nothing it is NaN."""
        hundred = [asked(str(number), seconds=number / 1000) for number in range(1, 101)]
        self.assertAlmostEqual(percentile(hundred, 0.99), 0.099)
        self.assertAlmostEqual(milliseconds(hundred, 0.5), 50)
        self.assertNotEqual(percentile([], 0.5), percentile([], 0.5))

    def test_limits(self) -> None:
        """A limit is kept or not; what could not be measured keeps none."""
        self.assertTrue(at_most("x", 1.0, 1.0).kept)
        self.assertFalse(at_most("x", float("nan"), 1.0).kept)
        self.assertFalse(at_least("x", float("nan"), 1.0).kept)
        self.assertFalse(none("x", 1).kept)
        self.assertFalse(at_most("x", worst([0.5, float("nan")]), 1.0).kept)
        self.assertEqual(at_most("x", 1.25, 2, "s").text, "1.25 s")

    def test_between(self) -> None:
        """A request belongs to the phase in which it was due, however long it took."""
        self.assertEqual(between([asked("a", due=1.0, seconds=9), asked("b", due=2.0)], 1, 2)[0].id, "a")

    def test_packed(self) -> None:
        """What a load tells comes over JSON as it was."""
        told = Told(1.0, (asked("a"), asked("b", trouble="over 5 s")), ((2.0, "ConnectionRefusedError"),), 3)
        self.assertEqual(Told.unpacked(told.packed()), told)


class ScenarioTests(SynchronousTestCase):
    """The scenarios, without running them."""

    def test_configurations(self) -> None:
        """Every scenario's configuration is one that the gateway takes, without a warning."""
        directory = Path(self.mktemp())
        (directory / "logs").mkdir(parents=True)
        (directory / "ca.pem").write_bytes(Authority().certificate_pem)
        file = directory / "gateway.toml"
        for scenario in (*SCENARIOS.values(), soak(1.0)):
            url = f"{'https' if scenario.setup.tls else 'http'}://127.0.0.1:9001"
            file.write_text(configuration(scenario.setup, [url], "embedded", str(directory)))
            self.assertEqual((), load(str(file), {}, {}).problems, f"{scenario.number} {scenario.name}")

    def test_steps(self) -> None:
        """Every scenario has steps of every length that lie within its run, and no number is used twice."""
        for scenario in SCENARIOS.values():
            for phases in scenario.phases.values():
                for step in scenario.steps(phases):
                    self.assertTrue(-phases.before <= step.at <= phases.fault + phases.after, scenario.name)
        self.assertFalse(SCENARIOS.keys() & NOT_YET.keys())

    def test_soak(self) -> None:
        """A soak does each fault as often as any other, one after the other, and ends what it began."""
        scenario = soak(10.0, every=30.0)
        phases = scenario.phases["default"]
        names = [step.what for step in scenario.steps(phases)]
        begun = [name for name in names if not name.endswith("over")]
        self.assertEqual({begun[:4].count(name) for name, _begin, _end in FAULTS}, {1})
        self.assertEqual(len(begun), int(phases.fault // 30))
        ends = [end for _name, _begin, end in FAULTS if end is not None]
        self.assertEqual(len(names) - len(begun), sum(begun.count(f[0]) for f in FAULTS if f[2] in ends))

    def test_setup(self) -> None:
        """A scenario's own keys stand instead of the usual ones."""
        text = configuration(Setup(defaults={"balance": "ewma"}, toml="# @INSTANCE@"), ["http://a"], "embedded", "/tmp")
        self.assertIn('balance = "ewma"', text)
        self.assertIn("# http://a", text)


class RealTestCase(SynchronousTestCase):
    """Tests with an instance, and perhaps an injector before it, in processes of their own."""

    def setUp(self) -> None:
        self.instance = self.child("instance")
        self.port: int = self.instance.tell("start")

    def child(self, module: str) -> Child:
        """Start a process that ends with the test."""
        child = Child(module)
        self.addCleanup(child.stop)
        return child

    def connect(self, port: int) -> socket.socket:
        """Connect; the connection is closed at the end of the test."""
        connection = socket.create_connection(("127.0.0.1", port), SECONDS)
        self.addCleanup(connection.close)
        return connection

    def ask(self, connection: socket.socket, id: str = "x") -> bytes:
        """Send a request, and read until the answer is whole or the connection ends."""
        connection.sendall(f"GET /items HTTP/1.1\r\nHost: x\r\nX-Request-Id: {id}\r\n\r\n".encode())
        received = b""
        while b"\r\n\r\n" not in received or len(received.partition(b"\r\n\r\n")[2]) < 1024:
            data = connection.recv(65536)
            if not data:
                break
            received += data
        return received


class InjectorTests(RealTestCase):
    """The injector, between a client and an instance."""

    def setUp(self) -> None:
        super().setUp()
        self.injector = self.child("injector")
        self.door: int = self.injector.tell("open", name="0", target=self.port)

    def tamper(self, **faults: Any) -> socket.socket:
        """Tamper with answers, and connect."""
        self.injector.tell("tamper", name="0", direction="down", **faults)
        return self.connect(self.door)

    def test_passes(self) -> None:
        """Without a fault all bytes pass, both ways, again and again on one connection."""
        connection = self.connect(self.door)
        for id in ("a", "b"):
            self.assertTrue(self.ask(connection, id).endswith(body_of(id, 1024)))
        self.assertEqual(self.injector.tell("count", name="0"), {"open": 1, "opened": 1})

    def test_latency(self) -> None:
        """An answer is held back by the latency; slices leave it whole."""
        connection = self.tamper(latency=0.1, jitter=0.02, slice=100)
        begun = time.monotonic()
        self.assertTrue(self.ask(connection).endswith(body_of("x", 1024)))
        self.assertGreater(time.monotonic() - begun, 0.08)

    def test_rate(self) -> None:
        """Bytes come no faster than the rate."""
        connection = self.tamper(rate=4000)
        begun = time.monotonic()
        self.ask(connection)
        self.assertGreater(time.monotonic() - begun, 0.2)

    def test_cut(self) -> None:
        """A connection is closed after so many bytes."""
        self.assertEqual(len(self.ask(self.tamper(cut_after=200))), 200)

    def test_reset(self) -> None:
        """A connection is reset."""
        self.assertRaises(ConnectionResetError, self.ask, self.tamper(reset_after=0))

    def test_stall(self) -> None:
        """After so many bytes nothing comes, and the connection stays."""
        connection = self.tamper(stall_after=200)
        connection.settimeout(0.2)
        self.assertRaises(TimeoutError, self.ask, connection)

    def test_halfClose(self) -> None:
        """One direction ends; the other still carries what is asked."""
        connection = self.tamper(half_close_after=0)
        self.assertEqual(self.ask(connection, "first"), b"")
        self.assertEqual(self.instance.tell("counts")["seen"], 1)

    def test_corrupt(self) -> None:
        """One byte is another, and the rest as it was."""
        received = self.ask(self.tamper(corrupt_at=0))
        self.assertEqual(received[:5], bytes([ord("H") ^ 255]) + b"TTP/")

    def test_refuse(self) -> None:
        """A door that refuses keeps its port, resets what there is if told so, and opens again."""
        connection = self.connect(self.door)
        self.ask(connection)
        self.injector.tell("mode", name="0", mode="refuse", existing="reset")
        self.assertRaises(ConnectionResetError, self.ask, connection)
        self.assertRaises(ConnectionRefusedError, self.connect, self.door)
        self.injector.tell("mode", name="0", mode="pass")
        self.assertTrue(self.ask(self.connect(self.door)))

    def test_blackhole(self) -> None:
        """Nobody gets a connection and nobody is refused, until the door opens again."""
        self.injector.tell("mode", name="0", mode="blackhole")
        for _each in range(3):
            with self.assertRaises(TimeoutError):
                socket.create_connection(("127.0.0.1", self.door), 0.1).close()
        self.injector.tell("mode", name="0", mode="pass")
        self.assertTrue(self.ask(self.connect(self.door)))

    def test_stalledLines(self) -> None:
        """Connections that there are may stand still, and go on where they were."""
        connection = self.connect(self.door)
        self.ask(connection)
        self.injector.tell("mode", name="0", mode="hold", existing="stall")
        connection.settimeout(0.1)
        self.assertRaises(TimeoutError, self.ask, connection, "late")
        self.injector.tell("mode", name="0", mode="pass")
        connection.settimeout(SECONDS)
        self.assertTrue(connection.recv(65536))

    def test_flap(self) -> None:
        """A door that flaps refuses at times, and passes for good when it is told to."""
        self.injector.tell("flap", name="0", up=0.05, down=0.05)
        refused = 0
        begun = time.monotonic()
        while not refused and time.monotonic() - begun < SECONDS:
            try:
                self.ask(self.connect(self.door))
            except ConnectionError:
                refused += 1
        self.injector.tell("steady", name="0")
        self.assertEqual(refused, 1)
        self.assertTrue(self.ask(self.connect(self.door)))

    def test_unknown(self) -> None:
        """A command that makes no sense is the harness's error, with the reason."""
        with self.assertRaises(ChildError) as raised:
            self.injector.tell("mode", name="0", mode="away")
        self.assertIn("'away' is not one of pass, refuse", str(raised.exception))


class LoadTests(RealTestCase):
    """The load, against an instance without a gateway; it echoes no X-Request-Id of the gateway's."""

    def told(self, port: int, **plan: Any) -> Told:
        """Run a load to its end."""
        client = self.child("load")
        client.tell("start", **{"port": port, "rate": 200, "seconds": 0.5, "connections": 4, **plan})
        return Told.unpacked(client.tell("finish"))

    def test_well(self) -> None:
        """A load of all kinds against a service that is well has no error, and the books agree."""
        told = self.told(self.port)
        report = self.instance.tell("report")
        ledger = compare(told.asked, map(tuple, report["seen"]), map(tuple, report["begun"]))
        self.assertEqual([], [one for one in told.asked if not one.good])
        self.assertEqual((len(told.asked), told.not_connected, told.unasked), (100, (), 0))
        self.assertEqual((ledger.agrees, ledger.attempts_per_request), (True, 1.0))
        self.assertEqual({one.method for one in told.asked}, {"GET", "POST"})
        self.assertTrue(any(one.fresh for one in told.asked) and not all(one.fresh for one in told.asked))

    def test_openLoop(self) -> None:
        """Requests leave when they are due though none is answered, on connections of their own if need be."""
        self.instance.tell("behave", latency=0.3)
        told = self.told(self.port, mix=((1.0, "GET", 0),), fresh=0.0)
        self.assertEqual(len(told.asked), 100)
        self.assertLess(max(one.seconds for one in told.asked), 1.0)
        self.assertGreater(sum(one.fresh for one in told.asked), 50)

    def test_troubles(self) -> None:
        """What goes wrong is named: a status, a cut body."""
        self.instance.tell("behave", status=500, share=0.5, truncate_every=10)
        troubles = {one.trouble for one in self.told(self.port).asked}
        self.assertEqual(troubles, {"", "status 500", "cut within the answer: closed"})

    def test_refused(self) -> None:
        """A connection that is not made is an error of its request."""
        self.instance.tell("stop")
        with listening(self.port, None):
            client = self.child("load")
            with self.assertRaises(ChildError):
                client.tell("start", port=self.port, rate=1, seconds=1)
            told = self.told(self.port, connections=0)
        self.assertEqual({one.trouble for one in told.asked}, {"not connected: ConnectionRefusedError"})
        self.assertEqual(len(told.not_connected), 100)

    def test_closes(self) -> None:
        """A connection that was announced to close, or closes while nothing is asked, is no error."""
        self.instance.tell("behave", announce_close=True)
        self.assertEqual([], [one for one in self.told(self.port).asked if not one.good])

    def test_corrupted(self) -> None:
        """One wrong byte in an answer is found."""
        injector = self.child("injector")
        door = injector.tell("open", name="0", target=self.port)
        injector.tell("tamper", name="0", direction="down", corrupt_at=600)
        told = self.told(door, connections=1, rate=20, fresh=0.0, mix=((1.0, "GET", 0),))
        self.assertEqual([one.trouble for one in told.asked].count("wrong body"), 1)
