"""Ground floor: the configuration, a frozen tree parsed once at the start.

:func:`load` reads file, environment and options and says all that is wrong; the classes of the model are what rooms
are given; :func:`dumps` and :func:`loads` carry the tree to worker processes.
"""

from tracseq_gateway.config.load import Loaded, load
from tracseq_gateway.config.model import (
    ACTIVE_BALANCES,
    AccessLog,
    Auth,
    Balance,
    Breaker,
    Client,
    Config,
    Connections,
    Cors,
    Gateway,
    Health,
    Instance,
    Jwt,
    Metrics,
    Network,
    RateLimit,
    RateLimiting,
    Redis,
    Retries,
    Role,
    Seconds,
    Security,
    Service,
    Size,
    Timeouts,
)
from tracseq_gateway.config.problem import Problem
from tracseq_gateway.config.wire import dumps, loads

__all__ = [
    "ACTIVE_BALANCES",
    "AccessLog",
    "Auth",
    "Balance",
    "Breaker",
    "Client",
    "Config",
    "Connections",
    "Cors",
    "Gateway",
    "Health",
    "Instance",
    "Jwt",
    "Loaded",
    "Metrics",
    "Network",
    "Problem",
    "RateLimit",
    "RateLimiting",
    "Redis",
    "Retries",
    "Role",
    "Seconds",
    "Security",
    "Service",
    "Size",
    "Timeouts",
    "dumps",
    "load",
    "loads",
]
