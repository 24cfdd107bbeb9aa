"""The page that Prometheus reads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final

from attrs import frozen

from tracseq_gateway.metrics import sheet
from tracseq_gateway.metrics.further import instance_families, with_exemplars
from tracseq_gateway.metrics.merge import merge
from tracseq_gateway.metrics.shared import reading
from tracseq_gateway.metrics.sheet import Sheet

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

OPENMETRICS: Final = "application/openmetrics-text"


@frozen
class Page:
    """One answer to a scrape."""

    content_type: str
    body: bytes


def wants_openmetrics(accept: str) -> bool:
    """Which of the two pages an Accept field asks for: who names OpenMetrics gets it, everybody else text (0.0.4)."""
    # prometheus-client's own choice fails on a version that is no number, and repeats what it was sent.
    return any(part.partition(";")[0].strip().lower() == OPENMETRICS for part in accept.split(","))


def load(path: str, openmetrics: bool) -> Page:
    """Read a page from a file with its body. Raises OSError."""
    with open(path, "rb") as file:
        return Page(_content_type(openmetrics), file.read())


def render(directory: str, openmetrics: bool = False, further: Callable[[], Iterable[Metric]] = tuple) -> Page:
    """Add up what all workers, living and dead, have written to their shared directory; ``further`` gives more metrics.

    This reads files and takes milliseconds: call it in a thread. Raises OSError.
    """
    with reading(directory):
        together = sheet.together(sheet.read_living(directory), sheet.read(directory, sheet.DEAD))
        # Unlike prometheus-client's own collector we take no offence at an empty file: a worker that has just made it,
        # or was killed then, must not spoil the page.
        with os.scandir(directory) as entries:
            files = [entry.path for entry in entries if entry.name.endswith(".db") and _holds(entry)]
        merged = merge(sorted(files))
    return written([*merged, *further()], together, openmetrics)


def written(metrics: Iterable[Metric], figures: Sheet, openmetrics: bool = False) -> Page:
    """Write metrics down, and what a sheet has to say beside them. A family without a value is left out."""
    from prometheus_client import exposition
    from prometheus_client.openmetrics import exposition as openmetrics_exposition

    metrics = [metric for metric in (*metrics, *instance_families(figures.instances)) if metric.samples]
    if openmetrics:
        collected = _Collected(with_exemplars(metrics, figures.exemplars))
        # No name of ours needs to be escaped; to see that letter by letter would be half of the work.
        body = openmetrics_exposition.generate_latest(collected, escaping=openmetrics_exposition.ALLOWUTF8)
    else:
        body = exposition.generate_latest(_Collected(metrics))
    return Page(_content_type(openmetrics), body)


def _content_type(openmetrics: bool) -> str:
    from prometheus_client import exposition
    from prometheus_client.openmetrics import exposition as openmetrics_exposition

    return openmetrics_exposition.CONTENT_TYPE_LATEST if openmetrics else exposition.CONTENT_TYPE_PLAIN_0_0_4


class _Collected:
    """What an encoder needs of a registry."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        return iter(self._metrics)


def _holds(file: os.DirEntry[str]) -> bool:
    try:
        return file.stat().st_size > 0
    except FileNotFoundError:  # a live gauge of a worker that has just died
        return False
