"""What stands on the page beside the families of prometheus-client's files: instances, exemplars, processes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

from tracseq_gateway.metrics.counting import REQUEST_BUCKETS, Exemplar
from tracseq_gateway.metrics.sheet import InstanceFigures, Place

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

DURATIONS: Final = "gateway_request_duration_seconds"

SUPERVISOR: Final = "supervisor"
"""The worker label of the process that keeps the workers."""


def instance_families(instances: Mapping[Place, InstanceFigures]) -> list[Metric]:
    """The metrics of single instances. One that is gone is not among them.

    The label is ``url``, not ``instance``: that is Prometheus's own name for who was scraped.
    """
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

    labels = ["service", "url"]
    healthy = GaugeMetricFamily(
        "gateway_instance_healthy", "1 if the probes find an instance healthy, 0 if not.", labels=labels
    )
    ejected = GaugeMetricFamily(
        "gateway_instance_ejected", "1 while an instance gets no requests because it failed them.", labels=labels
    )
    drained = GaugeMetricFamily(
        "gateway_instance_drained", "1 while an instance gets no requests because an operator said so.", labels=labels
    )
    in_flight = GaugeMetricFamily(
        "gateway_instance_requests_in_flight", "Requests that an instance is at work on.", labels=labels
    )
    requests = CounterMetricFamily(
        "gateway_instance_requests_total", "How often an instance was asked, each attempt counted.", labels=labels
    )
    failures = CounterMetricFamily(
        "gateway_instance_failures_total", "Attempts that were held against an instance.", labels=labels
    )
    for place, figures in instances.items():
        if figures.healthy is not None:
            healthy.add_metric(place, figures.healthy)
        ejected.add_metric(place, figures.ejected)
        drained.add_metric(place, figures.drained)
        in_flight.add_metric(place, figures.in_flight)
        requests.add_metric(place, figures.requests)
        failures.add_metric(place, figures.failed)
    return [healthy, ejected, drained, in_flight, requests, failures]


def process_families(restarts: int, processes: Mapping[str, int]) -> list[Metric]:
    """The metrics of the gateway's processes, by ``worker``: its number, or :data:`SUPERVISOR`. Blocks for moments.

    :param restarts: how often a worker was replaced.
    :param processes: process ids by that label.
    """
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
    from prometheus_client.process_collector import ProcessCollector

    families: dict[str, Metric] = {}
    for family in _PROCESS_FAMILIES:
        make = CounterMetricFamily if family.endswith("_total") else GaugeMetricFamily
        families[family] = make(family, _PROCESS_FAMILIES[family], labels=["worker"])
    for worker, pid in processes.items():
        # What the kernel does not tell, say because the process has just gone, is left out.
        for found in ProcessCollector(registry=None, pid=partial(int, pid)).collect():
            for sample in found.samples:
                if sample.name in families:
                    families[sample.name].add_sample(sample.name, {"worker": worker}, sample.value)
    restarted = CounterMetricFamily(
        "gateway_worker_restarts_total", "Workers that were replaced because they died, hung or left.", value=restarts
    )
    return [restarted, *families.values()]


_PROCESS_FAMILIES: Final = {
    "process_cpu_seconds_total": "Seconds of CPU that a process has used, in user and system mode.",
    "process_resident_memory_bytes": "Memory that a process has in use.",
    "process_open_fds": "Files and sockets that a process has open.",
    "process_max_fds": "How many it may have open.",
    "process_start_time_seconds": "When a process was started, in seconds since the epoch.",
}


def with_exemplars(metrics: Iterable[Metric], exemplars: Mapping[tuple[str, int], Exemplar]) -> Iterator[Metric]:
    """The same metrics; the buckets of requests' durations have an example each, where there is one."""
    from prometheus_client import samples

    for metric in metrics:
        if metric.name == DURATIONS and exemplars:
            metric.samples = [
                sample
                if (found := exemplars.get(_bucket_of(sample.labels))) is None
                else sample._replace(
                    exemplar=samples.Exemplar({"trace_id": found.trace_id}, found.seconds, found.ended)
                )
                for sample in metric.samples
            ]
        yield metric


def _bucket_of(labels: Mapping[str, str]) -> tuple[str, int]:
    """The key of a bucket's exemplar; of what is no bucket, none that there is."""
    return labels["service"], bisect_left(REQUEST_BUCKETS, float(labels["le"])) if "le" in labels else -1
