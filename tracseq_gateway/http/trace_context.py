"""Which trace a request belongs to: W3C Trace Context, read strictly and written.

Rules (https://www.w3.org/TR/trace-context-2/):

1. A ``traceparent`` that is malformed, all zero, of version ff or there twice is none: a new trace begins. A later
   version is read as far as it is 00.
2. ``tracestate`` belongs to its ``traceparent``. It is passed on whole, or without its longest and last members if it
   is too long, or not at all if anything in it is malformed.
3. Who may decide that a trace is kept is a matter of trust: see :class:`Tracer`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import getrandbits
from typing import Final, NamedTuple

from tracseq_gateway.http.fields import FieldLine

TRACE_FIELDS: Final = frozenset({b"traceparent", b"tracestate"})
"""The fields that are written anew when the gateway traces."""

MOST_STATE: Final = 512
"""Bytes of ``tracestate`` that are passed on."""
MOST_MEMBERS: Final = 32
_LONG_MEMBER: Final = 128
"""Members longer than this go first when there is too much (section 3.3.1.5)."""

_SAMPLED: Final = 1
_RANDOM: Final = 2
"""Flags: the trace is kept; at least 56 bits of its id are random."""

_KEPT: Final = b"traceparent: 00-%%b-%%b1-0%d\r\n" % (_RANDOM | _SAMPLED)
_NOT_KEPT: Final = b"traceparent: 00-%%b-%%b1-0%d\r\n" % _RANDOM

_TRACEPARENT = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
).fullmatch
_MEMBER = re.compile(
    rb"([a-z0-9][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
    rb"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
).fullmatch


class TraceContext(NamedTuple):
    """A request's place in a trace."""

    trace_id: str
    """32 hex digits."""
    span_id: str
    """16 hex digits: the gateway's own span, the last of them 0."""
    parent: str
    """16 hex digits: the caller's span; empty when the trace begins here."""
    sampled: bool
    """Whether its spans are kept."""

    @property
    def upstream_id(self) -> str:
        """16 hex digits: the span of asking a service, whose parent is ``span_id``. Services get it as their parent."""
        return self.span_id[:-1] + "1"


_new = tuple.__new__


class Traceparent(NamedTuple):
    """What a caller says of the trace that his request belongs to."""

    trace_id: str
    parent: str
    flags: int


def read_traceparent(value: bytes) -> Traceparent | None:
    """Read the value of a ``traceparent`` field; None if it is none."""
    match = _TRACEPARENT(value.decode("latin-1"))
    if match is None:
        return None
    version, trace_id, parent, flags, further = match.groups()
    if further is not None and version == "00":
        return None
    return Traceparent(trace_id, parent, int(flags, 16))


def read_tracestate(values: Sequence[bytes]) -> bytes:
    """Make one value of those of all ``tracestate`` fields; empty if there is none, or anything in it is malformed.

    The first members, which are the newest, stay when there is more than :data:`MOST_STATE` bytes.
    """
    members = [member for part in b",".join(values).split(b",") if (member := part.strip(b" \t"))]
    keys = {match[1] for member in members if (match := _MEMBER(member)) is not None}
    if len(members) > MOST_MEMBERS or len(keys) < len(members):
        return b""  # too many, one that is malformed, or one key twice
    state = b",".join(members)
    if len(state) > MOST_STATE:
        members = [member for member in members if len(member) <= _LONG_MEMBER]
        state = b",".join(members)
    while len(state) > MOST_STATE:
        members.pop()
        state = b",".join(members)
    return state


def least_sampled(ratio: float) -> bytes:
    """The least 14 hex digits that a random number of 56 bits has with which a trace is kept."""
    if ratio <= 0:
        return b"g"  # greater than any
    return b"%014x" % (2**56 - max(1, round(min(ratio, 1.0) * 2**56)))


class Tracer:
    """Gives each request its place in a trace.

    A trace id is continued whoever sends it. Whether the trace is kept is decided

    - by the caller's flag, if the peer may say so;
    - for a trace that begins here by the last 56 bits of its id, which are random, so that everybody who compares them
      to the same ratio comes to the same verdict;
    - else by a draw for each request: a stranger chooses his trace ids, and would find one that is kept.
    """

    def __init__(
        self,
        ratio: float,
        may_decide: Callable[[str], bool] | None = None,
        bits: Callable[[int], int] = getrandbits,
    ) -> None:
        """``ratio`` is the share of requests that are kept; ``may_decide`` says whose sampled flag holds, by address.

        ``bits`` gives a random number of so many bits.
        """
        self._least = least_sampled(ratio)
        self._may_decide = may_decide
        self._bits = bits

    def place(self, said: Sequence[FieldLine], peer: str) -> tuple[TraceContext, bytes]:
        """Return the place of a request that has these lines of :data:`TRACE_FIELDS`, sent by ``peer``, and the lines,
        each with its CRLF, that tell a service of it."""
        given = [line.value for line in said if line.name == b"traceparent"]
        parent = read_traceparent(given[0]) if len(given) == 1 else None
        if parent is not None:
            return self._continued(parent, said, peer)
        return self.begin(b"%032x" % self._bits(128))

    def begin(self, trace_id: bytes) -> tuple[TraceContext, bytes]:
        """The same for a request that says nothing of a trace: it begins the one with this id, 32 random hex digits.

        The ids of its spans are made of digits that the verdict does not look at.
        """
        sampled = trace_id[18:] >= self._least
        lines = (_KEPT if sampled else _NOT_KEPT) % (trace_id, trace_id[:15])
        text = trace_id.decode("ascii")
        # What NamedTuple does, in half the time: this is done for every request.
        return _new(TraceContext, (text, text[:15] + "0", "", sampled)), lines

    def _continued(self, parent: Traceparent, said: Sequence[FieldLine], peer: str) -> tuple[TraceContext, bytes]:
        span = f"{self._bits(60):015x}"
        if self._may_decide is not None and self._may_decide(peer):
            sampled = bool(parent.flags & _SAMPLED)
        else:
            sampled = span[1:].encode("ascii") >= self._least
        flags = parent.flags & _RANDOM | sampled
        lines = f"traceparent: 00-{parent.trace_id}-{span}1-0{flags}\r\n".encode("ascii")
        if len(said) > 1:
            state = read_tracestate([line.value for line in said if line.name == b"tracestate"])
            lines += b"tracestate: %b\r\n" % state if state else b""
        return TraceContext(parent.trace_id, span + "0", parent.parent, sampled), lines
