"""The page that Prometheus reads."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from attrs import frozen

from tracseq_gateway.metrics.shared import reading

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

OPENMETRICS: Final = "application/openmetrics-text"


@frozen
class Page:
    """One answer to a scrape."""

    content_type: str
    body: bytes


def render(directory: str, accept: str = "") -> Page:
    """Add up what all workers, living and dead, have written to their shared directory.

    This reads files and takes milliseconds: call it in a thread, never two at once. ``accept`` is the Accept field of
    the request: who names OpenMetrics gets it, everybody else the text format 0.0.4.
    """
    from prometheus_client import CollectorRegistry

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_SharedValues(directory))
    return encode(registry, accept)


def encode(registry: CollectorRegistry, accept: str = "") -> Page:
    """Write down what is in a registry."""
    from prometheus_client import exposition
    from prometheus_client.openmetrics import exposition as openmetrics

    # prometheus-client's own choice fails on a version that is no number, and repeats what it was sent.
    if any(part.partition(";")[0].strip().lower() == OPENMETRICS for part in accept.split(",")):
        return Page(openmetrics.CONTENT_TYPE_LATEST, openmetrics.generate_latest(registry))
    return Page(exposition.CONTENT_TYPE_PLAIN_0_0_4, exposition.generate_latest(registry))


class _SharedValues:
    """Collects from the files of a directory.

    Unlike prometheus-client's own collector it takes no offence at an empty file: a worker that has just made it, or
    was killed then, must not spoil the page.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def collect(self) -> Iterable[Metric]:
        from prometheus_client.multiprocess import MultiProcessCollector

        with reading(self._directory), os.scandir(self._directory) as entries:
            files = [entry.path for entry in entries if entry.name.endswith(".db") and _holds(entry)]
            found: Iterable[Metric] = MultiProcessCollector.merge(sorted(files))
        return found


def _holds(file: os.DirEntry[str]) -> bool:
    try:
        return file.stat().st_size > 0
    except FileNotFoundError:  # a live gauge of a worker that has just died
        return False
