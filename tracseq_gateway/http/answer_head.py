"""The heads of services' answers, read as strictly as requests (see ``request_head``)."""

from __future__ import annotations

import re

from attrs import define
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from tracseq_gateway.errors import ANSWER_TOO_LARGE, AnswerRefused
from tracseq_gateway.http.fields import FieldLine, KnownLines, first_value
from tracseq_gateway.http.framing import CHUNKED, UNTIL_CLOSE, BadFraming
from tracseq_gateway.http.heads import LONGEST_KEPT, NOTHING, SpecialFields, connection_options
from tracseq_gateway.http.outgoing import OutgoingHead

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: ([\t\x20-\x7e\x80-\xff]*))?\r\n").match
ANSWER_SPECIAL = frozenset({b"content-length", b"transfer-encoding", b"connection", b"date", b"upgrade"})
MAX_ANSWER_HEAD = 65536
MAX_ANSWER_FIELDS = 256
_ANSWER_START = b"HTTP/1."


@define(eq=False)
class AnswerHead:
    """The head of a service's answer with one meaning."""

    status: int
    reason: bytes
    minor: int
    received: list[FieldLine]
    length: int
    """Bytes of the body that follows, ``framing.CHUNKED`` or ``framing.UNTIL_CLOSE``."""
    declared: int | None
    """What Content-Length said, which on HEAD and 304 is not what follows; None where it is missing or void."""
    keep_alive: bool
    connection: frozenset[bytes]
    dated: bool
    """Whether it has a Date field."""
    events: bool = False
    """Whether a stream of server-sent events follows."""
    upgrade: bytes = b""
    """The protocol that a 101 switches to, in lower case."""
    outgoing: OutgoingHead | None = None
    """What goes on to a client, made once (see ``forwarding``)."""

    def get(self, name: bytes) -> bytes | None:
        """Return the first value of a field by its lower-case name."""
        return first_value(self.received, name)


class AnswerParser:
    """Reads the answer heads of one connection."""

    __slots__ = ("_bodiless", "_head", "_known", "_raw")

    def __init__(self, known: KnownLines) -> None:
        self._known = known
        self._raw = b""
        self._bodiless = False
        self._head: AnswerHead | None = None

    def parse(self, raw: bytes, method: bytes) -> AnswerHead:
        """Read the head of an answer to ``method``, ending with its empty line; raises :class:`AnswerRefused`."""
        bodiless = method == b"HEAD"
        head = self._head
        if head is None or raw != self._raw or bodiless != self._bodiless:
            head = _answer_head(raw, bodiless, self._known)
            if len(raw) <= LONGEST_KEPT:
                self._raw, self._bodiless, self._head = raw, bodiless, head
        return head


def check_answer_start(data: bytes) -> None:
    """Look at the beginning of an answer head; raises :class:`AnswerRefused` if it can never become a good one."""
    end = data.find(b"\n")
    good = _STATUS_LINE(data) if end >= 0 else data.startswith(_ANSWER_START[: len(data)])
    if not good:
        raise AnswerRefused("a malformed status line")
    if len(data) > MAX_ANSWER_HEAD:
        raise AnswerRefused("an answer head that is too large", ANSWER_TOO_LARGE)


def _answer_head(raw: bytes, bodiless: bool, known: KnownLines) -> AnswerHead:
    """Read an answer head; what frames its body as RFC 9112 section 6.3 says."""
    line = _STATUS_LINE(raw)
    if line is None:
        raise AnswerRefused("a malformed status line")
    if len(raw) > MAX_ANSWER_HEAD:
        raise AnswerRefused("an answer head that is too large", ANSWER_TOO_LARGE)
    try:
        HttpResponseParser(NOTHING).feed_data(raw)
    except HttpParserUpgrade:
        pass
    except HttpParserError as error:
        raise AnswerRefused(f"malformed answer head: {error}") from None
    received = known.read(raw[line.end() :])
    if len(received) > MAX_ANSWER_FIELDS:
        raise AnswerRefused("an answer head with too many fields", ANSWER_TOO_LARGE)
    special = SpecialFields(received)
    minor, status = 1 if line[1] == b"1" else 0, int(line[2])
    keep_alive, connection = connection_options(special.connection, minor)
    declared = None if status < 200 or status == 204 else _answer_length(special, minor)
    if bodiless or status < 200 or status in (204, 304):
        length = 0
    elif declared is None:
        length = UNTIL_CLOSE
        keep_alive = False
    else:
        length = declared
    if declared == CHUNKED:
        declared = None
    dated = bool(special.values(b"date"))
    head = AnswerHead(status, line[3] or b"", minor, received, length, declared, keep_alive, connection, dated)
    kind = head.get(b"content-type")
    head.events = kind is not None and kind[:17].lower() == b"text/event-stream"
    if status == 101 and minor and b"upgrade" in connection:
        head.upgrade = b", ".join(special.values(b"upgrade")).lower()
    return head


def _answer_length(special: SpecialFields, minor: int) -> int | None:
    try:
        return special.body_length(minor)
    except BadFraming as error:
        raise AnswerRefused(str(error)) from None
