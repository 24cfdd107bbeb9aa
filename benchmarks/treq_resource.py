"""The obvious reverse proxy on Twisted: a twisted.web Site whose one resource asks the service by treq.

It keeps a pool of connections and streams both ways, as one would write it from the documentation. It is measured
beside the gateway so that the reader sees what the gateway's own channel and upstream connections are for.
"""

from __future__ import annotations

import argparse
import sys
from http.cookiejar import DefaultCookiePolicy
from typing import Any

from treq.client import HTTPClient
from treq.cookies import IndexableCookieJar
from twisted.internet import task
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.python import log
from twisted.python.failure import Failure
from twisted.web.client import Agent, FileBodyProducer, HTTPConnectionPool, ResponseDone
from twisted.web.http import Request as HTTPRequest
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IRequest, IResponse
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

HOP_BY_HOP = frozenset(
    [b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"]
)


def end_to_end(headers: Headers) -> Headers:
    """A copy without the fields that concern one connection only (RFC 9110 section 7.6.1)."""
    kept = {name: values for name, values in headers.getAllRawHeaders() if name.lower() not in HOP_BY_HOP}
    return Headers(kept)


class BodyForwarder(Protocol):
    """Writes the service's body to the client, no faster than the client takes it."""

    def __init__(self, request: Request) -> None:
        self.request = request

    def connectionMade(self) -> None:
        self.request.registerProducer(self.transport, True)

    def dataReceived(self, data: bytes) -> None:
        self.request.write(data)

    def connectionLost(self, reason: Failure = ResponseDone) -> None:  # type: ignore[assignment]
        self.request.unregisterProducer()
        if reason.check(ResponseDone):
            self.request.finish()
        else:
            self.request.loseConnection()


class TreqProxy(Resource):
    """Forwards every request to one service."""

    isLeaf = True

    def __init__(self, client: HTTPClient, upstream: str) -> None:
        super().__init__()
        self.client = client
        self.upstream = upstream

    def render(self, request: IRequest) -> int:
        assert isinstance(request, Request) and request.content is not None
        headers = end_to_end(request.requestHeaders)
        headers.addRawHeader(b"x-forwarded-for", request.getClientAddress().host.encode())
        has_body = bool(request.content.seek(0, 2))
        request.content.seek(0)
        asked: Deferred[Any] = self.client.request(
            request.method.decode("ascii"),
            self.upstream + request.uri.decode("ascii"),
            headers=headers,
            data=FileBodyProducer(request.content) if has_body else None,
            allow_redirects=False,
            unbuffered=True,
        )
        request.notifyFinish().addErrback(lambda _gone: asked.cancel())
        asked.addCallback(self._forward, request)
        asked.addErrback(self._failed, request)
        return NOT_DONE_YET

    def _forward(self, response: IResponse, request: Request) -> None:
        request.setResponseCode(response.code)
        request.responseHeaders = end_to_end(response.headers)
        if response.length != UNKNOWN_LENGTH:
            # Twisted's client takes this field out of the headers.
            request.responseHeaders.setRawHeaders(b"content-length", [b"%d" % response.length])
        if response.length == 0:
            request.finish()
        else:
            response.deliverBody(BodyForwarder(request))

    def _failed(self, failure: Failure, request: Request) -> None:
        log.err(failure, "the service did not answer")
        request.setResponseCode(502)
        request.finish()


class QuietSite(Site):
    """A Site without an access log, as the other contestants have none."""

    def log(self, request: HTTPRequest) -> None:
        pass


def serve(reactor: Any, port: int, upstream: int) -> Deferred[None]:
    """Serve on 127.0.0.1 until the process is told to stop."""
    pool = HTTPConnectionPool(reactor)
    pool.maxPersistentPerHost = 1024
    # One jar for all clients would hand one user's session to the next.
    no_cookies = IndexableCookieJar(DefaultCookiePolicy(allowed_domains=[]))
    client = HTTPClient(Agent(reactor, pool=pool), cookiejar=no_cookies)
    site = QuietSite(TreqProxy(client, f"http://127.0.0.1:{upstream}"), timeout=3600)
    reactor.listenTCP(port, site, backlog=4096, interface="127.0.0.1")
    return Deferred()


def main(reactor: Any) -> Deferred[None]:
    """The process's entry point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", type=int, required=True)
    options = parser.parse_args()
    log.startLogging(sys.stderr, setStdout=False)
    return serve(reactor, options.port, options.upstream)


if __name__ == "__main__":
    task.react(main)
