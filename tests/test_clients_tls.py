"""Real clients over TLS, by HTTP/1.1, through a whole gateway: each checks the certificate."""

from __future__ import annotations

from tests import clients_promises
from tests.clients_kit import knows
from tests.clients_programs import Curl, Node, missing_curl, missing_node
from tests.clients_python import Aiohttp, Httpx, Requests

NO_TLS = "" if knows("tls") else "the gateway does not speak TLS"


class RequestsTests(clients_promises.Promises):
    client = Requests()
    secure = True
    if NO_TLS:
        skip = NO_TLS


class HttpxTests(clients_promises.Promises):
    client = Httpx()
    secure = True
    if NO_TLS:
        skip = NO_TLS


class AiohttpTests(clients_promises.Promises):
    client = Aiohttp()
    secure = True
    if NO_TLS:
        skip = NO_TLS


class CurlTests(clients_promises.Promises):
    client = Curl("--http1.1")
    secure = True
    if NO_TLS or missing_curl():
        skip = NO_TLS or missing_curl()


class FetchTests(clients_promises.Promises):
    """fetch of Node.js; see ``test_clients_programs``."""

    client = Node("fetch")
    secure = True
    keeps_cookies = False
    most_connections = 3
    if NO_TLS or missing_node():
        skip = NO_TLS or missing_node()
