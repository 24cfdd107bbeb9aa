"""The directory of uploads: private, bounded, shared by workers, and cleaned up after those who died."""

from __future__ import annotations

import errno
import os
import shutil
import time
from pathlib import Path

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.uploads_kit import TAKES, TUS, UploadGateway
from tracseq_gateway.config import Metrics, Size, Uploads
from tracseq_gateway.errors import NO_SPACE
from tracseq_gateway.uploads import held as held_module
from tracseq_gateway.uploads.held import HeldUpload
from tracseq_gateway.uploads.record import Record, new_identifier
from tracseq_gateway.uploads.refused import Refused
from tracseq_gateway.uploads.store import ORPHANED_SECONDS, Census, Store, StoreError


class StoreCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.later = 0.0

    def store(self, **settings: object) -> Store:
        """A worker's store in the directory of this test."""
        kept = Uploads(directory=str(self.directory), **settings)  # type: ignore[arg-type]
        store = Store(kept, lambda: time.time() + self.later)
        store.prepare()
        self.addCleanup(store.close)
        return store

    def create(self, store: Store, length: int = 5) -> HeldUpload:
        """Begin an upload; it is held."""
        held = store.create(Record(new_identifier(), "a:1", "rag", "/files", "", length, "", False))
        self.addCleanup(held.close)
        return held

    def open(self, store: Store, held: HeldUpload) -> HeldUpload:
        """The same upload, opened once more."""
        again = store.open(held.record.identifier)
        assert again is not None
        self.addCleanup(again.close)
        return again


class DirectoryTests(StoreCase):
    def test_made(self) -> None:
        """It is made for this user alone, and found again."""
        self.store()
        self.assertEqual(0o700, self.directory.stat().st_mode & 0o777)
        self.store()

    def test_not_private(self) -> None:
        """One that others may look into, a file, or a link elsewhere is refused, and says so."""
        self.directory.mkdir(mode=0o755)
        self.assertRaisesRegex(StoreError, r"uploads\.directory .* must be a directory of user \d+ alone", self.store)
        self.directory.rmdir()
        self.directory.symlink_to(self.mktemp())
        self.assertRaises(StoreError, self.store)
        self.directory.unlink()
        self.directory.write_text("")
        self.assertRaises(StoreError, self.store)

    def test_not_made(self) -> None:
        """Neither is one made where there is no place for it."""
        self.directory = self.directory / "below" / "another"
        self.assertRaisesRegex(StoreError, "cannot be used: No such file", self.store)

    def test_files_are_private(self) -> None:
        """Nobody else may read an upload."""
        self.create(self.store())
        for file in self.directory.iterdir():
            self.assertEqual(0o600, file.stat().st_mode & 0o777, file)


class LockTests(StoreCase):
    def test_one_at_a_time(self) -> None:
        """Of two workers one has an upload; it hears that the other wants it, who gets it as it was left."""
        one, other = self.store(), self.store()
        held = self.create(one)
        waiting = self.open(other, held)
        self.assertFalse(waiting.try_lock())
        self.assertFalse(held.is_wanted())
        waiting.want()
        self.assertTrue(held.is_wanted())
        held.write(0, b"abc")
        held.close()
        self.assertTrue(waiting.try_lock())
        self.assertFalse(waiting.is_wanted())
        self.assertEqual((3, b"abc"), (waiting.offset, waiting.read(0, 9)))

    def test_removed_meanwhile(self) -> None:
        """Who waited for an upload that was then removed finds nothing, not an empty one."""
        store = self.store()
        held = self.create(store)
        waiting = self.open(store, held)
        held.remove()
        held.close()
        self.assertRaises(FileNotFoundError, waiting.try_lock)
        self.assertIsNone(store.open(held.record.identifier))

    def test_record(self) -> None:
        """A record is read as it was written, also one of a version that knew more; what is none is no upload."""
        store = self.store()
        record = self.create(store).record
        file = self.directory / f"{record.identifier}.json"
        self.assertEqual(record, Record.read(file.read_bytes()))
        self.assertEqual(record, Record.read(file.read_bytes()[:-1] + b', "more": 1}'))
        for text in (b"", b"[]", b"7", b"{}"):
            self.assertRaises(ValueError, Record.read, text)
            file.write_bytes(text)
            self.assertIsNone(store.open(record.identifier))


