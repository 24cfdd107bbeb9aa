"""The configuration of what stands between a request and the instances of its service."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from tracseq_gateway.config.keys import MOMENT, Seconds, Size, key

Balance = Literal["round_robin", "weighted_round_robin", "least_connections", "p2c", "ewma", "consistent_hash"]

Priority = Literal["high", "normal", "low"]


@frozen
class Instance:
    """One server process of a service."""

    url: str = key("", "Required. ``http://host:port`` or ``https://host:port``, without a path.")
    weight: int = key(1, "Its share of the requests, under every balance but ``round_robin``.", least=1, most=65535)


@frozen
class Discovery:
    """Where the instances of a service are found while the gateway runs: one of ``dns``, ``srv``, ``file``, ``url``."""

    dns: str = key("", "A name whose addresses (A and AAAA) are the instances, each on ``port``. No search domains.")
    port: int | None = key(None, "The port of the instances that ``dns`` finds. Required with it.", least=1, most=65535)
    srv: str = key("", "A name whose SRV records of the lowest priority are the instances, with ports and weights.")
    file: str = key("", "A file that lists the instances; JSON or, when its name ends in ``.toml``, TOML.")
    url: str = key(
        "",
        "A URL that is answered with such a list in JSON. Of ``https`` ones the certificate is verified by the "
        "authorities of the system.",
    )
    interval: Seconds = key(Seconds(5.0), "Seconds between two look-ups, a tenth more or less.", least=0.1)
    timeout: Seconds = key(
        Seconds(3.0), "Seconds that a look-up may take; beyond it the last good answer is kept.", least=0.1, most=60
    )


@frozen
class Timeouts:
    """How long a service may take. 0: no limit."""

    connect: Seconds = key(Seconds(5.0), "Seconds to establish a connection; beyond it 504.")
    response: Seconds = key(
        Seconds(30.0), "Seconds from the end of the request to the head of the answer; beyond it 504."
    )
    idle: Seconds = key(
        Seconds(60.0), "Longest silence within the body of an answer, and of a service that takes no more of a request."
    )
    total: Seconds = key(
        Seconds(0.0), "From the request's head to the answer's end, everything included, retries and their pauses too."
    )
    events: Seconds = key(
        Seconds(300.0),
        "Longest silence within an answer of type ``text/event-stream``, in place of ``idle``: comments that services "
        "send as heart-beats count.",
    )


@frozen
class PathTimeouts:
    """How long a service may take for some paths. 0: no limit; without a key: as for the service."""

    response: Seconds | None = key(None, "Seconds from the end of the request to the head of the answer.")
    idle: Seconds | None = key(None, "Longest silence within a body.")
    events: Seconds | None = key(None, "Longest silence within a stream of events.")
    total: Seconds | None = key(None, "From the request's head to the answer's end.")


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
    """The connections that one worker keeps to one instance: its requests at once, and those that wait."""

    max: int = key(
        256,
        "Most connections, busy and idle together: an instance has no more requests of one worker at once.",
        least=1,
    )
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
    """Sending a request again that cannot have acted, or that may act twice without harm (an idempotent method).

    A connection that did not come about is always tried again on another instance, within the budget.
    """

    attempts: int = key(
        1, "Most further attempts for one request, each on an instance that was not tried. 0: none.", most=100
    )
    budget: float = key(
        0.2, "Most retries under way, as a share of the service's active requests in a worker; 3 may be always.", most=1
    )
    statuses: tuple[int, ...] = key(
        (502, 503, 504), "Answers that are not passed on while there is an instance that was not tried."
    )
    max_body: Size = key(
        Size(65536), "Largest request body that is kept to be sent again, as far as it comes in pieces.", most=1 << 24
    )
    backoff: Seconds = key(
        Seconds(0.025), "The first pause is drawn between 0 and this; the bound doubles each time.", most=10
    )
    max_backoff: Seconds = key(Seconds(0.25), "Where the bound of the pauses stops to grow.", most=60)
    max_wait: Seconds = key(
        Seconds(1.0),
        "The longest Retry-After of a service that is waited for; an answer that asks for more is passed on.",
        most=300,
    )


@frozen
class Outliers:
    """Passive health: an instance that fails requests gets none for a while, unless it is the only one."""

    failures: int = key(5, "Failures in a row after which an instance is ejected. 0: never by this rule.")
    share: float = key(0.5, "Share of failures within ``window`` after which it is ejected. 0: never by this.", most=1)
    requests: int = key(20, "Least requests within ``window`` for ``share`` to be looked at.", least=1)
    window: Seconds = key(Seconds(10.0), "Seconds over which the share is taken.", least=MOMENT)
    eject_seconds: Seconds = key(
        Seconds(30.0), "How long the first ejection lasts; the second twice as long, and so on.", least=MOMENT
    )
    max_eject_seconds: Seconds = key(Seconds(300.0), "The longest ejection.", least=MOMENT)
    max_share: float = key(
        0.5, "Largest share of a service's instances that is ejected at once; of two or more always one may be.", most=1
    )


@frozen
class Breaker:
    """The circuit breaker of a service: it opens when each of its instances fails."""

    failures: int = key(
        5,
        "Failures in a row, of each instance that serves, that open it: no connection, no whole answer, no answer in "
        "time, or 502, 503 and 504. 0: never.",
    )
    open_seconds: Seconds = key(
        Seconds(60.0), "How long requests are then answered with 503 before one is let through to try.", least=MOMENT
    )


@frozen
class Tunnels:
    """Connections that change to another protocol, WebSocket above all. They hold no place in the connection pool."""

    upgrades: tuple[str, ...] = key(
        ("websocket",),
        "Protocols that a request may change to; what asks for another is answered without. Empty: none.",
    )
    idle: Seconds = key(Seconds(300.0), "Longest silence in both directions. 0: no limit.")
    total: Seconds = key(Seconds(0.0), "Longest duration. 0: no limit.")
    until_token_expires: bool = key(
        False,
        "Whether one ends when the token or API key expires by which it was opened. It ends with its session either "
        "way.",
    )
    origins: tuple[str, ...] | None = key(
        None,
        "Pages that may open a WebSocket: origins, or patterns as in ``cors.allow_origins``; others get 403. Pages of "
        "the host that is asked may always, and so may programs that send no Origin. Without it: those of "
        "``cors.allow_origins`` if ``cors.enabled`` is true, else any.",
    )
    max: int = key(10_000, "Open tunnels of the service in one worker; beyond it 503. 0: no limit.")


@frozen
class Admission:
    """Admission control by the share of requests that succeed (client-side throttling)."""

    enabled: bool = key(False, "Whether requests to a service that fails often are refused with 503.")
    success: float = key(0.95, "Share of successes below which requests begin to be refused.", least=0.01, most=1)
    window: Seconds = key(Seconds(30.0), "Seconds over which the share is taken.", least=1)
    aggression: float = key(
        1.0, "1: refused in proportion to the failures; more: refused earlier and harder.", least=0.1, most=10
    )
    max_refused: float = key(0.8, "Largest share that is refused.", most=1)
