"""Paths: resolved once, as RFC 3986 has it; no service that decodes one steps out of its prefix or past its rule."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from tests.test_http_target import climbs, remove_dot_segments, spelled, verdict
from tracseq_gateway.http.paths import ExactPaths, PathPatterns
from tracseq_gateway.routing.table import Route, RouteTable

_RULES = PathPatterns({"/admin": "admin", "/a/*/b": "star"})
_OPEN = ExactPaths(["/login", "/forms/*"])
_PREFIXES = (b"/a", b"/a/b", b"/admin")
_TABLE = RouteTable([Route(prefix, b"/up", prefix) for prefix in _PREFIXES])


def one_input(data: bytes) -> None:
    """Take any bytes for a path."""
    path = b"/" + data
    for keep in (False, True):
        normal = verdict(path, keep_separators=keep)
        if normal is None:
            continue
        assert verdict(normal, keep_separators=keep) == normal, "resolved twice is something else"
        assert normal == remove_dot_segments(re.sub(rb"/+", b"/", spelled(path))), normal
        separators = rb"/|%2f|%5c" if keep else rb"/"
        assert not climbs(re.split(separators, normal[1:], flags=re.IGNORECASE)), normal
        _check_rules(normal)
        _check_route(normal)


def _check_rules(normal: bytes) -> None:
    """What a service may take for /admin meets the rule for it; what opens a door is one spelling alone."""
    plain = unquote_to_bytes(normal).replace(b"\\", b"/").lower()
    segments = [text for part in plain.split(b"/") if (text := part.partition(b";")[0])]
    assert (_RULES.find(normal) == "admin") == (segments[:1] == [b"admin"]), normal
    if _OPEN.matches(normal):
        assert re.fullmatch(rb"/login/*|/forms/.*", normal, re.DOTALL), normal


def _check_route(normal: bytes) -> None:
    """The longest prefix of whole segments owns the path, and what stands behind it is what the service sees."""
    route = _TABLE.find(normal)
    owners = [prefix for prefix in _PREFIXES if normal == prefix or normal.startswith(prefix + b"/")]
    assert (route.target if route else None) == max(owners, key=len, default=None), normal
    if route is not None:
        assert route.upstream_path(normal) == b"/up" + (normal[len(route.prefix) :] or b"/"), normal
