"""``tracseq-gateway explain``: its options, what it says without a gateway, and how a report is printed."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.token_kit import SECRET, VARIABLE
from tracseq_gateway.cli import main
from tracseq_gateway.cli.explanation import written

FILE = """
[services.samples]
prefix = "/samples"
instances = ["http://127.0.0.1:8081"]
public = ["/news"]

[auth]
enabled = true
service = ""
"""


class ExplainTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.above = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.above)
        self.patch(os, "environ", {"XDG_RUNTIME_DIR": self.above, VARIABLE: SECRET})
        self.file = Path(self.above) / "gateway.toml"
        self.file.write_text(FILE)

    def said(self, *arguments: str) -> tuple[int, str, str]:
        with redirect_stdout(io.StringIO()) as printed, redirect_stderr(io.StringIO()) as complained:
            try:
                status = main(["explain", *arguments, "--config", str(self.file)])
            except SystemExit as stop:
                status = int(str(stop.code))
        return status, printed.getvalue(), complained.getvalue()


class OfflineTests(ExplainTestCase):
    def test_offline(self) -> None:
        """By the configuration alone it is said what would be sent, and what is not known."""
        status, printed, complained = self.said("GET", "/samples/news?a=1", "--offline", "--from", "192.0.2.7")
        self.assertEqual((0, ""), (status, complained))
        lines = printed.splitlines()
        self.assertEqual("GET /samples/news?a=1 from 192.0.2.7", lines[0])
        self.assertEqual("would be passed on to samples, at http://127.0.0.1:8081", lines[1])
        self.assertEqual("by the configuration alone: no gateway was asked", lines[2])
        self.assertIn("  GET /api/v1/news?a=1 HTTP/1.1", lines)
        self.assertIn("  x-forwarded-for: 192.0.2.7", lines)

    def test_refused(self) -> None:
        """A request that would be refused has status 1, as text and as JSON."""
        for words in ((), ("--json",)):
            status, printed, _ = self.said("GET", "/samples/1", "--offline", *words)
            self.assertEqual(1, status)
            self.assertIn("unauthenticated", printed)
        self.assertEqual(401, json.loads(printed)["answer"]["status"])

    def test_token_from_standard_input(self) -> None:
        """A token, or an API key, may come by the standard input, but not both."""
        for option in ("--token", "--api-key"):
            self.patch(sys, "stdin", io.StringIO("x.y.z\n"))
            status, printed, _ = self.said("GET", "/samples/1", option, "-", "--offline")
            self.assertEqual(1, status)
            self.assertNotIn("nobody said who he is", printed)
        status, _, complained = self.said("GET", "/", "--token", "-", "--api-key", "-", "--offline")
        self.assertEqual(2, status)
        self.assertIn("only one of --token and --api-key", complained)

    def test_wrong(self) -> None:
        """A configuration that cannot be served, a secret that is not set, and a wrong usage have status 2."""
        self.assertEqual(2, self.said("GET", "/", "--offline", "--ask")[0])
        self.assertEqual(2, self.said("GET", "/", "--token", "a", "--token-file", "b")[0])
        del os.environ[VARIABLE]
        status, _, complained = self.said("GET", "/samples", "--offline")
        self.assertEqual(2, status)
        self.assertIn(f"{VARIABLE} is not set", complained)
        self.file.write_text("[services.samples]\nprefix = 7\n")
        status, _, complained = self.said("GET", "/samples", "--offline")
        self.assertEqual(2, status)
        self.assertIn("gateway.toml:2: services.samples.prefix", complained)
        self.assertTrue(complained.endswith("tracseq-gateway explain: the configuration cannot be served\n"))


class NobodyTests(ExplainTestCase):
    def test_nobody(self) -> None:
        """Where no gateway runs the status is 2, and the way without one is named."""
        status, printed, complained = self.said("GET", "/samples")
        self.assertEqual((2, ""), (status, printed))
        self.assertIn("no gateway can be reached in", complained)
        self.assertIn("--offline explains by the configuration alone", complained)
        status, printed, complained = self.said("GET", "/samples", "--json")
        self.assertEqual((2, ""), (status, complained))
        self.assertIn("no gateway can be reached", json.loads(printed)["error"])


class WrittenTests(SynchronousTestCase):
    """``written``."""

    report: dict[str, Any] = {
        "request": {"method": "GET", "target": "/a", "from": "192.0.2.7"},
        "live": True,
        "worker": 0,
        "pid": 7,
        "outcome": "refused",
        "steps": [
            {"name": "request", "outcome": "ok", "summary": "GET /a", "lines": ["client 192.0.2.7"]},
            {"name": "route", "outcome": "refused", "summary": "no service has this path"},
        ],
        "not_reached": ["limits"],
        "upstream": None,
        "answer": {
            "status": 429,
            "error": "quota-exceeded",
            "retry_after": 7,
            "head": ["HTTP/1.1 429 X"],
            "body": "x",
        },
    }

    def test_plain(self) -> None:
        """A step is a line with a mark, its details are below it, and the answer follows."""
        self.assertEqual(
            [
                "GET /a from 192.0.2.7",
                "would be refused with 429 (quota-exceeded) for 7 s",
                "as worker 0 (pid 7) sees it now; nothing was sent or charged",
                "",
                "✓ request    GET /a",
                "             client 192.0.2.7",
                "✗ route      no service has this path",
                "             not reached: limits",
                "",
                "The client would get:",
                "",
                "  HTTP/1.1 429 X",
                "",
                "  x",
            ],
            list(written(self.report)),
        )

    def test_coloured(self) -> None:
        """On a terminal the marks have colours, and nothing else is changed."""
        coloured = "\n".join(written(self.report, coloured=True))
        self.assertIn("\x1b[1;31m✗\x1b[0m route", coloured)
        for parameters in ("1;31", "32", "1", "2", "0"):
            coloured = coloured.replace(f"\x1b[{parameters}m", "")
        self.assertEqual("\n".join(written(self.report)), coloured)

    def test_headlines(self) -> None:
        """Each outcome has its words."""
        upstream = {"service": "s", "instance": "http://i", "head": []}
        for changed, words in (
            ({"outcome": "unknown", "answer": None}, "cannot be told without asking others (--ask)"),
            ({"outcome": "answered", "answer": None}, "would be answered by the gateway itself"),
            (
                {"outcome": "answered", "answer": {"status": 204, "head": [], "body": ""}},
                "would be answered by the gateway itself with 204",
            ),
            ({"outcome": "passed", "upstream": upstream}, "would be passed on to s, at http://i"),
        ):
            self.assertEqual(words, list(written({**self.report, **changed}))[1])
