"""What one service's cache goes by, and what it comes to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Literal, get_args

from attrs import frozen

from tracseq_gateway.cache.store import Store
from tracseq_gateway.http.caching.status import StatusMember
from tracseq_gateway.interfaces import Request
from tracseq_gateway.net.deadlines import Deadlines

Result = Literal["hit", "stale", "revalidated", "collapsed", "miss", "passed", "invalidated"]
"""What became of a request: answered by what is kept, fresh or stale; by what is kept after its service was asked
whether it still holds; by the answer to another request; by its service; by its service, without a look at what is
kept; the same, and what is kept of its target is dropped."""


def results() -> Counter[str]:
    """A count of each :data:`Result`, which is 0 so far."""
    return Counter(dict.fromkeys(get_args(Result), 0))


@frozen(eq=False)
class Terms:
    """What one service's cache goes by."""

    service: str
    store: Store
    status: StatusMember
    deadlines: Deadlines
    now: Callable[[], float]
    """Seconds since the epoch."""
    credentials: frozenset[bytes]
    """Names of the fields that say who asks."""
    upstream_path: Callable[[bytes], bytes]
    """From a public path to the one that the service gets."""
    keep_seconds: float
    """For how long anything is kept, fresh or not."""
    largest: int
    """Bytes of the largest answer that is kept, its head among them."""
    waiting: int
    """Requests that wait for one answer at most."""
    wait_seconds: float
    results: Counter[str]
    """What became of requests, by :data:`Result`."""

    def note(self, request: Request, result: Result) -> None:
        """This became of a request."""
        request.cache = result
        self.results[result] += 1
