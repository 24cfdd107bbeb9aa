"""What ``status``, ``top`` and ``drain`` print, without a gateway."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import select
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.running_kit import ROOT, TRACSEQ_GATEWAY
from tests.test_overview_document import EPOCH, OTHER, RAG, facts
from tests.test_overview_numbers import ENDED, digest
from tracseq_gateway.cli import drain, main, status
from tracseq_gateway.cli.picture import Picture, duration, size
from tracseq_gateway.cli.tables import Cell, lines_of, number, wants_colour
from tracseq_gateway.overview.digest import Digest
from tracseq_gateway.overview.overview import Overview

COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def overview(**fields: Any) -> dict[str, Any]:
    """A gateway with a service of two instances, one of them drained, that was seen for ten seconds."""
    made = Overview()
    for second in range(10):
        made.take(7, digest(20, connections=3, in_flight=2, sent=4096, memory=60 << 20, lag=0.0015), float(second))
    refused = [("rag", "a:192.0.2.7", 12)]
    made.take(
        7, Digest(0.0, errors=[("rag", "closed-early", 2)], refused=refused, failed=[ENDED], limits="shared"), 9.0
    )
    made.take(7, digest(0, 0.0, limits="shared", connections=3, in_flight=2, memory=60 << 20, lag=0.0015), 9.0)
    instances = [RAG, evolve(OTHER, drained=True)]
    return made.document(facts(9.5, instances, started=EPOCH - 7200, **fields))


class PictureTests(SynchronousTestCase):
    """``Picture``."""

    def test_status(self) -> None:
        """All is there and aligned: the gateway, services with their instances, workers, limits, errors."""
        self.assertEqual(
            [
                "TracSeq Gateway 1.2 (testing): healthy, up 2 h 0 min, 1 worker replaced",
                "20.0 requests/s, 0.0 errors/s, 0.0 refused/s; p50 9.2 ms, p95 9.9 ms, p99 10.0 ms",
                "2 in flight, 3 connections; 0 B/s in, 4.0 KiB/s out",
                "",
                "SERVICE       STATE    REQ/S  ERR/S  REFUSED/S     P50     P95      P99  IN FLIGHT  NOTE",
                "rag  /rag     healthy   20.0    0.0        0.0  9.2 ms  9.9 ms  10.0 ms          0",
                "  http://h:1  healthy   20.0    0.0                                              0  probed in 2.0 ms",
                "  http://h:2  drained    0.0    0.0                                              0  probed in 2.0 ms",
                "",
                "WORKER  STATE    PID  FOR  REQ/S  IN FLIGHT  CONNECTIONS     LAG    MEMORY",
                "0       serving    7  9 s   20.0          2            3  1.5 ms  60.0 MiB",
                "",
                "rate limits: shared",
                "REFUSED IN 5 MIN  SERVICE  TIMES",
                "a:192.0.2.7       rag         12",
                "",
                "ERRORS IN 5 MIN  SERVICE  TIMES",
                "closed-early     rag          2",
            ],
            Picture(overview(restarts=1), colour=False).status(),
        )

    def test_top(self) -> None:
        """Beside that, the requests that failed or were slow, with why and by which id they are found in the logs."""
        lines = Picture(overview(), colour=False).top()
        at = next(index for index, line in enumerate(lines) if line.startswith("FAILED"))
        self.assertEqual("00:00:05Z       GET /x      502  12.5 ms  rag      gone  abc", lines[at + 1])

    def test_notCounted(self) -> None:
        """A gateway that counts nothing says so, instead of showing nought requests."""
        first, second, *_ = Picture(overview(counted=False), colour=False).status()
        self.assertIn("healthy", first)
        self.assertEqual("requests are not counted (dashboard.enabled = false)", second)

    def test_colours(self) -> None:
        """Colours change nothing but colours, so columns are aligned with them as well."""
        plain, coloured = Picture(overview(), colour=False).top(), Picture(overview(), colour=True).top()
        self.assertEqual(plain, [COLOURS.sub("", line) for line in coloured])
        self.assertIn("\x1b[32mhealthy\x1b[0m", coloured[0])
        self.assertIn("\x1b[33mdrained\x1b[0m", "".join(coloured))

    def test_hostile(self) -> None:
        """Whatever a client sends as a path or an id, a terminal is not given a command."""
        document = overview()
        document["recent"]["failed"][0]["path"] = "/\x1b]0;owned\x07\r\n\u202e"
        text = "\n".join(Picture(document, colour=False).top())
        self.assertNotRegex(text, "[\x1b\x07\r\u202e]")
        self.assertIn(r"GET /\x1b]0;owned\x07\r\n\u202e", text)

    def test_units(self) -> None:
        """Spans and sizes are written as people read them."""
        self.assertEqual(
            ["0 s", "59 s", "1 min 1 s", "2 h 0 min", "3 d 4 h"],
            [duration(seconds) for seconds in (0.4, 59, 61, 7200, 3 * 86400 + 4 * 3600 + 5)],
        )
        self.assertEqual(["0 B", "999 B", "1.0 KiB", "60.0 MiB", "2.0 GiB"], [
            size(count) for count in (0, 999, 1024, 60 << 20, 2 << 30)
        ])  # fmt: skip


class TableTests(SynchronousTestCase):
    """``tables``."""

    def test_aligned(self) -> None:
        """Columns are as wide as their widest cell; numbers stand at the right; no line ends in spaces."""
        rows = [[Cell("a"), number("1"), Cell("x")], [Cell("long"), number("100")]]
        self.assertEqual(["a       1  x", "long  100"], lines_of(rows, colour=False))
        self.assertEqual([], lines_of([], colour=True))

    def test_colour(self) -> None:
        """Colours are for terminals that show them, unless their user wants none."""

        class Terminal(io.StringIO):
            def isatty(self) -> bool:
                return True

        self.assertTrue(wants_colour(Terminal(), {"TERM": "xterm"}))
        self.assertFalse(wants_colour(Terminal(), {"TERM": "xterm", "NO_COLOR": "1"}))
        self.assertFalse(wants_colour(Terminal(), {"TERM": "dumb"}))
        self.assertFalse(wants_colour(io.StringIO(), {"TERM": "xterm"}))


class ReportTests(SynchronousTestCase):
    """What is printed of an answer, and the exit status."""

    def said(self, report: Callable[[], int]) -> tuple[int, str, str]:
        with redirect_stdout(io.StringIO()) as printed, redirect_stderr(io.StringIO()) as complained:
            exit_status = report()
        return exit_status, printed.getvalue(), complained.getvalue()

    def test_status(self) -> None:
        """The exit status tells whether the gateway is healthy, in text and in JSON."""
        for fields, expected in (({}, 0), ({"running": 0}, 1), ({"stopping": True}, 1)):
            document = overview(**fields)
            exit_status, printed, _ = self.said(lambda shown=document: status.report(shown, as_json=True))  # type: ignore[misc]
            self.assertEqual((expected, document), (exit_status, json.loads(printed)))
            self.assertEqual(1, printed.count("\n"))
            exit_status, printed, _ = self.said(lambda shown=document: status.report(shown, as_json=False))  # type: ignore[misc]
            self.assertEqual((expected, True), (exit_status, printed.startswith("TracSeq Gateway 1.2 (testing): ")))

    def test_drain(self) -> None:
        """What is drained, and whether anything is under way, is said in a line each."""
        instance = {"service": "rag", "url": "http://h:1", "drained": True, "in_flight": 2}
        answer: dict[str, Any] = {"instances": [instance, {**instance, "drained": False}], "empty": None}
        self.assertEqual(
            (0, "rag: http://h:1 is drained; 2 requests are under way\nrag: http://h:1 gets requests again\n", ""),
            self.said(lambda: drain.report(answer, waited=0.0, as_json=False)),
        )
        answer["empty"] = False
        exit_status, _, complained = self.said(lambda: drain.report(answer, waited=3.0, as_json=False))
        self.assertEqual((1, "tracseq-gateway drain: not all was done after 3 s\n"), (exit_status, complained))
        exit_status, printed, complained = self.said(lambda: drain.report(answer, waited=3.0, as_json=True))
        self.assertEqual((1, answer, ""), (exit_status, json.loads(printed), complained))

    def test_nobody(self) -> None:
        """Without a gateway the status is 2, and with --json the error is JSON too."""
        above = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, above)
        self.patch(os, "environ", {"XDG_RUNTIME_DIR": above})
        why = f"no gateway can be reached in {above}/tracseq-gateway-9000: No such file or directory"
        for words in (["status"], ["top"], ["drain", "http://h:1"], ["reload"]):
            said = self.said(lambda words=words: main([*words, "--port", "9000"]))  # type: ignore[misc]
            self.assertEqual((2, "", f"tracseq-gateway {words[0]}: {why}\n"), said)
            exit_status, printed, _ = self.said(lambda words=words: main([*words, "--port", "9000", "--json"]))  # type: ignore[misc]
            self.assertEqual((2, {"error": why}), (exit_status, json.loads(printed)))
        _, printed, _ = self.said(lambda: main(["status", "--config", "/nowhere.toml", "--json"]))
        self.assertIn("/nowhere.toml:0: file: unreachable file", json.loads(printed)["error"])


class FakeGateway(threading.Thread):
    """Answers everybody who asks at a control socket with an overview, the number of which is its restarts."""

    def __init__(self, directory: Path) -> None:
        super().__init__(daemon=True)
        self.asked = 0
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(os.fspath(directory / "control.sock"))
        self._listener.listen()
        self.start()

    def run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as requests:
                if requests.readline():
                    self.asked += 1
                    connection.sendall(json.dumps(overview(restarts=self.asked)).encode() + b"\n")

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.join()


class TopTests(SynchronousTestCase):
    """``top`` as a process of its own, with a gateway that answers from a thread."""

    def setUp(self) -> None:
        above = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, above)
        self.directory = above / "tracseq-gateway-9000"
        self.directory.mkdir(mode=0o700)
        self.gateway = FakeGateway(self.directory)
        self.addCleanup(self.end)
        self.environ = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_RUNTIME_DIR": str(above), "TERM": "xterm"}
        self.environ.pop("NO_COLOR", None)
        self.words = [*TRACSEQ_GATEWAY, "top", "--port", "9000", "--interval", "0.2"]

    def end(self) -> None:
        """The gateway ends, whichever it is by now."""
        self.gateway.close()
        (self.directory / "control.sock").unlink()

    def printed(self, *words: str) -> str:
        done = subprocess.run(
            [*self.words, *words], env=self.environ, capture_output=True, text=True, timeout=30, check=True
        )
        return done.stdout

    def test_json(self) -> None:
        """With --json each interval is a line, so many as are counted."""
        lines = self.printed("--json", "--count", "3").splitlines()
        self.assertEqual([1, 2, 3], [json.loads(line)["restarts"] for line in lines])

    def test_noTerminal(self) -> None:
        """Into a file one table follows the other, without anything that is for terminals."""
        text = self.printed("--count", "2")
        self.assertEqual(2, text.count("TracSeq Gateway 1.2"))
        self.assertNotIn("\x1b", text)

    def test_pipe(self) -> None:
        """Who reads only the beginning gets it, and no complaint."""
        done = subprocess.run(
            ["sh", "-c", '"$@" | head -1', "sh", *self.words],
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=30,
        )
        self.assertEqual((1, ""), (done.stdout.count("\n"), done.stderr))

    def on_terminal(self) -> tuple[int, subprocess.Popen[bytes]]:
        """Start it on a terminal, our end of which comes first."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen(self.words, env=self.environ, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        self.addCleanup(os.close, ours)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return ours, process

    def test_restarted(self) -> None:
        """On a terminal it stays while the gateway is restarted: it says that there is none, and shows the new one."""
        ours, process = self.on_terminal()
        self._read(ours, lambda text: "worker replaced" in text)
        self.end()
        self._read(ours, lambda text: "no gateway can be reached" in text)
        self.gateway = FakeGateway(self.directory)
        self._read(ours, lambda text: "worker replaced" in text)
        os.write(ours, b"q")
        self._read(ours, lambda text: "\x1b[?1049l" in text)
        self.assertEqual(0, process.wait(10))

    def test_terminal(self) -> None:
        """On a terminal it draws on a screen of its own, again and again, until q, and gives the screen back."""
        ours, process = self.on_terminal()
        seen = self._read(ours, lambda text: "3 workers replaced" in text)
        self.assertTrue(seen.startswith("\x1b[?1049h\x1b[?25l"), seen[:40])
        self.assertIn("\x1b[32mhealthy\x1b[0m", seen)
        os.write(ours, b"xq")  # other keys do nothing
        seen = self._read(ours, lambda text: "\x1b[?1049l" in text)
        self.assertTrue(seen.endswith("\x1b[?7h\x1b[?25h\x1b[?1049l"), seen[-40:])
        self.assertEqual(0, process.wait(10))

    def _read(self, terminal: int, enough: Callable[[str], bool]) -> str:
        """What the process writes, until that is enough."""
        text, until = "", time.monotonic() + 20
        while not enough(text):
            ready, _, _ = select.select([terminal], [], [], until - time.monotonic())
            self.assertTrue(ready, f"waited in vain: {text[-200:]!r}")
            try:
                text += os.read(terminal, 65536).decode()
            except OSError:  # EIO: the process has closed its end
                self.assertTrue(enough(text), text[-500:])
        return text
