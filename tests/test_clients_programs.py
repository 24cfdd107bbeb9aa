"""Real clients that are programs of their own, through a whole gateway."""

from __future__ import annotations

from tests import clients_promises
from tests.clients_programs import Curl, Node, missing_curl, missing_node


class CurlTests(clients_promises.Promises):
    client = Curl("--http1.1")
    if missing_curl():
        skip = missing_curl()


class FetchTests(clients_promises.Promises):
    """fetch of Node.js, which is undici. It takes a second connection when it asks anew in the same turn in which an
    answer ended, and closes one that has had a HEAD."""

    client = Node("fetch")
    most_connections = 3
    keeps_cookies = False
    if missing_node():
        skip = missing_node()


class AxiosTests(clients_promises.Promises):
    client = Node("axios")
    keeps_cookies = False
    if missing_node():
        skip = missing_node()
