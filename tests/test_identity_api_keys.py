"""API keys: made, stored, read, found."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tracseq_gateway.config import Authentication, RateLimit
from tracseq_gateway.config.policies import ApiKey
from tracseq_gateway.identity.api_key_file import LARGEST_FILE, BadApiKeys, add_key, as_toml, parse_keys, read_keys
from tracseq_gateway.identity.api_keys import ApiKeys, NewKey, new_key

NOW = 1_772_359_200.0


def stored(made: NewKey, **rest: Any) -> ApiKey:
    return ApiKey(**{"hash": made.hash, "owner": "sequencer-7", **rest})


class KeyTests(SynchronousTestCase):
    """Making keys, and finding them."""

    def setUp(self) -> None:
        self.made = new_key()

    def keys(self, **rest: Any) -> ApiKeys:
        return ApiKeys.of(Authentication(api_keys={"seq": stored(self.made, **rest)}))

    def test_form(self) -> None:
        """A key has an id and 256 random bits; its hash begins with the id and has nothing of the secret."""
        self.assertRegex(self.made.key, r"^tsq_[A-Za-z0-9]{8}_[A-Za-z0-9_-]{43}$")
        self.assertRegex(self.made.hash, r"^tsq1\$[A-Za-z0-9]{8}\$[A-Za-z0-9_-]{16}\$[0-9a-f]{64}$")
        self.assertEqual(self.made.key[4:12], self.made.hash[5:13])
        self.assertNotIn(self.made.key[13:], self.made.hash)
        self.assertNotEqual(self.made.key, new_key().key)

    def test_identity(self) -> None:
        """Whose key it is comes from the configuration, as one object for all requests."""
        limit = RateLimit(60, 10)
        keys = self.keys(role="lab_technician", email="a@b.c", services=("rag",), methods=("POST",), rate_limit=limit)
        found = keys.find(self.made.key.encode(), NOW)
        assert found is not None
        self.assertEqual(("key", "sequencer-7", "lab_technician"), (found.kind, found.subject, found.role))
        self.assertEqual(("a@b.c", "", "seq"), (found.email, found.session, found.key_name))
        self.assertEqual((frozenset({"rag"}), frozenset({b"POST"})), (found.services, found.methods))
        self.assertEqual((limit, b"k:seq"), (found.rate_limit, found.client))
        self.assertIs(found, keys.find(self.made.key.encode(), NOW))

    def test_unknown(self) -> None:
        """Nothing but the very key is found: no other secret, no twin in spelling, no hash, nothing long."""
        keys, key = self.keys(), self.made.key.encode()
        other = new_key().key.encode()
        last = b"A" if key[-1:] != b"A" else b"B"
        for presented in (
            b"",
            other,
            key[:12] + other[12:],
            key[:-1] + last,
            key[:-1],
            key + b"=",
            key + b"\n",
            b" " + key,
            key.upper(),
            self.made.hash.encode(),
            key + b"x" * 200,
            b"tsq_" + b"\xff" * 60,
        ):
            self.assertIsNone(keys.find(presented, NOW), presented)

    def test_expiry(self) -> None:
        """A key holds until its moment, whatever place's time that is written in."""
        keys = self.keys(expires="2026-03-01T12:00:00+02:00")
        found = [keys.find(self.made.key.encode(), NOW + seconds) is not None for seconds in (-0.5, 0, 1)]
        self.assertEqual([True, False, False], found)

    def test_none(self) -> None:
        """Without keys nobody is found."""
        keys = ApiKeys.of(Authentication())
        self.assertEqual((0, None), (len(keys), keys.find(self.made.key.encode(), NOW)))

    def test_twins(self) -> None:
        """Two names with one id are an error that names both, and so is a hash that is none."""
        twins = {"one": stored(self.made), "two": stored(self.made), "three": stored(self.made, hash="sesame")}
        with self.assertRaises(BadApiKeys) as raised:
            ApiKeys.of(Authentication(api_keys=twins))
        lines = str(raised.exception).splitlines()
        self.assertEqual(
            [
                'configuration:0: auth.api_keys.two: its hash is that of "one", too, a key of its own would be right',
                "configuration:0: auth.api_keys.three: its hash is none of a key, "
                "what tracseq-gateway key new printed would be right",
            ],
            lines,
        )
        self.assertNotIn("sesame", lines[1])


