"""One server process of a service, as a worker sees it."""

from __future__ import annotations

from hashlib import blake2b

from attrs import define, field

from tracseq_gateway.interfaces import State
from tracseq_gateway.net.deadlines import Timer
from tracseq_gateway.net.tls_peer import Peer
from tracseq_gateway.upstream.outliers import Record
from tracseq_gateway.upstream.pool import Pool


@define(eq=False)
class Instance:
    """An instance, with what the policies know of it."""

    url: str
    weight: int
    authority: bytes
    """Host and port, as a Host field has them."""
    pool: Pool
    peer: Peer | None = None
    """Who must be there; None for one that is spoken to in clear."""
    state: State = "unknown"
    """What the active probes say."""
    checked: float = 0.0
    """When the last probe ended that was heard of, in seconds since the epoch."""
    drained: bool = False
    """Whether an operator wants it to get no more requests."""
    in_flight: int = 0
    asked: int = 0
    """Attempts since :meth:`taken` was last called."""
    failed: int = 0
    """Those of them that were held against it."""
    current_weight: int = 0
    latency: float = 0.0
    measured: float = 0.0
    record: Record = field(factory=Record)
    """What the requests say."""
    ejection: Timer | None = None
    """Runs out with the ejection."""
    warm_from: float = 0.0
    """When it came back, while it has not its full share yet; else 0."""
    token: bytes = b""
    """What a sticky cookie says for it: tells nobody what is behind the gateway."""

    def __attrs_post_init__(self) -> None:
        self.token = blake2b(self.url.encode(), digest_size=8, person=b"tracseq sticky").hexdigest().encode()

    def taken(self) -> tuple[int, int]:
        """Attempts, and how many of them failed, since the last call."""
        counts = self.asked, self.failed
        self.asked = self.failed = 0
        return counts

    def retire(self) -> None:
        """Finish what is under way, and keep no connection; see :meth:`tracseq_gateway.upstream.pool.Pool.retire`."""
        if self.ejection is not None:
            self.ejection.stop()
        self.pool.retire()

    def close(self) -> None:
        """Close the idle connections; busy ones close when they are done."""
        if self.ejection is not None:
            self.ejection.close()
        self.pool.close()
