"""What a scenario's gateway, services and load are like, and the gateway's configuration made of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from attrs import Factory, frozen

from tests.faults.load import MIX

MEBIBYTE = 1 << 20
PATIENCE = 2.0
"""Seconds that a service may take: so few that a second attempt is over before a client gives up."""

DEFAULTS: Mapping[str, Any] = {
    "timeouts": {"connect": 1, "response": PATIENCE, "idle": 5},
    "health": {"path": "/health", "interval": 1, "timeout": 1, "unhealthy_after": 2, "healthy_after": 2},
    "retries": {"attempts": 1, "budget": 0.2},
    "breaker": {"failures": 5, "open_seconds": 2},
}
"""What stands in ``[defaults]`` unless a scenario says otherwise."""


@frozen
class Setup:
    """The surroundings of a scenario."""

    workers: int = 2
    instances: int = 3
    direct: bool = False
    """Whether the gateway talks to the instances themselves, without the injector between them."""
    tls: bool = False
    """Whether the instances speak TLS, with certificates of an authority of the harness's."""
    redis: Literal["embedded", "own"] = "embedded"
    """The gateway's private server, or one of the harness's behind the injector's door ``redis``."""
    defaults: Mapping[str, Any] = Factory(dict)
    """Instead of keys of :data:`DEFAULTS`."""
    service: Mapping[str, Any] = Factory(dict)
    """Further keys of the service ``samples``."""
    gateway: Mapping[str, Any] = Factory(dict)
    """Further keys of ``[gateway]``."""
    toml: str = ""
    """Further tables; ``@DIRECTORY@`` stands for a scratch directory, ``@INSTANCE@`` for the first instance's URL."""
    environ: Mapping[str, str] = Factory(dict)
    """Further variables of the gateway's environment, with ``@DIRECTORY@`` as above."""
    before: tuple[str, ...] = ()
    """What stands before the gateway's command."""
    watch_health: bool = False
    """Whether ``/health/services`` is read several times a second."""
    stop_seconds: float = 12.0
    """How long the gateway may take to stop at the end."""
    # The load.
    load: bool = True
    rate: float = 0.0
    """Requests a second; 0: what the command line says."""
    connections: int = 64
    fresh: float = 0.1
    mix: Sequence[tuple[float, str, int]] = tuple((kind.share, kind.method, kind.size) for kind in MIX)


def inline(value: Any) -> str:
    """A value as TOML has it on one line."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {inline(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(inline, value)) + "]"
    return json.dumps(value)


def table(name: str, keys: Mapping[str, Any]) -> str:
    """A table of TOML, a line for each key."""
    return "\n".join([f"[{name}]", *(f"{key} = {inline(value)}" for key, value in keys.items())])


def configuration(setup: Setup, urls: Sequence[str], redis_url: str, directory: str) -> str:
    """The gateway's file: one service, ``samples``, with instances at ``urls``."""
    service: dict[str, Any] = {"prefix": "/samples", "rewrite": "", "instances": list(urls), **setup.service}
    if setup.tls:
        service["tls"] = {"ca": f"{directory}/ca.pem"}
    tables = [
        table("gateway", {"drain_seconds": 5, **setup.gateway}),
        table("redis", {"url": redis_url}),
        table("defaults", {**DEFAULTS, **setup.defaults}),
        table("services.samples", service),
        "[metrics]\nenabled = true",
        setup.toml.replace("@DIRECTORY@", directory).replace("@INSTANCE@", urls[0] if urls else ""),
    ]
    return "\n\n".join(tables) + "\n"
