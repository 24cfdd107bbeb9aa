"""What a request keeps of its way, for those who write it down."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.kit import MemoryGateway
from tests.kit_client import request
from tracseq_gateway.config.policies import Metrics
from tracseq_gateway.interfaces import Request


class JourneyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.gateway = MemoryGateway(tables={"metrics": Metrics(enabled=True)})
        self.ended: list[Request] = []
        recorder = self.gateway.worker.site._recorder
        assert recorder is not None
        witnesses = recorder._witnesses  # type: ignore[attr-defined]
        self.patch(recorder, "_witnesses", (*witnesses, lambda request, *when: self.ended.append(request)))

    def test_times(self) -> None:
        """When it was let in, passed on and answered, and which instance was asked how often."""
        self.gateway.service.answer = None
        began = self.gateway.clock.seconds()
        self.gateway.exchange(request(b"/"))
        self.gateway.clock.advance(0.2)
        self.gateway.service.connections[0].answer(b"HTTP/1.1 204 No Content\r\n\r\n")
        (ended,) = self.ended
        times = [ended.began, ended.admitted, ended.passed_on, ended.answered]
        for time, expected in zip(times, [0.0, 0.0, 0.0, 0.2], strict=True):
            self.assertAlmostEqual(time - began, expected)
        self.assertEqual((ended.attempts, ended.limit), (1, ""))
        self.assertTrue(ended.instance.startswith("http://"), ended.instance)

    def test_own_page(self) -> None:
        """A page of the gateway's own was asked of nobody."""
        self.gateway.exchange(request(b"/health"))
        (ended,) = self.ended
        self.assertEqual((ended.attempts, ended.instance, ended.admitted, ended.answered), (0, "", 0.0, 0.0))
