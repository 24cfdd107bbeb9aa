"""The configuration model: frozen attrs classes, one a table of the file.

This file and its neighbours ``keys`` (how a key is declared), ``policies`` (who may call, how often, through which
doors) and ``upstream`` (what stands between a request and the instances) are the single source of what can be
configured: the loader structures TOML into them, ``tracseq-gateway check`` reports against them, and the configuration
page of the docs is generated from them. A room gets its own piece (``Timeouts``, ``Service``), never the tree.
"""

from __future__ import annotations

from typing import Literal

from attrs import Factory, field, frozen

from tracseq_gateway.config.cache import Cache, ServiceCache
from tracseq_gateway.config.compression import Compression
from tracseq_gateway.config.dashboard import Dashboard
from tracseq_gateway.config.docs import Docs
from tracseq_gateway.config.http2 import Http2
from tracseq_gateway.config.keys import MOMENT, Network, Seconds, Size, key, table
from tracseq_gateway.config.logs import AccessLog, Log
from tracseq_gateway.config.policies import (
    Authentication,
    Cors,
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
from tracseq_gateway.config.service_tls import ServiceTls
from tracseq_gateway.config.tls import Tls
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
    Priority,
    Retries,
    Timeouts,
    Tunnels,
)

OWN_PATHS = ("/health", "/services", "/metrics", "/docs", "/openapi.json", "/dashboard")
"""What the gateway answers itself, beside ``/``; no service may have such a prefix."""


