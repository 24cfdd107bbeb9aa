"""The parts of the benchmarks about connections that stay open. Nothing is timed here."""

from __future__ import annotations

import os
from pathlib import Path

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from benchmarks import report
from benchmarks.contestants import Stage, gateway_configuration
from benchmarks.errors import BenchmarkError
from benchmarks.event_clients import listen
from benchmarks.live_clients import LivePace, allow_descriptors
from benchmarks.proc import Memory
from benchmarks.processes import Cores, free_port
from benchmarks.report_protocols import added_by
from benchmarks.samples import Results, Run
from benchmarks.samples_protocols import EventSample, WebSocketSample
from benchmarks.scenario_live import before_live_service, chosen
from benchmarks.settings import QUICK
from benchmarks.websocket_clients import handshake, talk
from benchmarks.websocket_frames import accept_of, echoed, message
from tracseq_gateway.config import load

RUN = Run("2026-01-02T03:04:05+00:00", False, 0.1, {"CPU": "of the test"})
EVENTS = (
    EventSample("direct", 1, 1, 500, 10.0, 0.1, 0.0001, 0.0002),
    EventSample("gateway", 1, 1, 500, 10.0, 0.02, 0.0003, 0.0012),
    EventSample("gateway", 2, 1, 500, 10.0, 0.02, 0.0009, 0.0092),
)


class FrameTests(SynchronousTestCase):
    def test_accept(self) -> None:
        """The service answers the key of RFC 6455 as that has it."""
        self.assertEqual(accept_of(b"dGhlIHNhbXBsZSBub25jZQ=="), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")

    def test_echoed(self) -> None:
        """Whole messages come back unmasked, in whatever pieces they come; what is none of ours is an error."""
        sent = message(b"one") + message(b"") + message(b"x" * 125)
        for cut in range(len(sent) + 1):
            first, left = echoed(sent[:cut])
            second, rest = echoed(left + sent[cut:])
            self.assertEqual((first + second, rest), (b"\x81\x03one\x81\x00\x81\x7d" + b"x" * 125, b""))
        self.assertRaises(ValueError, message, b"x" * 126)
        self.assertRaises(ValueError, echoed, b"\x81\x83\x01\x02\x03\x04abc")


class LiveTests(SynchronousTestCase):
    """Client and service of the benchmark with nothing in between."""

    def setUp(self) -> None:
        core = min(os.sched_getaffinity(0))
        self.cores = Cores(core, core)

    def test_websockets(self) -> None:
        """Every message of every WebSocket is echoed and counted once, and CPU and memory are read."""
        with before_live_service("direct", self.cores, 20) as service:
            watched = talk(service.port, self.cores.load, service.workers, LivePace(20, 0.1, 0.1, 0.5))
        self.assertEqual(len(watched.latencies), 100)
        self.assertGreater(min(watched.latencies), 0.0)
        self.assertGreaterEqual(watched.seconds, 0.45)
        self.assertGreater(watched.opened.memory.resident, 0)

    def test_events(self) -> None:
        """Each event's way is measured, from the service's own word of when it was sent."""
        with before_live_service("direct", self.cores, 20) as service:
            watched = listen(service.port, self.cores.load, service.workers, LivePace(20, 0.1, 0.1, 0.5))
        self.assertIn(len(watched.latencies), range(90, 121))
        self.assertGreater(min(watched.latencies), 0.0)
        self.assertLess(min(watched.latencies), 1.0)

    def test_gateway(self) -> None:
        """The gateway passes both on."""
        with before_live_service("gateway", self.cores, 5) as proxy:
            pace = LivePace(5, 0.1, 0.0, 0.3)
            self.assertEqual(len(talk(proxy.port, self.cores.load, proxy.workers, pace).latencies), 15)
            self.assertTrue(listen(proxy.port, self.cores.load, proxy.workers, pace).latencies)

    def test_refused(self) -> None:
        """A WebSocket that is not opened ends the run, with the reason."""
        with before_live_service("direct", self.cores, 1) as service:
            pace = LivePace(1, 1.0, 0.0, 1.0)
            with self.assertRaisesRegex(BenchmarkError, "refused|Connect call failed"):
                talk(free_port(), self.cores.load, service.workers, pace)


class SetUpTests(SynchronousTestCase):
    def test_configuration(self) -> None:
        """The gateway may hold as many connections to the service as there are streams."""
        file = Path(self.mktemp())
        file.write_text(gateway_configuration(Stage(Path("/scratch"), 8001, 8002, most_connections=1234)))
        loaded = load(str(file), {}, {})
        self.assertEqual(loaded.problems, ())
        assert loaded.config is not None
        self.assertEqual(loaded.config.services["route0"].connections.max, 1234)

    def test_descriptors(self) -> None:
        """A run that would need more open files than are allowed is not begun."""
        with self.assertRaisesRegex(BenchmarkError, "ulimit -Hn"):
            allow_descriptors(10**9)

    def test_chosen(self) -> None:
        """The service alone is always measured, and nobody who knows neither WebSockets nor streams."""
        self.assertEqual(chosen(evolve(QUICK, contestants=("caddy", "gateway"))), ["direct", "gateway"])

    def test_handshake(self) -> None:
        """A client asks for a WebSocket of version 13."""
        self.assertIn(b"\r\nSec-WebSocket-Version: 13\r\n", handshake(8001))


class LiveReportTests(SynchronousTestCase):
    def test_added(self) -> None:
        """What is added is compared within a round."""
        (key, spread), *others = added_by(EVENTS, "p99").items()
        self.assertEqual((key, others), (("gateway", 1), []))
        self.assertAlmostEqual(spread.median, 0.001)

    def test_tables(self) -> None:
        """The report has a row for each contestant, with the service alone to compare."""
        idle, busy = Memory(50_000_000, 1, 1), Memory(90_000_000, 1, 1)
        sample = WebSocketSample("gateway", 1, 5000, 50_000, 10.0, 2.0, idle, busy, 0.0005, 0.002)
        results = Results(
            runs={"websockets": RUN, "events": RUN},
            websockets=(evolve(sample, contestant="direct"), sample),
            events=EVENTS[:2],
        )
        text = report.markdown(results, {})
        self.assertIn("| service alone | 5,000 | 20% | 40 |  | 0.50 | 2.00 |", text)
        self.assertIn("| TracSeq Gateway | 5,000 | 20% | 40 | 8.0 | 0.50 | 2.00 |", text)
        self.assertIn("| service alone, 1 open | 0.10 | 0.20 |  |  | 200 |", text)
        self.assertIn("| TracSeq Gateway, 1 open | 0.30 | 1.20 | 0.20 | 1.00 | 40 |", text)
