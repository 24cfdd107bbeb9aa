"""The last stage of a request to a service: what the requests of one route have in common."""

from __future__ import annotations

from collections.abc import Callable

from attrs import evolve, frozen

from tracseq_gateway.config.upstream import PathTimeouts, Timeouts
from tracseq_gateway.http.forwarding import AnswerRules
from tracseq_gateway.interfaces import Request
from tracseq_gateway.net.deadlines import Deadlines
from tracseq_gateway.upstream.exchange import Exchange
from tracseq_gateway.upstream.service import UpstreamService


@frozen
class Times:
    """How long one request may take, and how the service is told."""

    timeouts: Timeouts
    field: bytes
    """The name of the field that says it; empty: none."""
    line: bytes
    """That field's line, as long as no total time runs; may be empty."""

    @classmethod
    def of(cls, timeouts: Timeouts, field: str) -> Times:
        """``field`` is the name of the field, or empty."""
        name = field.lower().encode("ascii")
        return cls(timeouts, name, deadline_line(name, timeouts.response))

    def line_at(self, left: float) -> bytes:
        """The line when of the total time so many seconds are left."""
        response = self.timeouts.response
        return deadline_line(self.field, min(response, left) if response else left)


def deadline_line(field: bytes, seconds: float) -> bytes:
    """The line that tells a service how long its answer may take; nothing when that is not bounded."""
    return b"%b: %d\r\n" % (field, max(1, seconds * 1000)) if field and seconds else b""


def path_timeouts(usual: Timeouts, own: PathTimeouts) -> Timeouts:
    """The timeouts of a path: its own where it has some."""
    own_ones = {name: getattr(own, name) for name in ("response", "idle", "events", "total")}
    return evolve(usual, **{name: value for name, value in own_ones.items() if value is not None})


class Proxy:
    """Forwards the requests of one route to one service."""

    def __init__(
        self,
        service: UpstreamService,
        upstream_path: Callable[[bytes], bytes],
        deadlines: Deadlines,
        via: bytes,
        rules: AnswerRules | None = None,
        clocked: bool = False,
        times_of: Callable[[bytes], Times | None] | None = None,
    ) -> None:
        """``clocked``: somebody wants to know when a request was passed on and answered; ``times_of`` gives the times
        of paths that have their own."""
        settings = service.settings
        self.clocked = clocked or service.timed
        self.service = service
        self.rules = rules
        self.upstream_path = upstream_path
        self.deadlines = deadlines
        self.via = via
        self.preserve_host = settings.host_header == "preserve"
        self.body_buffer = settings.body_buffer
        self.upgrades = frozenset(name.lower().encode("ascii") for name in settings.tunnels.upgrades)
        self.times = Times.of(settings.timeouts, settings.deadline_header)
        self.times_of = times_of
        self.fresh = False
        """Whether each request gets a connection of its own, since none of them could be sent again."""

    def __call__(self, request: Request) -> None:
        """Take over a request."""
        times = self.times_of(request.head.path) if self.times_of is not None else None
        Exchange(self, request, times or self.times).start()
