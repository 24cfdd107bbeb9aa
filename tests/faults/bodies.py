"""The bodies that clients and services send: made of the request's id, so that a foreign one is recognised."""

from __future__ import annotations


def body_of(request_id: str, size: int) -> bytes:
    """``size`` bytes that belong to this request."""
    unit = f"{request_id}|".encode()
    return (unit * (size // len(unit) + 1))[:size]
