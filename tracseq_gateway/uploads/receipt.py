"""One part on its way from a client to the disk.

What came is written by a thread while more comes; beyond :data:`MOST_WAITING` the client is paused. When the client
leaves, what has come is written all the same: that is what resumable means.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from tracseq_gateway.errors import BODY_TOO_LARGE, INTERNAL, UPLOAD_LOCKED, GatewayError
from tracseq_gateway.interfaces import Request
from tracseq_gateway.uploads.held import HeldUpload
from tracseq_gateway.uploads.refused import Refused

MOST_WAITING: Final = 1 << 20
"""Bytes that may wait for the disk; as much again may be with it."""
LOOK_SECONDS: Final = 0.5
"""How often it is seen whether somebody else wants the upload."""

Threads = Callable[..., Deferred[Any]]
"""Calls a function that blocks, with its arguments, in a thread."""

Ending = Literal["whole", "broken"]
"""All of the part came; or what came of it is written, and the request is over."""


class Receipt:
    """Attends a request, and writes its body into an upload that is locked."""

    log = Logger()

    def __init__(
        self, request: Request, upload: HeldUpload, threads: Threads, clock: IReactorTime, hasher: Any = None
    ) -> None:
        """``hasher``, if there is one, is given what is written."""
        self._request = request
        self._upload = upload
        self._threads = threads
        self._clock = clock
        self._hasher = hasher
        self._offset = upload.offset
        self._left = upload.record.length - self._offset
        self._waiting: list[bytes] = []
        self._size = 0
        self._paused = self._writing = self._whole = self._broken = False
        self._look: IDelayedCall | None = None
        self._ended: Deferred[Ending] = Deferred()

    def take(self) -> Deferred[Ending]:
        """Receive; fires when there is nothing left to receive or to write."""
        request = self._request
        if request.finished:  # its client left before it came to this
            return succeed("broken")
        self._look = self._clock.callLater(LOOK_SECONDS, self._look_round)
        request.attend(self)
        data, whole = request.take_body()
        if data:
            self.body_received(data)
        if whole and not self._broken:
            self._whole = True
        self._go_on()
        return self._ended

    # The request calls.

    def body_received(self, data: bytes) -> None:
        """See :class:`tracseq_gateway.interfaces.Answerer`."""
        if self._broken:
            return
        if len(data) > self._left:
            self._request.break_off(GatewayError(BODY_TOO_LARGE, "more bytes than Upload-Length says"))
            return
        self._left -= len(data)
        self._waiting.append(data)
        self._size += len(data)
        if self._size >= MOST_WAITING and not self._paused:
            self._paused = True
            self._request.pause_body()
        self._go_on()

    def body_ended(self) -> None:
        """See :class:`tracseq_gateway.interfaces.Answerer`."""
        self._whole = True
        self._go_on()

    def client_gone(self) -> None:
        """See :class:`tracseq_gateway.interfaces.Answerer`."""
        self._broken = True
        self._go_on()

    def pause(self) -> None:
        """See :class:`tracseq_gateway.interfaces.Answerer`: nothing is sent yet."""

    def resume(self) -> None:
        """See :class:`tracseq_gateway.interfaces.Answerer`."""

    def leave(self) -> None:
        """See :class:`tracseq_gateway.interfaces.Answerer`."""

    # To the disk.

    def _go_on(self) -> None:
        if self._writing or self._ended.called:
            return
        if self._waiting:
            data, self._size = b"".join(self._waiting), 0
            self._waiting.clear()
            self._writing = True
            self._threads(self._write, self._offset, data).addCallbacks(self._written, self._failed)
        elif self._broken or self._whole:
            if self._look is not None and self._look.active():
                self._look.cancel()
            self._ended.callback("broken" if self._broken else "whole")

    def _write(self, offset: int, data: bytes) -> int:
        self._upload.write(offset, data)
        if self._hasher is not None:
            self._hasher.update(data)
        return offset + len(data)

    def _written(self, offset: int) -> None:
        self._writing, self._offset = False, offset
        if self._paused:
            self._paused = False
            self._request.resume_body()
        self._go_on()

    def _failed(self, failure: Failure) -> None:
        self._writing = False
        self._waiting.clear()
        if isinstance(failure.value, Refused):
            error = failure.value.error
        else:
            self.log.failure("an upload could not be written", failure=failure)
            error = GatewayError(INTERNAL)
        self._break_off(error)

    def _break_off(self, error: GatewayError) -> None:
        """End the request; if it is over already, nobody hears of that any more."""
        if self._request.finished:
            self.client_gone()
        else:
            self._request.break_off(error)

    def _look_round(self) -> None:
        if self._upload.is_wanted():
            self._break_off(GatewayError(UPLOAD_LOCKED, "another request goes on with this upload"))
        else:
            self._look = self._clock.callLater(LOOK_SECONDS, self._look_round)
