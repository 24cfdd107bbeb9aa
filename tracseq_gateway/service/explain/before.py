"""The doors of a service that ask nothing of who calls: hops, load, body; and how many requests there are at once."""

from __future__ import annotations

from tracseq_gateway.http.framing import CHUNKED
from tracseq_gateway.limits.concurrency import ClientConcurrency, ServiceConcurrency
from tracseq_gateway.middleware.limits import patience_for, room_for
from tracseq_gateway.service.explain.front import settled
from tracseq_gateway.service.explain.parts import Parts
from tracseq_gateway.service.explain.report import Step
from tracseq_gateway.service.explain.request import RehearsedRequest
from tracseq_gateway.service.way import Place, Way

OFFLINE = "no gateway was asked"


def hops(parts: Parts, request: RehearsedRequest, way: Way) -> Step:
    """Whether the request runs in a circle, or may go no further."""
    if _stopped(parts, request, way, "hops"):
        if request.error is None:
            return Step("hops", "answered", "Max-Forwards says that it goes no further")
        return Step("hops", "refused", request.error.detail)
    return Step("hops", "ok", "it does not run in a circle")


def load(parts: Parts, request: RehearsedRequest, way: Way) -> Step:
    """Whether the worker can take on one more."""
    gateway, lines = parts.config.gateway, []
    if gateway.max_concurrent_requests:
        room = room_for(gateway.max_concurrent_requests, way.priority)
        lines.append(f"requests at once, with this one: {parts.site.busy + 1} of {room} for {way.priority} priority")
    if gateway.max_lag:
        patience = patience_for(gateway.max_lag, way.priority)
        lines.append(f"the reactor runs {parts.lag.lag:.3f} s late, up to {patience:g} s is borne")
    if not lines:
        return Step("load", "skipped", "the load of a worker has no limit")
    if not parts.live:
        return Step("load", "skipped", f"not known: {OFFLINE}")
    facts: dict[str, object] = {"requests": parts.site.busy + 1, "lag": parts.lag.lag}
    if _stopped(parts, request, way, "load"):
        return Step("load", "refused", _why(request), lines, facts)
    return Step("load", "ok", "the worker has room", lines, facts)


def body(parts: Parts, request: RehearsedRequest, way: Way) -> Step:
    """Whether size and type of the body are as they should be."""
    length = request.head.fields.length
    kind = request.head.get(b"content-type")
    size = "a body of unknown length" if length == CHUNKED else f"a body of {length} bytes" if length else "no body"
    stopped = _stopped(parts, request, way, "body")
    lines = [f"Content-Type: {kind.decode('ascii', 'replace')}"] if kind is not None and length else []
    if length:
        lines.append(f"at most {request.max_body} bytes may come" if request.max_body else "any length may come")
    facts: dict[str, object] = {"length": None if length == CHUNKED else length, "most": request.max_body}
    if stopped:
        return Step("body", "refused", _why(request), lines, facts)
    return Step("body", "ok", size, lines, facts)


def at_once(parts: Parts, request: RehearsedRequest, way: Way) -> Step:
    """Whether service and client have room for one more."""
    links = [door.link for door in way.doors if door.place == "at once"]
    if not links:
        return Step("at once", "skipped", "the service has no limit of requests at once")
    lines = []
    for link in links:
        if isinstance(link, ServiceConcurrency):
            lines.append(f"the service has {link.in_flight} of at most {link.most} requests in this worker")
        elif isinstance(link, ClientConcurrency):
            lines.append(f"the client has {link.in_flight(request)} of at most {link.most} of them")
    if not parts.live:
        return Step("at once", "skipped", f"not known: {OFFLINE}")
    if _stopped(parts, request, way, "at once"):
        return Step("at once", "refused", _why(request), lines)
    return Step("at once", "ok", "there is room for one more", lines)


def _stopped(parts: Parts, request: RehearsedRequest, way: Way, place: Place) -> bool:
    """Let the links of one place look at the request; return whether one of them stopped it.

    It is counted in while they look, as a request is, and out again.
    """
    parts.site.active += 1
    try:
        return any(settled(request, door.link) for door in way.doors if door.place == place)
    finally:
        parts.site.active -= 1
        request.release()


def _why(request: RehearsedRequest) -> str:
    return request.error.detail if request.error is not None else "answered by the gateway"
