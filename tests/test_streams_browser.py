"""WebSockets and streams of events of a real browser, through a running gateway."""

from __future__ import annotations

import time

from twisted.trial.unittest import SynchronousTestCase

from tests.browser_kit import MISSING, shared_browser
from tests.running_kit import RunningGateway
from tests.streams_service import StreamsService
from tests.test_identity_real import SECRET, token

CONFIGURATION = """
[gateway]
run_directory = "@DIRECTORY@/run"
drain_seconds = 1
[services.page]
prefix = "/"
rewrite = ""
instances = ["http://127.0.0.1:{page}"]
auth = "none"
health = {{ interval = 0 }}
[services.live]
prefix = "/live"
rewrite = ""
instances = ["http://127.0.0.1:{live}"]
tunnels = {{ origins = [] }}
health = {{ interval = 0 }}
[auth]
enabled = true
service = ""
jwt = {{ algorithms = ["HS256"], secret_env = "TEST_SECRET", issuer = "tests", audience = "gateway" }}
[rate_limit]
enabled = false
"""
OPEN_SOCKET = """
window.heard = []; window.ended = null;
window.live = new WebSocket(`ws://${arguments[0]}/live/`, ["bearer", arguments[1]]);
live.onopen = () => live.send("hello");
live.onmessage = (event) => heard.push(event.data);
live.onclose = (event) => { ended = [event.code, event.reason, event.wasClean]; };
"""
OPEN_EVENTS = """
window.opened = 0; window.last = 0;
window.events = new EventSource("/events");
events.onopen = () => { opened += 1; };
events.onmessage = (event) => { last = Number(event.data); };
"""


class BrowserTests(SynchronousTestCase):
    if MISSING:
        skip = f"no {' and no '.join(MISSING)}"

    def setUp(self) -> None:
        self.service = StreamsService()
        self.addCleanup(self.service.stop)
        page, live = self.service.ports
        self.gateway = RunningGateway(CONFIGURATION.format(page=page, live=live), {"TEST_SECRET": SECRET})
        self.addCleanup(self.gateway.stop)
        self.browser = shared_browser()
        self.addCleanup(self.browser.visit, "about:blank")
        self.browser.visit(f"{self.host}/")

    @property
    def host(self) -> str:
        return f"http://127.0.0.1:{self.gateway.port}"

    def open_socket(self, bearer: str, host: str = "127.0.0.1") -> None:
        self.browser.run(OPEN_SOCKET, f"{host}:{self.gateway.port}", bearer)

    def until_left(self, what: str) -> float:
        """How many seconds ago the service has noticed that somebody left."""
        self.gateway.until(lambda: any(left == what for left, _ in self.service.left), 5)
        return next(when for left, when in self.service.left if left == what)

    def test_websocket(self) -> None:
        """A token in the list of subprotocols opens a WebSocket; the service notices at once that its page was left."""
        self.open_socket(token())
        self.browser.until(lambda: self.browser.run("return heard") == ["hello"])
        self.assertEqual(self.browser.run("return live.protocol"), "bearer")
        left = time.monotonic()
        self.browser.visit("about:blank")
        self.assertLess(self.until_left("live") - left, 1.0)

    def test_session_ends(self) -> None:
        """A page hears why its WebSocket was closed when its session ends."""
        self.open_socket(token())
        self.browser.until(lambda: self.browser.run("return heard") == ["hello"])
        self.assertEqual(self.gateway.command("revoke", "--session", "session-1")[0], 0)
        ended = self.browser.until(lambda: self.browser.run("return ended"), 5)
        self.assertEqual(ended, [1008, "the session has ended", True])

    def test_other_origin(self) -> None:
        """A page of another host opens none where only those of the gateway's own may; nor does a bad token."""
        for bearer, host in ((token(), "localhost"), ("nonsense", "127.0.0.1")):
            self.open_socket(bearer, host)
            self.assertEqual(self.browser.until(lambda: self.browser.run("return ended"), 5)[0], 1006)
        self.browser.complaints()
        self.assertEqual(self.service.left, [])

    def test_events(self) -> None:
        """Events come as they happen, go on behind a reload where they stopped, and end when their page is left."""
        self.browser.run(OPEN_EVENTS)
        self.browser.until(lambda: self.browser.run("return last") > 2)
        status, _, complained = self.gateway.command("reload")
        self.assertEqual(status, 0, complained)
        self.browser.until(lambda: self.browser.run("return opened") > 1, 10)
        first, again = self.service.resumed
        self.assertEqual(first, "")
        self.assertGreater(int(again), 2)
        seen = self.browser.run("return last")
        self.browser.until(lambda: self.browser.run("return last") > seen)
        self.service.left.clear()
        left = time.monotonic()
        self.browser.visit("about:blank")
        self.assertLess(self.until_left("events") - left, 1.0)
