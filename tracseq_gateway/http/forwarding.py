"""What an intermediary passes on, adds and removes (RFC 9110 section 7.6). Where a request comes from: see ``origin``.

Rules:

1. Fields of one hop, and what Connection names, go no further, in either direction.
2. Framing and Host are written anew from the parsed head; no client can name them away.
3. What only the gateway may say (who the caller is, where he comes from) is removed from outside requests first, in
   any spelling that a service might take for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from tracseq_gateway.http.answer_head import ANSWER_SPECIAL, AnswerHead
from tracseq_gateway.http.fields import Fields, KnownLines
from tracseq_gateway.http.framing import CHUNKED
from tracseq_gateway.http.outgoing import OutgoingHead
from tracseq_gateway.http.request_head import REQUEST_SPECIAL, RequestHead

_ONE_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
    }
)
_REWRITTEN = frozenset(
    {b"host", b"content-length", b"expect", b"x-request-id", b"forwarded", b"x-real-ip", b"max-forwards"}
)
# Names by which services learn who calls, or by which frameworks let a caller change method or path.
_RESERVED = frozenset(
    {
        b"proxy",
        b"remote-user",
        b"x-remote-user",
        b"x-session-id",
        b"x-original-url",
        b"x-rewrite-url",
        b"x-http-method",
        b"x-http-method-override",
        b"x-method-override",
    }
)
_NO_LETTERS = re.compile(rb"[^0-9a-z]").sub
_RESERVED_PREFIXES = (
    b"x-forwarded-",
    b"x-user-",
    b"x-identity-",
    b"x-consumer-",
    b"x-client-cert",
    b"x-ssl-client",
)


def _dashed(name: bytes) -> bytes:
    """A name as services may take it for: to some, all that is no letter or digit is the same (RFC 3875 4.1.18)."""
    return _NO_LETTERS(b"-", name)


def drops_from_request(name: bytes, further: frozenset[bytes] = frozenset()) -> bool:
    """Whether a field, by its lower-case name, is left out of the request to a service.

    ``further`` are names that this gateway keeps to itself, in lower case and with dashes.
    """
    dashed = _dashed(name)
    return (
        dashed in _ONE_HOP
        or dashed in _REWRITTEN
        or dashed in _RESERVED
        or dashed in further
        or dashed.startswith(_RESERVED_PREFIXES)
    )


def drops_from_answer(name: bytes) -> bool:
    """Whether a field, by its lower-case name, is left out of the answer to a client."""
    return name in _ONE_HOP or name in (b"content-length", b"x-request-id")


def known_request_lines(
    kept_back: frozenset[bytes] = frozenset(), replaced: frozenset[bytes] = frozenset()
) -> KnownLines:
    """What the request heads of one gateway have in common.

    ``kept_back`` are names of fields, in lower case, that hold secrets between client and gateway; ``replaced`` are
    those that only the gateway may set.
    """
    dashed = frozenset(_dashed(name) for name in kept_back | replaced)
    return KnownLines(REQUEST_SPECIAL, lambda name: drops_from_request(name, dashed), kept_back)


def known_answer_lines() -> KnownLines:
    """What the answer heads of one gateway's services have in common."""
    return KnownLines(ANSWER_SPECIAL, drops_from_answer)


def upgrade_lines(protocol: bytes) -> bytes:
    """The lines that ask for, or announce, a switch of protocols (RFC 9110 section 7.8)."""
    return b"connection: upgrade\r\nupgrade: %b\r\n" % protocol


def request_head(head: RequestHead, target: bytes, host: bytes, forwarded: bytes, request_id: bytes) -> bytes:
    """Write the head of the request to a service.

    ``target`` is path and query, ``forwarded`` the lines of :class:`ForwardedLines` and others that are added.
    """
    fields = head.fields
    return b"%b %b HTTP/1.1\r\nhost: %b\r\n%b%bx-request-id: %b\r\n%b\r\n" % (
        head.method,
        target,
        host,
        fields.passed_on,
        forwarded,
        request_id,
        _framing(fields.length, head.method) if fields.max_forwards is None else _framing_and_hops(head),
    )


def _framing_and_hops(head: RequestHead) -> bytes:
    """Framing, and for OPTIONS one hop less (RFC 9110 section 7.6.2)."""
    framing = _framing(head.fields.length, head.method)
    hops = head.fields.max_forwards
    return framing if hops is None or head.method != b"OPTIONS" else framing + b"max-forwards: %d\r\n" % (hops - 1)


def _framing(length: int, method: bytes) -> bytes:
    if length == CHUNKED:
        return b"transfer-encoding: chunked\r\n"
    if length or method in _METHODS_WITH_BODY:
        return b"content-length: %d\r\n" % length
    return b""


# RFC 9110 section 8.6: a Content-Length of 0 is sent where the method expects content.
_METHODS_WITH_BODY = frozenset({b"POST", b"PUT", b"PATCH"})


AnswerRules = Callable[[Fields], tuple[Fields, bytes]]
"""What a gateway makes of the fields of a service's answer: those that go on, and lines for clients that use TLS."""


def outgoing_head(head: AnswerHead, via: bytes, rules: AnswerRules | None = None) -> OutgoingHead:
    """Return the head of an answer as it goes on to the client, with our Via; made once for equal heads.

    ``via`` is the gateway's pseudonym. One head is always given the same ``rules``.
    """
    outgoing = head.outgoing
    if outgoing is None:
        named = head.connection
        pairs = [(line.name, line.value) for line in head.received if line.passed_on and line.name not in named]
        over_tls = b""
        if rules is not None:
            pairs, over_tls = rules(pairs)
        pairs.append((b"via", b"1.%d %b" % (head.minor, via)))
        dated = head.dated and b"date" not in named
        head.outgoing = outgoing = OutgoingHead(
            head.status, head.reason, pairs, head.declared, dated=dated, of_service=True, over_tls=over_tls
        )
    return outgoing
