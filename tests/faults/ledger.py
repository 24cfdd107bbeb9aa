"""The books of clients and services, compared after every run (scenario 42)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from attrs import frozen

from tests.faults.asked import Asked
from tests.faults.instance import Seen

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})


@frozen
class Ledger:
    """What does not agree. Each of the first three must be empty."""

    unseen: tuple[str, ...]
    """Ids that a client has a service's answer to, though no service saw such a request whole."""
    repeated: tuple[str, ...]
    """Ids of requests that may act only once, and that services saw whole more often."""
    foreign: tuple[str, ...]
    """Ids of requests that got the answer to another."""
    lost: int
    """Requests that a service answered with 200, though the client did not get to know: not to be avoided."""
    attempts: int
    """Requests whose head a service saw."""
    requests: int
    """Requests that clients made."""

    @property
    def agrees(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.unseen or self.repeated or self.foreign)

    @property
    def attempts_per_request(self) -> float:
        """1 if each request was tried once."""
        return self.attempts / max(self.requests, 1)


def compare(asked: Sequence[Asked], seen: Iterable[Seen], begun: Iterable[tuple[str, str]]) -> Ledger:
    """Compare what clients asked with what the services saw.

    ``seen`` are the requests that services saw whole and ``begun`` those that they saw the head of, with their methods.
    Requests of other ids than the clients' are no part of it.
    """
    ours = {one.id for one in asked}
    counts = Counter(entry[0] for entry in seen if entry[0] in ours)
    methods = {one.id: one.method for one in asked}
    answered = {one.id for one in asked if one.good}
    return Ledger(
        unseen=tuple(sorted(id for id in answered if id not in counts)),
        repeated=tuple(sorted(id for id, count in counts.items() if count > 1 and methods[id] not in IDEMPOTENT)),
        foreign=tuple(sorted(one.id for one in asked if one.trouble in ("wrong id", "wrong body"))),
        lost=len(counts.keys() - answered),
        attempts=sum(id in ours for id, _method in begun),
        requests=len(asked),
    )