@frozen
class Gateway:
    """The gateway as a whole: where it listens and how many processes serve."""

    host: str = key("0.0.0.0", "Address to listen on; ``::`` for IPv6.")
    port: int = key(8000, "TCP port to listen on.", least=1, most=65535)
    workers: int | Literal["auto"] = key(
        "auto", "Worker processes; ``auto`` is one for each CPU that the process may use.", least=1, most=1024
    )
    environment: Literal["development", "staging", "production"] = key(
        "development",
        "Shown by ``/``. In ``production`` the sandbox refuses to start, and having no ``auth.enabled`` is warned of.",
    )
    drain_seconds: Seconds = key(Seconds(30.0), "How long open requests may go on after a stop before they are cut.")
    stop_delay: Seconds = key(
        Seconds(0.0),
        "How long the gateway serves on after a stop was asked for, while ``/health/ready`` answers 503, so that a "
        "load balancer in front that looks there sends nothing more. 0: the port is closed at once.",
    )
    watchdog_seconds: Seconds = key(
        Seconds(10.0),
        "Within how many seconds a worker that answers nothing any more is killed and replaced. 0: never.",
    )
    max_concurrent_requests: int = key(
        1000,
        "Requests in flight in one worker, but for those whose ``body_buffer`` is still filling; beyond it 503 with "
        "Retry-After. Services of low priority may fill four "
        "fifths of it, those of high a tenth more. 0: no limit.",
    )
    max_lag: Seconds = key(
        Seconds(0.5),
        "How late a worker's reactor may run for a moment or longer; beyond it new requests to services get 503 with "
        "Retry-After, those of low priority at half of it, those of high at twice. 0: no limit.",
    )
    trusted_proxies: tuple[Network, ...] = key(
        (), "Networks of the proxies in front, whose X-Forwarded-* and Forwarded fields and PROXY header are believed."
    )
    proxy_protocol: bool = key(
        False, "Whether connections from ``trusted_proxies`` begin with a PROXY header, version 1 or 2."
    )
    run_directory: str = key(
        "",
        "Private directory for sockets. Empty: ``tracseq-gateway-PORT`` below ``$RUNTIME_DIRECTORY``, "
        "``$XDG_RUNTIME_DIR`` or the directory for temporary files, whichever is there first.",
    )
    watch: bool = key(
        False, "Whether the file, and the files of keys and certificates that it names, are reloaded when they change."
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
    max_connections_per_address: int = key(
        0,
        "The same, from one address that is none of ``gateway.trusted_proxies``. 0: no limit, for many clients may "
        "share one address.",
    )


@frozen
class Service:
    """One service. Every key but ``prefix``, ``instances`` and ``discovery`` can stand in ``[defaults]``."""

    name: str = field(metadata={"help": "From the table's name."})
    prefix: str = key(
        "", "Required. Public path prefix, matched on whole segments; ``/`` takes what no other prefix matches."
    )
    rewrite: str = key("/api/v1", "What stands for the prefix upstream; empty strips it, the prefix itself keeps it.")
    instances: tuple[Instance, ...] = key(
        (),
        "Required without ``discovery``, and with it used until that has found some. URLs, or tables with ``url`` and "
        "``weight``.",
    )
    discovery: Discovery | None = key(None, "Where instances are found while the gateway runs.")
    balance: Balance = key("round_robin", "How an instance is chosen for a request.")
    hash_by: str = key(
        "client",
        "What ``consistent_hash`` takes: ``client`` (the user or API key, else the address), ``path``, "
        "``header:NAME`` or ``cookie:NAME``.",
    )
    hash_bound: float = key(
        1.25,
        "How far above the mean an instance's load may be before ``consistent_hash`` goes on to the next.",
        least=1,
        most=100,
    )
    sticky_cookie: str = key(
        "", "Cookie that keeps a browser with the instance that it was sent to, while that serves. Empty: none."
    )
    slow_start: Seconds = key(
        Seconds(0.0), "How long an instance that recovered takes to get its full share again. 0: at once."
    )
    host_header: Literal["preserve", "upstream"] = key(
        "preserve", "The Host field sent upstream: the client's, or the instance's own host and port."
    )
    when_all_unhealthy: Literal["fail", "use_all"] = key(
        "fail", "With no healthy instance: answer 503 with Retry-After, or ignore health and use them all."
    )
    max_body: Size = key(Size(50 * 1024 * 1024), "Largest request body; beyond it 413. 0: no limit.")
    body_buffer: Size = key(
        Size(65536),
        "Bytes of a request body that must have come before an instance is asked; a shorter one is waited for whole. "
        "Slow uploads hold no connection to the service then. 0: nothing is waited for.",
        most=1 << 24,
    )
    timeouts: Timeouts = table(Timeouts, "How long the service may take.")
    health: Health = table(Health, "Active probes.")
    tls: ServiceTls | None = key(
        None,
        "TLS towards its instances, all of which are then ``https://`` ones, discovered ones too. It may be empty, or "
        "left out for instances that are all ``https://``.",
    )
    connections: Connections = table(Connections, "The connection pool of each instance, in each worker.")
    tunnels: Tunnels = table(Tunnels, "Changes of protocol, as for WebSocket.")
    uploads: ServiceUploads = table(ServiceUploads, "Resumable uploads.")
    deadline_header: str = key(
        "X-Request-Timeout-Ms",
        "Field that tells the service how many milliseconds its answer may take. Empty: none.",
    )
    retries: Retries = table(Retries, "Sending failed requests again.")
    outliers: Outliers = table(Outliers, "Ejecting instances that fail.")
    breaker: Breaker = table(Breaker, "Circuit breaker.")
    admission: Admission = table(Admission, "Admission control.")
    cache: ServiceCache = table(ServiceCache, "Keeping answers.")
    priority: Priority | None = key(
        None,
        "Who is refused first, and who last, when a worker has more than it can do. Without it: ``high`` for the "
        "service that ``auth.service`` names, ``normal`` for the others.",
    )
    auth: TokenNeed = key("required", "Whether a token is needed, once ``auth.enabled`` is true.")
    public: tuple[str, ...] = key(
        (),
        "Paths below the prefix that need no token: exactly these, or with ``/*`` at the end all below. "
        "Without it: the platform's, for its services.",
    )
    roles: dict[str, Role] = key(
        Factory(dict), "The lowest role that may use a method; ``*`` stands for the methods that are not named."
    )
    paths: dict[str, PathRule] = key(
        Factory(dict),
        "Rules for paths below the prefix, by path: it and all below it; ``*`` stands for one segment. "
        "The longest that matches holds, without regard to case.",
    )
    rate_limit: RateLimit | None = key(
        None, "Rate for each client. Without it: the platform's, for its services, else ``rate_limit.default``."
    )
    when_redis_is_down: WhenRedisIsDown | None = key(
        None, "What holds for this service's rates when Redis is away; without it ``rate_limit.when_redis_is_down``."
    )
    max_concurrent: int = key(0, "Requests in flight in one worker; beyond it 503 with Retry-After. 0: no limit.")
    max_concurrent_per_client: int = key(
        0, "Requests in flight of one client in one worker; beyond it 429. 0: no limit."
    )
    content_types: tuple[str, ...] = key(
        (), "Media types that a request body may have, such as ``application/json`` or ``image/*``. Empty: any."
    )
    check_digests: bool = key(
        True,
        "Whether a request body is held to its ``Content-Digest`` and ``Repr-Digest`` (RFC 9530); one that differs "
        "gets 400, and does not come whole to the service.",
    )
    compression: bool | None = key(
        None,
        "Whether its answers are compressed, once ``compression.enabled`` is true. Without it: they are, but for those "
        "of the service that ``auth.service`` names.",
    )
    openapi: str = key(
        "/openapi.json",
        "Where an instance itself, asked with GET, has its OpenAPI document (3.0 or 3.1, JSON), for ``/docs``. Empty: "
        "nowhere.",
    )

    @property
    def secure(self) -> bool:
        """Whether it is configured to be spoken to over TLS: then each of its instances is, discovered ones too."""
        return self.tls is not None or any(instance.url.startswith("https:") for instance in self.instances)


@frozen
class Config:
    """The whole tree."""

    gateway: Gateway = table(Gateway, "The gateway as a whole.")
    client: Client = table(Client, "Limits on one client connection.")
    tls: Tls = table(Tls, "TLS towards clients.")
    http2: Http2 = table(Http2, "HTTP/2 to clients.")
    services: dict[str, Service] = field(default=Factory(dict), metadata={"help": "The services, by name."})
    redis: Redis = table(Redis, "Shared state.")
    auth: Authentication = table(Authentication, "Who may call.")
    rate_limit: RateLimiting = table(RateLimiting, "How often.")
    cache: Cache = table(Cache, "Keeping services' answers.")
    cors: Cors = table(Cors, "Cross-origin requests.")
    compression: Compression = table(Compression, "Compression of answers.")
    security: Security = table(Security, "Further doors.")
    access_log: AccessLog = table(AccessLog, "One line a request.")
    log: Log = table(Log, "The gateway's own log.")
    metrics: Metrics = table(Metrics, "Prometheus metrics.")
    tracing: Tracing = table(Tracing, "Traces, sent by OTLP over HTTP.")
    dashboard: Dashboard = table(Dashboard, "The page that shows how everything is.")
    docs: Docs = table(Docs, "The API page.")
    uploads: Uploads = table(Uploads, "Resumable uploads.")
