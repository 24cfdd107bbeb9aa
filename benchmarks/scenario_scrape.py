"""What a scrape costs: the page of four workers with 50 services of three instances each, and the load beside it."""

from __future__ import annotations

from contextlib import ExitStack

from benchmarks.contest import contest
from benchmarks.http_client import connect, receive
from benchmarks.measure import Say
from benchmarks.paced import Pace, paced
from benchmarks.processes import Cores, pinned
from benchmarks.samples import ScrapeSample, percentile
from benchmarks.scraper import scraping
from benchmarks.settings import Settings

WORKERS, SERVICES = 4, 50
HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
"""Of the instances: the service listens on all of them."""
METHODS = ("GET", "POST", "PUT", "DELETE")
CONNECTIONS = 64
"""So many that each worker has some."""


def ask_everything(port: int) -> None:
    """Have every service asked with every method by every worker, so that all series are there."""
    with ExitStack() as stack:
        connections = [stack.enter_context(connect(port)) for _each in range(CONNECTIONS)]
        for number in range(SERVICES):
            for method in METHODS:
                head = f"{method} /route{number}/x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n"
                for connection in connections:
                    connection.sendall(head.encode())
                for connection in connections:
                    receive(connection)


def measure(settings: Settings, cores: Cores, say: Say) -> list[ScrapeSample]:
    """Take a sample in each round: the same load first alone, then while the page is read again and again.

    Supervisor and workers share one core, which is harder than what they would have in the field.
    """
    pace = Pace(settings.latency_rate, settings.latency_connections, settings.warmup, settings.latency_seconds)
    samples = []
    for number in range(1, settings.scrape_rounds + 1):
        with contest("gateway", cores, workers=WORKERS, routes=SERVICES, hosts=HOSTS, scraped=True) as proxy:
            with pinned(cores.load):
                ask_everything(proxy.port)
            alone = paced(proxy.port, cores.load, pace)
            with scraping(proxy.port, cores.load, pace.warmup + pace.seconds) as pages:
                beside = paced(proxy.port, cores.load, pace)
        sample = ScrapeSample(
            number,
            max(page.samples for page in pages),
            max(page.size for page in pages),
            tuple(page.seconds for page in pages),
            percentile(alone, 0.99),
            percentile(beside, 0.99),
        )
        say(
            f"scrape {number}: {len(pages)} pages of {sample.samples:,} samples, the slowest in "
            f"{max(sample.seconds) * 1e3:.0f} ms; p99 {sample.p99_alone * 1e3:.2f} ms alone, "
            f"{sample.p99_beside * 1e3:.2f} ms beside them"
        )
        samples.append(sample)
    return samples
