"""Occasional commands, and channels that are listened to.

It stands on :class:`RedisLink`, with more patience: a command waits a while for a connection. A channel is a link of
its own whose greeting ends with SUBSCRIBE, so that back-off, Sentinel, TLS and the look at whether the server still
answers are the same for all. (txredisapi would bring its own of each: its module takes the global reactor when it is
imported, it gives up for good when a server answers its login with an error such as LOADING, its Sentinel speaks no
TLS and waits ten seconds, and a lost subscription is not renewed.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred, fail, gatherResults, maybeDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from tracseq_gateway.config.policies import Redis
from tracseq_gateway.redis.connection import Word
from tracseq_gateway.redis.errors import RedisUnavailable
from tracseq_gateway.redis.link import RedisLink
from tracseq_gateway.redis.target import Target, target_of

PATIENCE: Final = 2.0
"""Seconds that a command waits for a connection at most, and then for its answer."""
MOST_WAITING: Final = 1000
"""Commands that wait for a connection; more fail at once."""


class Subscription:
    """A channel that is listened to, whatever happens to the connection. Made by :meth:`RedisControl.subscribe`."""

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        target: Target,
        channel: str,
        on_message: Callable[[bytes], None],
        on_ready: Callable[[], None],
    ) -> None:
        self._on_ready = on_ready
        self._link = RedisLink(reactor, target, self._changed, PATIENCE, (channel, on_message))
        self._link.start()

    @property
    def ready(self) -> bool:
        """Whether messages are heard."""
        return self._link.ready

    @property
    def reason(self) -> str:
        """Why they are not, in a few words; empty when they are."""
        return self._link.reason

    def stop(self) -> Deferred[None]:
        """Listen no more. Fires when nothing of it is left in the reactor."""
        return self._link.stop()

    def _changed(self, ready: bool, reason: str) -> None:
        if ready:
            self._on_ready()


class RedisControl:
    """See the module. ``changed(ready, reason)`` is told as by :class:`RedisLink`, of the connection for commands.

    Raises ValueError or OSError for a URL or a file of certificates that cannot be used.
    """

    def __init__(
        self, reactor: Any, settings: Redis, changed: Callable[[bool, str], None] = lambda ready, reason: None
    ) -> None:
        self._reactor = reactor
        self._target = target_of(reactor, settings)
        self._tell = changed
        self._link = RedisLink(reactor, self._target, self._changed, PATIENCE)
        self._running = False
        self._waiting: dict[Deferred[Any], tuple[tuple[Word, ...], IDelayedCall]] = {}
        self._subscriptions: list[Subscription] = []

    @property
    def ready(self) -> bool:
        """Whether a command would be sent at once."""
        return self._link.ready

    @property
    def reason(self) -> str:
        """Why it would not, in a few words without secrets; empty when it would."""
        return self._link.reason

    def start(self) -> None:
        """Connect, and keep connected."""
        self._running = True
        self._link.start()

    def stop(self) -> Deferred[None]:
        """Close, with all subscriptions; commands that wait fail. Fires when nothing of it is left in the reactor."""
        self._running = False
        for answer, (_, timer) in list(self._waiting.items()):
            timer.cancel()
            self._give_up(answer, "stopped")
        ends = [self._link.stop(), *(subscription.stop() for subscription in self._subscriptions)]
        return gatherResults(ends).addCallback(lambda _: None)

    def execute(self, *words: Word) -> Deferred[Any]:
        """Send a command, now or as soon as there is a connection.

        Fires and fails as :meth:`RedisLink.call` does; with RedisUnavailable, too, when there is no connection for
        :data:`PATIENCE` seconds. It is sent at most once.
        """
        if self._link.ready:
            return self._link.call(*words)
        if not self._running or len(self._waiting) >= MOST_WAITING:
            return fail(RedisUnavailable(self._link.reason))
        answer: Deferred[Any] = Deferred()
        self._waiting[answer] = words, self._reactor.callLater(PATIENCE, self._give_up, answer)
        return answer

    def subscribe(
        self, channel: str, on_message: Callable[[bytes], None], on_ready: Callable[[], None]
    ) -> Subscription:
        """Listen to a channel from now on, whatever happens to the connection.

        ``on_ready`` is called after each subscription, the first and those after a loss. What was published before it
        may have been missed: load then what it stood for. ``on_message`` gets each payload; some may come shortly
        before ``on_ready``. What either raises is logged.
        """
        subscription = Subscription(self._reactor, self._target, channel, on_message, on_ready)
        self._subscriptions.append(subscription)
        return subscription

    def _changed(self, ready: bool, reason: str) -> None:
        if ready:
            waiting, self._waiting = self._waiting, {}
            for answer, (words, timer) in waiting.items():
                timer.cancel()
                maybeDeferred(self._link.call, *words).chainDeferred(answer)
        self._tell(ready, reason)

    def _give_up(self, answer: Deferred[Any], reason: str = "") -> None:
        del self._waiting[answer]
        answer.errback(RedisUnavailable(reason or self._link.reason))
