"""How the parts of this room say no."""

from __future__ import annotations

from tracseq_gateway.errors import GatewayError, Kind


class Refused(Exception):
    """A request is answered with an error."""

    def __init__(self, kind: Kind, detail: str, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.error = GatewayError(kind, detail, retry_after=retry_after)
