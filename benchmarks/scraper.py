"""Reads a gateway's metrics again and again, as Prometheus does: ``python -m benchmarks.scraper PORT SECONDS``.

A process of its own, so that it does not disturb the load that is measured meanwhile. Prints the pages as JSON.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import asdict, frozen

from benchmarks.errors import BenchmarkError
from benchmarks.processes import pinned

PAUSE = 1.6
"""Seconds from one page to the next: the gateway gives the same page for 1.5 s. Prometheus asks every 15 s."""
ACCEPT = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"


@frozen
class Scrape:
    """One page."""

    seconds: float
    """From the request to the last byte."""
    size: int
    samples: int


def scrape(port: int) -> Scrape:
    """Read the page once."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        began = time.monotonic()
        connection.request("GET", "/metrics", headers={"Accept": ACCEPT})
        answer = connection.getresponse()
        body = answer.read()
        seconds = time.monotonic() - began
        if answer.status != 200:
            raise BenchmarkError(f"/metrics was answered with {answer.status}")
        return Scrape(seconds, len(body), sum(not line.startswith(b"#") for line in body.splitlines()))
    finally:
        connection.close()


@contextmanager
def scraping(port: int, core: int, seconds: float) -> Iterator[list[Scrape]]:
    """Have the page read for so long; the list is filled at the end of the block, which waits for it."""
    pages: list[Scrape] = []
    with pinned(core):
        command = [sys.executable, "-m", "benchmarks.scraper", str(port), str(seconds)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        yield pages
        output, _ = process.communicate(timeout=seconds + 20)
        if process.returncode:
            raise BenchmarkError("the metrics could not be read")
        pages += [Scrape(**page) for page in json.loads(output)]
    finally:
        process.kill()
        process.wait()


def main(port: int, seconds: float) -> None:
    """Read the page until the time is over, and print how that went."""
    end = time.monotonic() + seconds
    pages = []
    while time.monotonic() < end:
        pages.append(scrape(port))
        time.sleep(PAUSE)
    print(json.dumps([asdict(page) for page in pages]))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
