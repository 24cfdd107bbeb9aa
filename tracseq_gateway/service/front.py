"""The front of one worker's gateway: what takes clients' connections, with TLS and HTTP/2 as they are configured."""

from __future__ import annotations

from typing import Any

from tracseq_gateway.config.model import Config
from tracseq_gateway.config.tls import Tls
from tracseq_gateway.net.deadlines import Deadlines
from tracseq_gateway.routing.resource import GatewayResource
from tracseq_gateway.server.clear_door import ClearDoor
from tracseq_gateway.server.site import GatewaySite
from tracseq_gateway.server.tls_contexts import ServerContexts
from tracseq_gateway.service.callers import Callers
from tracseq_gateway.service.doors import Doors
from tracseq_gateway.service.gauging import Gauging
from tracseq_gateway.service.records import Records


def site_of(
    config: Config,
    root: GatewayResource,
    reactor: Any,
    deadlines: Deadlines,
    doors: Doors,
    callers: Callers | None,
    records: Records,
) -> GatewaySite:
    """Build the site before ``root``. Raises ValueError for certificates that changed since they were checked."""
    told = {service.deadline_header.lower().encode("ascii") for service in config.services.values()}
    site = GatewaySite(
        root,
        reactor,
        deadlines,
        config.client,
        config.gateway.trusted_proxies,
        config.gateway.via,
        own_lines=doors.own_lines,
        kept_back=frozenset({callers.secret_header} if callers is not None else ()),
        replaced=frozenset(told - {b""}) | doors.replaced,
        recorder=records.recorder,
        proxied=config.gateway.proxy_protocol,
        clear_root=_clear_door(config.tls, config.gateway.port, root),
        http2=config.http2,
    )
    if config.tls.certificates:
        site.tls = ServerContexts(config.tls, site.protocols)
    if records.metrics is not None:
        gauging = Gauging(records.metrics, records)
        gauging.http2(site.http2_faults)
        if site.tls is not None:
            gauging.tls(site.tls)
    return site


def _clear_door(tls: Tls, port: int, root: GatewayResource) -> ClearDoor | None:
    """What answers in clear instead of ``root``, if that is for TLS alone."""
    if not tls.certificates or tls.clear == "serve":
        return None
    return ClearDoor(root, (tls.public_port or port) if tls.clear == "redirect" else None)
