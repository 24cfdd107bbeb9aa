"""What the supervisor itself knows of the gateway at one moment; the workers' digests add the rest."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from tracseq_gateway.interfaces import InstanceHealth


@frozen
class ServiceFacts:
    """One service, by the configuration and by its probes."""

    name: str
    prefix: str
    instances: Sequence[InstanceHealth]


@frozen
class WorkerFacts:
    """One living worker process."""

    index: int
    pid: int
    state: str
    since: float
    """When it entered this state, in seconds since the epoch."""


@frozen
class Facts:
    """The gateway at one moment."""

    time: float
    """Seconds since the epoch."""
    moment: float
    """Seconds of a clock that never goes back."""
    version: str
    environment: str
    started: float
    """Seconds since the epoch."""
    stopping: bool
    configured: int
    """How many workers there should be."""
    running: int
    """How many serve."""
    restarts: int
    services: Sequence[ServiceFacts]
    workers: Sequence[WorkerFacts]
    counted: bool = True
    """Whether the workers count requests for the overview."""
