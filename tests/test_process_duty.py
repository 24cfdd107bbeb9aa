"""What a worker does before it serves."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tracseq_gateway.config import Client, Config, Connections, Instance, Service
from tracseq_gateway.process.duty import SPARE_DESCRIPTORS, fitted


class FittedTests(SynchronousTestCase):
    def most(self, wanted: int, descriptors: int | None, pool: int = 256) -> int:
        service = Service("a", instances=(Instance("http://a"), Instance("http://b")), connections=Connections(pool))
        config = Config(client=Client(max_connections=wanted), services={"a": service})
        return fitted(config, descriptors).client.max_connections

    def test_enough(self) -> None:
        """Where there are descriptors enough, or no limit of them, the configuration holds."""
        self.assertEqual(self.most(100, 100 + 2 * 50 + SPARE_DESCRIPTORS, pool=50), 100)
        self.assertEqual(self.most(12_000, 20_000), 12_000)
        self.assertEqual(self.most(12_000, None), 12_000)
        self.assertEqual(self.most(0, None), 0)

    def test_too_few(self) -> None:
        """Else the services' pools get theirs first, but at most half of what there is."""
        self.assertEqual(self.most(12_000, 1024), (1024 - SPARE_DESCRIPTORS) // 2)
        self.assertEqual(self.most(0, 1024, pool=10), 1024 - SPARE_DESCRIPTORS - 20)
        self.assertEqual(self.most(10, 10), 1)
