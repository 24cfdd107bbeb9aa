"""What state costs: a limiter's key in Redis, and a token's verdict in a worker."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack

from benchmarks import proc
from benchmarks.contest import contest
from benchmarks.duties import AUTH, LIMITED_PATH, LIMITS, Duties
from benchmarks.errors import BenchmarkError
from benchmarks.http_client import PATH, browser_request, connect, receive
from benchmarks.measure import Say
from benchmarks.processes import Cores, pinned
from benchmarks.samples_duties import KeysSample, VerdictsSample
from benchmarks.settings import Settings
from benchmarks.tokens import Issuer

AT_ONCE = 64
EACH = 500
"""Requests on one connection: the gateway closes it after a thousand."""
SETTLE_SECONDS = 1.0


def ask_with_each(port: int, path: str, tokens: Sequence[str]) -> None:
    """Have one request answered with each token, 64 at a time on as many connections."""
    for start in range(0, len(tokens), AT_ONCE * EACH):
        _ask_with_some(port, path, tokens[start : start + AT_ONCE * EACH])


def _ask_with_some(port: int, path: str, tokens: Sequence[str]) -> None:
    before, after = browser_request(port, path, "TOKEN").split(b"TOKEN")
    with ExitStack() as stack:
        connections = [stack.enter_context(connect(port)) for _each in range(AT_ONCE)]
        for start in range(0, len(tokens), AT_ONCE):
            batch = list(zip(connections, tokens[start : start + AT_ONCE], strict=False))
            for connection, token in batch:
                connection.sendall(before + token.encode() + after)
            for connection, _token in batch:
                receive(connection)


def measure_keys(settings: Settings, cores: Cores, say: Say) -> list[KeysSample]:
    """Fill Redis with the limits of that many users in each round.

    Each has used one request of a limit of one a minute, so that its key is there for a minute.
    """
    issuer = Issuer.make("HS256")
    tokens = issuer.users(AT_ONCE + settings.limiter_keys)
    samples = []
    for number in range(1, settings.memory_rounds + 1):
        with contest("gateway", cores, duties=Duties(issuer, (AUTH, LIMITS))) as proxy, pinned(cores.load):
            assert proxy.redis is not None
            ask_with_each(proxy.port, LIMITED_PATH, tokens[:AT_ONCE])
            keys_before, _expiring = proxy.redis.keys()
            memory_before = proxy.redis.used_memory()
            ask_with_each(proxy.port, LIMITED_PATH, tokens[AT_ONCE:])
            taken = proxy.redis.used_memory() - memory_before
            keys, expiring = proxy.redis.keys()
        if keys <= keys_before:
            raise BenchmarkError(f"the limits of {len(tokens):,} users have left only {keys} keys in Redis")
        sample = KeysSample(number, keys, expiring, taken, taken / (keys - keys_before))
        say(f"memory {number}: {sample.each:.0f} bytes for each of {keys:,} keys, {expiring:,} of which expire")
        samples.append(sample)
    return samples


def measure_verdicts(settings: Settings, cores: Cores, say: Say) -> list[VerdictsSample]:
    """Let a worker remember that many tokens in each round."""
    issuer = Issuer.make("HS256")
    tokens = issuer.users(settings.cached_tokens)
    samples = []
    for number in range(1, settings.memory_rounds + 1):
        duties = Duties(issuer, (AUTH,), cache_entries=settings.cached_tokens)
        with contest("gateway", cores, duties=duties) as proxy, pinned(cores.load):
            ask_with_each(proxy.port, PATH, [duties.probe] * AT_ONCE)  # what is made once is not a token's cost
            time.sleep(SETTLE_SECONDS)
            before = proc.memory(*proxy.workers)
            ask_with_each(proxy.port, PATH, tokens)
            time.sleep(SETTLE_SECONDS)
            sample = VerdictsSample(number, len(tokens), before, proc.memory(*proxy.workers))
        say(f"memory {number}: {sample.each:.0f} bytes for each of {sample.tokens:,} tokens")
        samples.append(sample)
    return samples
