"""Clients written in Python: requests, httpx, aiohttp."""

from __future__ import annotations

import asyncio
import io
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import aiohttp
import httpx
import requests

from tests.clients_kit import Ask, Seen

PIECE = 16384
SECONDS = 8.0


def pieces(body: bytes) -> Iterator[bytes]:
    """A body whose length is not known before its end."""
    for start in range(0, len(body), PIECE):
        yield body[start : start + PIECE]


async def pieces_later(body: bytes) -> AsyncIterator[bytes]:
    """The same for asyncio."""
    for piece in pieces(body):
        yield piece


def _each(asks: Sequence[Ask], ask: Callable[[Ask], Seen], at_once: bool) -> list[Seen]:
    if not at_once:
        return [ask(each) for each in asks]
    with ThreadPoolExecutor(len(asks)) as threads:
        return list(threads.map(ask, asks))


class Requests:
    """requests, with a session."""

    def run(self, base: str, asks: Sequence[Ask], *, at_once: bool = False, ca: str | None = None) -> list[Seen]:
        with requests.Session() as session:
            session.trust_env = False
            session.verify = ca or True

            def ask(one: Ask) -> Seen:
                body = pieces(one.body) if one.body is not None and one.chunked else one.body
                try:
                    answer = session.request(
                        one.method, base + one.path, headers=one.fields, data=body, timeout=SECONDS
                    )
                except requests.RequestException as error:
                    return Seen(0, failure=repr(error))
                fields = {name.lower(): value for name, value in answer.headers.items()}
                return Seen(answer.status_code, fields, answer.content)

            return _each(asks, ask, at_once)


class Httpx:
    """httpx, by HTTP/1.1 or offering HTTP/2."""

    def __init__(self, http2: bool = False) -> None:
        self._http2 = http2

    def run(self, base: str, asks: Sequence[Ask], *, at_once: bool = False, ca: str | None = None) -> list[Seen]:
        verify = ssl.create_default_context(cafile=ca)
        with httpx.Client(
            http2=self._http2, verify=verify, trust_env=False, follow_redirects=True, timeout=SECONDS
        ) as client:

            def ask(one: Ask) -> Seen:
                body = pieces(one.body) if one.body is not None and one.chunked else one.body
                try:
                    answer = client.request(one.method, base + one.path, headers=one.fields, content=body)
                except httpx.HTTPError as error:
                    return Seen(0, failure=repr(error))
                fields = {name.lower(): value for name, value in answer.headers.items()}
                return Seen(answer.status_code, fields | {":version": answer.http_version}, answer.content)

            return _each(asks, ask, at_once)


class Aiohttp:
    """aiohttp, with a session."""

    def run(self, base: str, asks: Sequence[Ask], *, at_once: bool = False, ca: str | None = None) -> list[Seen]:
        return asyncio.run(self._run(base, asks, at_once, ca))

    async def _run(self, base: str, asks: Sequence[Ask], at_once: bool, ca: str | None) -> list[Seen]:
        jar = aiohttp.CookieJar(unsafe=True)  # it keeps no cookies of bare addresses otherwise
        timeout = aiohttp.ClientTimeout(total=SECONDS)
        connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=ca))
        async with aiohttp.ClientSession(connector=connector, cookie_jar=jar, timeout=timeout) as session:
            if at_once:
                return await asyncio.gather(*(self._ask(session, base, ask) for ask in asks))
            return [await self._ask(session, base, ask) for ask in asks]

    async def _ask(self, session: aiohttp.ClientSession, base: str, ask: Ask) -> Seen:
        body: object = None
        if ask.body is not None:
            body = pieces_later(ask.body) if ask.chunked else io.BytesIO(ask.body)
        try:
            async with session.request(ask.method, base + ask.path, headers=ask.fields, data=body) as answer:
                fields = {name.lower(): value for name, value in answer.headers.items()}
                return Seen(answer.status, fields, await answer.read())
        except aiohttp.ClientError as error:
            return Seen(0, failure=repr(error))
