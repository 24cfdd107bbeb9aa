"""What the overview is computed with: percentiles, the window of ten seconds, the counts of five minutes, pieces."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tracseq_gateway.metrics.counting import FINE_BOUNDS
from tracseq_gateway.overview.digest import Digest, Ended, InstanceDigest, ServiceDigest
from tracseq_gateway.overview.percentiles import in_milliseconds, quantile
from tracseq_gateway.overview.pieces import MOST, PIECE, Assembly, in_pieces
from tracseq_gateway.overview.recurring import MOST_KEYS, Recurring
from tracseq_gateway.overview.window import ServiceSum, Window

ENDED = Ended(5.5, "GET", "/x", "rag", "http://h:1", 502, 12.5, "closed-early", "gone", "abc", "0" * 32)


def digest(requests: int = 0, seconds: float = 1.0, **fields: Any) -> Digest:
    """A worker's second with requests to one service, of 10 ms each."""
    bucket = bisect_left(FINE_BOUNDS, 0.01)
    service = ServiceDigest("rag", requests, 0, 0, [(bucket, requests)])
    return Digest(seconds, [service], [InstanceDigest("rag", "http://h:1", requests, 0, 0)], **fields)


class PercentileTests(SynchronousTestCase):
    """``quantile``."""

    def test_interpolated(self) -> None:
        """Within a bucket values lie evenly, as Prometheus' histogram_quantile has it."""
        self.assertEqual(1.5, quantile((1.0, 2.0, 4.0), {0: 5, 1: 10}, 10 / 15))
        self.assertEqual(0.5, quantile((1.0, 2.0), {0: 2}, 0.5))
        self.assertEqual(3.0, quantile((1.0, 2.0, 4.0), {2: 4}, 0.5))

    def test_beyond(self) -> None:
        """Of what lies beyond all bounds, the last bound is known."""
        self.assertEqual(2.0, quantile((1.0, 2.0), {2: 3}, 0.5))

    def test_nothing(self) -> None:
        """Without values there is no percentile."""
        self.assertIsNone(quantile((1.0,), {}, 0.5))
        self.assertEqual({"p50_ms": None, "p95_ms": None, "p99_ms": None}, in_milliseconds((1.0,), {}))

    @given(st.lists(st.floats(0.0, 299.0), min_size=1, max_size=200), st.sampled_from([0.5, 0.95, 0.99, 1.0]))
    def test_bucket(self, values: list[float], share: float) -> None:
        """It lies in the very bucket of the value that it stands for."""
        counts = Counter(bisect_left(FINE_BOUNDS, value) for value in values)
        ordered = sorted(values)
        rank = next(rank for rank in range(1, len(values) + 1) if rank >= share * len(values))
        found = quantile(FINE_BOUNDS, counts, share)
        assert found is not None
        index = bisect_left(FINE_BOUNDS, ordered[rank - 1])
        low = FINE_BOUNDS[index - 1] if index else 0.0
        self.assertTrue(low <= found <= FINE_BOUNDS[index] * (1 + 1e-9), (low, found, FINE_BOUNDS[index]))


class WindowTests(SynchronousTestCase):
    """``Window``."""

    def test_rates(self) -> None:
        """The requests of all workers, by the time that they count together."""
        window = Window()
        for second in range(10):
            window.take(1, digest(3), float(second))
            window.take(2, digest(1), second + 0.5)
        sums = window.sums(9.6)
        self.assertEqual(10.0, sums.seconds)
        self.assertEqual((4.0, {1: 3.0, 2: 1.0}), (sums.rate(sums.services["rag"].requests), sums.by_worker))
        self.assertEqual(4.0, sums.rate(sums.asked["rag", "http://h:1"]))
        self.assertEqual(40, sum(sums.durations(["rag", "other"]).values()))

    def test_forgotten(self) -> None:
        """After ten seconds nothing is left, and a shorter time counts only what came in it."""
        window = Window()
        window.take(1, digest(3), 0.0)
        window.take(1, digest(5), 6.0)
        self.assertEqual(5, window.sums(7.0, 5.0).services["rag"].requests)
        self.assertEqual(8, window.sums(9.9).services["rag"].requests)
        self.assertEqual(5, window.sums(10.0).services["rag"].requests)
        self.assertEqual(({}, 0.0), (window.sums(16.0).services, window.sums(16.0).seconds))
        self.assertEqual(0.0, window.sums(16.0).rate(3))

    def test_goneWorker(self) -> None:
        """What a worker did counts after its end; what it had under way does not."""
        window = Window()
        window.take(1, digest(3, in_flight=2), 0.0)
        window.take(2, digest(1, in_flight=1), 0.0)
        window.retain({2})
        self.assertEqual(4, window.sums(1.0).services["rag"].requests)
        self.assertEqual([2], list(window.latest))

    def test_young(self) -> None:
        """A worker that has just begun does not make the rate of the others look higher."""
        window = Window()
        for second in range(10):
            window.take(1, digest(10), float(second))
        window.take(2, digest(10), 9.0)
        self.assertEqual(11.0, window.sums(9.0).rate(window.sums(9.0).services["rag"].requests))

    @given(st.lists(st.tuples(st.integers(1, 3), st.floats(0.0, 2.0), st.integers(0, 50)), max_size=60))
    def test_model(self, steps: list[tuple[int, float, int]]) -> None:
        """However digests come, the sum is that of the last ten seconds."""
        window, now, model = Window(), 0.0, []
        for worker, pause, requests in steps:
            now += pause
            window.take(worker, digest(requests), now)
            model.append((now, requests))
        expected = sum(requests for came, requests in model if came > now - 10.0)
        self.assertEqual(expected, window.sums(now).services.get("rag", ServiceSum()).requests)


