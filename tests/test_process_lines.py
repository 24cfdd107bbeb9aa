"""Log lines on their way from a child to the supervisor's log."""

from __future__ import annotations

import json
from io import StringIO

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import LogEvent, Logger, LogLevel
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tracseq_gateway.config.logs import Log
from tracseq_gateway.own_log.levels import Levels
from tracseq_gateway.own_log.said import said
from tracseq_gateway.process.lines import LONGEST_LINE, LineLogger, asLine, lineObserver


class LineTests(SynchronousTestCase):
    """``lineObserver`` and ``LineLogger``, alone and together."""

    def setUp(self) -> None:
        self.stream = StringIO()
        self.levels = Levels()
        self.child = Logger(namespace="child.part", observer=lineObserver(self.stream, self.levels))
        self.events: list[LogEvent] = []
        self.lines = LineLogger(Logger(namespace="worker 3", observer=self.events.append))  # type: ignore[arg-type]

    def logged(self) -> list[tuple[str, str]]:
        return [(event["log_level"].name, str(said(event))) for event in self.events]

    def passOn(self) -> None:
        self.lines.feed(self.stream.getvalue().encode())

    def test_roundTrip(self) -> None:
        """What a child logs is logged again with its level and its namespace, under the child's name."""
        self.child.info("one {number}", number=1)
        self.child.error("two\nlines")
        self.passOn()
        self.assertEqual([("info", "one 1"), ("error", "two\nlines")], self.logged())
        told = said(self.events[0])
        self.assertEqual(("child.part", "worker 3"), (told.namespace, told.process))
        self.assertEqual("worker 3", self.events[0]["log_namespace"])

    def test_traceback(self) -> None:
        """A traceback stays with its event, and so does where it was raised."""
        try:
            raise RuntimeError("no luck")
        except RuntimeError:
            self.child.failure("it broke", Failure())
        self.passOn()
        (event,) = self.events
        told = said(event)
        self.assertEqual(("critical", "it broke"), (event["log_level"].name, told.message))
        self.assertTrue(told.traceback.startswith("Traceback") and told.traceback.endswith("no luck"), told.traceback)
        assert told.code is not None
        self.assertEqual(("builtins.RuntimeError", "test_traceback"), (told.exception, told.code.function))

    def test_levels(self) -> None:
        """What the levels do not keep does not leave the child; they may change at any time."""
        self.child.debug("a detail")
        self.assertEqual("", self.stream.getvalue())
        self.levels.apply(Log("error", {"child": "debug"}))
        self.child.debug("a detail")
        self.levels.apply(Log("error"))
        self.child.warn("not now")
        self.passOn()
        self.assertEqual([("debug", "a detail")], self.logged())

    @given(st.text(max_size=30).filter(lambda text: text.strip() == text and text))
    @settings(max_examples=100, deadline=None)
    def test_anything(self, text: str) -> None:
        """Whatever a message holds, it is one line in ASCII, and one event."""
        self.stream.truncate(0)
        self.events.clear()
        self.child.info("{text}", text=text)
        line = self.stream.getvalue().lstrip("\0")
        self.assertTrue(line.isascii() and line.count("\n") == 1, line)
        self.lines.feed(line.encode())
        self.assertEqual([("info", text)], self.logged())

    def test_long(self) -> None:
        """An event that is too long for a line is shortened: the end of a traceback is kept, and a message's start."""
        long = {"log_format": "{text}", "text": "é" * 50_000, "log_namespace": "n", "log_level": LogLevel.info}
        line = asLine(long)
        self.assertLessEqual(len(line), LONGEST_LINE)
        self.lines.feed(line.encode())
        self.assertTrue(self.logged()[0][1].startswith("ééé"))
        try:
            raise RuntimeError("x" * 50_000 + "the end")
        except RuntimeError:
            line = asLine({**long, "text": "it broke", "log_failure": Failure()})
        self.assertLessEqual(len(line), LONGEST_LINE)
        self.lines.feed(line.encode())
        told = said(self.events[1])
        self.assertEqual(("it broke", True), (told.message, told.traceback.endswith("the end")))

    def test_pieces(self) -> None:
        """A line that comes in pieces is logged once it is whole."""
        self.lines.feed(b"<6>hel")
        self.assertEqual([], self.events)
        self.lines.feed(b"lo\n<4>wor")
        self.assertEqual([("info", "hello")], self.logged())

    def test_lastWords(self) -> None:
        """What a child leaves without a line end is logged when its pipe closes."""
        self.lines.feed(b"Fatal Python error")
        self.lines.finish()
        self.assertEqual([("warn", "Fatal Python error")], self.logged())

    def test_printed(self) -> None:
        """A line that no logger wrote is a warning; bytes that are no text do not matter, nor do empty lines."""
        self.lines.feed(b"plain\n\n<9>odd\n\xff\n<6>\n")
        self.assertEqual([("warn", "plain"), ("warn", "<9>odd"), ("warn", "\ufffd")], self.logged())

    def test_likeAnEvent(self) -> None:
        """A line that only begins like an event is text."""
        odd = ['["a"', '["a"]', json.dumps(["a"] * 6 + [1]), json.dumps(["a"] * 8), '["a",' + "[" * 8000]
        for line in odd:
            self.lines.feed(b"<6>" + line.encode() + b"\n")
        self.assertEqual([("info", line) for line in odd], self.logged())

    def test_bounded(self) -> None:
        """A line without an end is logged in pieces instead of being kept."""
        self.lines.feed(b"x" * (2 * LONGEST_LINE + 1))
        self.assertEqual([LONGEST_LINE, LONGEST_LINE], [len(line) for _, line in self.logged()])

    def test_braces(self) -> None:
        """Braces in a line are text, not fields of a format."""
        self.lines.feed(b"<6>{nothing}\n")
        self.assertEqual([("info", "{nothing}")], self.logged())
