"""What the board is made of: queries, panels and rows, and how the queries are put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from attrs import field, frozen

Kind = Literal["timeseries", "stat", "state-timeline", "heatmap", "table"]


@frozen
class Query:
    """An expression of PromQL, and what its series are called."""

    expression: str
    legend: str = "{{service}}"


@frozen
class Panel:
    """One picture."""

    title: str
    unit: str
    queries: Sequence[Query]
    kind: Kind = "timeseries"
    help: str = ""
    width: int = 8
    stacked: bool = False
    limits: Sequence[tuple[float, str]] = ()
    """Values from which on a colour holds, beside green."""
    words: Mapping[str, tuple[str, str]] = field(factory=dict)
    """What a value is called, and its colour."""
    exemplars: bool = False


@frozen
class Row:
    """Panels under one title."""

    title: str
    panels: Sequence[Panel]


GATEWAY: Final = 'instance=~"$gateway"'
SERVICE: Final = f'{GATEWAY}, service=~"$service"'
INSTANCE: Final = f'{SERVICE}, url=~"$url"'
EVERY: Final = "[$__rate_interval]"
"""As Grafana reckons it from the width of the picture."""


def rate(metric: str, labels: str = SERVICE, by: str = "service") -> str:
    """How much a counter grows a second, added up ``by`` some labels."""
    return f"sum by ({by}) (rate({metric}{{{labels}}}{EVERY}))"


def quantile(share: float, histogram: str, labels: str = SERVICE, by: str = "service") -> str:
    """The value below which a ``share`` of what a histogram has seen lies."""
    labels_kept = f"{by}, le" if by else "le"
    return f"histogram_quantile({share}, {rate(f'{histogram}_bucket', labels, labels_kept)})"


def gauge(metric: str, labels: str = SERVICE, by: str = "service", how: str = "sum") -> str:
    """What a gauge says now."""
    return f"{how} by ({by}) ({metric}{{{labels}}})" if by else f"{how}({metric}{{{labels}}})"


FAILED: Final = 'status=~"5.."'
REQUESTS: Final = "gateway_requests_total"
DURATIONS: Final = "gateway_request_duration_seconds"
RESPONSES: Final = "service_response_time_seconds"
SERVED: Final = f'{GATEWAY}, service!~"gateway|none"'
"""Of services only, whichever is chosen: neither own pages nor what had no route."""
UP_DOWN: Final = {"0": ("no", "red"), "1": ("yes", "green")}
TROUBLE: Final = {"0": ("no", "green"), "1": ("yes", "red")}
