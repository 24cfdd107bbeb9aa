"""Real clients, written in Python, through a whole gateway."""

from __future__ import annotations

from tests import clients_promises
from tests.clients_python import Aiohttp, Httpx, Requests


class RequestsTests(clients_promises.Promises):
    client = Requests()


class HttpxTests(clients_promises.Promises):
    client = Httpx()


class AiohttpTests(clients_promises.Promises):
    client = Aiohttp()
