"""A purge, from a public path to what is kept of several services."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.cache_kit import Cached, answer, get, status
from tests.kit import MemoryGateway
from tracseq_gateway.config import Instance, Service
from tracseq_gateway.config.cache import ServiceCache

SAID = answer(b"Cache-Control: max-age=60")
KEPT = (b"/samples", b"/samples/1", b"/samples/1?full=1", b"/samples/1/x", b"/samples/12", b"/rag/1")


def service(name: str) -> Service:
    prefix = f"/{name}"
    return Service(
        name, prefix=prefix, instances=(Instance("http://127.0.0.1:9001"),), cache=ServiceCache(enabled=True)
    )


class PurgeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.gateway = MemoryGateway(services={name: service(name) for name in ("samples", "rag")}, answer=SAID)

    def left(self, purged: int, path: bytes, query: bytes = b"", *, below: bool = False, name: str = "") -> str:
        """Have all kept, purge, and return which answers are still there."""
        self.gateway.clock.advance(1)  # what was asked in the moment of a purge is not kept
        for each in KEPT:
            self.gateway.exchange(get(each))
        self.assertEqual(purged, self.successResultOf(self.gateway.worker.purge(name, path, query, below=below)))
        given = {each: self.gateway.exchange(get(each)).answers()[0] for each in KEPT}
        return " ".join(each.decode() for each, one in given.items() if b"hit" in status(one))

    def test_scopes(self) -> None:
        """A path stands for itself with any query, or for all below it; a service for all that it has."""
        every = " ".join(each.decode() for each in KEPT)
        self.assertEqual("", self.left(6, b""))
        self.assertEqual("/rag/1", self.left(5, b"", name="samples"))
        self.assertEqual("/samples /samples/1/x /samples/12 /rag/1", self.left(2, b"/samples/1"))
        self.assertEqual("/samples /samples/1 /samples/1/x /samples/12 /rag/1", self.left(1, b"/samples/1", b"?full=1"))
        self.assertEqual("/samples /samples/12 /rag/1", self.left(3, b"/samples/1/", below=True))
        self.assertEqual("/rag/1", self.left(5, b"/samples/", below=True))
        self.assertEqual("", self.left(6, b"/", below=True))
        self.assertEqual(every, self.left(0, b"/storage/", below=True))
        self.assertEqual(every, self.left(0, b"/samples/1", name="rag"))

    def test_under_way(self) -> None:
        """What was asked before a purge is not kept after it."""
        cached = Cached(None)
        client = cached.ask_later()
        self.successResultOf(cached.gateway.worker.purge("", b"/a", b"", below=False))
        cached.gateway.service.connections[0].answer(SAID)
        self.assertEqual(200, client.answers()[0].status)
        cached.says(SAID)
        self.assertIn(b"fwd=uri-miss", status(cached.ask()))

    def test_nothing(self) -> None:
        """A gateway that keeps nothing has nothing to drop."""
        self.assertEqual(0, self.successResultOf(MemoryGateway().worker.purge("", b"", b"", below=False)))
