"""How often one worker's gateway may be called: builds the limits of each service, and keeps the link to Redis."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from tracseq_gateway.config.model import Config, Service
from tracseq_gateway.config.policies import Limit, RateLimit
from tracseq_gateway.http.paths import PathPatterns
from tracseq_gateway.http.request_head import RequestHead
from tracseq_gateway.interfaces import Request, Stage
from tracseq_gateway.limits.fields import LimitFields
from tracseq_gateway.limits.gcra import Policy
from tracseq_gateway.limits.limiter import Limiter
from tracseq_gateway.limits.local_store import LocalStore
from tracseq_gateway.limits.logins import LoginGuard
from tracseq_gateway.limits.peeking import PeekingLimiter, Untouched
from tracseq_gateway.limits.redis_store import RedisStore
from tracseq_gateway.limits.rules import Keys, Rule
from tracseq_gateway.limits.stage import Limits, LimitStage
from tracseq_gateway.redis.link import redis_link


class Rates:
    """The limits that one worker knows."""

    _log = Logger()

    def __init__(
        self,
        config: Config,
        reactor: Any,
        keys: Keys,
        now: Callable[[], float],
        called: Callable[[str, float], None],
    ) -> None:
        """``now`` gives seconds since the epoch; ``called`` is told of each call of Redis, see :class:`RedisStore`."""
        self._settings = config.rate_limit
        self._reactor = reactor
        self._keys = keys
        self._now = now
        self._tried: Deferred[None] | None = None
        self._stopping = False
        self.link = redis_link(reactor, config.redis, self._changed)
        self.store = RedisStore(self.link, reactor, called)
        self.limiter: Limiter = Limiter(self.store, LocalStore(reactor.seconds), reactor.seconds)
        self._fields = self._new_fields()
        # One policy object for one limit, however many services it holds for: it is told apart by identity.
        self._policies = {
            name: Policy(name, limit.per_minute, limit.burst, limit.unit, _largest(limit, config))
            for name, limit in self._settings.limits.items()
        }

    def _new_fields(self) -> LimitFields:
        settings = self._settings
        return LimitFields(standard=settings.standard_headers, legacy=settings.legacy_headers, now=self._now)

    def peeking(self, *, live: bool) -> PeekingLimiter:
        """A limiter that answers as this one's would, and charges nothing; not ``live``: as if nobody had called."""
        if not live:
            return PeekingLimiter(self.limiter, Untouched(), Untouched())
        return PeekingLimiter(self.limiter, self.store, RedisStore(self.link, self._reactor))

    def rehearsal(self, limiter: PeekingLimiter, *, by_account: bool = True) -> Rates:
        """One that holds requests to the same limits, by another limiter.

        Not ``by_account``: failed logins are looked at by their address alone, and no body is.
        """
        twin = copy(self)
        twin.limiter, twin._fields = limiter, self._new_fields()
        if not by_account:
            guard = evolve(self._settings.failed_logins, account="")
            twin._settings = evolve(self._settings, failed_logins=guard)
        return twin

    @property
    def when_down(self) -> str:
        """What holds while Redis is away, unless a service says otherwise."""
        return self._settings.when_redis_is_down

    def stage(self, settings: Service, prefix: int, following: Stage) -> Stage:
        """The stage before ``following`` that holds one service's requests to their limits."""
        limits = LimitStage(self._limits(settings, prefix), self.limiter, self._keys, self._fields, following)
        guard = self._settings.failed_logins
        if guard.enabled and guard.service == settings.name:
            paths = PathPatterns(dict.fromkeys(guard.paths, True))
            return _only(paths, prefix, self._login_guard(limits), limits)
        return limits

    def _limits(self, settings: Service, prefix: int) -> Limits:
        base = settings.rate_limit or self._settings.default
        rules = []
        for name, limit in self._settings.limits.items():
            if not limit.services or settings.name in limit.services:
                paths = PathPatterns(dict.fromkeys(limit.paths, True)) if limit.paths else None
                applies = _applies(limit, paths, prefix)
                rules.append(Rule(self._policies[name], self._keys.begin(f"+{name}"), limit.per, applies))
        return Limits(
            Rule(_policy(settings.name, base), self._keys.begin(settings.name)),
            tuple(rules),
            settings.when_redis_is_down or self._settings.when_redis_is_down,
            self._by_path(settings, prefix),
        )

    def _by_path(self, settings: Service, prefix: int) -> Callable[[bytes], Rule | None] | None:
        """The further rate that the longest of the rules for a path has."""
        rules: dict[str, Rule] = {}
        for path, rule in settings.paths.items():
            if rule.rate_limit is not None:
                name = f"{settings.name}{path}"
                rules[path] = Rule(_policy(name, rule.rate_limit), self._keys.begin(name))
        patterns = PathPatterns(rules)
        return (lambda path: patterns.find(path[prefix:])) if rules else None

    def _login_guard(self, following: LimitStage) -> LoginGuard:
        guard = self._settings.failed_logins
        return LoginGuard(
            _policy("failed-logins-address", guard.per_address),
            _policy("failed-logins-account", guard.per_account),
            guard.account,
            self.limiter,
            self._keys,
            self._fields,
            following,
        )

    def start(self) -> Deferred[None]:
        """Connect to Redis; fires when the first attempt has ended, well or not."""
        tried = self._tried = Deferred()
        self.link.start()
        return tried

    def stop(self) -> Deferred[None]:
        """Close the connection."""
        self._stopping = True
        return self.link.stop()

    def _changed(self, ready: bool, reason: str) -> None:
        tried, self._tried = self._tried, None
        if tried is not None:
            tried.callback(None)
        if ready:
            self.limiter.local.clear()
            self._log.info("rates are limited by Redis, for all workers together")
        elif not self._stopping:
            self._log.warn(
                "Redis is away ({reason}): rates are limited as rate_limit.when_redis_is_down says", reason=reason
            )


def _policy(name: str, rate: RateLimit) -> Policy:
    return Policy(name, rate.requests_per_minute, rate.burst)


def _largest(limit: Limit, config: Config) -> float:
    """The most bytes that one request can have, if they are what is counted."""
    if limit.unit != "bytes":
        return 0
    sizes = [size for service in config.services.values() for size in _body_sizes(service)]
    return max((size or 1 << 40 for size in sizes), default=1 << 40)


def _body_sizes(service: Service) -> list[int]:
    return [service.max_body, *(rule.max_body for rule in service.paths.values() if rule.max_body is not None)]


def _applies(limit: Limit, paths: PathPatterns[bool] | None, prefix: int) -> Callable[[RequestHead], bool] | None:
    """Whether a further limit holds for a request; None: for all."""
    methods = frozenset(method.encode("ascii") for method in limit.methods)
    if not methods and paths is None:
        return None

    def applies(head: RequestHead) -> bool:
        return (not methods or head.method in methods) and (paths is None or paths.find(head.path[prefix:]) is not None)

    return applies


def _only(paths: PathPatterns[bool], prefix: int, within: Stage, otherwise: Stage) -> Stage:
    """A stage for some paths, however they are spelled, and another for the rest."""

    def stage(request: Request) -> None:
        chosen = within if paths.find(request.head.path[prefix:]) else otherwise
        chosen(request)

    return stage
