"""Rows on what it meets: saturation, services and instances, breakers."""

from __future__ import annotations

from typing import Final

from deploy.grafana.pictures import (
    GATEWAY,
    INSTANCE,
    SERVICE,
    TROUBLE,
    UP_DOWN,
    Panel,
    Query,
    Row,
    gauge,
    rate,
)

SATURATION: Final = Row(
    "Saturation",
    [
        Panel(
            "Requests in flight, connections of clients",
            "short",
            [
                Query(gauge("gateway_requests_in_flight", GATEWAY, "instance"), "{{instance}} requests"),
                Query(gauge("gateway_client_connections", GATEWAY, "instance"), "{{instance}} connections"),
            ],
        ),
        Panel(
            "Requests that wait for a connection",
            "short",
            [Query(gauge("gateway_upstream_waiting"))],
            help="All connections that the gateway may have to the service are busy.",
        ),
        Panel(
            "Connections to services",
            "short",
            [Query(gauge("gateway_upstream_connections", by="service, state"), "{{service}} {{state}}")],
            stacked=True,
        ),
        Panel(
            "CPU",
            "percentunit",
            [
                Query(
                    rate("process_cpu_seconds_total", f'{GATEWAY}, worker!=""', "instance, worker"),
                    "{{instance}} {{worker}}",
                )
            ],
            help="A worker has one core at most.",
            limits=[(0.8, "orange"), (0.95, "red")],
        ),
        Panel(
            "Memory",
            "bytes",
            [
                Query(
                    gauge("process_resident_memory_bytes", f'{GATEWAY}, worker!=""', "instance, worker"),
                    "{{instance}} {{worker}}",
                )
            ],
        ),
        Panel(
            "Lag of the latest reactor",
            "s",
            [Query(gauge("gateway_reactor_lag_seconds", GATEWAY, "instance", "max"), "{{instance}}")],
            help="Every request waits so long several times.",
            limits=[(0.05, "orange"), (0.1, "red")],
        ),
    ],
)

INSTANCES: Final = Row(
    "Services and instances",
    [
        Panel(
            "Services that are up",
            "short",
            [
                Query(
                    f'max by (service) (service_health_status{{{SERVICE}, status="healthy"}})'
                    f' + 2 * max by (service) (service_health_status{{{SERVICE}, status="degraded"}})'
                    f' + 3 * max by (service) (service_health_status{{{SERVICE}, status="unhealthy"}})'
                )
            ],
            "state-timeline",
            width=12,
            words={
                "0": ("unknown", "text"),
                "1": ("healthy", "green"),
                "2": ("degraded", "orange"),
                "3": ("unhealthy", "red"),
            },
        ),
        Panel(
            "Instances that pass their probes",
            "short",
            [Query(gauge("gateway_instance_healthy", INSTANCE, "service, url", "min"), "{{service}} {{url}}")],
            "state-timeline",
            width=12,
            words=UP_DOWN,
        ),
        Panel(
            "Asked",
            "reqps",
            [Query(rate("gateway_instance_requests_total", INSTANCE, "service, url"), "{{service}} {{url}}")],
        ),
        Panel(
            "Failed",
            "reqps",
            [Query(rate("gateway_instance_failures_total", INSTANCE, "service, url"), "{{service}} {{url}}")],
            help="Attempts that were held against the instance.",
        ),
        Panel(
            "At work on",
            "short",
            [Query(gauge("gateway_instance_requests_in_flight", INSTANCE, "service, url"), "{{service}} {{url}}")],
        ),
    ],
)

BREAKERS: Final = Row(
    "Breakers and retries",
    [
        Panel(
            "Circuits that are open",
            "short",
            [Query(gauge("gateway_circuit_open", how="max"))],
            "state-timeline",
            "All instances failed, so requests are refused without being sent, but for a trial.",
            words=TROUBLE,
        ),
        Panel(
            "Instances that are ejected or drained",
            "short",
            [
                Query(gauge("gateway_instance_ejected", INSTANCE, "service, url", "max"), "{{service}} {{url}}"),
                Query(
                    gauge("gateway_instance_drained", INSTANCE, "service, url", "max"), "{{service}} {{url}}, drained"
                ),
            ],
            "state-timeline",
            "Ejected: they pass their probes, and failed the requests that they got. Drained: an operator said so.",
            words=TROUBLE,
        ),
        Panel(
            "Retries, ejections, openings",
            "cps",
            [Query(rate("gateway_service_events_total", by="service, event"), "{{service}} {{event}}")],
        ),
        Panel(
            "Connections that could not be opened",
            "cps",
            [
                Query(
                    rate("gateway_upstream_connect_errors_total", by="service, error_type"),
                    "{{service}} {{error_type}}",
                )
            ],
            width=24,
        ),
    ],
)
