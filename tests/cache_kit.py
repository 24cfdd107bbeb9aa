"""A gateway in memory that keeps the answers of its service, and what is needed to look at them."""

from __future__ import annotations

from typing import Any

from tests.kit import Answer, MemoryClient, MemoryGateway, Received
from tracseq_gateway.config import Instance, Service, Size
from tracseq_gateway.config.cache import Cache, ServiceCache


def answer(*lines: bytes, body: bytes = b"kept", status: bytes = b"200 OK") -> bytes:
    """What a service says."""
    framing = b"" if status[:3] in (b"204", b"304") else b"Content-Length: %d\r\n" % len(body)
    if status[:3] == b"304":
        body = b""
    return b"HTTP/1.1 %b\r\n%b%b\r\n%b" % (status, b"".join(line + b"\r\n" for line in lines), framing, body)


FRESH = answer(b"Cache-Control: max-age=60", b'ETag: "1"')


def get(path: bytes = b"/a", *lines: bytes, method: bytes = b"GET", host: bytes = b"lab") -> bytes:
    """What a client asks."""
    return b"%b %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (method, path, host, b"".join(line + b"\r\n" for line in lines))


class Cached:
    """The gateway with one service, ``all``, that owns ``/``; ``settings`` are those of :class:`MemoryGateway`."""

    def __init__(self, said: bytes | None = FRESH, *, cache: Cache | None = None, **settings: Any) -> None:
        service = Service(
            "all",
            prefix="/",
            rewrite="",
            instances=(Instance("http://127.0.0.1:9001"),),
            body_buffer=Size(0),
            cache=ServiceCache(enabled=True),
        )
        self.gateway = MemoryGateway(
            services={"all": service},
            answer=said,
            tables={"cache": cache or Cache(), **settings.pop("tables", {})},
            **settings,
        )

    def says(self, said: bytes | None) -> None:
        """Have the service say this from now on; None: the test answers itself."""
        self.gateway.service.answer = said

    def ask(self, *data: bytes) -> Answer:
        """Ask on a connection of its own; return the answer."""
        client = self.gateway.exchange(b"".join(data) or get())
        (given,) = client.answers(*[data[0].partition(b" ")[0]] if data else ())
        return given

    def ask_later(self, data: bytes = b"") -> MemoryClient:
        """Ask, and let the service not answer yet."""
        client = self.gateway.client()
        client.send(data or get())
        return client

    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self.gateway.clock.advance(seconds)
        self.gateway.service.run()

    @property
    def asked(self) -> list[Received]:
        """The requests that the service got."""
        return self.gateway.service.requests

    @property
    def results(self) -> dict[str, int]:
        """What became of requests."""
        caches = self.gateway.worker.caches
        assert caches is not None
        return {result: count for result, count in caches.results["all"].items() if count}


def status(given: Answer) -> bytes:
    """All that an answer says of caches."""
    return b", ".join(given.values(b"cache-status"))
