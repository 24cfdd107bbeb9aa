"""The uploads of one worker: what its services' stages have in common."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from tracseq_gateway.config.model import Config
from tracseq_gateway.errors import INTERNAL, UPLOAD_EXPIRED, UPLOAD_LOCKED, UPLOAD_NOT_FOUND, GatewayError
from tracseq_gateway.interfaces import Request
from tracseq_gateway.uploads.held import HeldUpload
from tracseq_gateway.uploads.receipt import Threads
from tracseq_gateway.uploads.record import Record
from tracseq_gateway.uploads.refused import Refused
from tracseq_gateway.uploads.store import Census, Store, StoreError

SWEEP_SECONDS: Final = 30.0
ASK_SECONDS: Final = 0.1
"""How often an upload is asked for that another request works on."""
PATIENCE_SECONDS: Final = 5.0
"""How long it is asked for while that one only receives, and should let go."""


def takes_uploads(config: Config) -> bool:
    """Whether a configuration has uploads that end at the gateway."""
    return bool(config.uploads.directory) and any(service.uploads.paths for service in config.services.values())


class ClientLeft(Exception):
    """The client of a request that waits is gone."""


class Uploads:
    """See the module."""

    log = Logger()

    def __init__(self, store: Store, threads: Threads, clock: IReactorTime, now: Callable[[], float]) -> None:
        """``now`` gives seconds since the epoch."""
        self.store = store
        self.threads = threads
        self.clock = clock
        self.now = now
        self.census: Census | None = None
        """What the directory held lately; None in a worker that does not look after it."""
        self._at_work = 0
        self._idle: list[Deferred[None]] = []
        self._sweeping = LoopingCall(self._sweep)
        self._sweeping.clock = clock

    def start(self) -> None:
        """Begin to look after the directory, if no other worker does."""
        self._sweeping.start(SWEEP_SECONDS, now=True)

    def stop(self) -> None:
        """Let another worker look after it."""
        if self._sweeping.running:
            self._sweeping.stop()
        self.store.close()

    async def _sweep_once(self) -> None:
        try:
            self.census = await self.threads(self.store.sweep)
        except (OSError, StoreError) as error:
            self.log.warn("uploads cannot be looked after: {error}", error=error)
        except Exception:
            self.log.failure("uploads cannot be looked after")  # this time: who ends here is not called again

    def _sweep(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._sweep_once())

    # Requests.

    def handle(self, request: Request, work: Coroutine[Deferred[Any], Any, None]) -> None:
        """Have a request worked on; what is raised is its answer."""
        self._at_work += 1
        Deferred.fromCoroutine(work).addErrback(self._failed, request).addBoth(self._done)

    def _failed(self, failure: Failure, request: Request) -> None:
        if isinstance(failure.value, Refused):
            request.refuse(failure.value.error)
        elif failure.check(FileNotFoundError) is not None:
            request.refuse(GatewayError(UPLOAD_NOT_FOUND))
        elif failure.check(ClientLeft) is None:
            self.log.failure("a request for an upload failed: {path!r}", failure=failure, path=request.head.path)
            request.refuse(GatewayError(INTERNAL))

    def _done(self, _: object) -> None:
        self._at_work -= 1
        if not self._at_work:
            idle, self._idle = self._idle, []
            for waiting in idle:
                waiting.callback(None)

    def finish(self, seconds: float) -> Deferred[None]:
        """Fires when nothing is worked on any more, or after ``seconds``."""
        if not self._at_work:
            return succeed(None)
        finished: Deferred[None] = Deferred()
        timer: IDelayedCall = self.clock.callLater(seconds, self._give_up, finished)
        self._idle.append(finished)

        def stop(_: object) -> None:
            if timer.active():
                timer.cancel()

        return finished.addCallback(stop)

    def _give_up(self, finished: Deferred[None]) -> None:
        self._idle.remove(finished)
        finished.callback(None)

    # Claims.

    async def claim(
        self, request: Request, identifier: str, wanted: Callable[[Record], bool], *, to_remove: bool = False
    ) -> HeldUpload:
        """Have an upload alone that is ``wanted``; another one is as if it were not there. Close it in any case.

        Another request that only receives is asked to let go; one that delivers is waited for. Raises Refused or
        ClientLeft.
        """
        upload: HeldUpload | None = await self.threads(self.store.open, identifier)
        if upload is None:
            raise Refused(UPLOAD_NOT_FOUND, "there is no such upload, or it is gone")
        try:
            if not wanted(upload.record):
                raise Refused(UPLOAD_NOT_FOUND, "there is no such upload, or it is gone")
            await self._lock(request, upload, to_remove)
            if self.now() >= self.expires(upload):
                raise Refused(UPLOAD_EXPIRED, "the upload has expired")
            return upload
        except BaseException:
            upload.close()
            raise

    async def _lock(self, request: Request, upload: HeldUpload, to_remove: bool) -> None:
        since: float | None = None
        while not await self.threads(partial(upload.try_lock, to_remove=to_remove)):
            if request.finished:
                raise ClientLeft
            now = self.clock.seconds()
            if upload.is_receiving:
                await self.threads(upload.want)
            if since is None or not upload.is_receiving:
                since = now
            if now - since >= PATIENCE_SECONDS:
                raise Refused(UPLOAD_LOCKED, "another request is at work on this upload", retry_after=1)
            await deferLater(self.clock, ASK_SECONDS)

    def expires(self, upload: HeldUpload) -> float:
        """When an upload goes, seconds since the epoch."""
        return self.store.expires(upload.record, upload.progressed)
