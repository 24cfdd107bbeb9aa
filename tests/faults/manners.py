"""How an instance of a service behaves."""

from __future__ import annotations

from attrs import frozen


@frozen
class Manners:
    """Well behaved without arguments. Health probes are answered by ``well`` alone, and not counted."""

    status: int = 200
    share: float = 1.0
    """What share of the requests is answered with ``status``; the others get 200."""
    latency: float = 0.0
    """Seconds before each answer."""
    truncate_every: int = 0
    """Every so many answers one ends in the middle of its body, and so does the connection; 0: none."""
    close_within: float = -1.0
    """After each answer the connection is closed, unannounced, at random within so many seconds; -1: it is kept."""
    announce_close: bool = False
    """Each answer says ``Connection: close``, and the connection is closed."""
    stuck: bool = False
    """Requests are read and never answered."""
    read_pause: float = 0.0
    """Seconds between two reads of a body (of up to 64 KiB)."""
    well: bool = True
    """Whether health probes get 200, or 503."""
