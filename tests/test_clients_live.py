"""Real clients that stay connected, through a whole gateway: WebSockets, and streams of events."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterable
from functools import partial
from itertools import islice
from typing import Any

import aiohttp
import httpx
import requests
from twisted.trial.unittest import SynchronousTestCase

from tests.clients_programs import NODE_CLIENTS, missing_curl, missing_node
from tests.process_kit import freePort
from tests.running_kit import ROOT, RunningGateway

CONFIGURATION = """
[defaults]
rewrite = ""
health = {{ interval = 0 }}

[services.talk]
prefix = "/talk"
instances = ["http://127.0.0.1:{talk}"]

[services.events]
prefix = "/events"
instances = ["http://127.0.0.1:{events}"]
"""
EVERY = 0.2
PATIENCE = 5.0
WORDS = ("one", "zwei Ä", "x" * 100_000)


class LiveTests(SynchronousTestCase):
    def setUp(self) -> None:
        ports = {"talk": freePort(), "events": freePort()}
        self.start("tests.websocket_echo", str(ports["talk"]))
        self.start("benchmarks.live_service", "--port", str(ports["events"]))
        self.gateway = RunningGateway(CONFIGURATION.format(**ports), workers=1)
        self.addCleanup(self.gateway.stop)
        for path in ("/talk", "/events"):
            self.gateway.until(partial(self.serves, path))
        self.events = f"http://127.0.0.1:{self.gateway.port}/events?every={EVERY}"
        self.talk = f"ws://127.0.0.1:{self.gateway.port}/talk"

    def serves(self, path: str) -> bool:
        connection = self.gateway.connect()
        try:
            connection.request("GET", path)
            return connection.getresponse().status not in (502, 503)
        finally:
            connection.close()

    def start(self, *words: str) -> None:
        process = subprocess.Popen([sys.executable, "-m", *words], cwd=ROOT)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)

    def node(self, name: str, url: str) -> Any:
        if missing_node():
            self.skipTest(missing_node())
        command = ["node", str(NODE_CLIENTS / "live.js"), name, url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        self.assertEqual(done.stderr, "")
        return json.loads(done.stdout)

    def test_ws(self) -> None:
        """ws on Node.js gets back what it says, and its good-bye."""
        self.assertEqual(self.node("ws", self.talk), {"heard": [True, True, True], "code": 1000})

    def test_aiohttp(self) -> None:
        """So does aiohttp."""
        self.assertEqual(asyncio.run(self.spoken()), (list(WORDS), 1000))

    async def spoken(self) -> tuple[list[str], int | None]:
        async with aiohttp.ClientSession() as session, session.ws_connect(self.talk) as socket:
            heard = []
            for word in WORDS:
                await socket.send_str(word)
                heard.append(await socket.receive_str(timeout=PATIENCE))
            await socket.close()
            return heard, socket.close_code

    def test_eventsource(self) -> None:
        """eventsource on Node.js hears events in their order."""
        heard = self.node("eventsource", self.events)["heard"]
        self.assertEqual(heard, sorted(heard))
        self.assertEqual(len(heard), 3)

    def test_each_as_it_comes(self) -> None:
        """curl, requests and httpx have each event when it comes: none waits for the next."""
        with requests.get(self.events, stream=True, timeout=PATIENCE) as answer:
            self.assertHeardInTime(answer.iter_lines(chunk_size=1))
        with httpx.stream("GET", self.events, timeout=PATIENCE, trust_env=False) as stream:
            self.assertHeardInTime(line.encode() for line in stream.iter_lines())
        if not missing_curl():
            command = ["curl", "--http1.1", "--silent", "--no-buffer", "--noproxy", "*", self.events]
            with subprocess.Popen(command, stdout=subprocess.PIPE) as curl:
                assert curl.stdout is not None
                self.assertHeardInTime(curl.stdout)
                curl.kill()

    def assertHeardInTime(self, lines: Iterable[bytes]) -> None:
        """Three events came, each before the next was due by far."""
        sent = (int(found[1]) for line in lines if (found := re.match(rb"data: (\d+)", line)))
        late = sorted(time.monotonic_ns() - moment for moment in islice(sent, 3))
        self.assertEqual(len(late), 3)
        self.assertLess(late[1] / 1e9, EVERY / 2)
