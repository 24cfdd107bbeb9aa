"""The dashboard of a running gateway, in a browser: who gets in, and what there is to see of what really happens."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from tests.browser_kit import Browser, shared_browser
from tests.running_kit import EchoService, RunningGateway
from tracseq_gateway.sandbox import DEMO_PASSWORD, demo_users

USERS = dict(demo_users())

CONFIGURATION = """
[gateway]
run_directory = "@DIRECTORY@/run"
drain_seconds = 5

[defaults.health]
interval = 0.3
unhealthy_after = 1

[services.auth]
prefix = "/auth"
instances = ["http://127.0.0.1:9"]

[services.board]
prefix = "/board"
auth = "none"
instances = ["@UPSTREAM@", "@SECOND@"]

[auth]
enabled = true
jwt = { algorithms = ["HS256"] }

[security]
headers = true
"""


class RunningTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.second = EchoService()
        self.stopped = False
        self.addCleanup(self.stop_second)
        configuration = CONFIGURATION.replace("@SECOND@", f"http://127.0.0.1:{self.second.port}")
        self.gateway = RunningGateway(configuration, workers=1, options=["--sandbox"])
        self.addCleanup(self.gateway.stop)
        self.gateway.until(lambda: self.gateway.get("/health")[1]["services"] == "healthy", 20)
        self.browser: Browser = shared_browser()
        self.address = f"http://127.0.0.1:{self.gateway.port}/"

    def stop_second(self) -> None:
        if not self.stopped:
            self.stopped = True
            self.second.stop()

    def sign_in(self, role: str, password: str = DEMO_PASSWORD) -> None:
        self.browser.until_shown("#sign-in", "Sign in")
        self.browser.type("#email", USERS[role])
        self.browser.type("#password", password)
        self.browser.click("#login button")

    def test_visit(self) -> None:
        """An administrator signs in and sees real traffic, an instance that dies, a reload, and how sessions end."""
        browser, shown = self.browser, self.browser.text
        browser.visit(self.address)
        self.addCleanup(browser.forget)
        browser.until(lambda: browser.driver.current_url == f"{self.address}dashboard")

        self.sign_in("lab_administrator", "wrong")
        browser.until_shown("#sign-in-reason", "password")
        self.assertEqual("", shown("#overview"))
        self.sign_in("lab_technician")
        browser.until_shown("#sign-in-reason", "the role lab_administrator is needed")
        self.sign_in("lab_administrator")
        browser.until_shown("#connection", "Live")
        self.assertEqual("All is well with 2 services", shown("#headline"))
        self.assertEqual("", shown("#sign-in"))
        self.assertEqual(self.address + "dashboard", browser.driver.current_url)

        for _ in range(40):
            self.assertEqual(200, self.gateway.get("/board/samples")[0])
        self.assertEqual(502, self.gateway.get("/board/x", x_answer_with="502")[0])
        browser.until(lambda: float(browser.run("return services.tBodies[1].rows[0].cells[4].innerText")) >= 1)
        browser.until_shown("#failed", "GET /board/x")
        browser.until_shown("#errors", "status-502")

        self.stop_second()
        browser.until_shown("#service-board", "degraded")
        self.assertIn("board has 1 of 2 instances down", shown("#problems").replace("\n", " "))
        self.assertIn("refused", shown("#instances-board"))
        self.assertIn("unhealthy", shown("#instances-board"))

        pids = lambda: re.findall(r"pid (\d+)\s+serving", shown("#workers"))  # noqa: E731
        before = pids()
        self.assertEqual((0, ""), self.gateway.command("reload")[::2])
        browser.until(lambda: "Live" in shown("#connection") and len(pids()) == 1 and pids() != before)
        self.assertEqual(set(), browser.hosts() - {self.address.split("/")[2]})
        unexpected = [line for line in browser.complaints() if "401" not in line and "403" not in line]
        self.assertEqual([], [line for line in unexpected if "503" not in line])

        token = browser.run("return sessionStorage.token")
        self.assertNotIn(token, self.gateway.log.read_text())
        self.assertEqual(200, self.gateway.get("/auth/logout", "POST", authorization=f"Bearer {token}")[0])
        browser.until_shown("#sign-in-reason", "session has ended")
        self.assertIsNone(browser.run("return sessionStorage.token ?? null"))
        self.assertEqual("", shown("#overview"))

        self.sign_in("lab_administrator")
        browser.until_shown("#connection", "Live")
        token = browser.run("return sessionStorage.token")
        browser.click("#sign-out")
        browser.until_shown("#sign-in", "Sign in")
        self.gateway.until(lambda: self.gateway.get("/auth/me", authorization=f"Bearer {token}")[0] == 401)
