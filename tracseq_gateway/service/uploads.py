"""The resumable uploads of one worker: builds the stages before its services, and keeps what they have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Final, cast

from attrs import define, evolve
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from tracseq_gateway.config.model import Config, Service
from tracseq_gateway.errors import GatewayError
from tracseq_gateway.http.fields import FieldLine
from tracseq_gateway.http.request_head import NO_FIELDS, RequestHead
from tracseq_gateway.interfaces import Request, Stage
from tracseq_gateway.middleware.chain import Link, Verdict
from tracseq_gateway.service.callers import Callers
from tracseq_gateway.service.doors import type_link
from tracseq_gateway.service.upload_delivery import UploadDelivery, Watch
from tracseq_gateway.uploads.receipt import Threads
from tracseq_gateway.uploads.stage import Check, UploadStage
from tracseq_gateway.uploads.store import Census, Store
from tracseq_gateway.uploads.uploads import Uploads
from tracseq_gateway.upstream.proxy import Proxy

MOST_THREADS: Final = 4
"""Threads that wait for the disk; what they do for one upload is short."""


class GatewayUploads:
    """Made when there are any."""

    def __init__(
        self,
        config: Config,
        reactor: Any,
        owner: Callable[[Request], bytes],
        callers: Callers | None,
        now: Callable[[], float],
        threads: Threads | None,
    ) -> None:
        """``owner`` names a request's client, ``now`` gives seconds since the epoch, ``threads`` does what blocks."""
        self._reactor = reactor
        self._owner = owner
        self._callers = callers
        self._pool = ThreadPool(0, MOST_THREADS, "uploads")
        self._store = Store(config.uploads, now)
        self.deliveries = {
            name: Counter(dict.fromkeys(("taken", "refused", "unknown"), 0))
            for name, service in config.services.items()
            if service.uploads.paths
        }
        """By service, how often an upload was sent to it, by what came of it."""
        self._threads = threads or self._in_thread
        self._uploads = Uploads(self._store, self._threads, reactor, now)

    def _in_thread(self, function: Callable[..., Any], *args: Any) -> Deferred[Any]:
        return deferToThreadPool(self._reactor, self._pool, function, *args)

    @property
    def census(self) -> Census | None:
        """What is kept; None in a worker that does not look after that."""
        return self._uploads.census

    def stage(
        self, settings: Service, prefix: int, proxy: Proxy, following: Stage, watch: Watch | None = None
    ) -> UploadStage:
        """The stage before ``following`` for the uploads of one service; what is whole goes to ``proxy``.

        ``watch`` is shown each of these requests before.
        """
        refusal = self._callers.refusal if self._callers is not None else _nothing_against
        send = UploadDelivery(proxy, self._threads, refusal, self.deliveries[settings.name], watch)
        return UploadStage(settings, prefix, self._uploads, self._owner, send, _check(settings, prefix), following)

    def start(self) -> None:
        """Have the directory, and look after it. Raises ``uploads.store.StoreError``."""
        self._store.prepare()
        if self._threads == self._in_thread:
            self._pool.start()
        self._uploads.start()

    def finish(self, seconds: float) -> Deferred[None]:
        """Fires when no upload is worked on any more, also none whose client has left, or after ``seconds``."""
        return self._uploads.finish(seconds)

    def stop(self) -> None:
        """Let go of the directory."""
        self._uploads.stop()
        if self._pool.started:
            self._pool.stop()


def not_for_uploads(uploads: UploadStage, link: Link) -> Link:
    """A link that requests about uploads do not pass."""

    def check(request: Request) -> Verdict | Deferred[Verdict]:
        return None if uploads.concerns(request.head) else link(request)

    return check


def _nothing_against(request: Request, method: bytes, path: bytes) -> None:
    """Nobody is asked who he is."""


@define
class _Body:
    """As much of a request as the link looks at which knows the types of bodies."""

    head: RequestHead
    answer_lines: bytes = b""


def _check(settings: Service, prefix: int) -> Check:
    """What the service's own rules say of the type of an upload's body."""
    link = type_link(settings, prefix)

    def check(request: Request, media_type: str) -> GatewayError | None:
        if link is None:
            return None
        line = FieldLine(b"content-type", media_type.encode("latin-1"), False, b"")
        fields = evolve(NO_FIELDS, received=[line], length=1)
        body = _Body(RequestHead(b"POST", request.head.path, b"", 1, b"", fields))
        verdict = link(cast(Request, body))
        assert verdict is None or isinstance(verdict, GatewayError), "it decides at once"
        request.answer_lines += body.answer_lines
        return verdict

    return check
