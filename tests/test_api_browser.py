"""``/docs`` in a real browser: a gateway with the sandbox behind it, and somebody who tries what he reads."""

from __future__ import annotations

import json
from functools import partial

from twisted.trial.unittest import SynchronousTestCase

from tests.browser_kit import MISSING, Browser
from tests.running_kit import RunningGateway
from tracseq_gateway.sandbox import SERVICES

LOGIN = {"email": "lab_technician@sandbox.tracseq.test", "password": "tracseq-demo"}
CONFIGURATION = """
[gateway]
environment = "staging"
[defaults]
health = { interval = 0.5 }
"""
LISTING = "#operations-samples-list_samples_short"


class ApiPageTests(SynchronousTestCase):
    """``/docs`` of a gateway with the sandbox's seven services."""

    if MISSING:
        skip = f"no {' and no '.join(MISSING)}"

    def setUp(self) -> None:
        self.gateway = RunningGateway(CONFIGURATION, workers=1, options=["--sandbox"])
        self.addCleanup(self.gateway.stop)
        self.gateway.until(self.healthy, 30)
        self.own = f"127.0.0.1:{self.gateway.port}"

    def healthy(self) -> bool:
        _, document = self.gateway.get("/health/services")
        return {service["status"] for service in document["services"].values()} == {"healthy"}

    def browser(self, *, scripts: bool = True) -> Browser:
        browser = Browser(scripts=scripts)
        self.addCleanup(browser.close)
        browser.driver.get(f"http://{self.own}/docs")
        return browser

    def shows(self, browser: Browser, paths: set[str]) -> bool:
        """Whether these are the paths of the operations that the page shows."""
        shown = browser.find_all(".opblock-summary-path")
        return {str(element.get_attribute("data-path")).replace("\u200b", "") for element in shown} == paths

    def log_in(self) -> str:
        body = json.dumps(LOGIN).encode()
        status, answer = self.gateway.get("/auth/login", "POST", body, content_type="application/json")
        self.assertEqual(status, 200, answer)
        return str(answer["data"]["access_token"])

    def test_try_it(self) -> None:
        """The page has every operation of the document; with a token a request can be tried; nothing is asked of
        another host, and nothing in the page offends its own policy."""
        browser = self.browser()
        browser.find("#operations-tag-rag", 20)
        sections = browser.find_all(".opblock-tag")
        self.assertEqual([it.get_attribute("data-tag") for it in sections], ["This gateway", *SERVICES])
        self.assertEqual(browser.driver.title, "TracSeq Gateway: API")
        _, document = self.gateway.get("/openapi.json")
        for tag in ("This gateway", *SERVICES):  # one after the other: of very many, only those in view are there
            described = {
                path for path, item in document["paths"].items() if any(tag in it["tags"] for it in item.values())
            }
            browser.press(f'.opblock-tag[data-tag="{tag}"]')
            browser.until(partial(self.shows, browser, described))
            browser.press(f'.opblock-tag[data-tag="{tag}"]')

        browser.press(".btn.authorize")
        browser.find("#auth-bearer-value").send_keys(self.log_in())
        browser.press(".auth-btn-wrapper .authorize")
        browser.press(".auth-btn-wrapper .btn-done")
        browser.press('.opblock-tag[data-tag="samples"]')
        browser.press(f"{LISTING} .opblock-control-arrow")
        browser.press(f"{LISTING} .execute")
        live = f"{LISTING} .live-responses-table .response"
        self.assertEqual(browser.find(f"{live} .response-col_status").text.splitlines()[0], "200")
        answered = browser.find(f"{live} .response-col_description").text
        self.assertIn('"success": true', answered)
        self.assertRegex(answered, r"x-request-id: [0-9a-f]{32}")
        self.assertRegex(answered, r"ratelimit: ")
        self.assertTrue(
            browser.find(f"{LISTING} .request-url").text.splitlines()[-1].startswith(f"http://{self.own}/samples")
        )

        self.assertEqual(browser.complaints(), [])
        self.assertEqual(browser.hosts(), {self.own})

    def test_without_scripts(self) -> None:
        """Where no script runs, the page names the services and leads to the document."""
        browser = self.browser(scripts=False)
        words = browser.find("main").text
        for name in SERVICES:
            self.assertIn(f"{name}: /{name}", words)
        self.assertEqual(browser.find("main a").get_attribute("href"), f"http://{self.own}/openapi.json")
