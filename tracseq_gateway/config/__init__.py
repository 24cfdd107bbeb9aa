"""Ground floor: the configuration, a frozen tree parsed once at the start.

:func:`load` reads file, environment and options and says all that is wrong; the classes of the model are what rooms
are given; :func:`dumps` and :func:`loads` carry the tree to worker processes.
"""

from tracseq_gateway.config.keys import Network, Seconds, Size
from tracseq_gateway.config.load import Loaded, load
from tracseq_gateway.config.logs import AccessLog, Log
from tracseq_gateway.config.model import Client, Config, Gateway, Service
from tracseq_gateway.config.policies import (
    ApiKey,
    Authentication,
    Cors,
    FailedLogins,
    Jwt,
    JwtKey,
    Limit,
    Metrics,
    PathRule,
    RateLimit,
    RateLimiting,
    Redis,
    Role,
    Security,
    TokenNeed,
    WhenRedisIsDown,
)
from tracseq_gateway.config.problem import Problem
from tracseq_gateway.config.secrets import missing_secrets
from tracseq_gateway.config.tracing import Tracing
from tracseq_gateway.config.uploads import ServiceUploads, Uploads
from tracseq_gateway.config.upstream import (
    Admission,
    Balance,
    Breaker,
    Connections,
    Discovery,
    Health,
    Instance,
    Outliers,
    PathTimeouts,
    Priority,
    Retries,
    Timeouts,
)
from tracseq_gateway.config.wire import dumps, loads

__all__ = [
    "AccessLog",
    "Admission",
    "ApiKey",
    "Authentication",
    "Balance",
    "Breaker",
    "Client",
    "Config",
    "Connections",
    "Cors",
    "Discovery",
    "FailedLogins",
    "Gateway",
    "Health",
    "Instance",
    "Jwt",
    "JwtKey",
    "Limit",
    "Loaded",
    "Log",
    "Metrics",
    "Network",
    "Outliers",
    "PathRule",
    "PathTimeouts",
    "Priority",
    "Problem",
    "RateLimit",
    "RateLimiting",
    "Redis",
    "Retries",
    "Role",
    "Seconds",
    "Security",
    "Service",
    "ServiceUploads",
    "Size",
    "Timeouts",
    "TokenNeed",
    "Tracing",
    "Uploads",
    "WhenRedisIsDown",
    "dumps",
    "load",
    "loads",
    "missing_secrets",
]
