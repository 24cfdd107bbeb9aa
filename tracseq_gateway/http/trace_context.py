"""Which trace a request belongs to (W3C Trace Context)."""

from __future__ import annotations

from attrs import frozen


@frozen
class TraceContext:
    """A request's place in a trace."""

    trace_id: str
    """32 hex digits."""
    span_id: str
    """16 hex digits: the gateway's own span."""
    parent: str
    """16 hex digits: the caller's span; empty when the trace begins here."""
    sampled: bool
    """Whether its spans are kept."""
