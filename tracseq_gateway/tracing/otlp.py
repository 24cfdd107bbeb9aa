"""The messages of OTLP that carry spans, written and read as Protocol Buffers.

The numbers are those of ``opentelemetry/proto/trace/v1/trace.proto`` and its neighbours, which are stable. The tests
read what is written here with the published classes of ``opentelemetry-proto``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from attrs import frozen

from tracseq_gateway.tracing.wire import block, fields, fixed32, fixed64, integer, sized, tag

LONGEST_TEXT: Final = 1024
"""Characters of an attribute's value; the rest is cut off."""

SERVER: Final = 2
CLIENT: Final = 3
"""Kinds of span: somebody asks the gateway, the gateway asks a service."""

SCHEMA: Final = b"https://opentelemetry.io/schemas/1.27.0"
"""The version of the semantic conventions that names of attributes are taken from."""

_LOCAL: Final = 0x100
_REMOTE: Final = 0x300
"""Flags of a span beside those of its trace: it is known whether its parent is another program's, and it is."""
_SAMPLED: Final = 1
_ERROR: Final = 2

_ATTRIBUTE_TAG = tag(9)


def attribute(name: str) -> bytes:
    """Write the beginning of an attribute, for :func:`text` and :func:`number`."""
    return block(1, name.encode("ascii")) + tag(2)


def text(beginning: bytes, value: str) -> bytes:
    """Write an attribute that is text."""
    return beginning + sized(block(1, value[:LONGEST_TEXT].encode("utf-8", "replace")))


def number(beginning: bytes, value: int) -> bytes:
    """Write an attribute that is an integer of at least 0."""
    return beginning + sized(integer(3, value))


def event(nanoseconds: int, name: str) -> bytes:
    """Write an event of a span; times are nanoseconds since the epoch."""
    return fixed64(1, nanoseconds) + block(2, name.encode("ascii"))


@frozen
class Span:
    """One span; ids are hex digits, times nanoseconds since the epoch."""

    trace_id: str
    span_id: str
    parent: str
    """Empty for the first span of a trace."""
    remote: bool
    """Whether the parent is another program's."""
    kind: int
    name: str
    began: int
    ended: int
    attributes: Sequence[bytes]
    events: Sequence[bytes] = ()
    error: str | None = None
    """Why it failed, perhaps in no words; None if it did not."""

    def encode(self) -> bytes:
        """Write it as a field of the scope that it belongs to."""
        parts = [
            block(1, bytes.fromhex(self.trace_id)),
            block(2, bytes.fromhex(self.span_id)),
            block(4, bytes.fromhex(self.parent)) if self.parent else b"",
            block(5, self.name.encode("utf-8", "replace")),
            integer(6, self.kind),
            fixed64(7, self.began),
            fixed64(8, self.ended),
            *(_ATTRIBUTE_TAG + sized(each) for each in self.attributes),
            *(block(11, each) for each in self.events),
        ]
        if self.error is not None:
            message = block(2, self.error[:LONGEST_TEXT].encode("utf-8", "replace")) if self.error else b""
            parts.append(block(15, message + integer(3, _ERROR)))
        parts.append(fixed32(16, (_REMOTE if self.remote else _LOCAL) | _SAMPLED))
        return block(2, b"".join(parts))


class Envelope:
    """What stands around the spans of one process: who they are from."""

    def __init__(self, resource: Mapping[str, str | int], scope: str, version: str) -> None:
        """``resource`` are attributes of the process, ``scope`` and ``version`` name who made the spans."""
        attributes = [
            block(1, text(attribute(name), value) if isinstance(value, str) else number(attribute(name), value))
            for name, value in resource.items()
        ]
        self._resource = block(1, b"".join(attributes))
        self._scope = block(1, block(1, scope.encode("ascii")) + block(2, version.encode("ascii")))
        self._schema = block(3, SCHEMA)

    def seal(self, spans: Iterable[bytes]) -> bytes:
        """Write an ``ExportTraceServiceRequest`` of spans that :meth:`Span.encode` wrote."""
        scope = b"".join((self._scope, *spans, self._schema))
        return block(1, self._resource + block(2, scope) + self._schema)


@frozen
class PartialSuccess:
    """What a collector says of an export that it took."""

    rejected: int = 0
    """Spans that it did not take."""
    message: str = ""


def read_answer(message: bytes) -> PartialSuccess:
    """Read an ``ExportTraceServiceResponse``; raises ValueError for what is none."""
    rejected, words = 0, ""
    for field, value in fields(message):
        if field == 1:
            for inner, part in fields(_message(value)):
                if inner == 1 and isinstance(part, int):
                    rejected = part
                elif inner == 2:
                    words = _message(part).decode("utf-8", "replace")
    return PartialSuccess(rejected, words)


def read_refusal(message: bytes) -> str:
    """Read the words of a ``Status``, with which a collector refuses an export; raises ValueError for what is none."""
    words = [_message(value).decode("utf-8", "replace") for field, value in fields(message) if field == 2]
    return words[-1] if words else ""


def _message(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("an integer where a message should be")
    return value
