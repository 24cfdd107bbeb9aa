"""The parts of one worker's gateway that an explanation looks at."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from tracseq_gateway.config.model import Config
from tracseq_gateway.net.lag import LagMeter
from tracseq_gateway.routing.resource import GatewayResource
from tracseq_gateway.server.site import GatewaySite
from tracseq_gateway.service.callers import Callers
from tracseq_gateway.service.doors import Doors
from tracseq_gateway.service.rates import Rates
from tracseq_gateway.service.way import Way


@frozen(eq=False)
class Parts:
    """See the module."""

    config: Config
    site: GatewaySite
    root: GatewayResource
    doors: Doors
    ways: Mapping[bytes, Way]
    """By the prefix of their routes."""
    callers: Callers | None
    rates: Rates | None
    lag: LagMeter
    live: bool = True
    """Whether this gateway serves: else nothing is known but what is configured."""
