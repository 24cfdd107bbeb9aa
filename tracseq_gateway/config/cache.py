"""The configuration of what is kept of services' answers."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from tracseq_gateway.config.keys import MOMENT, Seconds, Size, key


@frozen
class Cache:
    """Where answers are kept, and how much of them. Which services' are, ``services.NAME.cache`` says."""

    store: Literal["memory", "redis"] = key(
        "memory", "Where answers are kept: in the memory of each worker, for itself, or in Redis, for all together."
    )
    size: Size = key(
        Size(32 << 20),
        "Bytes of all answers that are kept: in each worker, or in Redis. In an embedded Redis at most half of "
        "``redis.max_memory``.",
        least=1 << 16,
    )
    entries: int = key(10_000, "Most answers that are kept, likewise.", least=1, most=1_000_000)
    largest: Size = key(
        Size(1 << 20), "Largest answer that is kept, with its head; what is larger passes.", least=1024, most=8 << 20
    )
    waiting: int = key(1000, "Most requests that wait for the answer to another one, in each worker. 0: none.")
    wait_seconds: Seconds = key(
        Seconds(5.0), "How long they wait before they are sent to the service themselves.", least=MOMENT
    )


@frozen
class ServiceCache:
    """Whether the answers of one service are kept."""

    enabled: bool = key(
        False,
        "Whether answers to GET are kept that say how long they are fresh, and given to others who ask for the same. "
        "Those to requests with a credential only if they also say that they are for all.",
    )
    keep_seconds: Seconds = key(
        Seconds(86400.0), "How long an answer is kept at most, fresh or not.", least=1, most=30 * 86400
    )
