"""Log lines on their way from a child to the supervisor's log."""

from __future__ import annotations

from io import StringIO

from twisted.logger import LogEvent, Logger
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tracseq_gateway.process.lines import LONGEST_LINE, LineLogger, lineObserver


class LineTests(SynchronousTestCase):
    """``lineObserver`` and ``LineLogger``, alone and together."""

    def setUp(self) -> None:
        self.stream = StringIO()
        self.child = Logger(namespace="child", observer=lineObserver(self.stream))
        self.events: list[LogEvent] = []
        self.lines = LineLogger(Logger(namespace="worker 3", observer=self.events.append))  # type: ignore[arg-type]

    def logged(self) -> list[tuple[str, str]]:
        return [(event["log_level"].name, event["line"]) for event in self.events]

    def test_roundTrip(self) -> None:
        """What a child logs is logged again with its level, under the child's name."""
        self.child.info("one {number}", number=1)
        self.child.error("two")
        self.lines.feed(self.stream.getvalue().encode())
        self.assertEqual([("info", "one 1"), ("error", "two")], self.logged())
        self.assertEqual("worker 3", self.events[0]["log_namespace"])

    def test_traceback(self) -> None:
        """Each line of a traceback is an event of the failure's level."""
        try:
            raise RuntimeError("no luck")
        except RuntimeError:
            self.child.failure("it broke", Failure())
        self.lines.feed(self.stream.getvalue().encode())
        self.assertEqual({"critical"}, {level for level, _ in self.logged()})
        self.assertIn(("critical", "builtins.RuntimeError: no luck"), self.logged())

    def test_debugStaysBehind(self) -> None:
        """Debug events do not leave the child."""
        self.child.debug("a detail")
        self.assertEqual("", self.stream.getvalue())

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

    def test_bounded(self) -> None:
        """A line without an end is logged in pieces instead of being kept."""
        self.lines.feed(b"x" * (2 * LONGEST_LINE + 1))
        self.assertEqual([LONGEST_LINE, LONGEST_LINE], [len(line) for _, line in self.logged()])

    def test_braces(self) -> None:
        """Braces in a line are text, not fields of a format."""
        self.lines.feed(b"<6>{nothing}\n")
        self.assertEqual([("info", "{nothing}")], self.logged())