class SweepTests(StoreCase):
    def test_one_worker(self) -> None:
        """One worker looks after the directory; when it leaves, another does."""
        one, other = self.store(), self.store()
        held = self.create(one)
        held.write(0, b"abc")
        held.close()
        self.create(one, 0).close()
        states = {"receiving": 1, "complete": 1, "delivering": 0, "delivered": 0, "unknown": 0}
        self.assertEqual(Census(states, 3), one.sweep())
        self.assertIsNone(other.sweep())
        one.close()
        self.assertEqual(Census(states, 3), other.sweep())

    def test_expired(self) -> None:
        """What has expired goes, unless somebody is at work on it."""
        store = self.store(expire_seconds=100.0)
        left, held = self.create(store), self.create(store)
        left.close()
        self.later = 99.0
        census = store.sweep()
        assert census is not None
        self.assertEqual(2, census.states["receiving"])
        self.later = 101.0
        census = store.sweep()
        assert census is not None
        self.assertEqual(1, census.states["receiving"])
        self.assertIsNone(store.open(left.record.identifier))
        self.assertEqual(0, held.offset)

    def test_disk_full(self) -> None:
        """What has expired goes though the disk has no room to put right what somebody left who died over it."""
        store = self.store(expire_seconds=100.0)
        unchecked, delivering = self.create(store), self.create(store)
        unchecked.save(evolve(unchecked.record, unchecked=0))
        delivering.save(evolve(delivering.record, state="delivering"))
        unchecked.close()
        delivering.close()
        self.later = 101.0

        def full(file: Path, content: bytes) -> None:
            raise Refused(NO_SPACE, "there is no room left for uploads")

        self.patch(held_module, "replace", full)
        census = store.sweep()
        assert census is not None
        self.assertEqual(0, sum(census.states.values()))

    def test_goes_on(self) -> None:
        """A look that fails, whatever the reason, is not the last one."""
        gateway = UploadGateway(str(self.directory))
        url = gateway.create(3)
        looked = []

        def sweep(store: Store) -> None:
            looked.append(store)
            raise Refused(NO_SPACE, "there is no room left for uploads")

        self.patch(Store, "sweep", sweep)
        gateway.pass_time(62, step=1)
        self.assertEqual(2, len(looked))
        self.assertEqual(0, gateway.offset(url))
        self.assertEqual(2, len(self.flushLoggedErrors(Refused)))

    def test_orphans(self) -> None:
        """Files without a record, of somebody who died, go after a while; what is no upload is left alone."""
        store = self.store()
        names = [f"{new_identifier()}.data", f"{new_identifier()}.json.new"]
        for name in (*names, "notes.txt"):
            (self.directory / name).write_text("x")
        store.sweep()
        self.assertLessEqual(set(names), set(os.listdir(self.directory)))
        self.later = ORPHANED_SECONDS + 1
        store.sweep()
        self.assertEqual({"lock", "sweeper", "notes.txt"}, set(os.listdir(self.directory)))


class SpaceTests(StoreCase):
    def test_whole_length_counts(self) -> None:
        """Room is kept for all that an upload will be, and given back when it is delivered or removed."""
        store = self.store(max_bytes=Size(10))
        first, second = self.create(store), self.create(store)
        self.assertRaises(Refused, self.create, store, 1)
        first.settle(evolve(first.record, state="delivered", settled=time.time()), b"said")
        self.create(store)
        second.remove()
        self.create(store)

    def test_disk(self) -> None:
        """What the disk has no room for is refused before it comes."""
        store = self.store(max_bytes=Size(1 << 60), max_bytes_per_client=Size(0))
        with self.assertRaises(Refused) as caught:
            self.create(store, 1 << 59)
        self.assertIs(NO_SPACE, caught.exception.error.kind)

    def test_no_files(self) -> None:
        """A disk that has room for bytes, but for no more files, is full as well: 507."""
        gateway, make = UploadGateway(str(self.directory)), os.open

        def full(file: Path | str, flags: int, mode: int = 0o777) -> int:
            if flags & os.O_EXCL:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return make(file, flags, mode)

        self.patch(os, "open", full)
        self.assertEqual(507, gateway.ask(b"POST", TAKES, TUS, b"Upload-Length: 3").status)

    def test_full_while_it_comes(self) -> None:
        """A disk that is full while a part comes gives 507, and what was written before is kept."""
        gateway = UploadGateway(str(self.directory))
        url = gateway.create(6)
        gateway.append(url, 0, b"abc")

        def full(held: HeldUpload, offset: int, data: bytes) -> None:
            raise Refused(NO_SPACE, "there is no room left for uploads")

        self.patch(HeldUpload, "write", full)
        self.assertEqual(507, gateway.append(url, 3, b"def").status)
        self.assertEqual(3, gateway.offset(url))


class LostTests(StoreCase):
    def test_directory_removed(self) -> None:
        """A directory that somebody removed is the gateway's trouble (500), which its log tells; not a wrong path."""
        gateway = UploadGateway(str(self.directory))
        shutil.rmtree(self.directory)
        self.assertEqual(500, gateway.ask(b"POST", TAKES, TUS, b"Upload-Length: 3").status)
        (error,) = self.flushLoggedErrors(StoreError)
        self.assertIn(f"uploads.directory {self.directory} is gone", error.getErrorMessage())


class FigureTests(StoreCase):
    def test_metrics(self) -> None:
        """The metrics say how many uploads there are, how far, and how many bytes they have."""
        gateway = UploadGateway(str(self.directory), tables={"metrics": Metrics(enabled=True)})
        gateway.append(gateway.create(6), 0, b"abc")
        gateway.ask(b"POST", TAKES, TUS, b"Upload-Length: 0")
        gateway.worker.records.start()
        self.addCleanup(gateway.worker.records.stop)
        gateway.pass_time(32, step=1)
        metrics = gateway.worker.records.metrics
        assert metrics is not None
        page = metrics.page().body.decode()
        for line in (
            'gateway_uploads{state="receiving"} 1.0',
            'gateway_uploads{state="delivered"} 1.0',
            "gateway_upload_bytes 3.0",
            'gateway_upload_deliveries_total{outcome="taken",service="rag"} 1.0',
            'gateway_upload_deliveries_total{outcome="unknown",service="rag"} 0.0',
        ):
            self.assertIn(line, page)
