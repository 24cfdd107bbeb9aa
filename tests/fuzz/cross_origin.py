"""CORS: only an allowed origin is granted anything, and whatever is asked for, the answer's fields are well formed.

An input is an Origin and, behind a line end, what a preflight asks for.
"""

from __future__ import annotations

import re

from tracseq_gateway.http.cors import OriginRules, Preflights

_RULES = OriginRules(["https://lab.example", "https://*.tracseq.com", "http://[::1]:8000"])
_ALLOWED = re.compile(
    rb"https://(lab\.example|[a-z0-9_-]+\.tracseq\.com)(:443)?|http://\[::1\]:8000", re.IGNORECASE
).fullmatch
_STRICT = Preflights(_RULES, ["GET", "PUT"], ["Content-Type"], 600, credentials=True)
_LOOSE = Preflights(_RULES, ["GET", "PUT"], ["*"], 600, credentials=True)
_VALUE = re.compile(rb"[!-~]+(?: [!-~]+)*").fullmatch


def one_input(data: bytes) -> None:
    """Ask from an origin."""
    origin, _, asked = data.partition(b"\n")
    allowed = _RULES.allows(origin)
    assert allowed == (_ALLOWED(origin) is not None), origin
    for preflights in (_STRICT, _LOOSE):
        fields = preflights.answer(origin, b"PUT", asked)
        granted = dict(fields)
        assert len(granted) == len(fields) and granted[b"vary"], fields
        assert allowed or len(fields) == 1, fields
        assert granted.get(b"access-control-allow-origin", origin) == origin, fields
        assert all(_VALUE(value) for value in granted.values()), fields
        assert b"*" not in granted.get(b"access-control-allow-headers", b"").split(b", "), fields
