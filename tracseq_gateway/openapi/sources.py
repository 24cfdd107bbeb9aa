"""The document of one service: fetched when it is wanted, kept, and shown on when the service is down."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, NoReturn

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IResponse

from tracseq_gateway.net.body import read_body
from tracseq_gateway.net.failures import describe
from tracseq_gateway.openapi.addresses import Address
from tracseq_gateway.openapi.merge import State
from tracseq_gateway.openapi.reading import Unusable, read
from tracseq_gateway.openapi.taking import Taken, take

RETRY_SECONDS: Final = 10.0
"""How long a service that gave no document is left alone, unless documents are kept for less."""

Aside = Callable[[Callable[[], Taken]], Deferred[Taken]]
"""Calls a function in another thread: reading a large document takes a while."""
Fetch = Callable[[str], Deferred[bytes]]
"""Fetches what is at a URL, all of it with status 200; may be cancelled. Fails with :class:`NotServed` for another
status, and with ValueError when there is too much."""

_log = Logger()


class NotServed(Exception):
    """A service has nothing there."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.gone = status in (404, 410)
        """Whether the service has no document, rather than no answer."""


@frozen
class Tools:
    """What documents are fetched with."""

    fetch: Fetch
    aside: Aside
    reactor: IReactorTime
    now: Callable[[], float]
    """Seconds since the epoch."""
    keep_seconds: float
    """How long a document is kept before it is asked for again."""
    timeout: float


class Source:
    """Where one service's document comes from, and the last one that was good."""

    def __init__(
        self, name: str, path: str, address: Address, instance: Callable[[], str | None], tools: Tools
    ) -> None:
        """Nothing is fetched yet.

        :param path: where an instance has the document; empty: nowhere.
        :param instance: gives the base URL of an instance that may be asked, a different one in turn; None: nobody.
        """
        self.name = name
        self.taken: Taken | None = None
        self.state: State = "none"
        self.note = "" if path else "No document is configured."
        self.changes = 0
        """Grows whenever what is known becomes something else."""
        self._path = path
        self._address = address
        self._instance = instance
        self._tools = tools
        self._due = 0.0
        self._fetched = 0.0
        self._fetching: Deferred[Taken] | None = None

    @property
    def due(self) -> bool:
        """Whether the document should be fetched."""
        return bool(self._path) and self._tools.reactor.seconds() >= self._due

    async def refresh(self) -> None:
        """Fetch it, within the timeout. Whatever becomes of that is in the attributes; never fails."""
        tools = self._tools
        before = (self.taken, self.state, self.note)
        try:
            self._fetching = Deferred.fromCoroutine(self._fetch())
            taken = await self._fetching.addTimeout(tools.timeout, tools.reactor, onTimeoutCancel=_late)
        except CancelledError:
            return  # the worker stops
        except Exception as error:
            self._failed(error)
            wait = min(RETRY_SECONDS, tools.keep_seconds)
        else:
            self.taken, self.state, self.note, self._fetched = taken, "current", "", tools.now()
            wait = tools.keep_seconds
        finally:
            self._fetching = None
        self._due = tools.reactor.seconds() + wait
        if before != (self.taken, self.state, self.note):
            self.changes += 1

    def stop(self) -> None:
        """Break off what is being fetched."""
        if self._fetching is not None:
            self._fetching.cancel()

    async def _fetch(self) -> Taken:
        base = self._instance()
        if base is None:
            raise Unusable("no instance is healthy")
        data = await self._tools.fetch(base + self._path)
        path = self._path.partition("?")[0]
        return await self._tools.aside(lambda: take(read(data), self._address, path))

    def _failed(self, error: Exception) -> None:
        reason = _words(error)
        if self.taken is not None and isinstance(error, NotServed) and error.gone:
            self.taken = None
        if self.state == "current":
            _log.info("no new OpenAPI document of {service}: {reason}", service=self.name, reason=reason)
        if self.taken is None:
            self.state, self.note = "none", f"There is no document that could be shown: {reason}."
        else:
            self.state = "stale"
            since = datetime.fromtimestamp(self._fetched, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
            self.note = f"This is the document as of {since}; there is no newer one: {reason}."


def _words(error: Exception) -> str:
    """Why there is no document, for everybody to read: nothing of hosts."""
    if isinstance(error, Unusable | NotServed | TimeoutError):
        return str(error)
    if isinstance(error, ValueError):
        return "it is too large"
    words = describe(error)
    return "no answer" if words.startswith(type(error).__name__) else words


def _late(result: object, timeout: float) -> NoReturn:
    raise TimeoutError(f"no answer within {timeout:g} s")


def fetcher(agent: IAgent, most: int) -> Fetch:
    """How documents are fetched: a GET that follows no redirect and reads at most so many bytes."""
    return lambda url: Deferred.fromCoroutine(_get(agent, url, most))


async def _get(agent: IAgent, url: str, most: int) -> bytes:
    headers = Headers({"User-Agent": ["tracseq-gateway"], "Accept": ["application/json"]})
    response: IResponse = await agent.request(b"GET", url.encode("ascii"), headers, None)
    body = read_body(response, most)
    if response.code != 200:
        body.addErrback(lambda _: None)  # nobody reads it
        body.cancel()
        raise NotServed(response.code)
    return await body
