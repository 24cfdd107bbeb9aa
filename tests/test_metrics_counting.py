"""What is counted of requests in plain numbers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tracseq_gateway.errors import RESPONSE_TIMEOUT, GatewayError
from tracseq_gateway.http.trace_context import TraceContext
from tracseq_gateway.metrics.counting import (
    FINE_BOUNDS,
    REQUEST_BUCKETS,
    Exemplar,
    InstanceCount,
    RequestCounts,
    folded,
)


def request(service: str = "samples", **differing: Any) -> Any:
    usual = {
        "head": SimpleNamespace(method=b"GET"),
        "service": service,
        "status": 200,
        "error": None,
        "began": 0.0,
        "passed_on": 0.0,
        "answered": 0.0,
        "received": 0,
        "sent": 0,
        "trace": None,
    }
    return SimpleNamespace(**usual | differing)


class CountingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.counts = RequestCounts(["samples", "rag"])

    def test_bounds(self) -> None:
        """The bounds that Prometheus gets are among the fine ones, which rise."""
        self.assertEqual(sorted(set(FINE_BOUNDS)), list(FINE_BOUNDS))
        self.assertTrue(set(REQUEST_BUCKETS) <= set(FINE_BOUNDS))

    @given(st.lists(st.floats(0.0, 1000.0)))
    def test_folded(self, durations: list[float]) -> None:
        """Counted finely and folded is the same as counted by the wide buckets at once."""
        counts = RequestCounts(["samples"])
        expected = [0] * (len(REQUEST_BUCKETS) + 1)
        for seconds in durations:
            counts.request_ended(request(), 0.0, seconds)
            expected[sum(seconds > bound for bound in REQUEST_BUCKETS)] += 1
        counted = counts.taken({}).services
        fine = counted["samples"].durations if durations else [0] * (len(FINE_BOUNDS) + 1)
        self.assertEqual(folded(fine), expected)

    def test_taken(self) -> None:
        """What was taken is not counted again, and a service without requests is not named."""
        self.counts.request_ended(request(sent=7, received=3), 0.0, 0.5)
        instances = {("samples", "http://a"): InstanceCount(1, 0, 2)}
        counted = self.counts.taken(instances)
        self.assertEqual(dict(counted.requests), {(b"GET", "samples", 200): 1})
        self.assertEqual([*counted.services], ["samples"])
        samples = counted.services["samples"]
        self.assertEqual((samples.seconds, samples.sent, samples.received), (0.5, 7, 3))
        self.assertIs(counted.instances, instances)
        self.assertEqual(dict(self.counts.taken({}).requests), {})
        self.assertEqual(sum(samples.durations), 1)

    def test_first_byte(self) -> None:
        """How long a service took is counted only if it answered."""
        self.counts.request_ended(request(passed_on=5.0, answered=5.25), 0.0, 1.0)
        self.counts.request_ended(request(passed_on=5.0), 0.0, 1.0)
        samples = self.counts.taken({}).services["samples"]
        self.assertEqual((sum(samples.first_bytes), samples.seconds_to_first_byte), (1, 0.25))

    def test_tunnel(self) -> None:
        """A connection that changed its protocol took as long as that change, however long it was open."""
        self.counts.request_ended(request(status=101, began=5.0, passed_on=5.0, answered=5.25), 0.0, 3600.0)
        self.assertEqual(self.counts.taken({}).services["samples"].seconds, 0.25)

    def test_errors(self) -> None:
        """Errors of the gateway's own are counted by their kind; what was never routed has a service of its own."""
        error = GatewayError(RESPONSE_TIMEOUT)
        self.counts.request_ended(request(error=error, status=504), 0.0, 1.0)
        self.counts.request_ended(request("", error=error, status=504), 0.0, 1.0)
        self.counts.request_ended(request(""), 0.0, 1.0)
        counted = self.counts.taken({})
        slug = error.kind.slug
        self.assertEqual(dict(counted.errors), {("samples", slug): 1, ("none", slug): 1})
        self.assertEqual(sorted(counted.services), ["gateway", "none", "samples"])

    def test_exemplars(self) -> None:
        """The newest sampled request of each bucket stands for it."""
        for trace, seconds in (("1", 0.003), ("2", 0.004), ("3", 7.0)):
            context = TraceContext(trace * 32, "a" * 16, "", sampled=True)
            self.counts.request_ended(request(trace=context), 1e9, seconds)
        unsampled = TraceContext("4" * 32, "a" * 16, "", sampled=False)
        self.counts.request_ended(request(trace=unsampled), 1e9, 0.2)
        self.assertEqual(
            dict(self.counts.taken({}).exemplars),
            {("samples", 2): Exemplar("2" * 32, 0.004, 1e9), ("samples", 12): Exemplar("3" * 32, 7.0, 1e9)},
        )
