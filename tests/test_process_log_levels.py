"""Levels of the log that an operator changes while the gateway runs."""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

from twisted.logger import LogPublisher
from twisted.trial.unittest import SynchronousTestCase

from tracseq_gateway.cli import main
from tracseq_gateway.config.logs import MOST_NAMESPACES, Log
from tracseq_gateway.own_log.own_log import OwnLog
from tracseq_gateway.process.control import packLevels, unpackLevels
from tracseq_gateway.process.log_levels import LogLevels

CONFIGURED = Log("info", {"redis": "error"})


class LogLevelTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.told: list[Log] = []
        self.levels = LogLevels(OwnLog(LogPublisher()), CONFIGURED, self.told.append)

    def ask(self, **request: Any) -> dict[str, Any]:
        answer: Mapping[str, Any] = self.successResultOf(self.levels.answer({"command": "log-level", **request}, None))
        return dict(answer)

    def test_change(self) -> None:
        """A change holds for all, or for one part of the program, beside what is configured; the workers are told."""
        self.assertEqual({"level": "info", "levels": {"redis": "error"}}, self.ask())
        self.assertEqual([], self.told)
        self.assertEqual({"level": "warn", "levels": {"redis": "error"}}, self.ask(level="warn"))
        expected = {"redis": "error", "tracseq_gateway.upstream": "debug"}
        self.assertEqual(
            {"level": "warn", "levels": expected}, self.ask(level="debug", namespace="tracseq_gateway.upstream")
        )
        self.assertEqual(["warn", "warn"], [log.level for log in self.told])
        self.assertEqual(expected, self.told[-1].levels)

    def test_back(self) -> None:
        """A reset goes back to the configuration, and another configuration ends all changes."""
        self.ask(level="debug", namespace="redis")
        self.assertEqual({"level": "info", "levels": {"redis": "error"}}, self.ask(level="reset"))
        self.ask(level="debug")
        self.levels.adopt(Log("error"))
        self.assertEqual({"level": "error", "levels": {}}, self.ask())
        self.assertEqual(Log("error"), self.told[-1])

    def test_wrong(self) -> None:
        """What is no level, and no part of a program, changes nothing; neither do too many."""
        for request, said in (
            ({"level": "loud"}, '"loud" is no level, debug, info, warn, error or reset would be right'),
            ({"level": ["debug"]}, "an array is no level"),
            ({"level": "debug", "namespace": "a b"}, '"a b" names no part of the program'),
            ({"level": "reset", "namespace": "redis"}, '"reset" is no level'),
        ):
            self.assertIn(said, self.ask(**request)["error"])
        for number in range(MOST_NAMESPACES - 1):
            self.assertNotIn("error", self.ask(level="debug", namespace=f"part{number}"))
        self.assertIn("have levels already", self.ask(level="debug", namespace="one_more")["error"])
        self.assertEqual(MOST_NAMESPACES - 1, len(self.told))

    def test_wire(self) -> None:
        """What the workers are told is what was meant."""
        self.assertEqual(CONFIGURED, unpackLevels(packLevels(CONFIGURED)))


class CommandTests(SynchronousTestCase):
    def test_usage(self) -> None:
        """More than a namespace and a level is no command, and without a gateway the status is 2."""
        with redirect_stderr(io.StringIO()) as complained, redirect_stdout(io.StringIO()):
            refused = self.assertRaises(SystemExit, main, ["log-level", "a", "b", "c"])
            self.assertEqual(2, refused.code)
            self.assertIn("a namespace and a level at most", complained.getvalue())
            self.assertEqual(2, main(["log-level", "debug", "--port", "1"]))
        self.assertIn("no gateway can be reached", complained.getvalue())
