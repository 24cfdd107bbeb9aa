"""The keys that an issuer publishes (JWKS, RFC 7517): fetched, kept, refreshed.

House rules:

1. There is one request at a time; whoever needs the next key set waits for that one.
2. What was fetched is used until something better comes: a source that is down ends no session.
3. A stranger can name as many unknown keys as he likes; that costs one request in :data:`COOL_DOWN` seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NoReturn

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.web.client import Agent
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IResponse

from tracseq_gateway.config.policies import Jwt
from tracseq_gateway.identity.key_sets import SECRET_ALGORITHMS, Key, KeySet
from tracseq_gateway.identity.key_sources import Published, published_keys
from tracseq_gateway.net.body import read_body
from tracseq_gateway.net.quiet import QuietPool

LARGEST_DOCUMENT: Final = 256 * 1024
"""Bytes."""
FETCH_SECONDS: Final = 5.0
"""How long one request may take."""
COOL_DOWN: Final = 60.0
"""Least seconds between two refreshes for unknown keys."""
FIRST_RETRY: Final = 1.0
"""Seconds until a failed request is made again; doubled with each failure, up to :data:`COOL_DOWN`."""
LEAST_AGE: Final = 1.0
"""Seconds that a key set is kept, whatever the configuration says: a source is not asked in a loop."""

Fetch = Callable[[str], Deferred[bytes]]
"""Fetches the document at a URL; may be cancelled."""

_log = Logger()


class JwksSource:
    """Keeps the keys that are published at ``jwks_url``, beside those of the configuration."""

    def __init__(
        self,
        reactor: IReactorTime,
        fetch: Fetch,
        settings: Jwt,
        configured: KeySet,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare; :meth:`start` begins.

        :param configured: keys that are always there; they win over published ones with the same ``alg`` and ``kid``.
        :param changed: called when the keys are no longer the same, before those who wait for them go on.
        """
        self._reactor = reactor
        self._fetch = fetch
        self._settings = settings
        self._configured = configured
        self._changed = changed
        self._keys = configured
        self._loaded = False
        self._failures = 0  # in a row
        self._request: Deferred[bytes] | None = None
        self._waiting: list[Deferred[None]] = []
        self._timer: IDelayedCall | None = None
        self._running = False
        self._cool_until = 0.0

    @property
    def loaded(self) -> bool:
        """Whether the published keys were ever fetched. Until then an unknown key says nothing about a token."""
        return self._loaded

    def keys(self) -> KeySet:
        """The keys as they are known now."""
        return self._keys

    def start(self) -> Deferred[None]:
        """Begin to fetch; fires when the first request has ended, well or not."""
        self._running = True
        return self._refresh()

    def stop(self) -> None:
        """Fetch no more; a request in flight is cancelled. The keys stay as they are."""
        self._running = False
        self._stop_timer()
        if self._request is not None:
            self._request.cancel()

    def find_refreshing(self, algorithm: str, kid: str | None) -> Deferred[Key | None]:
        """The key for ``alg`` and ``kid``, after a refresh if it is unknown and the source may be asked for it.

        Fires at once with what is known while the source has been asked for an unknown key within :data:`COOL_DOWN`
        seconds. Never fails. Cancelling it leaves the request to the others who wait.
        """
        key = self._keys.find(algorithm, kid)
        if key is not None or not self._may_ask_for(algorithm):
            return succeed(key)
        return self._refresh().addCallback(lambda _: self._keys.find(algorithm, kid))

    def _may_ask_for(self, algorithm: str) -> bool:
        if not self._running or algorithm in SECRET_ALGORITHMS or algorithm not in self._settings.algorithms:
            return False
        if self._request is not None:
            return True
        now = self._reactor.seconds()
        if now < self._cool_until:
            return False
        self._cool_until = now + COOL_DOWN
        return True

    def _refresh(self) -> Deferred[None]:
        """Make a request unless there is one; fires when it has ended, well or not."""
        waiter: Deferred[None] = Deferred()
        self._waiting.append(waiter)
        if self._request is None:
            self._stop_timer()
            made = Deferred.fromCoroutine(self._make_request())
            made.addErrback(lambda failure: _log.failure("who was told of new keys failed", failure))
        return waiter

    async def _make_request(self) -> None:
        try:
            published = await self._published()
            if published is not None:
                self._accept(published)
        finally:
            self._request = None
            if self._running:
                self._timer = self._reactor.callLater(self._pause(), self._refresh)
            waiting, self._waiting = self._waiting, []
            for waiter in waiting:
                waiter.callback(None)

    async def _published(self) -> Published | None:
        """What the source says now; None if that is nothing of use."""
        try:
            self._request = self._fetch(self._settings.jwks_url)
            self._request.addTimeout(FETCH_SECONDS, self._reactor, onTimeoutCancel=_late)
            return published_keys(await self._request, self._settings.algorithms)
        except Exception as error:
            if self._running:  # or it was cancelled
                self._note_failure(error)
            return None

    def _accept(self, published: Published) -> None:
        url = self._settings.jwks_url
        if self._failures:
            _log.info("the keys at {url} can be fetched again", url=url)
        self._failures = 0
        self._loaded = True
        keys = self._configured.joined(published.keys)
        if keys != self._keys:
            self._keys = keys
            words = "new keys from {url}: {count} for tokens, {skipped} that are not used"
            _log.info(words, url=url, count=len(published.keys), skipped=published.skipped)
            self._changed()

    def _note_failure(self, error: Exception) -> None:
        """Count it, and log the first in a row."""
        if not self._failures:
            words = "the keys at {url} cannot be fetched, those that are known stay in use: {why}"
            _log.warn(words, url=self._settings.jwks_url, why=_words(error))
        self._failures += 1

    def _pause(self) -> float:
        """Seconds from the end of one request to the next."""
        age = max(self._settings.jwks_seconds, LEAST_AGE)
        return min(FIRST_RETRY * 2 ** min(self._failures - 1, 10), COOL_DOWN, age) if self._failures else age

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()


def _late(result: object, timeout: float) -> NoReturn:
    raise TimeoutError(f"no answer within {timeout:g} s")


def _words(error: Exception) -> str:
    """An error in a few words."""
    for reason in getattr(error, "reasons", ()):  # what Twisted wraps around an error of a connection or of TLS
        error = reason.value
    return f"{type(error).__name__}: {error}"


def fetcher(reactor: Any) -> Fetch:
    """How key sets are fetched: a GET without cookies, one connection each, certificates verified for ``https``.

    The Deferred fails unless the answer is 200 with at most :data:`LARGEST_DOCUMENT` bytes. A redirect is a failure:
    the configuration says where the keys are, nobody else. The media type is not looked at.
    """
    agent: IAgent = Agent(reactor, connectTimeout=FETCH_SECONDS, pool=QuietPool(reactor, persistent=False))
    return lambda url: Deferred.fromCoroutine(_fetch_document(agent, url))


async def _fetch_document(agent: IAgent, url: str) -> bytes:
    # No treq here: it would unpack a compressed answer before anybody could count its bytes.
    headers = Headers({"User-Agent": ["tracseq-gateway"], "Accept": ["application/jwk-set+json, application/json"]})
    response: IResponse = await agent.request(b"GET", url.encode("ascii"), headers, None)
    body = read_body(response, LARGEST_DOCUMENT)
    if response.code != 200:
        body.addErrback(lambda _: None)  # nobody reads it
        body.cancel()
        raise ValueError(f"status {response.code}")
    return await body
