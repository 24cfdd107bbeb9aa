"""The configuration of the policies on a request's way: who may call, how often, through which doors."""

from __future__ import annotations

from typing import Literal

from attrs import Factory, frozen

from tracseq_gateway.config.keys import MOMENT, Network, Seconds, Size, key, table
from tracseq_gateway.config.upstream import PathTimeouts

Role = Literal[
    "guest",
    "data_analyst",
    "research_scientist",
    "lab_technician",
    "principal_investigator",
    "lab_administrator",
]


@frozen
class RateLimit:
    """A rate and a burst: at most ``burst`` requests at once, and as many more as the rate allows."""

    requests_per_minute: int = key(100, "Sustained rate for one client.", least=1, most=100_000_000)
    burst: int = key(200, "Requests that may come at once.", least=1, most=100_000_000)


TokenNeed = Literal["required", "optional", "none"]
WhenRedisIsDown = Literal["local", "open", "closed"]


@frozen
class PathRule:
    """What holds for some paths of a service instead of what the service says."""

    auth: TokenNeed | None = key(None, "Whether a token is needed.")
    roles: dict[str, Role] | None = key(None, "The lowest role that may use a method; ``*`` stands for the others.")
    max_body: Size | None = key(None, "Largest request body; beyond it 413. 0: no limit.")
    content_types: tuple[str, ...] | None = key(None, "Media types that a request body may have; beyond them 415.")
    rate_limit: RateLimit | None = key(None, "A further rate for each client, for these paths together.")
    timeouts: PathTimeouts | None = key(None, "How long the service may take.")
    compression: bool | None = key(None, "Whether answers are compressed, once ``compression.enabled`` is true.")


@frozen
class Redis:
    """Where the workers share state."""

    url: str = key(
        "embedded",
        "``embedded`` (a private server of the gateway's own), ``redis://[user:password@]host:6379/0``, ``rediss://`` "
        "(TLS, verified), ``unix:///run/valkey.sock`` or ``sentinel://h1,h2:26379/name/0``.",
        repr=False,
    )
    key_prefix: str = key("tracseq:ratelimit", "Prefix of every key.")
    ca: str = key("", "File with the certificates that a ``rediss://`` server's is verified by. Empty: the system's.")
    call_seconds: Seconds = key(Seconds(0.05), "How long one call may take.", least=MOMENT, most=10)
    max_memory: Size = key(Size(64 << 20), "Memory of the embedded server.", least=1 << 20)


@frozen
class JwtKey:
    """A public key that tokens may be signed with."""

    file: str = key("", "Required. PEM file with a public key or a certificate.")
    algorithm: str = key("", "Required. The one algorithm that this key is used with, for example ``RS256``.")
    kid: str = key("", "The ``kid`` of its tokens. Empty: tokens without one.")


@frozen
class Jwt:
    """How tokens are verified."""

    algorithms: tuple[str, ...] = key(("HS256",), "Algorithms that are accepted.")
    secret_env: str = key(
        "AUTHENTICATION__JWT_SECRET_KEY",
        "Environment variable that holds the shared secret of the HS algorithms: at least 32 bytes for HS256, 48 for "
        "HS384, 64 for HS512 (RFC 7518 section 3.2). The gateway does not start without it.",
    )
    keys: tuple[JwtKey, ...] = key((), "Public keys of the other algorithms.")
    jwks_url: str = key(
        "", "Where the issuer publishes its keys (RFC 7517): https, or http on a private network. Empty: nowhere."
    )
    jwks_seconds: Seconds = key(
        Seconds(600.0), "How old the published keys may become before they are fetched again.", least=1
    )
    issuer: str = key("", "Required ``iss``. Empty: any.")
    audience: str = key("", "Required ``aud``. Empty: any.")
    leeway: Seconds = key(
        Seconds(10.0), "How far the issuer's clock may be from ours, for ``exp``, ``nbf`` and ``iat``.", most=300
    )


@frozen
class ApiKey:
    """A key of an instrument or a service."""

    hash: str = key("", "Required. What ``tracseq-gateway key new`` printed for it.", repr=False)
    owner: str = key("", "Required. Who uses it: the services see it as ``X-User-Id``.")
    role: Role = key("guest", "Its role.")
    email: str = key("", "Where its owner is reached: the services see it as ``X-User-Email``.")
    services: tuple[str, ...] = key((), "The services that it may call. Empty: all.")
    methods: tuple[str, ...] = key((), "The methods that it may use. Empty: all.")
    rate_limit: RateLimit | None = key(None, "Its own rate, instead of the service's.")
    expires: str = key("", "When it ends, as in ``2027-01-31T00:00:00Z``. Empty: never.")


