"""Paths are resolved once: a table of the known tricks, and what holds for any path."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tracseq_gateway.errors import BAD_TARGET, RequestRefused
from tracseq_gateway.http.target import normalise

PLAIN = [
    b"/",
    b"/a",
    b"/a/",
    b"/a/b.c",
    b"/a.b/...",
    b"/a;v=1/b",
    b"/{x}",
    b'/"x"',
    b"/~a!$&'()*+,;=:@",
    b"/ADMIN",
]

RESOLVED = {
    # RFC 3986 section 5.2.4 and 5.4.
    b"/a/b/c/./../../g": b"/a/g",
    b"/b/c/..": b"/b/",
    b"/b/c/../": b"/b/",
    b"/b/c/.": b"/b/c/",
    b"/b/c/./": b"/b/c/",
    b"/b/c/../../..": b"/",
    b"/b/c/../../../g": b"/g",
    b"/..": b"/",
    b"/../": b"/",
    b"/.": b"/",
    b"/./": b"/",
    b"/..g/g..": b"/..g/g..",
    b"/.hidden": b"/.hidden",
    # Doubled slashes.
    b"//": b"/",
    b"//a": b"/a",
    b"/a//b///c//": b"/a/b/c/",
    # Across prefixes, in every spelling of a dot.
    b"/public/../admin": b"/admin",
    b"/public/%2e%2e/admin": b"/admin",
    b"/public/%2E%2e/admin": b"/admin",
    b"/public/.%2e/admin": b"/admin",
    b"/public/%2e./admin": b"/admin",
    b"/public//..//admin": b"/admin",
    b"/public/../..//admin": b"/admin",
    b"/public/%2e/admin": b"/public/admin",
    b"/admin/..": b"/",
    b"/admin/%2e%2E": b"/",
    b"/../../etc/passwd": b"/etc/passwd",
    # Not dots: decoded twice, overlong, or merely dotted. They stay what they are.
    b"/public/%252e%252e/admin": b"/public/%252e%252e/admin",
    b"/public/%c0%ae%c0%ae/admin": b"/public/%c0%ae%c0%ae/admin",
    b"/public/....//admin": b"/public/..../admin",
    b"/public/%2e%2e%2e/admin": b"/public/%2e%2e%2e/admin",
    b"/public/a..;x/admin": b"/public/a..;x/admin",
    b"/admin%20": b"/admin%20",
    b"/%61dmin": b"/%61dmin",
    b"/a%3fb%23c": b"/a%3fb%23c",
}

REFUSED = [
    b"/public/..\\admin",
    b"/public\\..\\admin",
    b"\\",
    b"/public/..%2fadmin",
    b"/public%2F..%2Fadmin",
    b"/admin%2f",
    b"/public/..%5cadmin",
    b"/public/%5C%2e%2e",
    b"/public/..%00/admin",
    b"/%00",
    b"/public/..;/admin",
    b"/public/..;x=y/admin",
    b"/public/.;/admin",
    b"/public/%2e%2e;/admin",
    b"/public/%2e%2e%3b/admin",
    b"/public/..%3B/admin",
    b"/public/%uff0e%uff0e/admin",
    b"/%",
    b"/%2",
    b"/%zz",
    b"/a%%32e",
]

# Pieces of which nasty paths are made.
PIECES = st.sampled_from(
    [
        b"/",
        b"//",
        b".",
        b"..",
        b"%2e",
        b"%2E",
        b"%252e",
        b"%2f",
        b"%5c",
        b"%00",
        b"\\",
        b";",
        b"%3b",
        b"a",
        b"b1",
        b"%",
        b"%41",
        b"~",
    ]
)
PATHS = st.lists(PIECES, max_size=14).map(lambda pieces: b"/" + b"".join(pieces))


def verdict(path: bytes, *, keep_separators: bool = False) -> bytes | None:
    """The normal form; None if the path is refused."""
    try:
        return normalise(path, keep_separators=keep_separators)
    except RequestRefused as refusal:
        assert refusal.error.kind is BAD_TARGET
        return None


def climbs(segments: list[bytes]) -> bool:
    """Whether a service that decodes these segments once would step out of one of them."""
    return any(unquote_to_bytes(segment).partition(b";")[0] in (b".", b"..") for segment in segments)


class TableTests(SynchronousTestCase):
    def test_plain(self) -> None:
        """A path without anything to resolve comes back byte for byte."""
        for path in PLAIN:
            self.assertEqual(normalise(path), path)

    def test_resolved(self) -> None:
        """Dot segments, also encoded ones, and doubled slashes are resolved; nothing else is touched."""
        for path, expected in RESOLVED.items():
            self.assertEqual(verdict(path), expected, path)

    def test_refused(self) -> None:
        """What services read in different ways is refused."""
        for path in REFUSED:
            self.assertIsNone(verdict(path), path)

    def test_kept_separators(self) -> None:
        """An operator may let encoded slashes through; all else is refused as before."""
        for path in (b"/files/a%2Fb", b"/files/a%5cb", b"/a%2f"):
            self.assertEqual(verdict(path, keep_separators=True), path)
        for path in (b"/a\\b", b"/a%00", b"/a%2", b"/..;/a"):
            self.assertIsNone(verdict(path, keep_separators=True), path)

    def test_kept_separators_next_to_dots(self) -> None:
        """An encoded slash that is let through may not bring a dot segment along: no honest path has that."""
        for path in (
            b"/files/..%2f..%2fadmin",
            b"/files/a%2f..%2fb",
            b"/files/..%5cadmin",
            b"/files/%2e%2e%2fx",
            b"/a%2f..",
        ):
            self.assertIsNone(verdict(path, keep_separators=True), path)


class AnyPathTests(SynchronousTestCase):
    @given(PATHS)
    @example(b"/%2e%2e/..//%2e/a/..")
    @settings(max_examples=400, deadline=None)
    def test_normal_form(self, path: bytes) -> None:
        """A normal form is normal already, absolute, and has no empty or dot segment in it, decoded or not."""
        normal = verdict(path)
        if normal is None:
            return
        self.assertEqual(normalise(normal), normal)
        self.assertEqual(normal[:1], b"/")
        *inner, _ = segments = normal[1:].split(b"/")
        self.assertNotIn(b"", inner)
        self.assertFalse(climbs(segments), normal)
        self.assertIsNone(re.search(rb"%2f|%5c|%00|\\", normal, re.IGNORECASE))

    @given(PATHS)
    @example(b"/a%2f..;/b")
    @example(b"/a%2f..%3bx")
    @settings(max_examples=400, deadline=None)
    def test_kept_separators(self, path: bytes) -> None:
        """With encoded slashes let through, no service climbs either, whether it takes them for slashes or not."""
        normal = verdict(path, keep_separators=True)
        if normal is not None:
            self.assertEqual(verdict(normal, keep_separators=True), normal)
            self.assertFalse(climbs(re.split(rb"/|%2f|%5c", normal[1:], flags=re.IGNORECASE)), normal)

    @given(PATHS)
    @settings(max_examples=300, deadline=None)
    def test_means_the_same(self, path: bytes) -> None:
        """The normal form names what RFC 3986's own algorithm, applied to the once decoded dots, would name."""
        normal = verdict(path)
        if normal is not None:
            self.assertEqual(normal, remove_dot_segments(re.sub(rb"/+", b"/", spelled(path))))

    @given(st.binary(max_size=30).map(b"/".__add__))
    @settings(max_examples=200, deadline=None)
    def test_any_bytes(self, path: bytes) -> None:
        """Any bytes are refused or normalised; nothing else happens, and no byte is made up."""
        normal = verdict(path)
        if normal is not None:
            self.assertLessEqual(len(normal), len(path))
            self.assertEqual(normalise(normal), normal)


def spelled(path: bytes) -> bytes:
    """Write encoded dots plainly, but only where they are a whole dot segment."""
    return b"/".join(
        plain if (plain := re.sub(rb"%2[eE]", b".", segment)) in (b".", b"..") else segment
        for segment in path.split(b"/")
    )


def remove_dot_segments(path: bytes) -> bytes:
    """RFC 3986 section 5.2.4, step by step, for absolute paths."""
    output = b""
    while path:
        if path.startswith(b"/./") or path == b"/.":
            path = b"/" + path[3:]
        elif path.startswith(b"/../") or path == b"/..":
            path = b"/" + path[4:]
            output = output[: max(output.rfind(b"/"), 0)]
        else:
            end = path.find(b"/", 1)
            end = len(path) if end < 0 else end
            output, path = output + path[:end], path[end:]
    return output
