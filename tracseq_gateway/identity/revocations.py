"""What every worker knows of ended sessions and users, and how it hears of it.

House rules:

1. A revocation holds here at once, whatever becomes of Redis; there it goes as soon as Redis takes it.
2. Whenever listening began (anew), the whole ledger is read: what was said meanwhile was not heard. What this worker
   knows and the ledger does not, because Redis was away or started empty, is written again.
3. All of it can be repeated and reordered without harm: a revocation is never taken back, only forgotten at its end.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final

from attrs import evolve
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from tracseq_gateway.identity.revocation_ledger import (
    MOST_REVOCATIONS,
    Control,
    Revocation,
    RevocationLedger,
    Subscription,
)
from tracseq_gateway.redis.errors import RedisError, RedisUnavailable

BATCH: Final = 200
"""Revocations that are written at a time."""

AGAIN_SECONDS: Final = 60.0
"""Between two looks at what is written down, while nothing seems to be missing."""
RETRY_SECONDS: Final = 1.0
"""Between a failure of Redis and the next attempt, unless a connection is made before."""

_log = Logger()


class Known:
    """The revocations that one worker knows, at most ``limit``."""

    def __init__(self, limit: int) -> None:
        self.sessions: dict[str, Revocation] = {}
        self.users: dict[str, Revocation] = {}
        self._limit = limit
        self._ends: list[tuple[int, str, str]] = []  # a heap; an end that was put off stands in it twice

    def __len__(self) -> int:
        return len(self.sessions) + len(self.users)

    def __iter__(self) -> Iterator[Revocation]:
        yield from self.sessions.values()
        yield from self.users.values()

    def learn(self, told: Revocation) -> Revocation | None:
        """Take up what was told; return what is known now if that is more than before."""
        table = self.sessions if told.kind == "session" else self.users
        known = table.get(told.name)
        if known is not None:
            told = evolve(told, until=max(told.until, known.until), issued=max(told.issued, known.issued))
        if told == known:
            return None
        table[told.name] = told
        heapq.heappush(self._ends, (told.until, told.kind, told.name))
        while len(self) > self._limit:
            self._take_first()
        if len(self._ends) > 2 * self._limit:
            self._ends = sorted((one.until, one.kind, one.name) for one in self)
        return told

    def forget(self, now: float) -> None:
        """Forget what has ended."""
        while self._ends and self._ends[0][0] <= now:
            self._take_first()

    def _take_first(self) -> None:
        """Take the first end, and forget what ends then, unless its end was put off."""
        until, kind, name = heapq.heappop(self._ends)
        table = self.sessions if kind == "session" else self.users
        known = table.get(name)
        if known is not None and known.until == until:
            del table[name]


class Revocations:
    """One worker's part in what all workers know: :meth:`start` it, and :meth:`stop` it at the end."""

    def __init__(
        self,
        control: Control,
        key_prefix: str,
        reactor: IReactorTime,
        now: Callable[[], float],
        seconds: float,
        limit: int = MOST_REVOCATIONS,
    ) -> None:
        """Prepare.

        :param now: gives seconds since the epoch.
        :param seconds: how long a revocation is remembered for which nothing else is said.
        """
        self._ledger = RevocationLedger(control, key_prefix)
        self._reactor = reactor
        self._now = now
        self._seconds = seconds
        self._limit = limit
        self._known = Known(limit)
        self._unwritten: dict[tuple[str, str], Revocation] = {}
        self._observers: list[Callable[[Revocation], None]] = []
        self._subscription: Subscription | None = None
        self._unread = True
        self._full = False
        self._failing = False
        self._working: Deferred[None] | None = None
        self._retry: IDelayedCall | None = None
        self._again: IDelayedCall | None = None

    def start(self) -> None:
        """Listen to the other workers, and read what was said before."""
        self._subscription = self._ledger.listen(self._heard, self._listening)
        self._look_again()

    def stop(self) -> Deferred[None]:
        """Neither hear nor tell any more; what was not told is lost to the others."""
        subscription, self._subscription = self._subscription, None
        self._stop_waiting()
        if self._again is not None:
            self._again.cancel()
            self._again = None
        if self._working is not None:
            self._working.cancel()
        return succeed(None) if subscription is None else subscription.stop()

    @property
    def shared(self) -> bool:
        """Whether this worker hears the others, has read what was said before, and has told what it knows."""
        ready = self._subscription is not None and self._subscription.ready
        return ready and self._working is None and not self._unread and not self._unwritten

    @property
    def hears(self) -> bool:
        """Whether this worker hears the others."""
        return self._subscription is not None and self._subscription.ready

    def __len__(self) -> int:
        return len(self._known)

    def on_change(self, observer: Callable[[Revocation], None]) -> None:
        """Have ``observer`` told of each revocation that was not known, from here or from elsewhere; it must not raise.

        One that ends later than was known is told again.
        """
        self._observers.append(observer)

    def is_revoked(self, session: str, subject: str, issued: float | None) -> bool:
        """Whether a token is refused: by its session's id (may be empty), its user's, and its ``iat``."""
        if session in self._known.sessions:
            return True
        user = self._known.users.get(subject)
        return user is not None and (issued is None or issued < user.issued + 1)

    def revoke_session(self, session: str, until: float | None = None) -> None:
        """End a session, here at once and at the other workers as soon as Redis takes it.

        ``until`` is when its last token ends anyway, in seconds since the epoch. Raises ValueError for what cannot be
        the id of a session (empty, over 256 characters, not printable).
        """
        self._revoke(Revocation.of_session(session, self._now() + self._seconds if until is None else until))

    def revoke_user(self, user: str) -> None:
        """End all sessions of a user that began until now, likewise: tokens without ``iat`` are refused, too."""
        now = self._now()
        self._revoke(Revocation.of_user(user, now, now + self._seconds))

    def _revoke(self, revocation: Revocation) -> None:
        news = self._learn(revocation)
        if news is not None:
            self._write_later(news)
            self._wake()

    def _learn(self, told: Revocation) -> Revocation | None:
        now = self._now()
        self._known.forget(now)
        news = self._known.learn(told) if told.until > now else None
        if news is not None:
            self._watch_limit()
            for observer in self._observers:
                observer(news)
        return news

    def _watch_limit(self) -> None:
        full = len(self._known) >= self._limit
        if full and not self._full:
            _log.warn("{limit} revocations are known: those that end first are forgotten early", limit=self._limit)
        self._full = full

    def _heard(self, told: list[Revocation]) -> None:
        for revocation in told:
            self._learn(revocation)

    def _listening(self) -> None:
        self._unread = True
        self._stop_waiting()
        self._wake()

    def _look_again(self) -> None:
        """Read what is written down from time to time, and write what is missing: Redis may have been emptied."""
        self._again = self._reactor.callLater(AGAIN_SECONDS, self._look_again)
        if self.hears:
            self._unread = True
            self._wake()

    def _write_later(self, revocation: Revocation) -> None:
        self._unwritten[revocation.kind, revocation.name] = revocation
        if len(self._unwritten) > self._limit:
            del self._unwritten[next(iter(self._unwritten))]

    def _wake(self) -> None:
        """Begin to write and read, unless that goes on already or is to begin again soon."""
        if self._subscription is not None and self._working is None and self._retry is None:
            self._working = working = Deferred.fromCoroutine(self._work())
            working.addCallbacks(self._worked, self._failed)

    async def _work(self) -> None:
        while self._unwritten or self._unread:
            await (self._write() if self._unwritten else self._read())

    def _worked(self, _: None) -> None:
        self._working = None
        if self._failing:
            _log.info("revocations are shared again")
        self._failing = False

    def _failed(self, failure: Failure) -> None:
        self._working = None
        if self._subscription is None:
            return  # stopped
        if not failure.check(RedisError, RedisUnavailable):
            _log.failure("revocations cannot be shared", failure)
        elif not self._failing:
            _log.warn("revocations are not shared at the moment: {reason}", reason=failure.getErrorMessage())
        self._failing = True
        self._retry = self._reactor.callLater(RETRY_SECONDS, self._try_again)

    def _try_again(self) -> None:
        self._retry = None
        self._wake()

    def _stop_waiting(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    async def _write(self) -> None:
        batch = list(islice(self._unwritten.items(), BATCH))
        await self._ledger.write([revocation for _, revocation in batch], self._now())
        for name, revocation in batch:
            if self._unwritten.get(name) == revocation:  # and was not put off meanwhile
                del self._unwritten[name]

    async def _read(self) -> None:
        self._unread = False  # and it becomes true again if listening has to begin anew meanwhile
        written: set[Revocation] = set()
        try:
            cursor: int | None = None
            while cursor != 0:
                cursor, page = await self._ledger.read(cursor or 0)
                written.update(page)
                for revocation in page:
                    self._learn(revocation)
        except Exception:
            self._unread = True
            raise
        for revocation in self._known:
            if revocation not in written:
                self._write_later(revocation)
