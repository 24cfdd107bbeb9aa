"""The directory that all workers of a host share: which uploads there are, how many may be, and when they go.

Everything here blocks, and belongs in a thread. Nothing is remembered that is not on disk, so that workers may come and
go, but for records that have not changed. What is decided about all uploads together is decided under one lock.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from attrs import frozen
from twisted.logger import Logger

from tracseq_gateway.config.uploads import Uploads
from tracseq_gateway.errors import NO_SPACE, TOO_MANY_AT_ONCE
from tracseq_gateway.uploads.held import HeldUpload, remove, replace, room
from tracseq_gateway.uploads.record import IDENTIFIER, Record
from tracseq_gateway.uploads.refused import Refused

ORPHANED_SECONDS: Final = 600.0
"""After how long files without a record are removed: who makes an upload has its record within a moment."""


class StoreError(Exception):
    """The directory cannot be used; the text is for the operator and says what to do."""


@frozen
class Kept:
    """One upload as a look at the directory finds it."""

    record: Record
    size: int
    progressed: float

    @property
    def state(self) -> str:
        """Its state, in which ``complete`` is told from ``receiving``."""
        record = self.record
        return "complete" if record.state == "receiving" and self.size >= record.length else record.state


@frozen
class Census:
    """What the directory holds."""

    states: Mapping[str, int]
    """How many uploads are in which state."""
    size: int
    """Bytes that have come, and are kept."""


STATES: Final = ("receiving", "complete", "delivering", "delivered", "unknown")


class Store:
    """See the module."""

    log = Logger()

    def __init__(self, settings: Uploads, now: Callable[[], float]) -> None:
        """``now`` gives seconds since the epoch."""
        self.settings = settings
        self._now = now
        self._directory = Path(settings.directory)
        self._known: dict[str, tuple[int, int, Record]] = {}
        self._sweeping: int | None = None

    def prepare(self) -> None:
        """Have the directory. Raises :class:`StoreError` when it cannot be made, or is not private."""
        try:
            with suppress(FileExistsError):
                self._directory.mkdir(mode=0o700)
            found = self._directory.lstat()
        except OSError as error:
            raise self._error(f"cannot be used: {error.strerror}") from error
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
            raise self._error(f"must be a directory of user {os.geteuid()} alone (chmod 700, chown)")

    def _error(self, wrong: str) -> StoreError:
        return StoreError(f"uploads.directory {self._directory} {wrong}")

    def close(self) -> None:
        """Let another worker sweep."""
        if self._sweeping is not None:
            os.close(self._sweeping)
            self._sweeping = None

    def create(self, record: Record) -> HeldUpload:
        """Begin an upload, if there is room; it is locked. Raises Refused, or StoreError without the directory."""
        with self._alone():
            kept = list(self._all())
            open_ones = [one for one in kept if one.record.state != "delivered"]
            self._check_client(record, [one.record for one in open_ones if one.record.owner == record.owner])
            self._check_space(record, open_ones)
            if len(kept) >= self.settings.max_uploads:
                self._make_room([one.record for one in kept if one.record.state == "delivered"])
            return self._make(record)

    def _check_client(self, record: Record, his: Sequence[Record]) -> None:
        """See that a client does not have too much under way. Raises Refused."""
        most, most_bytes = self.settings.max_per_client, self.settings.max_bytes_per_client
        if most and len(his) >= most:
            raise Refused(TOO_MANY_AT_ONCE, f"{most} uploads are under way; end or delete one of them", retry_after=60)
        if most_bytes and sum(one.length for one in his) + record.length > most_bytes:
            raise Refused(TOO_MANY_AT_ONCE, "your uploads under way leave no room for this one", retry_after=60)

    def _check_space(self, record: Record, open_ones: Sequence[Kept]) -> None:
        """See that there will be room for all of an upload. Raises Refused."""
        if sum(one.record.length for one in open_ones) + record.length > self.settings.max_bytes:
            raise Refused(NO_SPACE, "the uploads under way leave no room for this one", retry_after=60)
        to_come = sum(max(0, one.record.length - one.size) for one in open_ones)
        disk = os.statvfs(self._directory)
        if record.length + to_come > disk.f_bavail * disk.f_frsize:
            raise Refused(NO_SPACE, "the disk leaves no room for this upload", retry_after=60)

    def _make_room(self, delivered: Sequence[Record]) -> None:
        """Forget the answer to the upload that was delivered longest ago. Raises Refused."""
        for record in sorted(delivered, key=lambda record: record.settled):
            if self._remove(record.identifier, lambda held: held.record.state == "delivered"):
                return
        raise Refused(NO_SPACE, "too many uploads are under way already", retry_after=60)

    def _make(self, record: Record) -> HeldUpload:
        base = self._directory / record.identifier
        with room():
            os.close(os.open(f"{base}.data", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        try:
            replace(Path(f"{base}.json"), record.written())
            held = HeldUpload(self._directory, record.identifier)
            assert held.try_lock(), "nobody knows of it yet"
            return held
        except BaseException:
            remove(base)
            raise

    def open(self, identifier: str) -> HeldUpload | None:
        """An upload, not locked yet; None if there is none."""
        try:
            return HeldUpload(self._directory, identifier)
        except FileNotFoundError:
            return None
        except ValueError as error:
            self.log.warn("{upload}: {error}", upload=identifier, error=error)
            return None

    def expires(self, record: Record, progressed: float) -> float:
        """When an upload, or the answer to it, is kept no longer; seconds since the epoch."""
        if record.state == "delivered":
            return record.settled + self.settings.result_seconds
        return progressed + self.settings.expire_seconds

    def sweep(self) -> Census | None:
        """Remove what has expired and say what is left; None if another worker does that."""
        if self._sweeping is None and not self._become_sweeper():
            return None
        now, states, size = self._now(), Counter(dict.fromkeys(STATES, 0)), 0
        with self._alone():
            for kept in list(self._all()):
                if now >= self.expires(kept.record, kept.progressed) and self._remove(
                    kept.record.identifier, lambda held: now >= self.expires(held.record, held.progressed)
                ):
                    continue
                states[kept.state] += 1
                size += kept.size
            self._remove_orphans(now)
        return Census(dict(states), size)

    def _become_sweeper(self) -> bool:
        descriptor = os.open(self._directory / "sweeper", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._sweeping = descriptor
        return True

    def _remove(self, identifier: str, still: Callable[[HeldUpload], bool]) -> bool:
        """Remove an upload that nobody is at work on, if it is what it was taken for; return whether it is gone."""
        try:
            held = HeldUpload(self._directory, identifier)
        except FileNotFoundError:
            return True
        try:
            if not held.try_lock(to_remove=True) or not still(held):
                return False
            held.remove()
            return True
        except FileNotFoundError:  # somebody else was quicker
            return True
        finally:
            held.close()

    def _remove_orphans(self, now: float) -> None:
        """Remove what somebody left who died while he made or removed an upload."""
        with os.scandir(self._directory) as entries:
            for entry in entries:
                name = entry.name.partition(".")[0]
                if not _is_identifier(name) or name in self._known:
                    continue
                with suppress(FileNotFoundError):
                    if now - entry.stat(follow_symlinks=False).st_mtime > ORPHANED_SECONDS:
                        os.unlink(entry.path)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else, in no worker, decides about all uploads meanwhile; that takes a moment. Raises StoreError."""
        try:
            descriptor = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError as error:
            raise self._error("is gone: make it again (mkdir -m 700, chown), or start the gateway anew") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _all(self) -> Iterator[Kept]:
        """Every upload. There are no more than settings.max_uploads, for whoever makes one has counted them."""
        known, self._known = self._known, {}
        with os.scandir(self._directory) as entries:
            for entry in entries:
                name, _, suffix = entry.name.partition(".")
                if suffix != "json" or not _is_identifier(name):
                    continue
                try:
                    found = entry.stat(follow_symlinks=False)
                    before = known.get(name)
                    if before is not None and before[:2] == (found.st_ino, found.st_mtime_ns):
                        record = before[2]
                    else:
                        record = Record.read(Path(entry.path).read_bytes())
                    data = os.stat(self._directory / f"{name}.data")
                except FileNotFoundError:
                    continue  # removed meanwhile
                except ValueError as error:
                    self.log.warn("{file}: {error}", file=entry.path, error=error)
                    continue
                self._known[name] = (found.st_ino, found.st_mtime_ns, record)
                yield Kept(record, data.st_size, data.st_mtime)


def _is_identifier(name: str) -> bool:
    return IDENTIFIER.fullmatch(name.encode("utf-8", "surrogateescape")) is not None
