"""What workers are given beside their sockets: the configuration, the metrics directory, the embedded Redis."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from twisted.internet.defer import Deferred, fail
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from tracseq_gateway.config import Config
from tracseq_gateway.process.configured import Handover
from tracseq_gateway.process.control import PageNotMade
from tracseq_gateway.process.metrics_directory import MetricsDirectory
from tracseq_gateway.process.metrics_pages import MetricsPages, Processes
from tracseq_gateway.process.reactor import IReactor
from tracseq_gateway.process.redis_process import RedisProcess, needs_embedded
from tracseq_gateway.process.redis_program import EmbeddedRedisError

Embed = Callable[[Config], RedisProcess]
"""Makes an embedded Redis that is to be started; raises ``EmbeddedRedisError`` when there is none to be had."""


class Provisions:
    """Made when a configuration needs them, and kept to the end."""

    def __init__(self, reactor: IReactor, redis: RedisProcess | None, processes: Callable[[], Processes]) -> None:
        """``redis`` is for the first configuration, and not yet started; ``processes`` says how the workers are."""
        self._reactor = reactor
        self._processes = processes
        self._pages: MetricsPages | None = None
        self._redis = redis
        self._metrics: MetricsDirectory | None = None
        self._ended = False
        self._log = Logger()

    @property
    def variables(self) -> Mapping[str, str]:
        """What workers have in their environment for what there is."""
        return self._metrics.environment if self._metrics is not None else {}

    async def begin(self, config: Config) -> None:
        """Provide for the first configuration: without a Redis if it does not start, for workers can do without."""
        self._have_metrics(config)
        if self._redis is not None:
            try:
                await self._redis.start()
            except EmbeddedRedisError as error:
                if not self._ended:
                    self._log.critical("{error}; the workers start without it", error=error)

    async def provide(self, config: Config, embed: Embed) -> None:
        """Provide for a further configuration; raises ``EmbeddedRedisError`` or OSError when that cannot be."""
        self._have_metrics(config)
        if needs_embedded(config) and self._redis is None:
            redis = self._redis = embed(config)
            try:
                await redis.start()
            except EmbeddedRedisError:
                if not self._ended:  # else it is being stopped with all the rest
                    self._redis = None
                    await redis.stop()
                raise

    def handover(self, config: Config, variables: Mapping[str, str]) -> Handover:
        """A configuration as workers get it: with the place of the embedded Redis."""
        if self._redis is not None and config.redis.url == "embedded":
            config = self._redis.named_in(config)
        return Handover(config, variables, self._scrape)

    def bury(self, pid: int) -> None:
        """A worker is gone: what it measured stays, but for what was true of it only while it lived."""
        if self._metrics is not None:
            try:
                self._metrics.bury(pid)
            except OSError as error:
                self._log.error("the metrics of process {pid} cannot be kept: {error}", pid=pid, error=error)

    def kill(self) -> None:
        """Kill the embedded Redis."""
        if self._redis is not None:
            self._redis.kill()

    def end(self) -> Deferred[None]:
        """Stop and remove everything; fires when that is done. No worker is left by now."""
        self._ended = True
        return Deferred.fromCoroutine(self._end())

    async def _end(self) -> None:
        if self._pages is not None:
            await self._pages.idle()
        if self._metrics is not None:
            self._metrics.remove()
        if self._redis is not None:
            await self._redis.stop()

    def _have_metrics(self, config: Config) -> None:
        if config.metrics.enabled and self._metrics is None:
            self._metrics = MetricsDirectory()
            self._pages = MetricsPages(self._metrics, self._inThread, self._reactor.seconds, self._processes)

    def _scrape(self, openmetrics: bool) -> Deferred[str]:
        if self._pages is None:
            return fail(PageNotMade("nothing is measured"))
        return self._pages.make(openmetrics)

    def _inThread(self, function: Callable[[], None]) -> Deferred[None]:
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), function)
