"""The overview as server-sent events: what all who watch have in common is made once.

Rules:

1. Nobody is waited for. Who reads slowly misses documents: of those that he has no room for, the newest alone waits.
2. A stream stands only as long as its caller might open it anew: that is asked again while it is open.
3. A stream ends in an orderly way when its worker stops; clients come again by themselves, to another one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from tracseq_gateway.errors import INTERNAL, METHOD_NOT_ALLOWED, OVERLOADED, GatewayError
from tracseq_gateway.http.outgoing import OutgoingHead
from tracseq_gateway.interfaces import Request

MOST_WATCHERS = 32
"""Streams that are open in one worker; who comes then is told to come again."""
HEARTBEAT_SECONDS = 5.0
"""How often a comment goes to everybody, so that each side notices when the other is gone, and how often it is asked
whether a watcher still may watch."""
RETRY_MILLISECONDS = 2000
"""After how long a client that lost its stream comes again."""

Verdict = GatewayError | None

_HEAD = OutgoingHead(
    200,
    b"OK",
    [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-store"),
        # A reverse proxy in front that collects answers would keep the events back.
        (b"x-accel-buffering", b"no"),
    ],
)
_BEGINNING = b"retry: %d\n\n" % RETRY_MILLISECONDS
_COMMENT = b": heartbeat\n\n"


class Feed(Protocol):
    """Where overviews come from, one a second: JSON objects in UTF-8, each in one line. See ``overview.feed``."""

    latest: bytes
    """The newest; empty when there is none."""

    def subscribe(self, watcher: Callable[[bytes], None]) -> Callable[[], None]:
        """Have ``watcher`` called with each that comes; what is returned ends that."""


class Watcher:
    """One open stream; attends its request."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.judged: Deferred[Verdict] | None = None
        """The answer to whether it still may watch, while that is waited for."""
        self._full = False
        self._waiting = b""

    def offer(self, data: bytes) -> None:
        """Send an event, or have it wait in place of the one that waits."""
        if self._full:
            self._waiting = data
        else:
            self.request.send(data, False)

    def heartbeat(self) -> None:
        """Send a comment, unless there is no room even for that."""
        if not self._full:
            self.request.send(_COMMENT, False)

    def body_received(self, data: bytes) -> None:
        """Never called: the body is not taken."""

    def body_ended(self) -> None:
        """Never called either."""

    def client_gone(self) -> None:
        """Nothing to stop here: who keeps the watchers hears of the request's end."""

    def pause(self) -> None:
        """The client reads too slowly."""
        self._full = True

    def leave(self) -> None:
        """Never called: this stays HTTP."""

    def resume(self) -> None:
        """It has read everything."""
        self._full = False
        data, self._waiting = self._waiting, b""
        if data:
            self.request.send(data, False)


class Streams:
    """The stage that answers ``/dashboard/events``, and the streams that it has opened."""

    _log = Logger()

    def __init__(
        self,
        feed: Feed,
        clock: IReactorTime,
        now: Callable[[], float],
        interval: float = 1.0,
        judge: Callable[[Request], Verdict | Deferred[Verdict]] = lambda request: None,
    ) -> None:
        """Nobody watches yet.

        :param now: seconds since the epoch; events are numbered by it.
        :param interval: the least number of seconds between two events.
        :param judge: says why the sender of a request may not watch, None if he may.
        """
        self._feed = feed
        self._clock = clock
        self._now = now
        self._interval = interval
        self._judge = judge
        self._watchers: dict[Request, Watcher] = {}
        self._unsubscribe: Callable[[], None] = lambda: None
        self._heart = LoopingCall(self._beat)
        self._heart.clock = clock
        self._told = 0.0
        self._closed = False

    def __len__(self) -> int:
        """How many watch."""
        return len(self._watchers)

    def __call__(self, request: Request) -> None:
        """Open a stream; who may not watch has been refused before."""
        if request.head.method not in (b"GET", b"HEAD"):
            request.refuse(GatewayError(METHOD_NOT_ALLOWED, "events can only be read", allow=("GET", "HEAD")))
        elif self._closed:
            request.refuse(GatewayError(OVERLOADED, "this worker is stopping", retry_after=1))
        elif len(self._watchers) >= MOST_WATCHERS:
            detail = f"{MOST_WATCHERS} streams of events are open"
            request.refuse(GatewayError(OVERLOADED, detail, retry_after=5))
        elif request.head.method == b"HEAD":
            request.begin(_HEAD, b"", True)
        else:
            self._open(request)

    def _open(self, request: Request) -> None:
        watcher = Watcher(request)
        if not self._watchers:
            self._unsubscribe = self._feed.subscribe(self._tell)
            self._heart.start(HEARTBEAT_SECONDS, now=False)
        self._watchers[request] = watcher
        request.at_end(self._forget)
        request.attend(watcher)
        latest = self._feed.latest
        request.begin(_HEAD, _BEGINNING + (self._event(latest) if latest else b""), False)

    def _forget(self, request: Request) -> None:
        watcher = self._watchers.pop(request)
        if watcher.judged is not None:
            watcher.judged.cancel()
        if not self._watchers:
            self._unsubscribe()
            self._heart.stop()

    def _event(self, document: bytes) -> bytes:
        return b"id: %d\nevent: overview\ndata: %b\n\n" % (round(self._now() * 1000), document)

    def _tell(self, document: bytes) -> None:
        """A new overview has come. They come about once a second, some a little early."""
        now = self._clock.seconds()
        if now - self._told < self._interval * 0.9:
            return
        self._told = now
        data = self._event(document)
        for watcher in list(self._watchers.values()):
            watcher.offer(data)

    def _beat(self) -> None:
        for watcher in list(self._watchers.values()):
            watcher.heartbeat()
        self.judge_all()

    def judge_all(self) -> None:
        """Ask of everybody whether he still may watch: something has happened to some session, or time has passed."""
        for watcher in list(self._watchers.values()):
            if watcher.judged is None:
                self._ask(watcher)

    def _ask(self, watcher: Watcher) -> None:
        """Ask whether a watcher still may watch."""
        verdict = self._judge(watcher.request)
        if isinstance(verdict, Deferred):
            watcher.judged = verdict
            verdict.addCallbacks(self._judged, self._failed, callbackArgs=(watcher,), errbackArgs=(watcher,))
        else:
            self._judged(verdict, watcher)

    def _judged(self, verdict: Verdict, watcher: Watcher) -> None:
        watcher.judged = None
        if verdict is not None:
            # The client asks anew, and is told why it may not watch any more.
            watcher.request.send(b"", True)

    def _failed(self, failure: Failure, watcher: Watcher) -> None:
        watcher.judged = None
        if watcher.request in self._watchers:
            self._log.failure("it cannot be told who may watch the dashboard", failure=failure)
            watcher.request.refuse(GatewayError(INTERNAL))

    def close(self) -> None:
        """End every stream, and open none any more."""
        self._closed = True
        for watcher in list(self._watchers.values()):
            watcher.request.send(b"", True)
