"""Request targets: resolved once, and then the same bytes are matched, authorised and forwarded.

RFC 3986 section 6.2.2 for the normal form, RFC 9112 section 3.2 for the forms of a target.
"""

from __future__ import annotations

import re

from tracseq_gateway.errors import BAD_TARGET, RequestRefused

_UNUSUAL = re.compile(rb"%|/\.|//|\\").search
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})").search
_SEPARATOR = re.compile(rb"%(?:2[fF]|5[cC])").search
# A dot segment within a segment: between encoded separators, or before a parameter.
_HIDDEN_DOTS = re.compile(rb"(?:^|%(?:2[fF]|5[cC]))\.\.?(?:;|%3[bB]|%2[fF]|%5[cC]|$)").search
_DOT = re.compile(rb"%2[eE]")


def normalise(path: bytes, *, keep_separators: bool = False) -> bytes:
    """Resolve dot segments (also written ``%2e``) and double slashes of an absolute path, without its query.

    Everything else stays byte for byte: no other escape is decoded, none is decoded twice. Raises
    :class:`RequestRefused` (400) for what services read in different ways: ``\\``, ``%00``, broken escapes, ``..;``,
    and, unless ``keep_separators``, ``%2f`` and ``%5c``.
    """
    if _UNUSUAL(path) is None:
        return path
    if b"\\" in path:
        raise RequestRefused(BAD_TARGET, "a backslash in the path")
    if b"%00" in path:
        raise RequestRefused(BAD_TARGET, "an encoded NUL in the path")
    if _BAD_ESCAPE(path) is not None:
        raise RequestRefused(BAD_TARGET, "a percent sign in the path that is not followed by two hex digits")
    if not keep_separators and _SEPARATOR(path) is not None:
        raise RequestRefused(BAD_TARGET, "an encoded slash or backslash in the path")
    return _resolve(path)


def _resolve(path: bytes) -> bytes:
    """Remove dot segments and empty segments (RFC 3986 section 5.2.4); a trailing slash stays."""
    kept: list[bytes] = []
    segments = path.split(b"/")
    plain = b""
    for segment in segments:
        plain = _DOT.sub(b".", segment)
        if plain == b"..":
            if kept:
                kept.pop()
        elif plain and plain != b".":
            if _HIDDEN_DOTS(plain) is not None:
                raise RequestRefused(BAD_TARGET, "a dot segment with a parameter or beside an encoded slash")
            kept.append(segment)
    ends_open = plain in (b"", b".", b"..")
    return b"/" + b"/".join(kept) + (b"/" if kept and ends_open else b"")
