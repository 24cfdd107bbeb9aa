"""What a request asks of the connection or stream that it came by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from twisted.web.resource import IResource

from tracseq_gateway.http.outgoing import OutgoingHead
from tracseq_gateway.interfaces import TlsFacts

if TYPE_CHECKING:
    from tracseq_gateway.server.request import GatewayRequest


class Channel(Protocol):
    """What a request asks of the connection or stream that it came by."""

    via: str
    root: IResource
    address: str
    secure: bool
    tls: TlsFacts | None
    local_port: int

    def begin(self, request: GatewayRequest, head: OutgoingHead, data: bytes, done: bool) -> None:
        """Send a head and the first body bytes; ``done`` ends the answer."""

    def send(self, data: bytes, done: bool) -> None:
        """Send more body bytes."""

    def switch(self, request: GatewayRequest, head: OutgoingHead, protocol: bytes) -> None:
        """Send a 101, and hand over from now on whatever the client sends."""

    def interim(self, head: OutgoingHead) -> None:
        """Send an interim response."""

    def abort(self) -> None:
        """Cut the answer off."""

    def pause_body(self) -> None:
        """Stop reading the request body."""

    def resume_body(self) -> None:
        """Go on reading the request body; sends 100 (Continue) if the client waits for it."""

    def body_awaited(self, requests: int) -> None:
        """One request more, or one less (-1), is not worked on before more of its body has come."""
