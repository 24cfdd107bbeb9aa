"""The gateway's own log: levels, JSON lines, entries of the journal."""

from __future__ import annotations

import json
import os
import socket
import tempfile
from io import StringIO
from pathlib import Path
from typing import Any

from twisted.logger import (
    ILogObserver,
    LogEvent,
    Logger,
    LogLevel,
    LogPublisher,
    PredicateResult,
    textFileLogObserver,
)
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.test_journal import parsed
from tracseq_gateway import own_log
from tracseq_gateway.config.logs import Log
from tracseq_gateway.journal.sender import Sender
from tracseq_gateway.own_log.journal_observer import JournalObserver
from tracseq_gateway.own_log.json_lines import json_line
from tracseq_gateway.own_log.levels import Levels
from tracseq_gateway.own_log.own_log import OwnLog
from tracseq_gateway.own_log.said import Said


def event(**changes: Any) -> LogEvent:
    """An event that says hello."""
    return {
        "log_format": "hello",
        "log_level": LogLevel.info,
        "log_namespace": "tracseq_gateway.part",
        "log_time": 1767323045.5,
        **changes,
    }


def failure() -> Failure:
    """Something went wrong."""
    try:
        raise ValueError("wrong")
    except ValueError:
        return Failure()


class LevelTests(SynchronousTestCase):
    def test_namespaces(self) -> None:
        """An event is judged by the longest namespace that it belongs to, and else by the level of all."""
        levels = Levels()
        levels.apply(Log("warn", {"tracseq_gateway": "error", "tracseq_gateway.upstream": "debug"}))
        for namespace, level, kept in (
            ("twisted", LogLevel.info, False),
            ("twisted", LogLevel.warn, True),
            ("tracseq_gateway.part", LogLevel.warn, False),
            ("tracseq_gateway.upstream.health", LogLevel.debug, True),
            ("tracseq_gateway.upstreams", LogLevel.warn, False),
        ):
            judged = levels(event(log_namespace=namespace, log_level=level))
            self.assertEqual(kept, judged is not PredicateResult.no, (namespace, level))

    def test_children(self) -> None:
        """What a child said has been judged already, by its own namespace."""
        told = Said("tracseq_gateway.part", "a detail")
        self.assertIs(PredicateResult.yes, Levels()(event(said=told, log_level=LogLevel.debug)))


class JsonTests(SynchronousTestCase):
    def test_plain(self) -> None:
        """A line says when, how much it matters, who says it, and what."""
        self.assertEqual(
            {
                "time": "2026-01-02T03:04:05.500Z",
                "level": "info",
                "namespace": "tracseq_gateway.part",
                "message": "hello\nworld é",
            },
            json.loads(json_line(event(log_format="hello\n{what}", what="world é"))),
        )

    def test_child(self) -> None:
        """What a child said stands under its own namespace, with the child's name."""
        told = Said("tracseq_gateway.part", "hello", "Traceback", "builtins.ValueError")
        line = json_line(event(log_format="{said}", said=told, log_namespace="worker 1"))
        said = json.loads(line)
        expected = ("tracseq_gateway.part", "worker 1", "hello", "Traceback")
        self.assertEqual(expected, tuple(said[name] for name in ("namespace", "process", "message", "traceback")))
        self.assertEqual(1, line.count("\n"))

    def test_failure(self) -> None:
        """A failure comes with its traceback, and with the place where it was raised."""
        said = json.loads(json_line(event(log_failure=failure(), log_level=LogLevel.critical)))
        self.assertEqual(("hello", "builtins.ValueError"), (said["message"], said["exception"]))
        self.assertTrue(said["traceback"].endswith("builtins.ValueError: wrong"), said)
        self.assertTrue(said["code"].endswith(", in failure") and __name__.split(".")[-1] in said["code"], said)

    def test_unformattable(self) -> None:
        """An event that cannot be written out says so instead of raising."""
        self.assertIn("Unable to format event", json.loads(json_line(event(log_format="{no[}")))["message"])


