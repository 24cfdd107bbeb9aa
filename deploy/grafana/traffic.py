"""Rows on what clients notice: traffic, errors, latency."""

from __future__ import annotations

from typing import Final

from deploy.grafana.pictures import (
    DURATIONS,
    EVERY,
    FAILED,
    GATEWAY,
    REQUESTS,
    RESPONSES,
    SERVED,
    SERVICE,
    Panel,
    Query,
    Row,
    gauge,
    quantile,
    rate,
)

GLANCE: Final = Row(
    "At a glance",
    [
        Panel(
            "Requests",
            "reqps",
            [Query(f"sum(rate({REQUESTS}{{{GATEWAY}}}{EVERY}))", "")],
            "stat",
            width=4,
        ),
        Panel(
            "Failed",
            "percentunit",
            [
                Query(
                    f"(sum(rate({REQUESTS}{{{GATEWAY}, {FAILED}}}{EVERY})) or vector(0))"
                    f" / sum(rate({REQUESTS}{{{GATEWAY}}}{EVERY}))",
                    "",
                )
            ],
            "stat",
            "Answered with 5xx, by a service or by the gateway.",
            width=4,
            limits=[(0.001, "orange"), (0.01, "red")],
        ),
        Panel(
            "99 of 100 requests take less than",
            "s",
            [Query(quantile(0.99, DURATIONS, SERVED, ""), "")],
            "stat",
            width=4,
            limits=[(1.0, "orange"), (5.0, "red")],
        ),
        Panel(
            "In flight",
            "short",
            [Query(gauge("gateway_requests_in_flight", GATEWAY, ""), "")],
            "stat",
            width=4,
        ),
        Panel(
            "Services that are down",
            "short",
            [
                Query(
                    f'count(max by (service) (service_health_status{{{GATEWAY}, status="unhealthy"}}) == 1)'
                    " or vector(0)",
                    "",
                )
            ],
            "stat",
            width=4,
            limits=[(1, "red")],
        ),
        Panel(
            "Workers that do not serve",
            "short",
            [
                Query(
                    f'sum(gateway_workers{{{GATEWAY}, state="configured"}})'
                    f' - sum(gateway_workers{{{GATEWAY}, state="running"}})',
                    "",
                )
            ],
            "stat",
            width=4,
            limits=[(1, "red")],
        ),
    ],
)

TRAFFIC: Final = Row(
    "Traffic",
    [
        Panel("Requests by service", "reqps", [Query(rate(REQUESTS))], stacked=True),
        Panel("Requests by status", "reqps", [Query(rate(REQUESTS, by="status"), "{{status}}")], stacked=True),
        Panel("Requests by method", "reqps", [Query(rate(REQUESTS, by="method"), "{{method}}")], stacked=True),
        Panel("Bytes from clients", "Bps", [Query(rate("gateway_received_bytes_total"))], stacked=True, width=12),
        Panel("Bytes to clients", "Bps", [Query(rate("gateway_sent_bytes_total"))], stacked=True, width=12),
    ],
)

ERRORS: Final = Row(
    "Errors",
    [
        Panel(
            "Share that failed",
            "percentunit",
            [Query(f"{rate(REQUESTS, f'{SERVICE}, {FAILED}')} / {rate(REQUESTS)}")],
            help="Answered with 5xx, by a service or by the gateway.",
        ),
        Panel(
            "Refused or broken off by the gateway",
            "reqps",
            [Query(rate("gateway_errors_total", by="service, error_type"), "{{service}} {{error_type}}")],
            stacked=True,
        ),
        Panel(
            "Error budget burnt, in budgets a month",
            "short",
            [
                Query('service:gateway_requests_failed:ratio_rate1h{service=~"$service"} / 0.001', "{{service}}, 1 h"),
                Query('service:gateway_requests_failed:ratio_rate6h{service=~"$service"} / 0.001', "{{service}}, 6 h"),
            ],
            help="The budget is 0.1 % of all requests. At 1 it is just spent at the end of the month; the alerts are "
            "at 14.4 (1 h), 6 (6 h), 3 (1 d) and 1 (3 d).",
        ),
    ],
)

LATENCY: Final = Row(
    "Latency",
    [
        Panel(
            "Requests, head to end",
            "s",
            [
                Query(quantile(0.5, DURATIONS), "{{service}} p50"),
                Query(quantile(0.95, DURATIONS), "{{service}} p95"),
                Query(quantile(0.99, DURATIONS), "{{service}} p99"),
            ],
            help="From the end of a request's head to the end of its answer, with what the client's line takes. The "
            "dots are sampled requests: each has its trace id.",
            exemplars=True,
        ),
        Panel(
            "Services, to the first byte (p99)",
            "s",
            [Query(quantile(0.99, RESPONSES))],
            help="From a request passed on to the head of the service's answer.",
        ),
        Panel(
            "How long requests take",
            "s",
            [Query(f"sum by (le) (increase({DURATIONS}_bucket{{{SERVICE}}}{EVERY}))", "{{le}}")],
            "heatmap",
        ),
        Panel(
            "Beside the service (mean)",
            "s",
            [Query(f"({rate(f'{DURATIONS}_sum')} - {rate(f'{RESPONSES}_sum')}) / {rate(f'{DURATIONS}_count')}")],
            help="What is not waiting for the head of a service's answer: the gateway, and bodies on both lines.",
            width=12,
        ),
        Panel(
            "New connections to services (p99)",
            "s",
            [Query(quantile(0.99, "gateway_upstream_connect_seconds"))],
            help="Requests that find a connection open are not in it.",
            width=12,
        ),
    ],
)
