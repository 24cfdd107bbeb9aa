"""The filter that takes a copy of an answer while it passes; or gives what is kept instead, if that still holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from attrs import define

from tracseq_gateway.cache.asked import Asked
from tracseq_gateway.cache.giving import Giving, give
from tracseq_gateway.cache.keeper import Keeper
from tracseq_gateway.cache.kept import Kept, kept_of
from tracseq_gateway.cache.terms import Terms
from tracseq_gateway.http.caching.control import directives_of
from tracseq_gateway.http.caching.freshness import lifetime
from tracseq_gateway.http.caching.status import Forward
from tracseq_gateway.http.caching.storing import why_not
from tracseq_gateway.http.conditional import holds
from tracseq_gateway.http.outgoing import OutgoingHead
from tracseq_gateway.interfaces import AnswerSink

MOST_COPIED: Final = 32 << 20
"""Bytes of the copies that are being made for one service at a time; an answer that would need more is not kept."""

Outcome = Literal["kept", "rescued", "unfit", "failed", "left"]
"""How a question to a service ended: with an answer that is kept; with none, but what is kept is given although it is
stale; with an answer that may not be kept; with no whole answer; not at all, since its client left before."""


@define(eq=False)
class Errand:
    """A request on its way to a service, to bring back an answer that is kept."""

    asked: Asked
    why: Forward
    """Why it had to go."""
    kept: Kept | None
    """What is kept for it, if the service is asked whether that still holds."""
    began: float
    """When it was passed on, in seconds since the epoch."""
    moment: float
    """The same in seconds of the reactor's clock, which nobody sets back."""
    ended: Callable[[Outcome, Kept | None], None]
    """Told once how it ended; with what is kept, if anything is."""


class Copying:
    """An :class:`tracseq_gateway.interfaces.AnswerFilter`; see the module."""

    def __init__(self, terms: Terms, keeper: Keeper, errand: Errand, sink: AnswerSink) -> None:
        self._terms = terms
        self._keeper = keeper
        self._errand: Errand | None = errand
        """None once it has ended."""
        self._request = errand.asked.request
        self._sink = sink
        self._head: OutgoingHead | None = None
        """Of an answer that is copied."""
        self._pieces: list[bytes] = []
        self._size = 0
        self._received = 0.0
        self._replaced = False
        """Whether the client got something else, so that what comes is thrown away."""
        self._giving: Giving | None = None

    def begin(self, head: OutgoingHead, data: bytes, done: bool) -> None:
        """See :class:`tracseq_gateway.interfaces.AnswerSink`."""
        errand = self._errand
        assert errand is not None, "an answer begins once"
        self._received = now = self._terms.now()
        kept = errand.kept
        if kept is not None and head.status == 304 and self._request.error is None:
            self._confirmed(errand, kept, head)
        elif kept is not None and head.status >= 500 and kept.may_be_used(b"stale-if-error", now):
            self._rescued(errand, kept, head)
        else:
            self._pass(errand, head, data, done)

    def _confirmed(self, errand: Errand, kept: Kept, head: OutgoingHead) -> None:
        """What is kept still holds."""
        fit = True
        if holds(kept.fields, head.pairs):
            kept = kept.confirmed(head, errand.began, self._received)
            fit = kept.why_not(errand.asked.control, personal=errand.asked.personal) is None
            if fit:
                self._keeper.keep(errand.asked, kept, errand.moment)
            else:
                self._keeper.drop(errand.asked)  # the 304 has made it somebody's, say by a cookie
        self._terms.note(self._request, "revalidated")
        self._give(errand, kept, self._terms.status.passed(errand.why, status=304))
        if fit:
            self._end("kept", kept)
        else:
            self._end("unfit")

    def _rescued(self, errand: Errand, kept: Kept, head: OutgoingHead) -> None:
        """There is no good answer now, and what is kept may be given instead."""
        self._replaced = True
        self._terms.note(self._request, "stale")
        status = 0 if self._request.error is not None else head.status
        self._request.error = None
        self._give(errand, kept, self._terms.status.passed(errand.why, status=status))
        self._end("rescued", kept)

    def _give(self, errand: Errand, kept: Kept, status: bytes) -> None:
        self._giving = give(errand.asked, self._sink, kept, self._received, status)

    def _pass(self, errand: Errand, head: OutgoingHead, data: bytes, done: bool) -> None:
        """The client gets the answer as it is, and we perhaps a copy."""
        terms, asked, failed = self._terms, errand.asked, self._request.error is not None
        terms.note(self._request, "miss")
        fit = not failed and self._is_fit(asked, head)
        status = terms.status.passed(errand.why, stored=fit and head.length is not None)
        self._sink.begin(_with_status(head, status), data, done)
        if fit:
            self._head = head
            self._copy(data, done)
            return
        if errand.kept is not None and not failed and head.status < 500:
            self._keeper.drop(asked)  # what replaces it may not be kept
        self._end("failed" if failed else "unfit")

    def _is_fit(self, asked: Asked, head: OutgoingHead) -> bool:
        if head.length is not None and head.length > self._terms.largest:
            return False
        control = directives_of(head.pairs)
        fresh_for = lifetime(head.pairs, control, self._received)
        reason = why_not(asked.control, head.status, head.pairs, control, fresh_for, personal=asked.personal)
        return reason is None

    def _copy(self, data: bytes, done: bool) -> None:
        head, errand = self._head, self._errand
        if head is None or errand is None:
            return
        self._size += len(data)
        self._keeper.copied += len(data)
        if self._size > self._terms.largest or (self._keeper.copied > MOST_COPIED and not done):
            self._end("unfit")
            return
        if data:
            self._pieces.append(data)
        if done:
            kept = kept_of(head, b"".join(self._pieces), errand.began, self._received)
            self._keeper.keep(errand.asked, kept, errand.moment)
            self._end("kept", kept)

    def send(self, data: bytes, done: bool) -> None:
        """See :class:`tracseq_gateway.interfaces.AnswerSink`."""
        if not self._replaced:
            self._sink.send(data, done)
            self._copy(data, done)
        elif done and self._giving is not None:
            self._request.attend(self._giving)  # in the place of who has no more to do

    def abort(self) -> None:
        """See :class:`tracseq_gateway.interfaces.AnswerSink`."""
        if not self._replaced:
            self._sink.abort()
            self._end("failed")

    def gone(self) -> None:
        """See :class:`tracseq_gateway.interfaces.AnswerFilter`."""
        self._end("left")

    def _end(self, outcome: Outcome, kept: Kept | None = None) -> None:
        errand, self._errand = self._errand, None
        self._head = None
        self._pieces.clear()
        self._keeper.copied -= self._size
        self._size = 0
        if errand is not None:
            errand.ended(outcome, kept)


def _with_status(head: OutgoingHead, status: bytes) -> OutgoingHead:
    """The same head, with our member of Cache-Status behind those of others."""
    return OutgoingHead(
        head.status,
        head.reason,
        [*head.pairs, (b"cache-status", status)],
        head.length,
        dated=head.dated,
        of_service=head.of_service,
        over_tls=head.over_tls,
    )
