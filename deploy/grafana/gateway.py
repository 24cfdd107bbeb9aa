"""Rows on the gateway's own parts: limits and Redis, tokens, workers."""

from __future__ import annotations

from typing import Final

from deploy.grafana.pictures import (
    EVERY,
    GATEWAY,
    REQUESTS,
    SERVICE,
    UP_DOWN,
    Panel,
    Query,
    Row,
    gauge,
    quantile,
    rate,
)

LIMITS: Final = Row(
    "Limits and Redis",
    [
        Panel(
            "Decisions of the limiter",
            "reqps",
            [Query(rate("gateway_limiter_decisions_total", GATEWAY, "outcome"), "{{outcome}}")],
            help="remembered: refused without asking Redis again. local, open, closed: Redis is away.",
            stacked=True,
        ),
        Panel(
            "Refused for their rate, by service",
            "reqps",
            [Query(rate(REQUESTS, f'{SERVICE}, status="429"'))],
            stacked=True,
        ),
        Panel(
            "Redis is reached by all workers",
            "short",
            [Query(gauge("gateway_redis_up", GATEWAY, "instance", "min"), "{{instance}}")],
            "state-timeline",
            words=UP_DOWN,
        ),
        Panel(
            "How long calls of Redis take",
            "s",
            [
                Query(quantile(0.5, "gateway_redis_call_seconds", GATEWAY, ""), "p50"),
                Query(quantile(0.99, "gateway_redis_call_seconds", GATEWAY, ""), "p99"),
            ],
            help="They are given up after 50 ms unless configured otherwise.",
        ),
        Panel(
            "Calls of Redis",
            "cps",
            [Query(rate("gateway_redis_calls_total", GATEWAY, "outcome"), "{{outcome}}")],
            help="One call may carry the checks of many requests.",
        ),
        Panel(
            "What goes wrong with Redis",
            "cps",
            [Query(rate("gateway_redis_errors_total", GATEWAY, "code"), "{{code}}")],
        ),
    ],
)

TOKENS: Final = Row(
    "Tokens",
    [
        Panel(
            "Verdicts on tokens",
            "reqps",
            [Query(rate("gateway_token_verdicts_total", GATEWAY, "outcome"), "{{outcome}}")],
            help="cached: known already. stale, unavailable: the Auth Service is away.",
            stacked=True,
        ),
        Panel(
            "Verdicts that are remembered",
            "short",
            [Query(gauge("gateway_token_cache_entries", GATEWAY, "instance"), "{{instance}}")],
        ),
        Panel(
            "Revocations that are remembered",
            "short",
            [Query(gauge("gateway_revocations", GATEWAY, "instance", "max"), "{{instance}}")],
        ),
    ],
)

WORKERS: Final = Row(
    "Workers",
    [
        Panel(
            "Workers",
            "short",
            [Query(gauge("gateway_workers", GATEWAY, "instance, state"), "{{instance}} {{state}}")],
        ),
        Panel(
            "Workers that were replaced",
            "short",
            [Query(f"sum by (instance) (increase(gateway_worker_restarts_total{{{GATEWAY}}}{EVERY}))", "{{instance}}")],
        ),
        Panel(
            "Open files, of those allowed",
            "percentunit",
            [
                Query(
                    f'max by (instance, worker) (process_open_fds{{{GATEWAY}, worker!=""}}'
                    f' / process_max_fds{{{GATEWAY}, worker!=""}})',
                    "{{instance}} {{worker}}",
                )
            ],
            limits=[(0.8, "orange"), (0.9, "red")],
        ),
        Panel(
            "Lines that the access log lost",
            "cps",
            [Query(rate("gateway_access_log_dropped_total", GATEWAY, "instance"), "{{instance}}")],
        ),
        Panel(
            "How long they run",
            "s",
            [
                Query(
                    f'time() - max by (instance, worker) (process_start_time_seconds{{{GATEWAY}, worker!=""}})',
                    "{{instance}} {{worker}}",
                )
            ],
        ),
        Panel(
            "What runs",
            "short",
            [Query(gauge("gateway_build_info", GATEWAY, "instance, version, python, twisted"), "")],
            "table",
        ),
    ],
)
