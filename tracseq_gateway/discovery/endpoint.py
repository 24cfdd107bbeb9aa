"""Instances from whoever answers at a URL."""

from __future__ import annotations

from typing import Final

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent

from tracseq_gateway.config import Instance
from tracseq_gateway.discovery.document import LARGEST, parse
from tracseq_gateway.discovery.source import Aside, NotFound
from tracseq_gateway.net.body import read_body
from tracseq_gateway.net.failures import describe

_HEADERS: Final = {"User-Agent": ["tracseq-gateway discovery"], "Accept": ["application/json"]}


@frozen
class EndpointSource:
    """Asks with GET; only a 200 with a list is an answer."""

    url: str
    agent: IAgent
    """Without a persistent pool: a connection that hangs must not be met again."""
    aside: Aside[tuple[Instance, ...]]

    def __str__(self) -> str:
        return self.url.partition("?")[0]  # a query may hold a secret

    def find(self) -> Deferred[tuple[Instance, ...]]:
        """See :class:`tracseq_gateway.discovery.source.Source`."""
        return Deferred.fromCoroutine(self._find())

    async def _find(self) -> tuple[Instance, ...]:
        data = await self._fetch()
        return await self.aside(lambda: parse(data, "JSON"))

    async def _fetch(self) -> bytes:
        try:
            response = await self.agent.request(b"GET", self.url.encode("ascii"), Headers(_HEADERS), None)
            data = await read_body(response, LARGEST)
        except ValueError as error:
            raise NotFound(str(error)) from None
        except Exception as error:
            raise NotFound(describe(error)) from error
        if response.code != 200:
            raise NotFound(f"status {response.code}")
        return data
