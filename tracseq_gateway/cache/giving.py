"""Gives kept answers to clients, in pieces that a slow one can take."""

from __future__ import annotations

from typing import Final

from tracseq_gateway.cache.asked import Asked
from tracseq_gateway.cache.kept import Kept
from tracseq_gateway.http.conditional import fields_of_304, is_unmodified
from tracseq_gateway.http.outgoing import OutgoingHead
from tracseq_gateway.interfaces import AnswerSink, Request

PIECE: Final = 65536
"""Bytes that are given at once."""


def give(asked: Asked, sink: AnswerSink, kept: Kept, now: float, status: bytes) -> Giving | None:
    """Answer a request with what is kept, or with 304 if its client has that already.

    ``sink`` is the request itself, or what a filter hands on to; ``status`` is the member of Cache-Status. Returns who
    is at work on it if it is not given at once.
    """
    request = asked.request
    head = kept.head(now, status)
    if asked.conditional and kept.status == 200 and is_unmodified(request.head.fields.pairs, kept.fields, now):
        sink.begin(not_modified(head), b"", True)
        return None
    body = b"" if request.head.method == b"HEAD" else kept.body
    if len(body) <= PIECE:
        sink.begin(head, body, True)
        return None
    giving = Giving(request, sink, body)
    giving.start(head)
    return giving


def not_modified(head: OutgoingHead) -> OutgoingHead:
    """The head of the 304 that stands for an answer with this head."""
    return OutgoingHead(
        304, b"Not Modified", fields_of_304(head.pairs), dated=head.dated, of_service=True, over_tls=head.over_tls
    )


class Giving:
    """An :class:`tracseq_gateway.interfaces.Answerer` with a long body to give."""

    def __init__(self, request: Request, sink: AnswerSink, body: bytes) -> None:
        self._request = request
        self._sink = sink
        self._body = body
        self._at = 0
        self._paused = False
        self._at_work = False

    def start(self, head: OutgoingHead) -> None:
        """Give the head, and as much as the client takes."""
        self._request.attend(self)
        self._at = PIECE
        self._at_work = True
        self._sink.begin(head, self._body[:PIECE], False)
        self._at_work = False
        self._go_on()

    def _go_on(self) -> None:
        if self._at_work:
            return
        self._at_work = True
        while not self._paused and self._at < len(self._body):
            piece = self._body[self._at : self._at + PIECE]
            self._at += len(piece)
            self._sink.send(piece, self._at >= len(self._body))
        self._at_work = False

    def pause(self) -> None:
        """See :class:`tracseq_gateway.interfaces.Answerer`."""
        self._paused = True

    def resume(self) -> None:
        """See :class:`tracseq_gateway.interfaces.Answerer`."""
        self._paused = False
        self._go_on()

    def client_gone(self) -> None:
        """See :class:`tracseq_gateway.interfaces.Answerer`."""
        self._paused = True
        self._body = b""

    def leave(self) -> None:
        """See :class:`tracseq_gateway.interfaces.Answerer`: an answer ends by itself."""

    def body_received(self, data: bytes) -> None:
        """See :class:`tracseq_gateway.interfaces.Answerer`: no such request has a body."""

    def body_ended(self) -> None:
        """See :class:`tracseq_gateway.interfaces.Answerer`."""
