"""Writes answers as HTTP/1.1 has them: heads, framing, and bodies in pieces. Bytes out, nothing sent."""

from __future__ import annotations

from collections.abc import Callable

from tracseq_gateway.errors import GatewayError, problem
from tracseq_gateway.http.forwarding import upgrade_lines
from tracseq_gateway.http.framing import CHUNKED, NO_BODY, UNTIL_CLOSE, answer_length
from tracseq_gateway.http.outgoing import OutgoingHead
from tracseq_gateway.http.request_head import RequestHead

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class AnswerWriter:
    """Writes one answer after the other, and remembers how the present one is framed."""

    __slots__ = ("_date", "_framing", "_own", "_via")

    def __init__(self, via: str, date: Callable[[], bytes], own: Callable[[bool], bytes] = lambda secure: b"") -> None:
        """``own`` gives the lines of all answers of the gateway's own, by whether the client uses TLS."""
        self._via = via
        self._own = own
        self._date = date
        self._framing = NO_BODY

    def begin(
        self,
        asked: RequestHead,
        request_id: bytes,
        head: OutgoingHead,
        added: bytes,
        data: bytes,
        done: bool,
        closing: bool,
        secure: bool = False,
    ) -> tuple[bytes, bool]:
        """Return the head with the first bytes of the body, and whether the connection must close behind it.

        ``asked`` is what is answered, ``added`` are lines for this answer; ``closing`` says that the connection closes
        anyway, ``secure`` that the client uses TLS.
        """
        length = head.length
        if done and length is None:
            length = len(data)
        self._framing = framed = answer_length(asked.method, asked.minor, head.status, length)
        framing = b""
        if framed >= 0:
            framing = b"content-length: %d\r\n" % framed
        elif framed == CHUNKED:
            framing = b"transfer-encoding: chunked\r\n"
            data = _chunk(data)
        elif framed == UNTIL_CLOSE:
            closing = True
        else:
            data = b""
            if head.length is not None and head.status != 204:
                framing = b"content-length: %d\r\n" % head.length
        if closing:
            framing += b"connection: close\r\n"
        elif not asked.minor:
            framing += b"connection: keep-alive\r\n"
        if not head.dated:
            framing += b"date: %b\r\n" % self._date()
        if not head.of_service:
            added += self._own(secure)
        elif secure:
            added += head.over_tls
        return b"%bx-request-id: %b\r\n%b%b\r\n%b" % (head.lines(), request_id, added, framing, data), closing

    def switch(self, request_id: bytes, head: OutgoingHead, added: bytes, protocol: bytes) -> bytes:
        """Return the head of a 101; what follows is written as it is."""
        self._framing = UNTIL_CLOSE
        return b"%bx-request-id: %b\r\n%b%b\r\n" % (head.lines(), request_id, added, upgrade_lines(protocol))

    def more(self, data: bytes, done: bool) -> bytes:
        """Return more of the body; ``done`` ends it."""
        if self._framing == NO_BODY:
            return b""
        if self._framing == CHUNKED:
            return _chunk(data) + b"0\r\n\r\n" if done else _chunk(data)
        return data

    def interim(self, head: OutgoingHead) -> bytes:
        """Return an interim answer (1xx)."""
        return head.lines() + b"\r\n"

    def refusal(self, error: GatewayError, request_id: bytes, *, secure: bool = False, bodiless: bool = False) -> bytes:
        """Return the answer to bytes that are no request; the connection closes behind it.

        ``bodiless``: only its head, as HEAD is answered.
        """
        fields, body = problem(error, request_id, self._via)
        head = OutgoingHead(error.kind.status, error.kind.reason, fields)
        return b"%bdate: %b\r\nx-request-id: %b\r\n%bcontent-length: %d\r\nconnection: close\r\n\r\n%b" % (
            head.lines(),
            self._date(),
            request_id,
            self._own(secure),
            len(body),
            b"" if bodiless else body,
        )


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
