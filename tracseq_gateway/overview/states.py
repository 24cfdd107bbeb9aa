"""How a service is, and the whole gateway, by how their parts are."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Literal

from tracseq_gateway.interfaces import InstanceHealth

ServiceState = Literal["healthy", "degraded", "unhealthy", "unknown"]
"""``degraded``: some of its instances cannot be used, or its circuit is being tried. ``unhealthy``: none can, or its
circuit is open."""
Circuit = Literal["closed", "open", "half_open"]


def service_state(
    instances: Iterable[InstanceHealth], ejected: Collection[str] = (), circuit: Circuit = "closed"
) -> ServiceState:
    """How a service is by its probes, by the URLs of the instances that are ejected, and by its circuit.

    An instance that was drained on purpose counts neither way, unless all were. That all are ejected is only degraded:
    then nobody heeds the ejections.
    """
    every = list(instances)
    candidates = [instance for instance in every if not instance.drained]
    probed = {instance.state for instance in candidates}
    if circuit == "open" or probed == {"unhealthy"} or (every and not candidates):
        return "unhealthy"
    if circuit == "half_open" or "unhealthy" in probed or any(instance.url in ejected for instance in candidates):
        return "degraded"
    return "healthy" if "healthy" in probed else "unknown"


def overall_state(services: Collection[str], workers: tuple[int, int], limits: str) -> ServiceState:
    """How the gateway is.

    ``services`` are the states of its services, ``workers`` how many serve and how many should, ``limits`` how rates
    are limited: without the Redis that workers share it is degraded.
    """
    running, configured = workers
    if not running or set(services) == {"unhealthy"}:
        return "unhealthy"
    sound = set(services) <= {"healthy", "unknown"} and running == configured and limits in ("shared", "off")
    return "healthy" if sound else "degraded"
