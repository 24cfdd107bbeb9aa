"""Adds up what several processes have written to the files of prometheus-client.

Its own merge makes an object of every value of every process before it adds anything; here equal keys are added as they
are read, which takes half the time. Gauges, each with its own rule, are few, and left to it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

ADDED = ("counter", "histogram")
"""The types of metrics whose values are added; a file's name begins with its type."""

Child = tuple[str, str]
"""The series of one histogram that have the same labels but for the bucket's: the family, and these labels."""


def merge(files: Iterable[str]) -> list[Metric]:
    """The metrics that these files have together. Raises OSError."""
    from prometheus_client.mmap_dict import MmapedDict
    from prometheus_client.multiprocess import MultiProcessCollector

    sums: dict[str, dict[str, float]] = {kind: {} for kind in ADDED}
    gauges = []
    for file in files:
        kind = os.path.basename(file).partition("_")[0]
        if kind not in sums:
            gauges.append(file)
            continue
        values = sums[kind]
        for key, value, _, _ in MmapedDict.read_all_values_from_file(file):
            values[key] = values.get(key, 0.0) + value
    return [
        *_counters(sums["counter"]),
        *_histograms(sums["histogram"]),
        *MultiProcessCollector.merge(gauges),
    ]


def _counters(values: Mapping[str, float]) -> Iterable[Metric]:
    from prometheus_client.metrics_core import Metric

    families: dict[str, Metric] = {}
    for key, value in values.items():
        family, name, labels, help_text = json.loads(key)
        if family not in families:
            families[family] = Metric(family, help_text, "counter")
        families[family].add_sample(name, labels, value)
    return families.values()


def _histograms(values: Mapping[str, float]) -> Iterable[Metric]:
    """Buckets stand in the files each for itself; on the page each has those below it in it."""
    from prometheus_client.metrics_core import Metric
    from prometheus_client.utils import floatToGoString

    families: dict[str, Metric] = {}
    sums: dict[Child, tuple[dict[str, str], float]] = {}
    buckets: dict[Child, list[tuple[float, float]]] = {}
    for key, value in values.items():
        family, _, labels, help_text = json.loads(key)
        if family not in families:
            families[family] = Metric(family, help_text, "histogram")
        bound = labels.pop("le", None)
        child = family, repr(labels)  # they stand in the same order in all keys
        if bound is None:
            sums[child] = labels, value
        else:
            buckets.setdefault(child, []).append((float(bound), value))
    for child, (labels, total) in sums.items():
        family = child[0]
        metric, below = families[family], 0.0
        for limit, count in sorted(buckets.get(child, ())):
            below += count
            metric.add_sample(f"{family}_bucket", {**labels, "le": floatToGoString(limit)}, below)
        metric.add_sample(f"{family}_count", labels, below)
        metric.add_sample(f"{family}_sum", labels, total)
    return families.values()
