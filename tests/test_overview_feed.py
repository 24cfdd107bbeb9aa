"""Where the overview comes to in a worker."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tracseq_gateway.overview.feed import OverviewFeed


class FeedTests(SynchronousTestCase):
    """``OverviewFeed``."""

    def setUp(self) -> None:
        self.watched: list[bool] = []
        self.feed = OverviewFeed()
        self.feed.watched = self.watched.append
        self.seen: list[bytes] = []

    def test_watched(self) -> None:
        """The supervisor hears of the first who watches and of the last who leaves, and of nobody in between."""
        first, second = self.feed.subscribe(self.seen.append), self.feed.subscribe(self.seen.append)
        first()
        self.assertEqual([True], self.watched)
        second()
        second()
        self.assertEqual([True, False], self.watched)
        self.feed.subscribe(self.seen.append)
        self.assertEqual([True, False, True], self.watched)

    def test_published(self) -> None:
        """Everybody who watches gets each overview, and a new one finds the last."""
        self.feed.subscribe(self.seen.append)
        leave = self.feed.subscribe(self.seen.append)
        self.feed.publish(b"{}")
        self.assertEqual(([b"{}", b"{}"], b"{}"), (self.seen, self.feed.latest))
        leave()
        self.feed.publish(b"[]")
        self.assertEqual([b"{}", b"{}", b"[]"], self.seen)

    def test_nobody(self) -> None:
        """What comes when nobody watches any more is not kept: it would be shown as new to who comes later."""
        leave = self.feed.subscribe(self.seen.append)
        self.feed.publish(b"{}")
        leave()
        self.feed.publish(b"[]")
        self.assertEqual(b"", self.feed.latest)

    def test_broken(self) -> None:
        """One who cannot show it does not keep it from the others; it is logged."""

        def fail(overview: bytes) -> None:
            raise RuntimeError("cannot draw")

        self.feed.subscribe(fail)
        self.feed.subscribe(self.seen.append)
        self.feed.publish(b"{}")
        self.assertEqual([b"{}"], self.seen)
        self.assertEqual(1, len(self.flushLoggedErrors(RuntimeError)))

    def test_leavesMeanwhile(self) -> None:
        """Who leaves while he is told gets no more, and the others get theirs."""
        leaves = [self.feed.subscribe(lambda overview: leaves[0]())]
        self.feed.subscribe(self.seen.append)
        self.feed.publish(b"{}")
        self.feed.publish(b"[]")
        self.assertEqual([b"{}", b"[]"], self.seen)
