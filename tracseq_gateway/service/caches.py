"""What one worker keeps of services' answers: builds the store, and the stage of each service that may be kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.logger import Logger

from tracseq_gateway.cache.asked import CREDENTIALS
from tracseq_gateway.cache.keys import Scope
from tracseq_gateway.cache.memory_store import MemoryStore
from tracseq_gateway.cache.redis_store import RedisStore
from tracseq_gateway.cache.stage import CacheStage
from tracseq_gateway.cache.store import Bounds, Store
from tracseq_gateway.cache.terms import Terms, results
from tracseq_gateway.config.model import Config, Service
from tracseq_gateway.http.caching.status import StatusMember
from tracseq_gateway.interfaces import Stage
from tracseq_gateway.net.deadlines import Deadlines
from tracseq_gateway.redis.link import RedisLink, redis_link
from tracseq_gateway.routing.table import Route


class Caches:
    """Made only where the answers of some service are kept."""

    _log = Logger()

    def __init__(
        self,
        config: Config,
        reactor: Any,
        deadlines: Deadlines,
        now: Callable[[], float],
        called: Callable[[str, float], None],
    ) -> None:
        """``now`` gives seconds since the epoch; ``called`` is told of each call of Redis, see :class:`RedisStore`."""
        self._config = config
        self._deadlines = deadlines
        self._now = now
        self._stopping = False
        self.link: RedisLink | None = None
        """The connection to Redis, if that is where answers are kept."""
        self.store: Store
        self._redis: RedisStore | None = None
        settings = config.cache
        bounds = Bounds(settings.size, settings.entries)
        if settings.store == "redis":
            self.link = redis_link(reactor, config.redis, self._changed)
            self.store = self._redis = RedisStore(self.link, config.redis.key_prefix, bounds, called, reactor.seconds)
        else:
            self.store = MemoryStore(bounds, reactor.seconds)
        self._status = StatusMember(config.gateway.via)
        header = config.auth.api_key_header.lower().encode("ascii")
        self._credentials = CREDENTIALS | {header}
        self.results = {name: results() for name, service in config.services.items() if service.cache.enabled}
        """By service, what became of requests."""
        self.stages: dict[str, tuple[Route[None], CacheStage]] = {}
        """By service."""

    def stage(self, settings: Service, route: Route[None], following: Stage) -> CacheStage | None:
        """The stage before ``following`` that keeps a service's answers; None if none are kept."""
        if not settings.cache.enabled:
            return None
        cache = self._config.cache
        terms = Terms(
            settings.name,
            self.store,
            self._status,
            self._deadlines,
            self._now,
            self._credentials,
            route.upstream_path,
            settings.cache.keep_seconds,
            cache.largest,
            cache.waiting,
            cache.wait_seconds,
            self.results[settings.name],
        )
        stage = CacheStage(terms, following)
        self.stages[settings.name] = (route, stage)
        return stage

    def purge(self, service: str, path: bytes, query: bytes, *, below: bool) -> Deferred[int]:
        """Drop kept answers; fires with how many. Fails as the calls of Redis do.

        :param service: of this service alone; empty: of all.
        :param path: a public path, normalised; empty: all paths.
        :param query: with its ``?``; empty: whatever it is.
        :param below: also all paths below ``path``.
        """
        dropped = []
        for name, (route, stage) in self.stages.items():
            if service in ("", name):
                for scope in _scopes(name, route, path, query or None, below=below):
                    stage.forget()
                    dropped.append(self.store.purge(scope))
        return gatherResults(dropped, consumeErrors=True).addCallback(sum)

    def start(self) -> None:
        """Connect to Redis, if that is where answers are kept."""
        if self.link is not None:
            self.link.start()

    def stop(self) -> Deferred[None]:
        """Close the connection."""
        self._stopping = True
        return self.link.stop() if self.link is not None else succeed(None)

    def _changed(self, ready: bool, reason: str) -> None:
        if ready:
            self._log.info("answers are kept in Redis, for all workers together")
            if self._redis is not None:
                self._redis.settle()
        elif not self._stopping:
            self._log.warn("Redis is away ({reason}): no answers are kept, nor given again", reason=reason)


def _scopes(service: str, route: Route[None], path: bytes, query: bytes | None, *, below: bool) -> Iterator[Scope]:
    """What a public path stands for with one service."""
    prefix, asked = route.prefix, path.rstrip(b"/")
    if not path or (below and (prefix == asked or prefix.startswith(asked + b"/"))):
        yield Scope(service)
    elif path == prefix or path.startswith(prefix + b"/"):
        yield Scope(service, route.upstream_path(path), query, below)