class FileTests(SynchronousTestCase):
    """The file of keys."""

    def setUp(self) -> None:
        self.made = new_key()
        self.file: str = self.mktemp()

    def write(self, text: str, mode: int = 0o600) -> None:
        Path(self.file).write_text(text)
        os.chmod(self.file, mode)

    def said(self, settings: Authentication | None = None) -> list[str]:
        """What is wrong, without the file's name and the first colon."""
        with self.assertRaises(BadApiKeys) as raised:
            ApiKeys.of(settings or Authentication(api_keys_file=self.file))
        return [line.removeprefix(f"{self.file}:") for line in str(raised.exception).splitlines()]

    def test_read(self) -> None:
        """Keys of the file stand beside those of the configuration."""
        other = new_key()
        self.write(as_toml("file.1", stored(self.made, owner='a "quoted" \\ owner', methods=("GET", "HEAD"))))
        keys = ApiKeys.of(Authentication(api_keys={"own": stored(other)}, api_keys_file=self.file))
        self.assertEqual(2, len(keys))
        found = keys.find(self.made.key.encode(), NOW)
        assert found is not None
        self.assertEqual(('a "quoted" \\ owner', "file.1"), (found.subject, found.key_name))
        self.assertIsNotNone(keys.find(other.key.encode(), NOW))

    def test_ownRate(self) -> None:
        """A table of the file may have all keys that the configuration has for one."""
        self.write(as_toml("seq", stored(self.made)) + "rate_limit = { requests_per_minute = 6, burst = 1 }\n")
        self.assertEqual(RateLimit(6, 1), read_keys(self.file)[0]["seq"].rate_limit)

    def test_problems(self) -> None:
        """What is wrong is said with file, line, key and what would be right."""
        self.write(f'[seq]\nhash = "{self.made.hash}"\nowner = "x"\nrole = "boss"\nexpires = "2027-01-31"\nsize = 1\n')
        self.assertEqual(
            ["4: seq.role", "5: seq.expires", "6: seq.size"],
            sorted(": ".join(line.split(": ")[:2]) for line in self.said()),
        )
        self.assertIn('"2027-01-31" is not a moment, "2027-01-31T00:00:00Z"', "\n".join(self.said()))

    def test_required(self) -> None:
        """A table without a hash or an owner is no key."""
        self.write("[seq]\n")
        for line, missing in zip(self.said(), ("hash", "owner"), strict=True):
            self.assertRegex(line, f"^1: seq.*{missing}")

    def test_syntax(self) -> None:
        """What is not TOML, or not UTF-8, is said to be so."""
        self.write("[seq\n")
        self.assertRegex(self.said()[0], "^0: TOML: .*line 1")
        Path(self.file).write_bytes(b"\xff")
        self.assertRegex(self.said()[0], "^0: TOML: .*utf-8")

    def test_mode(self) -> None:
        """A file that others have any right to is refused."""
        for mode in (0o640, 0o604, 0o620, 0o601):
            self.write(as_toml("seq", stored(self.made)), mode)
            (line,) = self.said()
            self.assertEqual(
                f"0: file: mode {mode:04o} lets others at the keys, mode 0600 would be right: chmod 600 {self.file}",
                line,
            )

    def test_unreachable(self) -> None:
        """A file that is not there is an error, and so are a directory and a file that is too large."""
        self.assertRegex(self.said()[0], "^0: file: unreachable file .No such file or directory., ")
        self.write("#" * (LARGEST_FILE + 1))
        self.assertRegex(self.said()[0], "^0: file: more than ")
        Path(self.file).unlink()
        Path(self.file).mkdir(mode=0o700)
        self.assertRegex(self.said()[0], "^0: file: unreachable file .Is a directory., ")

    def test_twins(self) -> None:
        """A name or an id that the configuration has already is an error."""
        self.write(as_toml("seq", stored(self.made)))
        here = Authentication(api_keys={"seq": stored(new_key()), "old": stored(self.made)}, api_keys_file=self.file)
        self.assertEqual(
            [
                "1: seq: configuration has a key of this name, a name of its own would be right",
                '2: seq.hash: its hash is that of "old", too, a key of its own would be right',
            ],
            self.said(here),
        )

    def test_add(self) -> None:
        """Adding makes the file for its owner alone, and keeps what is in it byte by byte."""
        add_key(self.file, "one", stored(self.made))
        self.assertEqual(0o600, os.stat(self.file).st_mode & 0o777)
        text = Path(self.file).read_text() + "# a remark, without an end of line"
        Path(self.file).write_text(text)
        add_key(self.file, "two", stored(new_key()))
        self.assertTrue(Path(self.file).read_text().startswith(text))
        self.assertEqual(["one", "two"], list(read_keys(self.file)[0]))

    def test_addRefused(self) -> None:
        """A name that is there is not added, nor is anything to a file that is open to others or broken."""
        for text, mode, reason in (
            (
                as_toml("seq", stored(self.made)),
                0o600,
                "1: seq: there is a key of this name, another name would be right",
            ),
            ("", 0o644, "0: file: mode 0644 lets others at the keys"),
            ("[[seq]]\n", 0o600, "1: seq: is an array"),
            ("[x\n", 0o600, "0: TOML: "),
        ):
            self.write(text, mode)
            with self.assertRaises(BadApiKeys) as raised:
                add_key(self.file, "seq", stored(new_key()))
            self.assertIn(f"{self.file}:{reason}", str(raised.exception))
            self.assertEqual(text, Path(self.file).read_text())
        with self.assertRaises(BadApiKeys) as raised:
            add_key("/nowhere/keys.toml", "seq", stored(new_key()))
        self.assertIn("/nowhere/keys.toml:0: file: unreachable file (No such file or directory)", str(raised.exception))

    def test_whole(self) -> None:
        """What is written is read back the same."""
        key = stored(self.made, role="guest", email="ü@b.c", services=("a", "b"), expires="2027-01-31T00:00:00Z")
        self.assertEqual({"n": key}, parse_keys("here", as_toml("n", key).encode())[0])
