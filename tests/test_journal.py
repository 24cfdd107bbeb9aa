"""Entries of the journal: their wire form, and a real journald that takes them."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.journal_kit import RealJournal, missing
from tracseq_gateway.journal.entry import entry
from tracseq_gateway.journal.sender import Sender


def parsed(data: bytes) -> list[tuple[str, bytes]]:
    """The fields of an entry, read as the protocol says."""
    fields = []
    while data:
        line, _, rest = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            size = int.from_bytes(rest[:8], "little")
            value, rest = rest[8 : 8 + size], rest[8 + size :]
            assert rest[:1] == b"\n"
            rest = rest[1:]
        fields.append((name.decode(), value))
        data = rest
    return fields


class EntryTests(SynchronousTestCase):
    def test_plain(self) -> None:
        """Fields stand one a line; one with a line feed stands with its length."""
        self.assertEqual(b"MESSAGE=a=b\nPRIORITY=6\n", entry([("MESSAGE", "a=b"), ("PRIORITY", 6)]))
        self.assertEqual(b"A=1\nMESSAGE\n\3\0\0\0\0\0\0\0a\nb\n", entry([("A", 1), ("MESSAGE", "a\nb")]))

    @given(st.lists(st.tuples(st.sampled_from(["MESSAGE", "TRACSEQ_PATH"]), st.text(max_size=20)), max_size=4))
    @example([("MESSAGE", "a\nPRIORITY=0\n"), ("TRACSEQ_PATH", "\n"), ("MESSAGE", "\ud800\x00é")])
    @settings(max_examples=200, deadline=None)
    def test_values(self, fields: list[tuple[str, str]]) -> None:
        """Whatever a value holds, no field but those that were given comes of it."""
        expected = [(name, value.encode("utf-8", "replace")) for name, value in fields]
        self.assertEqual(expected, parsed(entry(fields)))


class SenderTests(SynchronousTestCase):
    """``Sender`` to a socket of the test."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = str(Path(folder.name, "socket"))

    def listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(listener.close)
        listener.bind(self.path)
        listener.settimeout(5)
        return listener

    def sender(self, wait: bool) -> Sender:
        sender = Sender(self.path, wait=wait)
        self.addCleanup(sender.close)
        return sender

    def test_restarted(self) -> None:
        """A journal that was away gets what is sent once it is there again, by whatever socket."""
        sender = self.sender(True)
        self.assertRaises(FileNotFoundError, sender.send, b"A=1\n")
        first = self.listen()
        sender.send(b"A=2\n")
        self.assertEqual(b"A=2\n", first.recv(100))
        first.close()
        self.assertRaises(ConnectionRefusedError, sender.send, b"A=3\n")
        os.unlink(self.path)
        second = self.listen()
        sender.send(b"A=4\n")
        self.assertEqual(b"A=4\n", second.recv(100))

    def test_busy(self) -> None:
        """Who does not want to wait for a busy journal is told."""
        self.listen()
        sender = self.sender(False)

        def flood() -> None:
            for _ in range(100_000):
                sender.send(b"A=1\n")

        self.assertRaises(BlockingIOError, flood)

    def test_large(self) -> None:
        """What is too large for a datagram comes as a file that cannot be changed, and no descriptor is left."""
        listener, sender = self.listen(), self.sender(True)
        before = len(os.listdir("/proc/self/fd"))
        large = b"MESSAGE=" + b"x" * (4 << 20) + b"\n"
        sender.send(large)
        self.assertEqual(before, len(os.listdir("/proc/self/fd")))
        data, files, _, _ = socket.recv_fds(listener, 100, 4)
        (file,) = files
        self.addCleanup(os.close, file)
        self.assertEqual((b"", large), (data, os.pread(file, len(large) + 1, 0)))
        self.assertRaises(OSError, os.pwrite, file, b"y", 0)


class RealTests(SynchronousTestCase):
    """A real systemd-journald."""

    def setUp(self) -> None:
        if missing():
            raise SkipTest(missing())
        self.journal = RealJournal()
        self.addCleanup(self.journal.stop)

    def test_taken(self) -> None:
        """It takes entries of every form: plain, with line feeds and other bytes, and too large for a datagram."""
        sender = Sender(self.journal.socket, wait=True)
        self.addCleanup(sender.close)
        texts = ["plain", "two\nTRACSEQ_SERVICE=forged\nlines", "Zürich \u2028 =", "x" * 600_000]
        for number, text in enumerate(texts):
            fields = [("MESSAGE", text), ("TRACSEQ_NUMBER", number), ("SYSLOG_IDENTIFIER", "tracseq-gateway")]
            sender.send(entry(fields))
        found = self.journal.wait_for("SYSLOG_IDENTIFIER=tracseq-gateway", count=len(texts))
        self.assertEqual(texts, [one["MESSAGE"] for one in found])
        self.assertEqual(["0", "1", "2", "3"], [one["TRACSEQ_NUMBER"] for one in found])
        self.assertEqual([], self.journal.entries("TRACSEQ_SERVICE=forged"))
        self.assertEqual({str(os.getpid())}, {one["_PID"] for one in found})
