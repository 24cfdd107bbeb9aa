"""The run directory: a private place of one running gateway for its sockets.

Whoever can write to it could take the place of our server, so it is refused unless it belongs to us alone. A lock keeps
a second gateway out; the kernel gives it up with the process that holds it, however that ends.
"""

from __future__ import annotations

import fcntl
import os
import stat
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, get_args

from attrs import frozen

from tracseq_gateway.config import Config

LONGEST_SOCKET_PATH: Final = 107 if sys.platform == "linux" else 103
"""Bytes of a unix socket's path: what ``sun_path`` holds, less the NUL at its end."""

_LOCK: Final = "lock"
_REDIS: Final = "redis"
_CONTROL: Final = "control"

Side = Literal["a", "b"]
"""Two gateways share a run directory while one takes over from the other: each has sockets of its own."""


@frozen
class Inheritance:
    """What a gateway has of a run directory that another one still holds."""

    lock: int
    """The descriptor of its lock, which is held as long as one of both has it open."""
    side: Side
    """The side of the other."""
    made: bool
    """Whether the directory was made by gateways, and goes with the last of them."""


class RunDirectoryError(Exception):
    """The run directory cannot be used; the text is for the operator, names it and says what to do."""


def run_directory(config: Config, environ: Mapping[str, str], port: int) -> Path:
    """Where the gateway that listens on ``port`` has its run directory. Nothing is made or looked into.

    It is ``gateway.run_directory``; without that, ``tracseq-gateway-PORT`` below the first of ``$RUNTIME_DIRECTORY``
    (systemd's ``RuntimeDirectory=``), ``$XDG_RUNTIME_DIR`` and the directory for temporary files that exists.
    """
    if config.gateway.run_directory:
        return Path(config.gateway.run_directory).absolute()
    named = (environ.get("RUNTIME_DIRECTORY", "").partition(":")[0], environ.get("XDG_RUNTIME_DIR", ""))
    above = next((path for path in named if path and os.path.isdir(path)), None) or tempfile.gettempdir()
    return Path(above).absolute() / f"tracseq-gateway-{port}"


def redis_socket(directory: Path) -> Path:
    """The socket of the embedded Redis in a run directory, for who is not that gateway."""
    return directory / f"{_REDIS}.sock"


def control_socket(directory: Path) -> Path:
    """The socket in a run directory by which commands reach its gateway."""
    return directory / f"{_CONTROL}.sock"


class RunDirectory:
    """A run directory that is ours until :meth:`release`, or until this process and all that it forked are gone.

    ``owner`` is the user who will use it, when that is not the one who makes it. Raises :class:`RunDirectoryError`
    when it cannot be made, is not private, is in use, or has too long a path. With an ``inheritance`` it is in use, by
    the gateway that this one takes over from.
    """

    def __init__(self, path: Path, owner: int | None = None, inheritance: Inheritance | None = None) -> None:
        self.path = path
        self.side: Side = "a"
        self.shared = inheritance is not None
        """Whether another gateway has it, too: then :meth:`release` leaves all that is not ours alone."""
        if inheritance is not None:
            self.side = "b" if inheritance.side == "a" else "a"
            self.made, self.lock = inheritance.made, inheritance.lock
            return
        if len(os.fsencode(self.control_socket)) > LONGEST_SOCKET_PATH:
            raise self._error(f"is too long for a socket's path, which has at most {LONGEST_SOCKET_PATH} bytes")
        self.made = self._make(os.geteuid() if owner is None else owner)
        self.lock = self._take()

    @property
    def redis_socket(self) -> Path:
        """Where the embedded Redis listens."""
        return self.path / f"{_REDIS}-{self.side}.sock"

    @property
    def control_socket(self) -> Path:
        """Where commands are heard."""
        return self.path / f"{_CONTROL}-{self.side}.sock"

    @property
    def left_over(self) -> list[Path]:
        """Where a Redis may listen that a gateway has left which had the directory before and was killed."""
        return [self.path / f"{_REDIS}-{side}.sock" for side in get_args(Side) if side == self.side or not self.shared]

    def publish(self) -> None:
        """Let :func:`redis_socket` and :func:`control_socket` lead to ours, and not to another gateway's any more.

        Raises OSError.
        """
        for name, ours in self._links():
            beside = self.path / f"{name.name}.new"
            beside.unlink(missing_ok=True)
            beside.symlink_to(ours.name)
            beside.rename(name)  # in one step: who looks finds the old one or ours

    def _links(self) -> Iterator[tuple[Path, Path]]:
        yield redis_socket(self.path), self.redis_socket
        yield control_socket(self.path), self.control_socket

    def release(self) -> None:
        """Remove what is ours in it, let another gateway have it, and remove it if it was made here."""
        for name, ours in self._links():
            ours.unlink(missing_ok=True)
            if not self.shared or (name.is_symlink() and name.readlink() == Path(ours.name)):
                name.unlink(missing_ok=True)
        if self.shared:
            os.close(self.lock)
            return
        for stale in (*self.path.glob(f"{_REDIS}-?.sock"), *self.path.glob(f"{_CONTROL}-?.sock")):
            stale.unlink(missing_ok=True)  # a gateway that was killed has left it
        (self.path / _LOCK).unlink(missing_ok=True)
        os.close(self.lock)
        if self.made:
            with suppress(OSError):  # somebody else's files are in it, or it lies where we may no longer remove it
                self.path.rmdir()

    def _make(self, owner: int) -> bool:
        """Make it, or find that it is good; return whether it was made."""
        made = True
        try:
            self.path.mkdir(mode=0o700)
        except FileExistsError:
            made = False
        except OSError as error:
            raise self._error(f"cannot be made: {error.strerror}") from error
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError as error:
            reason = "is a symbolic link" if self.path.is_symlink() else f"cannot be used: {error.strerror}"
            raise self._error(reason) from error
        try:
            if made and owner != os.geteuid():
                os.chown(descriptor, owner, -1)
            status = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        if status.st_uid != owner:
            raise self._error(f"belongs to user {status.st_uid}, not to user {owner}")
        if stat.S_IMODE(status.st_mode) & 0o077:
            raise self._error("is open to other users (chmod 700 closes it)")
        return made

    def _take(self) -> int:
        """Lock the lock file and return its descriptor."""
        file = self.path / _LOCK
        while True:
            try:
                descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            except OSError as error:
                raise self._error(f"cannot be locked: {error.strerror}") from error
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                os.close(descriptor)
                raise self._error("is in use by another gateway") from error
            if _is_at(descriptor, file):
                return descriptor
            os.close(descriptor)  # its last holder removed it between our two calls: this lock guards nothing

    def _error(self, wrong: str) -> RunDirectoryError:
        return RunDirectoryError(f"run directory {self.path} {wrong}; gateway.run_directory can name another one")


def _is_at(descriptor: int, file: Path) -> bool:
    """Tell whether a path still leads to the file that is open."""
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except FileNotFoundError:
        return False
