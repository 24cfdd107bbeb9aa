"""One upload on disk, opened by one request: its bytes, its record, and the lock that lets one at a time work on it.

Everything here blocks, and belongs in a thread. Files, by the upload's identifier:

- ``.data``: what has come; its size is the offset, its time of change the last progress. Locked by ``flock``, which the
  kernel gives up with the process that holds it, however that ends.
- ``.json``: the record, replaced in one step.
- ``.answer``: the body of the service's answer, once it is delivered.
- ``.wanted``: somebody waits for the lock. Who only receives lets go then: his connection may be long dead.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import evolve

from tracseq_gateway.errors import NO_SPACE
from tracseq_gateway.uploads.record import Record
from tracseq_gateway.uploads.refused import Refused

_FULL = (errno.ENOSPC, errno.EDQUOT)


class HeldUpload:
    """Open it, :meth:`try_lock` until that succeeds, work, and :meth:`close` it in any case."""

    def __init__(self, directory: Path, identifier: str) -> None:
        """Raises FileNotFoundError when there is none, ValueError when its record cannot be read."""
        self._directory = directory
        self._base = directory / identifier
        self._data = os.open(f"{self._base}.data", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            self.record = self._read()
        except BaseException:
            os.close(self._data)
            raise

    def _read(self) -> Record:
        return Record.read(Path(f"{self._base}.json").read_bytes())

    def try_lock(self, *, to_remove: bool = False) -> bool:
        """Have it alone, as it is now; return False while somebody else has it.

        What somebody left who died over it is put right first; unless it is ``to_remove``, which must do without the
        room on the disk that this takes. Raises FileNotFoundError when it is gone.
        """
        try:
            fcntl.flock(self._data, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.record = self._read()
            return False
        if not os.fstat(self._data).st_nlink:
            raise FileNotFoundError(self._base.name)
        Path(f"{self._base}.wanted").unlink(missing_ok=True)
        self.record = self._read()
        if to_remove:
            return True
        if self.record.unchecked is not None:
            self.truncate(self.record.unchecked)
            self.save(evolve(self.record, unchecked=None))
        if self.record.state == "delivering":
            self.save(evolve(self.record, state="receiving" if self.record.again else "unknown"))
        return True

    def want(self) -> None:
        """Ask who has it to let go."""
        Path(f"{self._base}.wanted").touch(0o600)

    def is_wanted(self) -> bool:
        """Whether somebody else asked for it. Quick enough for any thread."""
        return os.path.exists(f"{self._base}.wanted")

    @property
    def offset(self) -> int:
        """How many bytes have come."""
        return self.record.length if self.record.state == "delivered" else os.fstat(self._data).st_size

    @property
    def is_receiving(self) -> bool:
        """Whether bytes are still to come: who works on another one is at its delivery."""
        return self.record.state == "receiving" and self.offset < self.record.length

    @property
    def progressed(self) -> float:
        """When the last byte came, seconds since the epoch."""
        return os.fstat(self._data).st_mtime

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of what has come."""
        return os.pread(self._data, size, offset)

    def write(self, offset: int, data: bytes) -> None:
        """Write what came. Raises Refused when the disk is full."""
        view = memoryview(data)
        with room():
            while view:
                written = os.pwrite(self._data, view, offset)
                offset += written
                view = view[written:]

    def sync(self) -> None:
        """Have what was written survive a crash of the machine."""
        os.fdatasync(self._data)

    def truncate(self, offset: int) -> None:
        """Forget what stands beyond ``offset``."""
        os.ftruncate(self._data, offset)

    def save(self, record: Record) -> None:
        """Replace the record, so that a crash leaves the old one or this."""
        replace(Path(f"{self._base}.json"), record.written())
        _sync_directory(self._directory)
        self.record = record

    def settle(self, record: Record, answer: bytes) -> None:
        """It is delivered: keep the answer, and let go of the bytes; of these first, if the disk has no room else."""
        try:
            replace(Path(f"{self._base}.answer"), answer)
            self.save(record)
        except Refused:
            # The service has it. Who finds it as it is between these lines takes it for unknown, not for whole.
            self.truncate(0)
            replace(Path(f"{self._base}.answer"), answer)
            self.save(record)
        self.truncate(0)

    def answer(self) -> bytes:
        """The body of the service's answer."""
        return Path(f"{self._base}.answer").read_bytes()

    def remove(self) -> None:
        """Remove all of it."""
        remove(self._base)

    def close(self) -> None:
        """Let go of it."""
        if self._data >= 0:
            os.close(self._data)
            self._data = -1


@contextmanager
def room() -> Iterator[None]:
    """What is done within raises Refused when the disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise Refused(NO_SPACE, "there is no room left for uploads") from error
        raise


def replace(file: Path, content: bytes) -> None:
    """Write a file so that a crash leaves the old one or the whole new one. Raises Refused when the disk is full."""
    beside = Path(f"{file}.new")
    with room():
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(descriptor)
        beside.replace(file)


def remove(base: Path) -> None:
    """Remove the files of an upload; the record first, for what has none is no upload."""
    for suffix in (".json", ".data", ".answer", ".wanted", ".json.new", ".answer.new"):
        Path(f"{base}{suffix}").unlink(missing_ok=True)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
