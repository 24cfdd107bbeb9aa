"""Chromium without a screen, driven by WebDriver: what a page shows, asks of hosts, and complains about."""

from __future__ import annotations

import atexit
import functools
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from axe_core_python.selenium import Axe
from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from tests.running_kit import ROOT

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--disable-features=BackForwardCache",  # a page that was left is over, its stream too
)
CHROMIUM, CHROMEDRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
MISSING = [path for path in (CHROMIUM, CHROMEDRIVER) if not Path(path).exists()]
"""What is not installed; deploy/debian-packages.txt names the packages."""
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")

FOCUSED = """
const node = document.activeElement;
if (node === document.body) return null;
const box = node.getBoundingClientRect();
node.seen ??= String(Math.random());
return [node.seen, node.tagName, getComputedStyle(node).outlineStyle, box.width * box.height > 0];
"""
SEEN = """
const node = document.querySelector(arguments[0]);
return node?.checkVisibility() ? node.innerText : "";
"""
EXPECT = """
const all = document.querySelectorAll("a[href], button, select, input, summary, [tabindex='0']");
const shown = [...all].filter((node) => node.checkVisibility());
for (const node of shown) node.expected = true;
return shown.length;
"""
MISSED = """
const all = [...document.querySelectorAll("*")];
return all.filter((node) => node.expected && !node.seen).map((node) => node.outerHTML);
"""


Found = TypeVar("Found")


class Browser:
    """One tab. To be closed by :meth:`close`."""

    def __init__(self, *, scripts: bool = True) -> None:
        """``scripts``: whether pages may run JavaScript."""
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        options.accept_insecure_certs = True  # those that tests have made
        for flag in FLAGS:
            options.add_argument(flag)
        if not scripts:
            options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(CHROMEDRIVER))

    def close(self) -> None:
        """End the browser."""
        self.driver.quit()

    def visit(self, url: str, width: int = 1280, height: int = 800, scheme: str = "light") -> None:
        """Load a page in a window of this size, for somebody who likes this colour scheme."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        likes = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", likes)
        self.driver.get("about:blank")
        self.complaints()
        self.hosts()
        self.driver.get(url)

    def run(self, script: str, *arguments: object) -> Any:
        """What a script returns."""
        return self.driver.execute_script(script, *arguments)

    def text(self, selector: str) -> str:
        """What somebody sees there; empty if there is nothing."""
        seen: str = self.run(SEEN, selector)
        return seen.replace("\xa0", " ")  # between figures and their units

    def label(self, selector: str) -> str:
        """What a screen reader says instead of a picture."""
        said: str = self.run("return document.querySelector(arguments[0]).ariaLabel", selector)
        return said.replace("\xa0", " ")

    def until(self, look: Callable[[], Found], seconds: float = 20.0) -> Found:
        """Wait until something is true of the page, and return it; what is not there yet is waited for."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if found := look():
                    return found
            except (NoSuchElementException, StaleElementReferenceException):
                pass
            if time.monotonic() > deadline:
                seen = self.driver.find_element("tag name", "body").text
                raise AssertionError(f"not within {seconds} s; the page shows:\n{seen}")
            time.sleep(0.05)

    def find(self, selector: str, seconds: float = 20.0) -> WebElement:
        """The first element that a selector finds, once there is one."""
        return self.until(lambda: self.driver.find_element("css selector", selector), seconds)

    def find_all(self, selector: str) -> list[WebElement]:
        """All that a selector finds now."""
        found: list[WebElement] = self.driver.find_elements("css selector", selector)
        return found

    def press(self, selector: str) -> None:
        """Click by script, once it is there: what was just scrolled is not where the pointer would be."""
        self.driver.execute_script("arguments[0].click()", self.find(selector))

    def until_shown(self, selector: str, words: str, seconds: float = 20.0) -> None:
        """Wait until some words are to be seen."""
        self.until(lambda: words in self.text(selector), seconds)

    def forget(self) -> None:
        """Forget what the page keeps in the browser."""
        self.run("localStorage.clear(); sessionStorage.clear()")

    def type(self, selector: str, text: str) -> None:
        """Type into a field, in place of what stands there."""
        field = self.driver.find_element("css selector", selector)
        field.clear()
        field.send_keys(text)

    def click(self, selector: str) -> None:
        """Press what is there."""
        self.driver.find_element("css selector", selector).click()

    def overflow(self) -> int:
        """By how many pixels the page is wider than its window."""
        pixels: int = self.run("const d = document.documentElement; return d.scrollWidth - d.clientWidth")
        return pixels

    def inaccessible(self) -> list[str]:
        """What axe-core finds wrong: the rule, and where."""
        found = Axe().run(self.driver, options={"runOnly": {"type": "tag", "values": list(RULES)}})
        return [
            f"{violation['id']}: {node['target']} {node['failureSummary']}"
            for violation in found["violations"]
            for node in violation["nodes"]
        ]

    def walk(self) -> tuple[list[list[Any]], list[str]]:
        """Tab through the page once: what had the focus (its name, its outline, whether it has a size), and what can
        be operated but was not reached."""
        visited: dict[str, list[Any]] = {}
        expected: int = self.run(EXPECT)
        for _ in range(2 * expected):
            self.driver.switch_to.active_element.send_keys(Keys.TAB)
            focused = self.run(FOCUSED)
            if focused is None or focused[0] in visited:
                break
            visited[focused[0]] = focused[1:]
        return list(visited.values()), self.run(MISSED)

    def complaints(self) -> list[str]:
        """What the console has shown since the last call: errors of scripts, of the policy, of the network."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def hosts(self) -> set[str]:
        """The hosts that were asked for anything since the last call."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        urls = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
        return {urlsplit(url).netloc for url in urls if not url.startswith("data:")}

    def screenshot(self, file: Path) -> None:
        """Write what is in the window to a PNG file."""
        self.driver.save_screenshot(str(file))


@functools.cache
def shared_browser() -> Browser:
    """One browser for all tests of a run: starting it costs as much as a test."""
    browser = Browser()
    atexit.register(browser.close)
    return browser


class Program:
    """A module that runs in a process of its own and prints its URL first."""

    def __init__(self, *words: str) -> None:
        command: Sequence[str] = [sys.executable, "-m", *words]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()

    def stop(self) -> None:
        """End it, if it has not ended."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()
