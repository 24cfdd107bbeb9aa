"""An OpenTelemetry collector, asked by OTLP over HTTP (https://opentelemetry.io/docs/specs/otlp/#otlphttp)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, NoReturn

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IConsumer, IReactorTime
from twisted.web.client import Agent
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from tracseq_gateway.net.body import read_body
from tracseq_gateway.net.failures import describe
from tracseq_gateway.net.quiet import QuietPool
from tracseq_gateway.tracing.otlp import PartialSuccess, read_answer, read_refusal

LARGEST_ANSWER: Final = 64 * 1024
"""Bytes of an answer; the usual one has none."""

LONGEST_WORDS: Final = 200
"""Characters of a collector's own words that go into the log."""

_RETRYABLE: Final = frozenset({429, 502, 503, 504})


@frozen
class Failure:
    """An export that came to nothing."""

    reason: str
    """In a few words, for the log."""
    again: bool = False
    """Whether the same spans may be sent again."""
    after: float | None = None
    """In how many seconds, if the collector says so."""


Outcome = PartialSuccess | Failure
Export = Callable[[bytes], Deferred[Outcome]]


class Collector:
    """Where spans are sent. Nothing here is ever waited for by a request."""

    def __init__(
        self,
        reactor: Any,
        endpoint: str,
        fields: Iterable[tuple[str, str]],
        timeout: float,
        agent: IAgent | None = None,
    ) -> None:
        """``fields`` go along with every export, a key for example; ``timeout`` bounds one in seconds."""
        self._reactor: IReactorTime = reactor
        self._endpoint = endpoint.encode("ascii")
        self._timeout = timeout
        self._pool = QuietPool(reactor)
        self._pool.maxPersistentPerHost = 1
        self._agent = agent if agent is not None else Agent(reactor, connectTimeout=timeout, pool=self._pool)
        self._headers = Headers({"Content-Type": ["application/x-protobuf"], "User-Agent": ["tracseq-gateway"]})
        for name, value in fields:
            self._headers.setRawHeaders(name, [value])

    def export(self, body: bytes) -> Deferred[Outcome]:
        """Send an ``ExportTraceServiceRequest``; fails with nothing unless it is cancelled."""
        return Deferred.fromCoroutine(self._export(body))

    def close(self) -> Deferred[None]:
        """Close the connection that is kept; fires when it is gone."""
        closed: Deferred[None] = self._pool.closeCachedConnections()
        return closed

    async def _export(self, body: bytes) -> Outcome:
        try:
            exchange = Deferred.fromCoroutine(self._exchange(body))
            return await exchange.addTimeout(self._timeout, self._reactor, onTimeoutCancel=_late)
        except CancelledError:
            raise
        except ValueError as error:
            return Failure(f"an answer that makes no sense: {error}")
        except Exception as error:
            return Failure(describe(error), again=True)

    async def _exchange(self, body: bytes) -> Outcome:
        response = await self._agent.request(b"POST", self._endpoint, self._headers.copy(), _Body(body))
        content = await read_body(response, LARGEST_ANSWER)
        if response.code == 200:
            return read_answer(content)
        reason = f"status {response.code}{_words(content)}"
        if response.code in _RETRYABLE:
            return Failure(reason, again=True, after=_retry_after(response))
        return Failure(reason)


def _words(content: bytes) -> str:
    """What the collector says of a refusal, as far as it can be shown."""
    try:
        said = read_refusal(content)
    except ValueError:
        return ""  # not every proxy in between speaks OTLP
    return f" ({said[:LONGEST_WORDS]!r})" if said else ""


def _retry_after(response: IResponse) -> float | None:
    """The seconds of a Retry-After; a date in it is passed over, as is what is none of both."""
    values = response.headers.getRawHeaders(b"retry-after", [])
    return float(values[0]) if values and values[0].isdigit() and len(values[0]) < 10 else None


def _late(result: object, timeout: float) -> NoReturn:
    raise TimeoutError(f"no answer within {timeout:g} s")


@implementer(IBodyProducer)
class _Body:
    """A body that is in memory."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.length = len(body)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:
        """All is written already."""

    def resumeProducing(self) -> None:
        """All is written already."""

    def stopProducing(self) -> None:
        """All is written already."""
