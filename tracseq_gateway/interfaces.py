"""What rooms tell each other: the values that cross a room's door.

Rooms on one floor do not import each other; they meet here.
"""

from __future__ import annotations

from typing import Literal

from attrs import frozen

State = Literal["unknown", "healthy", "unhealthy"]


@frozen
class InstanceHealth:
    """What the supervisor's probes say of one instance."""

    service: str
    url: str
    """As configured, for example ``http://127.0.0.1:8081``."""
    state: State = "unknown"
    since: float = 0.0
    """When ``state`` was entered, seconds since the epoch; 0 while nothing is known."""
    checked: float = 0.0
    """When the last probe ended, seconds since the epoch; 0 before the first."""
    latency: float | None = None
    """Seconds that the last successful probe took."""
    error: str | None = None
    """Why the last probe failed, in a few words; None after a success."""


@frozen
class WorkerHealth:
    """What the supervisor says of its workers."""

    configured: int
    running: int
    restarts: int = 0
