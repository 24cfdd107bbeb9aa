"""The parts of the benchmarks about HTTP/2 and TLS: what is started, asked and counted. Nothing is timed here."""

from __future__ import annotations

import os
import shutil
import ssl
from pathlib import Path

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from benchmarks import record, report
from benchmarks.certificates import KINDS, certificate
from benchmarks.contest import contest
from benchmarks.contestants import Door, Stage, gateway_configuration
from benchmarks.errors import BenchmarkError
from benchmarks.h2load import Talk, h2load, summary
from benchmarks.handshakes import ask_securely, in_clear, shake_hands
from benchmarks.processes import Cores
from benchmarks.report_protocols import tls_shares
from benchmarks.samples import Results, Run
from benchmarks.samples_protocols import HandshakeSample, KeptSample, ProtocolSample
from benchmarks.scenario_protocols import TALKS
from benchmarks.settings import CLIENTS
from benchmarks.wrk import Load

RUN = Run("2026-01-02T03:04:05+00:00", False, 0.1, {"CPU": "of the test"})
PRINTED = """Application protocol: {protocol}
finished in 2.00s, 124986.00 req/s, 8.46MB/s
requests: 9 total, 9 started, {done} done, {succeeded} succeeded, 0 failed, {errored} errored, 0 timeout
"""
HTTP2 = Talk("HTTP/2")


class H2loadTests(SynchronousTestCase):
    def printed(self, protocol: str = "h2c", done: int = 9, succeeded: int = 9, errored: int = 0) -> str:
        return PRINTED.format(protocol=protocol, done=done, succeeded=succeeded, errored=errored)

    def test_summary(self) -> None:
        """What was answered counts; an error, another status and another protocol are errors of the run."""
        self.assertEqual(summary(self.printed(), HTTP2, 2), Load(9, 2))
        self.assertEqual(summary(self.printed("http/1.1"), Talk("HTTP/1.1"), 2), Load(9, 2))
        self.assertRaisesRegex(BenchmarkError, "h2c instead of HTTP/1.1", summary, self.printed(), Talk("HTTP/1.1"), 2)
        for wrong in (self.printed(succeeded=8), self.printed(errored=1), self.printed(done=0, succeeded=0)):
            self.assertRaisesRegex(BenchmarkError, "succeeded", summary, wrong, HTTP2, 2)
        self.assertRaisesRegex(BenchmarkError, "did not connect", summary, "nobody there", HTTP2, 2)

    def test_talks(self) -> None:
        """However it is asked, as many requests are under way."""
        self.assertEqual({talk.connections * talk.streams for talk in TALKS}, {CLIENTS})


class CertificateTests(SynchronousTestCase):
    def test_kinds(self) -> None:
        """A certificate of each kind fits its key, and clients that are given it trust it."""
        for kind in KINDS:
            directory = Path(self.mktemp())
            directory.mkdir()
            made = certificate(kind, directory)
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(made.file, made.key_file)
            self.assertEqual(made.context().verify_mode, ssl.CERT_REQUIRED)


class ContestantTests(SynchronousTestCase):
    """The contestant that is known to speak all of it."""

    name = "nginx"

    def setUp(self) -> None:
        for program in ("nginx", "h2load", "wrk"):
            if shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin") is None:
                self.skipTest(f"{program} is not installed")
        core = min(os.sched_getaffinity(0))
        self.cores = Cores(core, core)
        directory = Path(self.mktemp()).absolute()
        directory.mkdir()
        self.shown = certificate(KINDS[0], directory)

    def test_protocols(self) -> None:
        """It answers by both protocols, in clear and over TLS."""
        for protocol in ("HTTP/1.1", "HTTP/2"):
            for shown in (None, self.shown):
                with contest(self.name, self.cores, door=Door(protocol, shown)) as proxy:
                    talk = Talk(protocol, shown is not None, 2, 2 if protocol == "HTTP/2" else 1)
                    self.assertGreater(h2load(proxy.port, self.cores.load, talk, 1).requests, 0)

    def test_handshakes(self) -> None:
        """Full and resumed handshakes are told apart, and connections in clear are counted, too."""
        with contest(self.name, self.cores, door=Door(certificate=self.shown)) as proxy:
            self.assertGreater(shake_hands(self.shown, proxy.port, 0.1, resumed=False), 0)
            self.assertGreater(shake_hands(self.shown, proxy.port, 0.1, resumed=True), 0)
            self.assertTrue(ask_securely(proxy.port, self.shown.context()).has_ticket)
        with contest(self.name, self.cores, door=Door()) as proxy:
            self.assertGreater(in_clear(proxy.port, 0.1), 0)


class ReportTests(SynchronousTestCase):
    results = Results(
        runs={"protocols": RUN, "tls": RUN},
        protocols=(
            ProtocolSample("gateway", "HTTP/1.1", False, 64, 1, 1, 20_000, 1.0, 0.5),
            ProtocolSample("gateway", "HTTP/2", True, 4, 16, 1, 5_000, 1.0, 1.0),
        ),
        handshakes=(HandshakeSample("gateway", "resumed", 1, 1000, 1.0, 0.25),),
        kept=(
            KeptSample("gateway", False, 1, 10_000, 1.0, 0.3),
            KeptSample("gateway", True, 1, 10_000, 1.0, 0.4),
            KeptSample("gateway", True, 2, 10_000, 1.0, 0.9),
        ),
    )

    def test_recorded(self) -> None:
        """What was recorded is read back unchanged."""
        self.assertEqual(record.parse(record.dump(self.results)), self.results)

    def test_tables(self) -> None:
        """Each protocol and each kind of handshake has its row; what TLS adds is compared within a round."""
        text = report.markdown(self.results, {})
        self.assertIn("| TracSeq Gateway, HTTP/1.1 in clear, 64 connections | 25.0 | 40,000 | 20,000 | 50% |", text)
        row = (
            "| TracSeq Gateway, HTTP/2 over TLS, 4 connections of 16 requests at once | 200.0 | 5,000 | 5,000 | 100% |"
        )
        self.assertIn(row, text)
        self.assertIn("| TracSeq Gateway, resumed | 250 | 4,000 |", text)
        self.assertAlmostEqual(tls_shares(self.results)["gateway"].median, 10.0)


class SetUpTests(SynchronousTestCase):
    def test_clear(self) -> None:
        """Nothing about TLS or HTTP/2 is said where HTTP/1.1 in clear is measured, but connections are kept."""
        stage = Stage(Path("/scratch"), 8001, 8002)
        before, behind = gateway_configuration(stage), gateway_configuration(evolve(stage, door=Door()))
        self.assertEqual(behind.replace("requests_per_connection = 0", ""), before)
