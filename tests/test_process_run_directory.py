"""The run directory: where it is, who may have it, and what is left of it."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tracseq_gateway.config import Config, Gateway
from tracseq_gateway.process.run_directory import (
    LONGEST_SOCKET_PATH,
    Inheritance,
    RunDirectory,
    RunDirectoryError,
    control_socket,
    redis_socket,
    run_directory,
)


class PathTests(SynchronousTestCase):
    """``run_directory``."""

    def path(self, **environ: str) -> Path:
        return run_directory(Config(), environ, 8000)

    def test_configured(self) -> None:
        """The configured directory wins, and is made absolute before anybody changes the working directory."""
        config = Config(gateway=Gateway(run_directory="run"))
        self.assertEqual(Path.cwd() / "run", run_directory(config, {"XDG_RUNTIME_DIR": "/"}, 8000))

    def test_order(self) -> None:
        """Without one it lies below systemd's directory, else the user's, else among the temporary files."""
        system, user = self.mktemp(), self.mktemp()
        os.mkdir(system)
        os.mkdir(user)
        name = "tracseq-gateway-8000"
        both = self.path(RUNTIME_DIRECTORY=f"{system}:/other", XDG_RUNTIME_DIR=user)
        self.assertEqual(Path(system).absolute() / name, both)
        self.assertEqual(Path(user).absolute() / name, self.path(XDG_RUNTIME_DIR=user))
        self.assertEqual(Path(tempfile.gettempdir()) / name, self.path())

    def test_absent(self) -> None:
        """A directory that is named and not there is passed over, and nothing is made."""
        path = self.path(RUNTIME_DIRECTORY=self.mktemp(), XDG_RUNTIME_DIR="")
        self.assertEqual(Path(tempfile.gettempdir()) / "tracseq-gateway-8000", path)
        self.assertFalse(path.exists())


class RunDirectoryTests(SynchronousTestCase):
    """``RunDirectory``."""

    def setUp(self) -> None:
        self.above = Path(tempfile.mkdtemp())  # trial's own are too deep for a socket
        self.addCleanup(shutil.rmtree, self.above)
        self.path = self.above / "run"

    def refusal(self, path: Path, owner: int | None = None) -> str:
        error = self.assertRaises(RunDirectoryError, RunDirectory, path, owner)
        self.assertIn(f"run directory {path} ", str(error))
        self.assertIn("gateway.run_directory", str(error))
        return str(error)

    def test_made(self) -> None:
        """It is made for us alone, and nothing of it is left after its release."""
        directory = RunDirectory(self.path)
        self.assertEqual(0o40700, self.path.stat().st_mode)
        directory.redis_socket.touch()
        directory.release()
        self.assertFalse(self.path.exists())

    def test_published(self) -> None:
        """Others find the sockets by names that do not change, from one moment to the next; a release removes them."""
        directory = RunDirectory(self.path)
        for ours, name in (
            (directory.redis_socket, redis_socket(self.path)),
            (directory.control_socket, control_socket(self.path)),
        ):
            name.touch()  # what an older version has left
            ours.write_text("ours")
        directory.publish()
        directory.publish()
        self.assertEqual(["ours", "ours"], [redis_socket(self.path).read_text(), control_socket(self.path).read_text()])
        directory.release()
        self.assertFalse(self.path.exists())

    def test_inherited(self) -> None:
        """Two gateways have it while one takes over: each has sockets of its own, and the last of them removes it."""
        first = RunDirectory(self.path)
        first.publish()
        lock = os.dup(first.lock)
        second = RunDirectory(self.path, inheritance=Inheritance(lock, first.side, first.made))
        first.shared = True
        second.redis_socket.touch()
        second.publish()
        first.redis_socket.touch()
        first.release()
        self.assertEqual(["control.sock", "lock", "redis-b.sock", "redis.sock"], sorted(os.listdir(self.path)))
        self.assertEqual(Path("control-b.sock"), control_socket(self.path).readlink())
        self.assertIn("is in use by another gateway", self.refusal(self.path))
        second.shared = False
        second.release()
        self.assertFalse(self.path.exists())

    def test_inheritedInVain(self) -> None:
        """A gateway that does not take over after all leaves everything as it was."""
        first = RunDirectory(self.path)
        first.publish()
        second = RunDirectory(self.path, inheritance=Inheritance(os.dup(first.lock), first.side, first.made))
        self.assertEqual([self.path / "redis-b.sock"], second.left_over)
        second.release()
        self.assertEqual(Path("control-a.sock"), control_socket(self.path).readlink())
        self.assertIn("is in use by another gateway", self.refusal(self.path))
        first.release()
        self.assertFalse(self.path.exists())

    def test_kept(self) -> None:
        """A directory that was there before stays, and so do files that are not ours."""
        self.path.mkdir(0o700)
        (self.path / "theirs").touch()
        directory = RunDirectory(self.path)
        directory.redis_socket.touch()
        directory.release()
        self.assertEqual(["theirs"], os.listdir(self.path))

    def test_notEmptied(self) -> None:
        """A directory that was made here stays when somebody else has put a file into it."""
        directory = RunDirectory(self.path)
        (self.path / "theirs").touch()
        directory.release()
        self.assertEqual(["theirs"], os.listdir(self.path))

    def test_inUse(self) -> None:
        """A second gateway is refused as long as the first has it; what a dead one left does not matter."""
        first = RunDirectory(self.path)
        self.assertIn("is in use by another gateway", self.refusal(self.path))
        first.release()
        self.path.mkdir(0o700)
        for name in ("lock", "redis-b.sock", "control-b.sock", "redis.sock"):
            (self.path / name).touch()
        RunDirectory(self.path).release()
        self.assertEqual([], os.listdir(self.path))

    def test_link(self) -> None:
        """A symbolic link is refused, wherever it leads."""
        (self.above / "own").mkdir(0o700)
        self.path.symlink_to(self.above / "own")
        self.assertIn("is a symbolic link", self.refusal(self.path))

    def test_linkedLock(self) -> None:
        """Nor is a link followed in it: the lock would be somebody else's file."""
        self.path.mkdir(0o700)
        (self.path / "lock").symlink_to(self.above / "elsewhere")
        self.assertIn("cannot be locked", self.refusal(self.path))
        self.assertFalse((self.above / "elsewhere").exists())

    def test_open(self) -> None:
        """A directory that the group or others may enter is refused."""
        for mode in (0o710, 0o701, 0o755, 0o777):
            self.path.mkdir()
            self.path.chmod(mode)
            self.assertIn("is open to other users", self.refusal(self.path))
            self.path.rmdir()

    def test_foreign(self) -> None:
        """A directory of another user than the one who is to use it is refused."""
        self.path.mkdir(0o700)
        us = os.geteuid()
        self.assertIn(f"belongs to user {us}, not to user {us + 1}", self.refusal(self.path, us + 1))

    def test_noDirectory(self) -> None:
        """A file in its place, or no place for it, is refused with the system's words."""
        self.path.touch()
        self.assertIn("cannot be used: Not a directory", self.refusal(self.path))
        self.assertIn("cannot be made: No such file", self.refusal(self.above / "no" / "run"))

    def test_long(self) -> None:
        """The longest path that a socket can have is taken; one byte more is refused, and nothing is made."""
        rest = LONGEST_SOCKET_PATH - len(os.fsencode(self.above / "x" / "control-a.sock"))
        RunDirectory(self.above / ("x" * (1 + rest))).release()
        path = self.above / ("x" * (2 + rest))
        self.assertIn(f"at most {LONGEST_SOCKET_PATH} bytes", self.refusal(path))
        self.assertFalse(path.exists())
