"""Paths below a service's prefix, and what the configuration says of them.

A rule that restricts must hold however a path is spelled that a service may take for the same; a rule that opens must
hold for one spelling alone. So there are two kinds of patterns, and what is unclear falls on the safe side of each:
:class:`PathPatterns` compares what services compare after decoding, without case; :class:`ExactPaths` compares bytes.

Paths come out of ``target.normalise``: without dot segments, empty segments or broken escapes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar
from urllib.parse import unquote_to_bytes

Value = TypeVar("Value")

_ENCODED_SEPARATOR = re.compile(rb"%(?:2[fF]|5[cC])").search
_ENCODED_SEPARATOR_SUB = re.compile(rb"%(?:2[fF]|5[cC])").sub
_UNUSUAL = re.compile(rb"[%;\\]|//").search
_PATTERN = re.compile(r"/[!-~]*").fullmatch
_STAR = b"*"


class _Node(Generic[Value]):
    """Where the patterns meet that are alike up to here."""

    __slots__ = ("any", "literal", "value")

    def __init__(self) -> None:
        self.literal: dict[bytes, _Node[Value]] = {}
        self.any: _Node[Value] | None = None
        self.value: Value | None = None


class PathPatterns(Generic[Value]):
    """Finds what is said of a path: by the longest pattern that it lies at or below, segment by segment.

    ``/batch`` holds for ``/batch`` and all below it, ``*`` stands for one segment, ``/`` holds for all. Of patterns of
    one length that hold, the one wins that is literal where they first differ.

    Compared are segments in lower case (of ASCII), without their ``;parameters``, with every escape decoded once; an
    encoded slash or backslash parts segments, and empty segments, so a slash at the end too, make no difference.
    """

    def __init__(self, patterns: Mapping[str, Value], *, exact: bool = False) -> None:
        """Raises :class:`ValueError`, which names the pattern, for what can never match and for two that are one.

        ``exact``: for rules that open, decode nothing and drop no parameters; case and a slash at the end alone make
        no difference.
        """
        self._exact = exact
        self._root: _Node[Value] = _Node()
        self._depth = 0
        self._holds_any = bool(patterns)
        for pattern, value in patterns.items():
            segments = _pattern_segments(pattern)
            node = self._root
            for segment in segments:
                if segment == _STAR:
                    node.any = node = node.any or _Node()
                else:
                    node = node.literal.setdefault(segment, _Node())
            if node.value is not None:
                raise ValueError(f"{pattern!r} is the same path as another pattern")
            node.value = value
            self._depth = max(self._depth, len(segments))

    def find(self, path: bytes) -> Value | None:
        """Return the value of the pattern that holds for a path below the prefix (``/batch/7``, or empty), or None."""
        if not self._holds_any:
            return None
        if self._exact:
            return self._follow(path.lower().rstrip(b"/").split(b"/", self._depth + 1)[1 : self._depth + 1])
        found = self._follow(_segments(path, self._depth))
        if found is None and _ENCODED_SEPARATOR(path) is not None:
            # Some services take an encoded slash for part of a segment, others for a slash.
            found = self._follow(_segments(_ENCODED_SEPARATOR_SUB(b"-", path), self._depth))
        return found

    def _follow(self, segments: list[bytes]) -> Value | None:
        found = self._root.value
        nodes = [self._root]
        for segment in segments:
            # The better pattern first: a literal one before a star, in the order of those that they continue.
            reached: list[_Node[Value]] = []
            for node in nodes:
                literal = node.literal.get(segment)
                if literal is not None:
                    reached.append(literal)
                if node.any is not None:
                    reached.append(node.any)
            if not reached:
                break
            nodes = reached
            found = next((node.value for node in nodes if node.value is not None), found)
        return found


def _segments(path: bytes, most: int) -> list[bytes]:
    """The first segments of a path, at most so many, as they are compared."""
    if _UNUSUAL(path) is None:
        plain = path.lower().strip(b"/")
        return plain.split(b"/", most)[:most] if plain else []
    decoded = unquote_to_bytes(path).lower().replace(b"\\", b"/")
    segments = [segment.partition(b";")[0] for segment in decoded.split(b"/")]
    return [segment for segment in segments if segment][:most]


def _pattern_segments(pattern: str) -> list[bytes]:
    _check(pattern)
    if ";" in pattern:
        raise ValueError(f"{pattern!r} has a parameter: rules hold for a segment whatever its parameters are")
    written = pattern.encode("ascii")
    segments = _segments(written, len(written))
    if any(_STAR in segment and segment != _STAR for segment in segments):
        raise ValueError(f"{pattern!r} has a star within a segment: it stands for a whole one")
    return segments


def _check(pattern: str) -> None:
    """Raise for a pattern that no path can match."""
    if _PATTERN(pattern) is None or "?" in pattern or "#" in pattern or "\\" in pattern:
        raise ValueError(f"{pattern!r} is no path: one that starts with a slash, such as /batch, would be right")
    if "//" in pattern or {".", ".."} & set(pattern.split("/")):
        raise ValueError(f"{pattern!r} has an empty or dot segment: no request's path has one left")


class ExactPaths:
    """Paths that are matched byte for byte, for what opens a door; a slash at the end alone makes no difference.

    ``/login`` is that path and no other; ``/forms/*`` is every path below ``/forms``, but not ``/forms`` itself.
    A path that is spelled in another way, though a service may take it for the same, does not match.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        """Raises :class:`ValueError`, which names the pattern, for what is no path, or has a star elsewhere."""
        exact: set[bytes] = set()
        above: set[bytes] = set()
        for pattern in patterns:
            _check(pattern)
            path = pattern.removesuffix("/*")
            if "*" in path:
                raise ValueError(f"{pattern!r} has a star that is not its last segment")
            (exact if path == pattern else above).add(path.rstrip("/").encode("ascii"))
        self._exact = frozenset(exact)
        self._above = frozenset(above)
        self._depth = max((path.count(b"/") for path in above), default=-1)

    def matches(self, path: bytes) -> bool:
        """Whether one of the patterns is this path below the prefix, or has it below."""
        path = path.rstrip(b"/")
        if path in self._exact:
            return True
        end = -1
        for _ in range(self._depth + 1):
            end = path.find(b"/", end + 1)
            if end < 0:
                return False
            if path[:end] in self._above:
                return True
        return False
