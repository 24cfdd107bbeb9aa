"""Answers that are in memory, plain and by gzip, with the tag by which browsers ask whether they are still the same."""

from __future__ import annotations

from typing import Any, Final, cast

from attrs import frozen

from tracseq_gateway.errors import METHOD_NOT_ALLOWED, GatewayError
from tracseq_gateway.http.accept_encoding import choose
from tracseq_gateway.http.fields import Fields
from tracseq_gateway.http.outgoing import OutgoingHead
from tracseq_gateway.interfaces import Request

PIECE: Final = 65536
"""Bytes that are sent at once."""


@frozen
class Kept:
    """One answer."""

    kind: bytes
    """The media type."""
    plain: bytes
    zipped: bytes
    """The same by gzip; empty: not offered."""
    tag: str
    """Changes with the content; without quotes."""
    cache_control: bytes
    security: Fields
    """The security fields: those of this answer instead of what the gateway's other answers have."""
    over_tls: bytes = b""
    """Lines for clients that came by TLS, each with its CRLF."""

    def answer(self, request: Any) -> None:
        """Answer GET and HEAD, with 304 to who has it already; refuse other methods."""
        if request.method not in (b"GET", b"HEAD"):
            request.refuse(GatewayError(METHOD_NOT_ALLOWED, "this page can only be read", allow=("GET", "HEAD")))
            return
        zipped = bool(self.zipped) and choose(_field(request, b"accept-encoding"), (b"gzip",)) is not None
        body = self.zipped if zipped else self.plain
        # One content in two encodings is two representations: their strong tags differ (RFC 9110 section 8.8.3.3).
        tag = f'"{self.tag}{"-gzip" if zipped else ""}"'.encode("ascii")
        fields: Fields = [(b"etag", tag), (b"cache-control", self.cache_control), *self.security]
        if self.zipped:
            fields.append((b"vary", b"accept-encoding"))
        same = tag in _tags(_field(request, b"if-none-match"))
        if not same:
            fields.append((b"content-type", self.kind))
            if zipped:
                fields.append((b"content-encoding", b"gzip"))
        status, reason = (304, b"Not Modified") if same else (200, b"OK")
        # Like an answer of a service, it has its security fields already.
        head = OutgoingHead(status, reason, fields, len(body), of_service=True, over_tls=self.over_tls)
        if same or request.method == b"HEAD":
            request.begin(head, b"", True)
        else:
            _Sender(request, body).begin(head)


class _Sender:
    """Sends a body as fast as its client reads: what waits for a slow one is a piece, not a copy of the whole."""

    def __init__(self, request: Request, body: bytes) -> None:
        self._request = request
        self._body = body
        self._sent = 0
        self._paused = False
        self._sending = False

    def begin(self, head: OutgoingHead) -> None:
        self._request.attend(self)
        self._sent = PIECE
        self._request.begin(head, self._body[:PIECE], len(self._body) <= PIECE)
        self._send()

    def _send(self) -> None:
        """Send on until the client is to be waited for; not from within itself, when a piece went out at once."""
        if self._sending:
            return
        self._sending = True
        while not self._paused and self._sent < len(self._body):
            piece = self._body[self._sent : self._sent + PIECE]
            self._sent += len(piece)
            self._request.send(piece, self._sent >= len(self._body))
        self._sending = False

    def client_gone(self) -> None:
        self._sent = len(self._body)

    def pause(self) -> None:
        self._paused = True

    def leave(self) -> None:
        """Never called: this stays HTTP."""

    def resume(self) -> None:
        self._paused = False
        self._send()

    def body_received(self, data: bytes) -> None:
        """A body that nobody asked for."""

    def body_ended(self) -> None:
        """It does not matter here."""


def _field(request: Any, name: bytes) -> bytes:
    """All values of a field of the request."""
    values = cast("list[bytes]", request.requestHeaders.getRawHeaders(name) or [])
    return b",".join(values)


def _tags(condition: bytes) -> list[bytes]:
    """The tags of an If-None-Match field, which are compared weakly (RFC 9110 section 13.1.2)."""
    return [tag.strip(b" \t").removeprefix(b"W/") for tag in condition.split(b",")]
