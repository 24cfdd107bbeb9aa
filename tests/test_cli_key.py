"""``tracseq-gateway key new``."""

from __future__ import annotations

import io
import json
import os
import time
import tomllib
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.config_files import SERVICE
from tracseq_gateway.cli import main
from tracseq_gateway.config import load
from tracseq_gateway.identity.api_key_file import read_keys
from tracseq_gateway.identity.api_keys import ApiKeys

LEAST = ("--name", "seq-7", "--owner", "Sequencer 7", "--role", "lab_technician")


def run(*arguments: str) -> tuple[int, str, str]:
    """Return the exit status, what was printed and what was complained of."""
    printed, complained = io.StringIO(), io.StringIO()
    with redirect_stdout(printed), redirect_stderr(complained):
        try:
            status = main(["key", "new", *arguments])
        except SystemExit as stop:
            assert isinstance(stop.code, int)
            status = stop.code
    return status, printed.getvalue(), complained.getvalue()


class PrintTests(SynchronousTestCase):
    """Without a file."""

    def test_paste(self) -> None:
        """What is printed can be pasted into a configuration as it stands, and the key is then known."""
        status, printed, _ = run(*LEAST, "--services", "samples", "--methods", "GET, HEAD", "--email", "a@b.c")
        self.assertEqual(0, status)
        key, _, table = printed.partition("\n")
        file: str = self.mktemp()
        Path(file).write_text(SERVICE + table)
        loaded = load(file, {}, {})
        assert loaded.config is not None, loaded.problems
        identity = ApiKeys.of(loaded.config.auth).find(key.encode(), time.time())
        assert identity is not None
        self.assertEqual(("Sequencer 7", "lab_technician", "a@b.c"), (identity.subject, identity.role, identity.email))
        self.assertEqual(({"samples"}, {b"GET", b"HEAD"}), (identity.services, identity.methods))

    def test_expiry(self) -> None:
        """A key can end, at a moment to come."""
        _, printed, _ = run(*LEAST, "--expires", "2127-01-31T00:00:00+01:00")
        self.assertIn('expires = "2127-01-31T00:00:00+01:00"', printed)
        status, _, complained = run(*LEAST, "--expires", "2020-01-31T00:00:00Z")
        self.assertEqual(2, status)
        self.assertIn("--expires: 2020-01-31T00:00:00Z is over, a moment to come would be right", complained)

    def test_wrong(self) -> None:
        """A wrong option is refused by its name, with what would be right, and no key is printed."""
        for option, value, words in (
            ("--name", "seq 7", "--name: "),
            ("--owner", "", "--owner: "),
            ("--owner", "a\r\nb", "--owner: cannot stand in a header"),
            ("--role", "boss", "invalid choice: 'boss'"),
            ("--email", "a\nb", "--email: cannot stand in a header"),
            ("--methods", "GET,get", '--methods: "get" is not a method'),
            ("--expires", "2127-01-31", '--expires: "2127-01-31" is not a moment'),
        ):
            status, printed, complained = run(*LEAST, option, value)
            self.assertEqual((2, ""), (status, printed), option)
            self.assertIn(words, complained)
        self.assertEqual(2, run("--name", "seq-7")[0])


class JsonTests(SynchronousTestCase):
    """With ``--json``."""

    def test_table(self) -> None:
        """Without a file, the key and the table for the configuration are members of one object."""
        status, printed, complained = run(*LEAST, "--json")
        document = json.loads(printed)
        self.assertEqual((0, "", "seq-7"), (status, complained, document["name"]))
        self.assertEqual({"hash", "owner", "role"}, set(tomllib.loads(document["table"])["auth"]["api_keys"]["seq-7"]))

    def test_file(self) -> None:
        """With a file, it is named; the key is shown, and no other time."""
        file: str = self.mktemp()
        _, printed, complained = run(*LEAST, "--json", "--file", file)
        self.assertEqual(({"name", "key", "file"}, ""), (set(json.loads(printed)), complained))
        status, printed, _ = run(*LEAST, "--json", "--file", file)
        why = f"{file}:1: seq-7: there is a key of this name, another name would be right"
        self.assertEqual((1, {"error": why}), (status, json.loads(printed)))

    def test_wrong(self) -> None:
        """A wrong option is an error in JSON, too."""
        status, printed, complained = run(*LEAST, "--json", "--expires", "2127-01-31")
        self.assertEqual((2, ""), (status, complained))
        self.assertIn('--expires: "2127-01-31" is not a moment', json.loads(printed)["error"])


class FileTests(SynchronousTestCase):
    """With a file of keys."""

    def setUp(self) -> None:
        self.file: str = self.mktemp()

    def test_added(self) -> None:
        """The key alone is printed; the file is its owner's alone and holds no key that could be presented."""
        status, printed, said = run(*LEAST, "--file", self.file)
        self.assertEqual(0, status)
        self.assertRegex(printed, r"^tsq_[A-Za-z0-9]{8}_[A-Za-z0-9_-]{43}\n$")
        self.assertEqual(f"seq-7 was added to {self.file}. The key is shown only this once.\n", said)
        self.assertEqual(0o600, os.stat(self.file).st_mode & 0o777)
        text = Path(self.file).read_text()
        self.assertNotIn(printed[13:].strip(), text)
        self.assertEqual({"hash", "owner", "role"}, set(tomllib.loads(text)["seq-7"]))

    def test_another(self) -> None:
        """A second key stands behind the first; a name that is there is refused with status 1."""
        run(*LEAST, "--file", self.file)
        before = Path(self.file).read_text()
        status, printed, said = run(*LEAST, "--file", self.file)
        self.assertEqual((1, ""), (status, printed))
        self.assertEqual(f"{self.file}:1: seq-7: there is a key of this name, another name would be right\n", said)
        self.assertEqual(0, run(*LEAST, "--name", "seq-8", "--file", self.file)[0])
        self.assertTrue(Path(self.file).read_text().startswith(before))
        self.assertEqual(["seq-7", "seq-8"], list(read_keys(self.file)[0]))

    def test_unreachable(self) -> None:
        """A file that cannot be made is an error that names it."""
        status, printed, said = run(*LEAST, "--file", "/nowhere/keys.toml")
        self.assertEqual((1, ""), (status, printed))
        self.assertIn("/nowhere/keys.toml:0: file: unreachable file (No such file or directory)", said)
