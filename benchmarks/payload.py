"""A large body that is never held whole, and a reader's slow pace."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from attrs import define, field

CHUNK = 256 * 1024


def payload(total: int, noise: bytes) -> Iterator[bytes]:
    """``total`` bytes in chunks that all differ, so that a lost, doubled or swapped one changes the digest.

    ``noise`` is ``CHUNK`` random bytes; each chunk begins with its number.
    """
    for number in range(-(-total // CHUNK)):
        chunk = number.to_bytes(8, "big") + noise[8:]
        yield chunk[: total - number * CHUNK]


@define
class SlowPace:
    """Bounds how fast a reader reads: to ``rate`` bytes a second, with a rest of some seconds now and then.

    The rests are what shows whether a proxy holds the sender back: without that it would take in all that comes.
    """

    rate: float = 75e6
    rest_every: int = 250_000_000
    rest_seconds: float = 2.0
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.monotonic
    _taken: int = field(default=0, init=False)
    _free_at: float = field(default=0.0, init=False)

    def took(self, size: int) -> None:
        """Say that ``size`` bytes were read; sleeps until the next may be."""
        rests = (self._taken + size) // self.rest_every - self._taken // self.rest_every
        self._taken += size
        self._free_at = max(self._free_at, self.now() - 0.02) + size / self.rate + rests * self.rest_seconds
        delay = self._free_at - self.now()
        if delay > 0.005:
            self.sleep(delay)