class RecurringTests(SynchronousTestCase):
    """``Recurring``."""

    def test_most(self) -> None:
        """What came up most often is first, and only so many are named."""
        recurring = Recurring()
        recurring.add([("rag", "no-instance", 2), ("auth", "no-route", 5)], 0.0)
        recurring.add([("rag", "no-instance", 4), ("rag", "bad-answer", 1)], 100.0)
        self.assertEqual([(("rag", "no-instance"), 6), (("auth", "no-route"), 5)], recurring.most(2, 100.0))

    def test_fiveMinutes(self) -> None:
        """After five minutes it is forgotten, also when nothing new comes."""
        recurring = Recurring()
        recurring.add([("rag", "no-instance", 2)], 0.0)
        self.assertEqual([(("rag", "no-instance"), 2)], recurring.most(5, 299.0))
        self.assertEqual([], recurring.most(5, 300.0))

    def test_bounded(self) -> None:
        """However many different ones come, so many are told apart; those that are known go on to be counted."""
        recurring = Recurring()
        for number in range(10 * MOST_KEYS):
            recurring.add([("rag", f"a:{number}", 1), ("rag", "a:0", 1)], 1.0)
        every = recurring.most(10 * MOST_KEYS, 1.0)
        self.assertEqual((MOST_KEYS, (("rag", "a:0"), 10 * MOST_KEYS + 1)), (len(every), every[0]))


class PieceTests(SynchronousTestCase):
    """Long messages in pieces."""

    @given(st.integers(0, 4), st.integers(-1, 1))
    def test_whole(self, pieces: int, more: int) -> None:
        """A message of any length comes out as it went in, and so does the next one."""
        message = bytes(max(0, pieces * PIECE + more))
        assembly = Assembly()
        for sent in (message, b"{}"):
            *begun, last = [assembly.take(piece, last) for piece, last in in_pieces(sent)]
            self.assertEqual(([None] * len(begun), sent), (begun, last))

    def test_tooLong(self) -> None:
        """A message without an end is not kept, and the one behind it comes out."""
        assembly = Assembly()
        for _ in range(MOST // PIECE + 2):
            self.assertIsNone(assembly.take(bytes(PIECE), False))
        self.assertEqual([], assembly._pieces)
        self.assertIsNone(assembly.take(b"x", True))
        self.assertEqual(b"x", assembly.take(b"x", True))


class DigestTests(SynchronousTestCase):
    """``Digest`` on the wire."""

    def test_packed(self) -> None:
        """It comes out as it went in."""
        whole = Digest(
            1.0, [ServiceDigest("rag", 3, 1, 1, [[4, 3]])], [InstanceDigest("rag", "http://h:1", 3, 1, 2)],  # type: ignore[list-item]
            [["rag", "no-instance", 1]], [["rag", "a:192.0.2.7", 1]],  # type: ignore[list-item]
            circuits=[["rag", "open"]], ejected=[["rag", "http://h:1"]], slow=[ENDED], failed=[ENDED],  # type: ignore[list-item]
        )  # fmt: skip
        self.assertEqual(whole, Digest.unpack(whole.pack()))

    def test_otherVersion(self) -> None:
        """One with other fields is an error, not half a digest."""
        for text in (b"{", b"[]", b'{"services": []}', Digest().pack().replace(b"lag", b"lug")):
            self.assertRaises((ValueError, TypeError, KeyError), Digest.unpack, text)
