"""How long, how often and how much."""

from __future__ import annotations

from attrs import frozen

PROXIES = ("nginx", "caddy", "treq", "gateway")
DUTY_PROXIES = ("nginx", "caddy", "nginx_lua", "gateway")
"""Of the part ``duties``: the first two only pass on."""

CLIENTS = 64


@frozen
class Settings:
    """What a run does. The defaults are those of the published figures."""

    contestants: tuple[str, ...] = PROXIES
    duty_contestants: tuple[str, ...] = DUTY_PROXIES
    rounds: int = 5
    warmup: int = 1
    """Seconds of load before each measurement; its requests are not counted."""

    clients: int = CLIENTS
    cpu_seconds: int = 8

    latency_rate: float = 500.0
    """Requests a second, sent when they are due whether or not earlier ones are answered."""
    latency_connections: int = 32
    latency_seconds: int = 10

    idle_connections: int = 10_000
    idle_rounds: int = 3

    transfer_bytes: int = 1_000_000_000
    transfer_rounds: int = 3

    growth_seconds: int = 5
    """Long enough that the requests in flight when the load ends, which are not counted, weigh little."""
    growth_rounds: int = 3
    growth_clients: tuple[int, ...] = (1, 16, 64, 256, 1024)
    growth_routes: tuple[int, ...] = (1, 10, 100, 1000)

    duty_rounds: int = 5
    duty_seconds: int = 5
    duty_clients: tuple[int, ...] = (1, 16, 64, 256)

    token_rounds: int = 3
    token_seconds: int = 4
    """Far less than the minute after which a client that is over its limit would be served again."""
    tokens: int = 20_000

    scrape_rounds: int = 3

    record_rounds: int = 5
    record_seconds: int = 5

    protocol_rounds: int = 5
    protocol_seconds: int = 5

    live_rounds: int = 3
    live_seconds: int = 10
    websockets: int = 5000
    event_streams: tuple[int, ...] = (1, 1000)

    memory_rounds: int = 3
    limiter_keys: int = 100_000
    cached_tokens: int = 10_000


QUICK = Settings(
    rounds=1,
    warmup=1,
    cpu_seconds=1,
    latency_seconds=2,
    idle_connections=2000,
    idle_rounds=1,
    transfer_bytes=100_000_000,
    transfer_rounds=1,
    growth_seconds=1,
    growth_rounds=1,
    duty_rounds=1,
    duty_seconds=1,
    token_rounds=1,
    token_seconds=1,
    tokens=2000,
    scrape_rounds=1,
    record_rounds=1,
    record_seconds=1,
    protocol_rounds=1,
    protocol_seconds=1,
    live_rounds=1,
    live_seconds=2,
    websockets=500,
    event_streams=(1, 100),
    memory_rounds=1,
    limiter_keys=5000,
    cached_tokens=2000,
)
"""Shows in a minute or two that everything works; its figures mean little."""