class OwnLogTests(SynchronousTestCase):
    """``OwnLog``."""

    def setUp(self) -> None:
        self.stream = StringIO()
        self.heard: list[LogEvent] = []
        self.publisher = LogPublisher(textFileLogObserver(self.stream), self.heard.append)  # type: ignore[arg-type]
        self.own_log = OwnLog(self.publisher)
        self.log = Logger(namespace="tracseq_gateway.part", observer=self.publisher)

    def test_levels(self) -> None:
        """Levels hold for every observer that twistd has set up, and change at any time."""
        self.own_log.begin(Log("warn"))
        self.log.info("one")
        self.own_log.apply(Log("warn", {"tracseq_gateway": "debug"}))
        self.log.debug("two")
        self.own_log.apply(Log("error"))
        self.log.warn("three")
        self.assertEqual(["two"], [one["log_format"] for one in self.heard])
        self.assertTrue(self.stream.getvalue().endswith("[tracseq_gateway.part#debug] two\n"))

    def test_format(self) -> None:
        """Files get JSON instead of text, and text again."""
        self.own_log.begin(Log(format="json"))
        self.log.info("one")
        self.own_log.apply(Log())
        self.log.info("two")
        first, second = self.stream.getvalue().splitlines()
        self.assertEqual("one", json.loads(first)["message"])
        self.assertTrue(second.endswith("#info] two"), second)

    def test_end(self) -> None:
        """After the end the publisher's observers are its own again."""
        self.own_log.begin(Log("error"))
        self.own_log.end()
        self.log.debug("one")
        self.assertEqual(1, len(self.heard))
        self.publisher.removeObserver(self.heard.append)  # type: ignore[arg-type]
        self.log.debug("two")
        self.assertEqual(1, len(self.heard))


class JournalTests(SynchronousTestCase):
    """``JournalObserver``, with a socket of the test in the journal's place."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name, "socket")
        self.sender = Sender(str(self.path), wait=False)
        self.addCleanup(self.sender.close)
        self.observer = JournalObserver(self.sender)
        verifyObject(ILogObserver, self.observer)

    def listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(listener.close)
        listener.bind(str(self.path))
        listener.settimeout(5)
        return listener

    def test_fields(self) -> None:
        """An entry has the event's level as its priority, and says who says it."""
        journal = self.listen()
        levels = [(LogLevel.debug, b"7"), (LogLevel.warn, b"4"), (LogLevel.error, b"3"), (LogLevel.critical, b"2")]
        for level, priority in levels:
            self.observer(event(log_level=level))
            self.assertEqual(
                [
                    ("MESSAGE", b"hello"),
                    ("PRIORITY", priority),
                    ("SYSLOG_IDENTIFIER", b"tracseq-gateway"),
                    ("TRACSEQ_NAMESPACE", b"tracseq_gateway.part"),
                ],
                parsed(journal.recv(9000)),
            )

    def test_failure(self) -> None:
        """The message of a failure goes on with its traceback, and the entry names the code."""
        journal = self.listen()
        self.observer(event(log_failure=failure()))
        fields = dict(parsed(journal.recv(9000)))
        self.assertTrue(fields["MESSAGE"].startswith(b"hello\nTraceback"), fields)
        self.assertEqual((b"builtins.ValueError", b"failure"), (fields["TRACSEQ_EXCEPTION"], fields["CODE_FUNC"]))
        self.assertTrue(fields["CODE_FILE"].endswith(b"test_own_log.py"), fields)
        self.assertGreater(int(fields["CODE_LINE"]), 1)

    def test_lost(self) -> None:
        """What no journal takes is lost without a fault, and counted in the first entry that one takes."""
        for _ in range(3):
            self.observer(event())
        journal = self.listen()
        self.observer(event())
        first, second = (dict(parsed(journal.recv(9000))) for _ in range(2))
        self.assertTrue(first["MESSAGE"].startswith(b"3 entries of the log were lost"), first)
        self.assertEqual(b"hello", second["MESSAGE"])
        self.assertEqual(0, self.observer.lost)

    def test_factory(self) -> None:
        """Without a journal the start is refused, and it is said where one was looked for."""
        self.patch(os, "environ", {own_log.JOURNAL_VARIABLE: str(self.path)})
        refused = self.assertRaises(SystemExit, own_log.journald)
        self.assertIn(f"there is no journal at {self.path}", str(refused))
        self.listen()
        observer = own_log.journald()
        assert isinstance(observer, JournalObserver)
        self.addCleanup(observer._sender.close)