@frozen
class ClientCertificate:
    """Who a client is that shows a certificate, where ``[tls]`` asks for one."""

    match: str = key(
        "",
        "Required. A name in the certificate, as ``URI:spiffe://lab/sequencer-7``, ``DNS:...`` or ``email:...`` of its "
        "subjectAltName, or ``CN:...`` from its subject. A ``*`` at the end of a URI stands for any rest.",
    )
    subject: str = key("", "Who it is: the services see it as ``X-User-Id``. Empty: the name itself, such as the URI.")
    role: Role = key("guest", "Its role.")
    email: str = key("", "Where its owner is reached: the services see it as ``X-User-Email``.")
    services: tuple[str, ...] = key((), "The services that it may call. Empty: all.")
    methods: tuple[str, ...] = key((), "The methods that it may use. Empty: all.")
    rate_limit: RateLimit | None = key(None, "Its own rate, instead of the service's.")


@frozen
class WebSocketToken:
    """Where the token of a WebSocket may be, since browsers can set no Authorization field for it."""

    query: str = key("access_token", "Query parameter that may hold it; it is taken out of the query. Empty: none.")
    protocol: str = key(
        "bearer",
        'Subprotocol behind which it may stand as if it were the next one, as in ``new WebSocket(url, ["bearer", '
        "token])``; both are taken out of the list. Empty: none.",
    )


@frozen
class Authentication:
    """Who may call."""

    enabled: bool = key(False, "Whether tokens and API keys are verified. Without it anybody may call.")
    service: str = key(
        "auth",
        "Service that is asked whether a session still stands. Empty: tokens are only verified.",
    )
    service_key: str = key("", "How the gateway identifies itself to it.", repr=False)
    validate_path: str = key("/validate/token", "The path below that service's prefix that is asked.")
    timeout: Seconds = key(Seconds(2.0), "How long the answer may take.", least=MOMENT)
    when_service_is_down: Literal["cached", "local", "closed"] = key(
        "cached",
        "Without an answer: let tokens pass that were found good before (for ``grace_seconds``), or all that are "
        "locally valid, or none. The others get 503.",
    )
    grace_seconds: Seconds = key(Seconds(300.0), "How long an old verdict holds when there is no new one.")
    cache_seconds: Seconds = key(Seconds(300.0), "How long a verdict is kept, at most until the token's ``exp``.")
    cache_entries: int = key(10_000, "Verdicts that one worker keeps; the least recently used go first.", least=1)
    jwt: Jwt = table(Jwt, "Local verification.")
    websocket: WebSocketToken = table(WebSocketToken, "Tokens of WebSockets.")
    logout: tuple[str, ...] = key(
        ("/logout",), "Paths below the auth service's prefix whose POST ends the caller's session when it succeeds."
    )
    sessions: tuple[str, ...] = key(
        ("/sessions",), "Paths below its prefix: a DELETE of what is below ends that session when it succeeds."
    )
    password_changes: tuple[str, ...] = key(
        ("/change-password",),
        "Paths below its prefix whose POST ends all sessions of the caller, this one too, when it succeeds.",
    )
    revocation_seconds: Seconds = key(
        Seconds(86400.0), "How long a revocation is remembered: as long as a token may live.", least=60
    )
    api_key_header: str = key("X-API-Key", "Header that carries an API key; it is not passed on.")
    api_keys: dict[str, ApiKey] = key(Factory(dict), "API keys, by name.")
    api_keys_file: str = key("", "File with further API keys, as tables by name; nobody else may read it. Empty: none.")
    client_certificates: dict[str, ClientCertificate] = key(
        Factory(dict),
        "Clients that are known by their certificate when they send neither token nor API key, by a name of the "
        "operator's choice.",
    )
    identity_key_env: str = key(
        "TRACSEQ_IDENTITY_KEY",
        "Environment variable that holds the key which the identity headers are signed with, of at least 32 bytes. "
        "Not set: not signed.",
    )
    realm: str = key("tracseq", "The realm in WWW-Authenticate.")


