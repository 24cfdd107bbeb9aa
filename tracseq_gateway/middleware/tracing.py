"""The first thing that a request meets when traces are on: it gets its place in one."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from tracseq_gateway.config.tracing import Tracing
from tracseq_gateway.http.origin import is_trusted, parse_address
from tracseq_gateway.http.trace_context import Tracer
from tracseq_gateway.interfaces import Request

_MOST_KNOWN = 4096
"""Addresses that are remembered with the verdict on them."""


def tracer(settings: Tracing) -> Callable[[Request], None]:
    """Return what sets each request's ``trace``, and tells the service of it in place of what the client said."""
    networks = settings.trusted_parents

    @lru_cache(_MOST_KNOWN)
    def may_decide(peer: str) -> bool:
        address = parse_address(peer)
        return address is not None and is_trusted(address, networks)

    traces = Tracer(settings.ratio, may_decide if networks else None)

    def begin(request: Request) -> None:
        fields = request.head.fields
        if fields.trace or fields.request_id is not None:
            request.trace, lines = traces.place(fields.trace, request.peer if networks else "")
        else:
            # The request's id is ours and as random as a trace's has to be: one id less to make, and to look for.
            request.trace, lines = traces.begin(request.request_id)
        request.forwarded += lines

    return begin
