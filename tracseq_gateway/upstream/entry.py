"""Whether a service is to have a request now, and what the end of that request tells those who let it in."""

from __future__ import annotations

from typing import Literal

from tracseq_gateway.errors import NOT_ADMITTED, ORIGIN_DENIED, OVERLOADED, GatewayError
from tracseq_gateway.http.cors import OriginRules, is_own_origin
from tracseq_gateway.http.request_head import RequestHead
from tracseq_gateway.http.websocket import WEBSOCKET, handshake_fault
from tracseq_gateway.upstream.service import UpstreamService

End = Literal["succeeded", "failed", "withdrawn"]
"""How a request ended; ``withdrawn`` says nothing about the service."""


class Entry:
    """A request that was let in while somebody waits to hear how it ends."""

    __slots__ = ("_service", "_told", "trial")

    def __init__(self, service: UpstreamService, trial: bool) -> None:
        self._service = service
        self._told = False
        self.trial = trial
        """Whether it is the one that tries what an open circuit leads to."""

    def ended(self, end: End) -> None:
        """Tell how it ended; only the first time counts."""
        if self._told:
            return
        self._told = True
        if self.trial:
            self._service.breaker.hear(end)
        if self._service.admission is not None and end != "withdrawn":
            self._service.admission.ended(end == "succeeded")


def let_in(service: UpstreamService) -> Entry | GatewayError:
    """Let a request in, or say why it is not; asked only when there is admission control or the circuit is not closed.

    Whoever is let in must say how it ends.
    """
    if service.admission is not None and not service.admission.admits():
        return GatewayError(NOT_ADMITTED, "the service fails too often to get every request", retry_after=1)
    if service.breaker.closed:
        return Entry(service, False)
    return Entry(service, True) if service.breaker.admits() else service.circuit_open()


def tunnel_fault(service: UpstreamService, head: RequestHead) -> GatewayError | None:
    """Why a request that may change the protocol is not passed on; None if it is."""
    if head.fields.upgrade != WEBSOCKET:
        return tunnels_full(service)
    origin_fault = _origin_fault(service.origins, head) if service.origins is not None else None
    return tunnels_full(service) or handshake_fault(head) or origin_fault


def tunnels_full(service: UpstreamService) -> GatewayError | None:
    """Why no further tunnel may be opened; None if one may."""
    most = service.settings.tunnels.max
    if most and service.tunnels >= most:
        return GatewayError(OVERLOADED, "too many open connections of this kind", retry_after=1)
    return None


def _origin_fault(allowed: OriginRules, head: RequestHead) -> GatewayError | None:
    """Browsers ask nobody before they open a WebSocket to another host than the page's (RFC 6455 section 10.2)."""
    origins = [line.value for line in head.fields.received if line.name == b"origin"]
    if not origins:
        return None
    if len(origins) == 1 and (allowed.allows(origins[0]) or is_own_origin(origins[0], head.host)):
        return None
    return GatewayError(ORIGIN_DENIED, "pages of this origin open no WebSocket here")