@frozen
class Limit:
    """A further limit beside each client's rate."""

    per: Literal["client", "address", "service", "everyone"] = key(
        "client", "Who shares it: each client for itself, each address, all clients of a service, or all of all."
    )
    unit: Literal["requests", "bytes"] = key("requests", "What is counted: requests, or bytes of request bodies.")
    per_minute: Size = key(Size(100), "Sustained rate, of requests or of bytes.", least=1, most=1 << 40)
    burst: Size = key(Size(200), "Requests or bytes that may come at once.", least=1, most=1 << 40)
    services: tuple[str, ...] = key((), "The services that it holds for. Empty: all.")
    methods: tuple[str, ...] = key((), "The methods that it holds for. Empty: all.")
    paths: tuple[str, ...] = key((), "The paths below the prefix that it holds for, as in a service's ``paths``.")


@frozen
class FailedLogins:
    """Logins that failed: a limit against guessing passwords."""

    enabled: bool = key(True, "Whether they are limited, once ``rate_limit.enabled`` is true.")
    service: str = key("auth", "The service that logs users in.")
    paths: tuple[str, ...] = key(("/login",), "The paths below its prefix that do.")
    account: str = key(
        "email",
        "The member of the JSON body that names the account; a login without it is refused. Empty: only addresses are "
        "counted, and bodies are not looked at.",
    )
    per_address: RateLimit = key(RateLimit(10, 20), "Failures from one address.")
    per_account: RateLimit = key(RateLimit(5, 10), "Failures for one account, from wherever.")


@frozen
class RateLimiting:
    """How often clients may call."""

    enabled: bool = key(False, "Whether rates are limited.")
    default: RateLimit = table(
        RateLimit, "For services that have none of their own, by ``[defaults]`` or from the platform."
    )
    when_redis_is_down: WhenRedisIsDown = key(
        "local",
        "What holds when Redis is away: each worker limits to its share, or nothing is limited, or 503 is answered.",
    )
    limits: dict[str, Limit] = key(Factory(dict), "Further limits, by name; a request must pass all that hold for it.")
    failed_logins: FailedLogins = table(FailedLogins, "A limit against guessing passwords.")
    standard_headers: bool = key(True, "Whether answers carry RateLimit and RateLimit-Policy.")
    legacy_headers: bool = key(
        True, "Whether they carry X-RateLimit-Limit, -Remaining and -Reset (seconds since the epoch)."
    )


@frozen
class Cors:
    """Cross-origin requests of browsers."""

    enabled: bool = key(False, "Whether the gateway answers preflights and sets the CORS headers itself.")
    allow_origins: tuple[str, ...] = key(
        (),
        "Origins: exact, or patterns such as ``https://*.tracseq.com`` (one label), ``https://**.tracseq.com`` (one or "
        "more), or ``*`` (any; not with credentials).",
    )
    allow_methods: tuple[str, ...] = key(
        ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"), "Methods that may be used."
    )
    allow_headers: tuple[str, ...] = key(("*",), "Request headers that may be sent; ``*``: what is asked for.")
    expose_headers: tuple[str, ...] = key(
        (
            "X-Request-Id",
            "Retry-After",
            "RateLimit",
            "RateLimit-Policy",
            "X-RateLimit-Limit",
            "X-RateLimit-Remaining",
            "X-RateLimit-Reset",
        ),
        "Response headers that scripts may read.",
    )
    allow_credentials: bool = key(False, "Whether cookies and Authorization may come along.")
    max_age: Seconds = key(Seconds(86400.0), "How long browsers keep a preflight's answer.")


@frozen
class Security:
    """Further doors."""

    headers: bool = key(False, "Whether security headers are added to answers.")
    hsts: str = key("max-age=31536000; includeSubDomains", "Strict-Transport-Security, over TLS only. Empty: none.")
    frame: Literal["DENY", "SAMEORIGIN", ""] = key("DENY", "X-Frame-Options. Empty: none.")
    referrer: str = key("no-referrer", "Referrer-Policy. Empty: none.")
    permissions: str = key("camera=(), geolocation=(), microphone=()", "Permissions-Policy. Empty: none.")
    content_policy: str = key(
        "default-src 'none'; frame-ancestors 'none'", "Content-Security-Policy of the gateway's own answers."
    )
    hide_server: bool = key(False, "Whether the services' Server and X-Powered-By are removed.")
    allow: tuple[Network, ...] = key((), "Networks that may call; empty: all.")
    deny: tuple[Network, ...] = key((), "Networks that may not call.")


@frozen
class Metrics:
    """Prometheus metrics."""

    enabled: bool = key(False, "Whether metrics are served.")
    path: str = key("/metrics", "Where; outside of the services' prefixes.")
