"""A headless Chromium, driven by selenium, that notes what a page complains of and whom it asks."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    # Nothing of its own over the network:
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

MISSING = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
"""What is not installed; deploy/debian-packages.txt names the packages."""

Found = TypeVar("Found")


class Browser:
    """One browser with one window; everything ends with :meth:`stop`."""

    def __init__(self, width: int = 1280, height: int = 1000, *, scripts: bool = True) -> None:
        """``scripts``: whether pages may run JavaScript."""
        self._directory = Path(tempfile.mkdtemp(prefix="browser-"))
        options = webdriver.ChromeOptions()
        options.binary_location = _program("chromium")
        for option in (*OPTIONS, f"--window-size={width},{height}", f"--user-data-dir={self._directory / 'profile'}"):
            options.add_argument(option)
        if not scripts:
            options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(_program("chromedriver")))
        self._asked: list[str] = []

    def open(self, url: str) -> None:
        """Load a page."""
        self.driver.get(url)

    def find(self, selector: str, seconds: float = 10.0) -> WebElement:
        """The first element that a CSS selector finds, once there is one."""
        return self.until(lambda: self.driver.find_element(By.CSS_SELECTOR, selector), seconds)

    def find_all(self, selector: str) -> list[WebElement]:
        """All that a CSS selector finds now."""
        found: list[WebElement] = self.driver.find_elements(By.CSS_SELECTOR, selector)
        return found

    def click(self, selector: str) -> None:
        """Click what a CSS selector finds, once it is there."""

        def click() -> bool:
            # By script: what was just scrolled or animated is not where the pointer would be.
            self.driver.execute_script("arguments[0].click()", self.driver.find_element(By.CSS_SELECTOR, selector))
            return True

        self.until(click)

    def text(self, selector: str = "body") -> str:
        """The text that can be seen of the first element that a CSS selector finds."""
        return str(self.find(selector).text)

    def until(self, look: Callable[[], Found], seconds: float = 10.0) -> Found:
        """What ``look`` returns, as soon as that is true; an element that is not there yet is waited for."""
        end = time.monotonic() + seconds
        while True:
            try:
                found = look()
                if found:
                    return found
            except (NoSuchElementException, StaleElementReferenceException):
                pass
            if time.monotonic() > end:
                raise AssertionError(f"not within {seconds} s; the page says:\n{self._seen()[:3000]}")
            time.sleep(0.05)

    def _seen(self) -> str:
        return str(self.driver.find_element(By.TAG_NAME, "body").text)

    def complaints(self) -> list[str]:
        """What pages have written to the console, and what the browser had to say of them, since the last call."""
        entries: list[dict[str, Any]] = self.driver.get_log("browser")
        return [f"{entry['level']}: {entry['message']}" for entry in entries]

    def hosts(self) -> set[str]:
        """Hosts and ports that have been asked over the network."""
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self._asked.append(message["params"]["request"]["url"])
        return {parts.netloc for parts in map(urlsplit, self._asked) if parts.scheme in ("http", "https", "ws", "wss")}

    def screenshot(self, path: str | Path) -> None:
        """Write down what the window shows, as PNG."""
        if not self.driver.save_screenshot(str(path)):
            raise AssertionError(f"no screenshot at {path}")

    def stop(self) -> None:
        """End the browser."""
        self.driver.quit()
        shutil.rmtree(self._directory, ignore_errors=True)


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise AssertionError(f"there is no {name}: deploy/debian-packages.txt names what the tests need")
    return found
