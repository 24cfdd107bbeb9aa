"""The way of an answer: from who gives it, through the filters that were put in, to the channel that sends it."""

from __future__ import annotations

from collections.abc import Callable

from tracseq_gateway.http.outgoing import OutgoingHead
from tracseq_gateway.interfaces import AnswerFilter, AnswerSink
from tracseq_gateway.server.body_way import BodyWay


class AnswerWay(BodyWay):
    """The part of a request that has to do with its answer."""

    __slots__ = ("_client_full", "_filters", "_holds", "begun", "finished", "sent", "status")

    # Provided and set by the request.
    begin_unfiltered: Callable[[OutgoingHead, bytes, bool], None]
    begun: bool
    finished: bool
    status: int
    sent: int
    _filters: list[AnswerFilter] | None
    """The last one gets the answer first."""
    _client_full: bool
    _holds: int
    """How many want nothing more of the answer for now: the client's side, and filters."""

    # What the channel tells.

    def pause_answer(self) -> None:
        """The client's side is full. Transports say so again with each write while it is."""
        if not self._client_full:
            self._client_full = True
            self.hold_answer()
        elif self._answerer is not None:
            self._answerer.pause()

    def resume_answer(self) -> None:
        """The client's side has room again."""
        if self._client_full:
            self._client_full = False
            self.release_answer()

    # What who answers, and filters, ask.

    def begin(self, head: OutgoingHead, data: bytes, done: bool) -> None:
        """See :class:`tracseq_gateway.interfaces.Request`."""
        if self.finished:
            return
        self.begun = True
        self.finished = done
        if done:
            self._answerer = None
        if self._filters is None:
            self.begin_unfiltered(head, data, done)
        else:
            self._filters[-1].begin(head, data, done)

    def send(self, data: bytes, done: bool) -> None:
        """See :class:`tracseq_gateway.interfaces.Request`."""
        if self.finished:
            return
        self.finished = done
        if done:
            self._answerer = None
        if self._filters is None:
            self.send_unfiltered(data, done)
        else:
            self._filters[-1].send(data, done)

    def send_unfiltered(self, data: bytes, done: bool) -> None:
        """Behind all filters, the answer goes to the client."""
        if self.head.method != b"HEAD":
            self.sent += len(data)
        self.channel.send(data, done)

    def abort(self) -> None:
        """See :class:`tracseq_gateway.interfaces.Request`."""
        if self.finished:
            return
        self.finished = True
        if self._filters is None:
            self.channel.abort()
        else:
            self._filters[-1].abort()

    def filter_answer(self, make: Callable[[AnswerSink], AnswerFilter]) -> None:
        """See :class:`tracseq_gateway.interfaces.Request`."""
        if self._filters is None:
            self._filters = [make(_Outlet(self))]
        else:
            self._filters.append(make(self._filters[-1]))

    def hold_answer(self) -> None:
        """See :class:`tracseq_gateway.interfaces.Request`."""
        self._holds += 1
        if self._holds == 1 and self._answerer is not None:
            self._answerer.pause()

    def release_answer(self) -> None:
        """See :class:`tracseq_gateway.interfaces.Request`."""
        if self._holds:
            self._holds -= 1
            if not self._holds and self._answerer is not None:
                self._answerer.resume()

    def _drop_filters(self) -> None:
        filters, self._filters = self._filters, None
        for one in reversed(filters or ()):
            one.gone()


class _Outlet:
    """The sink behind all filters. What comes for a request that is over goes nowhere."""

    __slots__ = ("_request",)

    def __init__(self, request: AnswerWay) -> None:
        self._request: AnswerWay | None = request

    def begin(self, head: OutgoingHead, data: bytes, done: bool) -> None:
        request = self._present(done)
        if request is not None:
            request.begin_unfiltered(head, data, done)

    def send(self, data: bytes, done: bool) -> None:
        request = self._present(done)
        if request is not None:
            request.send_unfiltered(data, done)

    def abort(self) -> None:
        request = self._present(True)
        if request is not None:
            request.channel.abort()

    def _present(self, last: bool) -> AnswerWay | None:
        request = self._request
        if request is not None and request._filters is None:
            request = None
        if last:
            self._request = None
        return request
