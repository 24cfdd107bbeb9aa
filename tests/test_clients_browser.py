"""Chromium as a client, through a whole gateway."""

from __future__ import annotations

from tests import clients_promises
from tests.browser_kit import MISSING
from tests.clients_browser import ChromiumFetch
from tests.clients_kit import knows


class ChromiumTests(clients_promises.Promises):
    """A browser opens up to six connections to a host, and sends a body piece by piece by HTTP/2 alone."""

    client = ChromiumFetch()
    sends_chunks = False
    most_connections = 6
    if MISSING:
        skip = f"not installed: {', '.join(MISSING)}"


class ChromiumHttp2Tests(clients_promises.Promises):
    """Before it knows that one connection would do, Chromium may have begun a second."""

    client = ChromiumFetch()
    version = "HTTP/2"
    secure = True
    multiplexes = True
    most_connections = 2
    if MISSING:
        skip = f"not installed: {', '.join(MISSING)}"
    elif not knows("http2"):
        skip = "the gateway does not speak HTTP/2"
