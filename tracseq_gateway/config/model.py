"""The configuration model: frozen attrs classes, one a table of the file.

This file is the single source of what can be configured: the loader structures TOML into it, ``tracseq-gateway
check`` reports against it, and the configuration page of the docs is generated from it.

House rules:

1. A key is declared with :func:`key`; its help text is the manual.
2. A key that this version knows but does not act on is declared with ``planned=``: the loader warns by name when a
   file sets it, so that nobody believes in a policy that is not there.
3. Values are in the units of their types (bytes, seconds); text such as ``"50MiB"`` is the loader's business.
   So are the bounds ``least`` and ``most``: a tree that is built in code (port 0 in a test) is not held to them.
4. A room gets its own piece (``Timeouts``, ``Service``), never the tree.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import Any, Literal, NewType

from attrs import Factory, field, frozen

Size = NewType("Size", int)
"""A number of bytes. In a file: an integer, or text such as ``"64KiB"`` or ``"50MiB"``."""

Seconds = NewType("Seconds", float)
"""A duration. In a file: a number; 0 means no limit where the key says so."""

MOMENT = 0.001
"""The least duration where 0 would not mean "no limit" but "at once"."""

Network = IPv4Network | IPv6Network

OWN_PATHS = ("/health", "/services", "/metrics", "/docs", "/openapi.json", "/dashboard")
"""What the gateway answers itself, beside ``/``; no service may have such a prefix."""

Balance = Literal["round_robin", "weighted_round_robin", "least_connections", "p2c", "ewma", "consistent_hash"]
ACTIVE_BALANCES = frozenset({"round_robin", "weighted_round_robin", "least_connections"})

Role = Literal[
    "guest",
    "data_analyst",
    "research_scientist",
    "lab_technician",
    "principal_investigator",
    "lab_administrator",
]


def key(
    default: Any,
    help: str,
    *,
    planned: str | None = None,
    least: float | None = None,
    most: float | None = None,
    **rest: Any,
) -> Any:
    """Declare a configuration key.

    ``help`` is one or two sentences for the operator. ``planned`` names what would act on the key in a later
    version: until then a file that sets it gets a warning that names the key. ``least`` and ``most`` bound a number
    (both are allowed values); without them the bounds of its type hold, and no type allows a negative number.
    """
    return field(default=default, metadata={"help": help, "planned": planned, "least": least, "most": most}, **rest)


def table(kind: type[Any], help: str, *, planned: str | None = None) -> Any:
    """Declare a sub-table whose keys all have defaults."""
    return field(default=Factory(kind), metadata={"help": help, "planned": planned})


@frozen
class Gateway:
    """The gateway as a whole: where it listens and how many processes serve."""

    host: str = key("0.0.0.0", "Address to listen on; ``::`` for IPv6.")
    port: int = key(8000, "TCP port to listen on.", least=1, most=65535)
    workers: int | Literal["auto"] = key(
        "auto", "Worker processes; ``auto`` is one for each CPU that the process may use.", least=1, most=1024
    )
    environment: Literal["development", "staging", "production"] = key(
        "development", "Shown by ``/``; the sandbox refuses to start in ``production``."
    )
    drain_seconds: Seconds = key(Seconds(30.0), "How long open requests may go on after a stop before they are cut.")
    max_concurrent_requests: int = key(
        1000, "Requests in flight in one worker; beyond it 503 with Retry-After. 0: no limit."
    )
    trusted_proxies: tuple[Network, ...] = key(
        (), "Networks of the proxies in front, whose X-Forwarded-* and Forwarded fields are believed."
    )
    via: str = key("tracseq-gateway", "The pseudonym in Via and Proxy-Status (RFC 9110 section 7.6.3).")


@frozen
class Client:
    """Limits on what one client connection may send, and how slowly."""

    request_line: Size = key(Size(8192), "Longest request line; beyond it 414.", least=128, most=1 << 20)
    head: Size = key(
        Size(65536), "Largest request head (request line and fields); beyond it 431.", least=1024, most=1 << 24
    )
    headers: int = key(100, "Most header fields in a request; beyond it 431.", least=1, most=10_000)
    head_seconds: Seconds = key(
        Seconds(10.0),
        "From the first byte of a request to the end of its head, absolute; beyond it 408.",
        least=MOMENT,
    )
    body_idle_seconds: Seconds = key(
        Seconds(30.0), "Longest silence within a request body; beyond it 408.", least=MOMENT
    )
    body_rate: Size = key(
        Size(256), "Least bytes a second of a request body, over windows of ``body_idle_seconds``. 0: no limit."
    )
    idle_seconds: Seconds = key(Seconds(60.0), "How long an idle keep-alive connection stays open.", least=MOMENT)
    write_idle_seconds: Seconds = key(
        Seconds(60.0),
        "How long a client may take no byte of its response before the connection is cut.",
        least=MOMENT,
    )
    requests_per_connection: int = key(
        1000, "Requests on one connection before it is closed in an orderly way. 0: no limit."
    )
    encoded_slashes: Literal["refuse", "keep"] = key(
        "refuse", "What becomes of %2F and %5C in a path: 400, or passed on as they are."
    )
    max_connections: int = key(
        12000, "Open client connections in one worker; beyond it new ones are closed at once. 0: no limit."
    )


@frozen
class Timeouts:
    """How long a service may take. 0: no limit."""

    connect: Seconds = key(Seconds(5.0), "Seconds to establish a connection; beyond it 504.")
    response: Seconds = key(
        Seconds(30.0), "Seconds from the end of the request to the head of the answer; beyond it 504."
    )
    idle: Seconds = key(Seconds(60.0), "Longest silence within the body of an answer; beyond it the answer is cut.")
    total: Seconds = key(Seconds(0.0), "From the request's head to the answer's end, everything included.")


@frozen
class Health:
    """Active health probes of each instance."""

    path: str = key("/api/v1/health", "What is asked with GET; a 2xx or 3xx answer is a success.")
    interval: Seconds = key(Seconds(30.0), "Seconds between two probes of one instance. 0: no probes.")
    timeout: Seconds = key(Seconds(5.0), "Seconds that a probe may take.", least=MOMENT)
    unhealthy_after: int = key(3, "Failures in a row that make a healthy instance unhealthy.", least=1)
    healthy_after: int = key(2, "Successes in a row that make an unhealthy instance healthy.", least=1)


@frozen
class Connections:
    """The pool of connections that one worker keeps to one instance."""

    max: int = key(256, "Most connections, busy and idle together.", least=1)
    idle_seconds: Seconds = key(
        Seconds(4.0),
        "How long an unused connection is kept. Below the 5 s after which uvicorn and Node.js close theirs.",
        least=MOMENT,
    )
    queue: int = key(1024, "Most requests that wait for a connection; beyond it 503.")
    queue_seconds: Seconds = key(
        Seconds(5.0), "How long a request waits for a connection; beyond it 503.", least=MOMENT
    )


@frozen
class Retries:
    """Repeating requests that failed."""

    attempts: int = key(1, "Most further attempts for one request.", planned="retries", most=100)
    budget: float = key(0.2, "Retries in flight as a share of active requests.", planned="retries", most=1)


@frozen
class Breaker:
    """The circuit breaker of a service."""

    failures: int = key(5, "Failures in a row that open it.", planned="circuit breakers", least=1)
    open_seconds: Seconds = key(Seconds(60.0), "How long it stays open.", planned="circuit breakers")


@frozen
class RateLimit:
    """A rate and a burst."""

    requests_per_minute: int = key(100, "Sustained rate for one client.", planned="rate limits", least=1)
    burst: int = key(200, "Requests that may come at once.", planned="rate limits", least=1)


@frozen
class Instance:
    """One server process of a service."""

    url: str = key("", "Required. ``http://host:port``, without a path; without a port it is 80.")
    weight: int = key(1, "Its share under ``weighted_round_robin``.", least=1, most=65535)


@frozen
class Service:
    """One service behind the gateway. Every key but ``prefix`` and ``instances`` can stand in ``[defaults]``."""

    name: str = field(metadata={"help": "From the table's name.", "planned": None})
    prefix: str = key(
        "", "Required. Public path prefix, matched on whole segments; ``/`` takes what no other prefix matches."
    )
    rewrite: str = key("/api/v1", "What stands for the prefix upstream; empty strips it, the prefix itself keeps it.")
    instances: tuple[Instance, ...] = key((), "Required. URLs, or tables with ``url`` and ``weight``.")
    balance: Balance = key("round_robin", "How an instance is chosen for a request.")
    host_header: Literal["preserve", "upstream"] = key(
        "preserve", "The Host field sent upstream: the client's, or the instance's own host and port."
    )
    when_all_unhealthy: Literal["fail", "use_all"] = key(
        "fail", "With no healthy instance: answer 503 with Retry-After, or ignore health and use them all."
    )
    max_body: Size = key(Size(50 * 1024 * 1024), "Largest request body; beyond it 413. 0: no limit.")
    timeouts: Timeouts = table(Timeouts, "How long the service may take.")
    health: Health = table(Health, "Active probes.")
    connections: Connections = table(Connections, "The connection pool of each instance, in each worker.")
    retries: Retries = table(Retries, "Repeating failed requests.")
    breaker: Breaker = table(Breaker, "Circuit breaker.")
    auth: Literal["required", "optional", "none"] = key(
        "required", "Whether a token is needed.", planned="authentication"
    )
    rate_limit: RateLimit | None = key(None, "Rate for each client.", planned="rate limits")
    public: tuple[str, ...] = key((), "Paths below the prefix that need no token.", planned="authentication")
    roles: dict[str, Role] = field(
        default=Factory(dict),
        metadata={"help": "The lowest role that may use a method.", "planned": "authentication"},
    )


@frozen
class Redis:
    """Where the workers share state."""

    url: str = key(
        "embedded",
        "``embedded``, ``redis://``, ``rediss://``, ``unix://`` or ``sentinel://``.",
        planned="shared state in Redis",
    )
    key_prefix: str = key("tracseq:ratelimit", "Prefix of every key.", planned="shared state in Redis")


@frozen
class Jwt:
    """How tokens are verified."""

    algorithms: tuple[str, ...] = key(("HS256",), "Algorithms that are accepted.", planned="authentication")
    secret_env: str = key(
        "AUTHENTICATION__JWT_SECRET_KEY",
        "Environment variable that holds the shared secret.",
        planned="authentication",
    )
    issuer: str = key("", "Required ``iss``.", planned="authentication")
    audience: str = key("", "Required ``aud``.", planned="authentication")


@frozen
class Auth:
    """Who may call."""

    enabled: bool = key(False, "Whether tokens are verified.", planned="authentication")
    service: str = key("auth", "Service whose /validate/token is asked.", planned="authentication")
    service_key: str = key("", "How the gateway identifies itself to it.", planned="authentication", repr=False)
    jwt: Jwt = table(Jwt, "Local verification.", planned="authentication")
    cache_seconds: Seconds = key(Seconds(300.0), "How long a verdict is kept.", planned="authentication")
    api_key_header: str = key("X-API-Key", "Header that carries an API key.", planned="authentication")


@frozen
class RateLimiting:
    """How often clients may call."""

    enabled: bool = key(False, "Whether rates are limited.", planned="rate limits")
    default: RateLimit = table(RateLimit, "For services without their own.", planned="rate limits")
    when_redis_is_down: Literal["local", "open", "closed"] = key(
        "local", "What holds when Redis is away.", planned="rate limits"
    )


@frozen
class Cors:
    """Cross-origin requests of browsers."""

    enabled: bool = key(False, "Whether the gateway answers preflights.", planned="CORS")
    allow_origins: tuple[str, ...] = key((), "Origins, or patterns with one ``*``.", planned="CORS")
    allow_credentials: bool = key(False, "Whether cookies may come along.", planned="CORS")
    max_age: Seconds = key(Seconds(86400.0), "How long browsers keep a preflight's answer.", planned="CORS")


@frozen
class Security:
    """Further doors."""

    headers: bool = key(False, "Whether security headers are added to answers.", planned="security headers")
    allow: tuple[Network, ...] = key((), "Networks that may call; empty: all.", planned="address lists")
    deny: tuple[Network, ...] = key((), "Networks that may not call.", planned="address lists")


@frozen
class AccessLog:
    """One line a request."""

    target: str = key("off", "``stdout``, ``journald``, a file's path or ``off``.", planned="the access log")
    format: str = key("json", "``json`` or ``combined``.", planned="the access log")


@frozen
class Metrics:
    """Prometheus metrics."""

    enabled: bool = key(False, "Whether metrics are served.", planned="metrics")
    path: str = key("/metrics", "Where.", planned="metrics")


@frozen
class Config:
    """The whole tree."""

    gateway: Gateway = table(Gateway, "The gateway as a whole.")
    client: Client = table(Client, "Limits on one client connection.")
    services: dict[str, Service] = field(
        default=Factory(dict), metadata={"help": "The services, by name.", "planned": None}
    )
    redis: Redis = table(Redis, "Shared state.")
    auth: Auth = table(Auth, "Who may call.")
    rate_limit: RateLimiting = table(RateLimiting, "How often.")
    cors: Cors = table(Cors, "Cross-origin requests.")
    security: Security = table(Security, "Further doors.")
    access_log: AccessLog = table(AccessLog, "One line a request.")
    metrics: Metrics = table(Metrics, "Prometheus metrics.")
