"""Real clients by HTTP/2, over TLS and by prior knowledge, through a whole gateway."""

from __future__ import annotations

from tests import clients_promises
from tests.clients_kit import knows
from tests.clients_programs import Curl, missing_curl
from tests.clients_python import Httpx

NO_HTTP2 = "" if knows("http2") and knows("tls") else "the gateway does not speak HTTP/2"


class CurlTests(clients_promises.Promises):
    client = Curl("--http2")
    version = "HTTP/2"
    secure = True
    multiplexes = True
    if NO_HTTP2 or missing_curl():
        skip = NO_HTTP2 or missing_curl()


class CurlInClearTests(clients_promises.Promises):
    """Debian's curl (7.88) cannot use a connection twice that began by prior knowledge, nor with other servers: here
    each request has one of its own."""

    client = Curl("--http2-prior-knowledge", session=False)
    version = "HTTP/2"
    keeps_cookies = False
    follows_redirects = False
    most_connections = 9
    if NO_HTTP2 or missing_curl():
        skip = NO_HTTP2 or missing_curl()


class HttpxTests(clients_promises.Promises):
    """httpx opens a connection for each thread that asks before it knows that one would do for all."""

    client = Httpx(http2=True)
    version = "HTTP/2"
    secure = True
    if NO_HTTP2:
        skip = NO_HTTP2
