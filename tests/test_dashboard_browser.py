"""The dashboard in a browser, with made-up laboratories: one that is well, and one that is not."""

from __future__ import annotations

import atexit
import functools
from urllib.parse import urlsplit

from twisted.trial.unittest import SynchronousTestCase

from tests.browser_kit import Program, shared_browser

SIZES = {
    "phone": (360, 740),
    "tablet": (820, 1180),
    "desk": (1280, 800),
    "wall": (1920, 1080),
    "large wall": (3840, 2160),
}


@functools.cache
def laboratory(scene: str) -> str:
    """The URL of a laboratory that runs as long as the tests do."""
    program = Program("tests.dashboard_kit", scene)
    atexit.register(program.stop)
    return program.url


class BrowserTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.browser = shared_browser()

    def look(self, scene: str, size: str = "desk", scheme: str = "light") -> str:
        """Load the dashboard of a laboratory and wait until it is live; return its URL."""
        url = laboratory(scene)
        self.browser.visit(url, *SIZES[size], scheme)
        self.addCleanup(self.browser.forget)
        self.browser.until_shown("#connection", "Live")
        return url


class AppearanceTests(BrowserTestCase):
    def test_sizes(self) -> None:
        """On a phone, a desk and a wall, dark and light, nothing is too wide, and axe finds nothing inaccessible."""
        for size, scheme in (
            ("phone", "light"),
            ("tablet", "dark"),
            ("desk", "light"),
            ("wall", "dark"),
            ("large wall", "dark"),
        ):
            self.look("lively", size, scheme)
            self.assertEqual(0, self.browser.overflow(), size)
            if size in ("phone", "wall"):
                self.assertEqual([], self.browser.inaccessible(), (size, scheme))
        self.assertGreater(float(self.browser.run("return parseFloat(getComputedStyle(document.body).fontSize)")), 20)

    def test_quiet(self) -> None:
        """The page complains of nothing, and asks no host but its own."""
        url = self.look("lively")
        self.browser.click("summary")
        self.browser.until_shown("#history tbody", "ms")
        self.assertEqual([], self.browser.complaints())
        self.assertEqual({url.split("/")[2]}, self.browser.hosts())

    def test_theme(self) -> None:
        """The page is dark for who likes that, and as was chosen for who chose; the choice is remembered."""
        ground = lambda: self.browser.run("return getComputedStyle(document.body).backgroundColor")  # noqa: E731
        self.look("calm")
        light = ground()
        self.look("calm", scheme="dark")
        dark = ground()
        self.assertNotEqual(light, dark)
        self.browser.run("theme.value = 'light'; theme.dispatchEvent(new Event('change'))")
        self.assertEqual(light, ground())
        self.look("calm", scheme="dark")
        self.assertEqual((light, "light"), (ground(), self.browser.run("return theme.value")))


class ContentTests(BrowserTestCase):
    def test_lively(self) -> None:
        """What is wrong is said first, who has it and why; each part of the page shows its part of the news."""
        self.look("lively")
        shown = self.browser.text
        self.assertEqual("storage and rag need attention · 4 warnings", shown("#headline"))
        self.assertIn("(6) storage and rag need attention", self.browser.driver.title)
        problems = shown("#problems")
        self.assertRegex(problems, r"^Serious\s+storage is down for \d+ (s|min) \(connection refused\); circuit open")
        self.assertRegex(problems, r"Warning\s+Limits Redis is away: each worker counts its share of the limits$")
        for selector, words in {
            "#figures": ["42.7", "412"],
            "#service-storage": ["unhealthy", "open", "41"],
            "#instances-storage": ["http://storage-1.lab.internal:8082", "connection refused"],
            "#service-rag": ["half open"],
            "#instances-rag": ["ejected"],
            "#instances-samples": ["drained", "no answer within 5 s"],
            "#errors": ["circuit-open", "9,120"],
            "#limits": ["k:sequencer-7", "912"],
            "#workers": ["pid 4120", "starting", "140 ms", "58 MiB"],
            "#restarts": ["3 restarts"],
            "#failed": ["503", "GET /storage/iot/sensors/", "circuit-open: the service fails too often"],
            "#slow": ["POST /rag/documents/upload", "rag at http://rag-1.lab.internal:8086"],
        }.items():
            for word in words:
                self.assertIn(word, shown(selector), selector)
        label = self.browser.label("#chart-latency .chart")
        self.assertRegex(
            label, r"^Latency over fifteen minutes: p50 now [\d.]+ ms, between [\d.]+ ms and [\d.]+ ms; p95"
        )
        label = self.browser.label("#service-storage svg")
        self.assertRegex(label, r"^unhealthy since \d\d:\d\d:\d\d, .+; 2 changes in fifteen minutes$")

    def test_calm(self) -> None:
        """When all is well, that is what the page says, and it makes no noise about the rest."""
        self.look("calm")
        self.assertEqual("All is well with 7 services", self.browser.text("#headline"))
        self.assertEqual("", self.browser.text("#attention"))
        self.assertEqual("Nobody.", self.browser.text("#no-limits"))
        self.assertEqual("", self.browser.text("#instances-auth"))
        self.browser.click("#service-auth button")
        self.assertIn("http://auth-1.lab.internal:8080", self.browser.text("#instances-auth"))

    def test_more(self) -> None:
        """The newest requests are shown, and all of them on demand; their ids can be copied whole."""
        self.look("lively")
        count = lambda: self.browser.run("return failed.children.length")  # noqa: E731
        self.assertEqual(8, count())
        self.browser.click("#more-failed")
        self.assertEqual(20, count())
        self.assertEqual("true", self.browser.run("return document.getElementById('more-failed').ariaExpanded"))
        self.browser.click("#slow .copy")
        self.browser.until_shown("#slow .copy", "copied")

    def test_keyboard(self) -> None:
        """The Tab key reaches all that can be operated, in order, and what has the focus is to be seen."""
        self.look("lively", "wall")
        visited, missed = self.browser.walk()
        self.assertGreater(len(visited), 30)
        self.assertEqual([], missed)
        self.assertEqual([], [focused for focused in visited if focused[1] == "none" or not focused[2]])
        self.browser.click("#problems a")
        self.assertEqual("storage", self.browser.run("return document.activeElement.firstChild.innerText"))


class ConnectionTests(BrowserTestCase):
    def test_lost(self) -> None:
        """When the gateway goes away, what is shown is marked as stale; when it is back, so is the page, by itself."""
        program = Program("tests.dashboard_kit", "calm")
        self.addCleanup(program.stop)
        self.browser.visit(program.url)
        self.browser.until_shown("#connection", "Live")
        program.stop()
        self.browser.until_shown("#stale", "Stale since")
        self.assertRegex(self.browser.text("#stale"), r"cannot be reached|ended the stream")
        self.assertIn("Stale since", self.browser.text("#connection"))
        self.assertIn("Not known since", self.browser.text("#headline"))
        self.assertIn("connection is lost", self.browser.run("return announcements.textContent"))
        again = Program("tests.dashboard_kit", "calm", str(urlsplit(program.url).port))
        self.addCleanup(again.stop)
        self.browser.until_shown("#connection", "Live")
        self.assertEqual("", self.browser.text("#stale"))
        self.assertEqual("All is well with 7 services", self.browser.text("#headline"))
