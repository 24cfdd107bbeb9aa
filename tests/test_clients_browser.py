"""Chromium as a client, through a whole gateway."""

from __future__ import annotations

from tests import clients_promises
from tests.browser_kit import MISSING
from tests.clients_browser import ChromiumFetch


class ChromiumTests(clients_promises.Promises):
    """A browser opens up to six connections to a host, and sends a body piece by piece by HTTP/2 alone."""

    client = ChromiumFetch()
    sends_chunks = False
    most_connections = 6
    if MISSING:
        skip = f"not installed: {', '.join(MISSING)}"
