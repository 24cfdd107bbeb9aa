"""The watch over configuration files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tracseq_gateway.config import Authentication, Config, Jwt, JwtKey, Redis
from tracseq_gateway.config.tls import Certificate, Tls
from tracseq_gateway.process.file_watch import FileWatch, files_of


class FileWatchTests(SynchronousTestCase):
    """``FileWatch`` over two files."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.changes = 0
        self.watch = FileWatch(cast(IReactorTime, self.clock), self.note)
        self.one, self.two = Path(self.mktemp()), Path(self.mktemp())
        for file in (self.one, self.two):
            file.write_text("first")
        self.watch.follow([str(self.one), str(self.two)])

    def note(self) -> None:
        self.changes += 1

    def look(self, times: int = 1) -> int:
        """Let it look so many times; return how often it has noticed something."""
        self.clock.pump([1.0] * times)
        return self.changes

    def test_quiet(self) -> None:
        """Nothing is noticed where nothing changes."""
        self.assertEqual(0, self.look(10))

    def test_changed(self) -> None:
        """A change is noticed once, when the file is found as it was at the look before."""
        self.two.write_text("other text")
        self.assertEqual([0, 1, 1], [self.look(), self.look(), self.look(5)])

    def test_growing(self) -> None:
        """As long as a file changes from look to look somebody writes it, and it is not noticed."""
        for size in range(5):
            self.one.write_text("x" * (10 + size))
            self.assertEqual(0, self.look())
        self.assertEqual(1, self.look())

    def test_replaced(self) -> None:
        """A file that is put in the place of another one, of the same size and time, is noticed."""
        other = self.one.with_suffix(".new")
        other.write_text("other")
        times = self.one.stat()
        os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
        other.rename(self.one)
        self.assertEqual(1, self.look(2))

    def test_gone(self) -> None:
        """A file that goes, and one that comes back, is noticed."""
        self.one.unlink()
        self.assertEqual(1, self.look(2))
        self.one.write_text("first")
        self.assertEqual(2, self.look(2))

    def test_touched(self) -> None:
        """What changes back in time was no change."""
        times = self.one.stat()
        self.one.write_text("other")
        self.look()
        self.one.write_text("first")
        os.utime(self.one, ns=(times.st_atime_ns, times.st_mtime_ns))
        self.assertEqual(0, self.look(5))

    def test_follow(self) -> None:
        """Other files can be followed instead; a change that nobody has noticed yet is not forgotten by that."""
        self.one.write_text("changed")
        self.two.write_text("changed")
        self.watch.follow([str(self.one)])
        self.assertEqual(1, self.look(2))
        self.watch.follow([])
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_refresh(self) -> None:
        """A change that somebody knows of already is not noticed."""
        self.one.write_text("changed")
        self.look()
        self.watch.refresh()
        self.assertEqual(0, self.look(3))


class FilesTests(SynchronousTestCase):
    """``files_of``."""

    def test_named(self) -> None:
        """Keys and certificates are followed, wherever the configuration names them."""
        jwt = Jwt(keys=(JwtKey("a.pem", "RS256"), JwtKey("b.pem", "RS256", "b")))
        config = Config(auth=Authentication(api_keys_file="keys.toml", jwt=jwt), redis=Redis(ca="ca.pem"))
        self.assertEqual(["keys.toml", "ca.pem", "a.pem", "b.pem"], files_of(config))
        pairs = Certificate("gw.pem", "gw.key"), Certificate("lab.pem", "lab.key")
        tls = Tls(pairs, client_ca="clients.pem", client_crl="clients.crl")
        named = ["gw.pem", "gw.key", "lab.pem", "lab.key", "clients.pem", "clients.crl"]
        self.assertEqual(named, files_of(Config(tls=tls)))
        self.assertEqual([], files_of(Config()))
