"""The page that Prometheus reads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final

from attrs import frozen

from tracseq_gateway.metrics import sheet
from tracseq_gateway.metrics.further import instance_families, with_exemplars
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


def render(directory: str, accept: str = "", further: Callable[[], Iterable[Metric]] = tuple) -> Page:
    """Add up what all workers, living and dead, have written to their shared directory; ``further`` gives more metrics.

    This reads files and takes milliseconds: call it in a thread. ``accept`` is the Accept field of the request: who
    names OpenMetrics gets it, everybody else the text format 0.0.4. Raises OSError.
    """
    from prometheus_client.multiprocess import MultiProcessCollector

    with reading(directory):
        together = sheet.together(sheet.read_living(directory), sheet.read(directory, sheet.DEAD))
        # Unlike prometheus-client's own collector we take no offence at an empty file: a worker that has just made it,
        # or was killed then, must not spoil the page.
        with os.scandir(directory) as entries:
            files = [entry.path for entry in entries if entry.name.endswith(".db") and _holds(entry)]
        merged: Iterable[Metric] = MultiProcessCollector.merge(sorted(files))
    return written([*merged, *further()], together, accept)


def written(metrics: Iterable[Metric], figures: Sheet, accept: str = "") -> Page:
    """Write metrics down, and what a sheet has to say beside them."""
    from prometheus_client import exposition
    from prometheus_client.openmetrics import exposition as openmetrics

    metrics = [metric for metric in (*metrics, *instance_families(figures.instances)) if metric.samples]
    # prometheus-client's own choice fails on a version that is no number, and repeats what it was sent.
    if any(part.partition(";")[0].strip().lower() == OPENMETRICS for part in accept.split(",")):
        collected = _Collected(with_exemplars(metrics, figures.exemplars))
        return Page(openmetrics.CONTENT_TYPE_LATEST, openmetrics.generate_latest(collected))
    return Page(exposition.CONTENT_TYPE_PLAIN_0_0_4, exposition.generate_latest(_Collected(metrics)))


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
