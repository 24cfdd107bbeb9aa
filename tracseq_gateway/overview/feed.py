"""Where the overview of the whole gateway comes to in a worker, and where who shows it to somebody gets it from."""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

Watcher = Callable[[bytes], None]
"""Is given each overview: a JSON object in UTF-8, in one line."""


class OverviewFeed:
    """One worker's. While somebody has subscribed, an overview comes once a second; else the supervisor sends none.

    ``docs/command-line.md`` says what is in it.
    """

    def __init__(self) -> None:
        self.latest = b""
        """The last overview, as JSON, while somebody watches; empty before the first and when nobody does."""
        self.watched: Callable[[bool], None] = lambda watching: None
        """Told when the first subscribes and when the last has gone; set by who talks to the supervisor."""
        self._watchers: dict[object, Watcher] = {}
        self._log = Logger()

    def subscribe(self, watcher: Watcher) -> Callable[[], None]:
        """Have ``watcher`` called with each overview from now on, first with the next; what is returned ends that.

        ``watcher`` must not wait. The same one may subscribe several times.
        """
        subscription = object()
        self._watchers[subscription] = watcher
        if len(self._watchers) == 1:
            self.watched(True)

        def unsubscribe() -> None:
            if subscription in self._watchers:
                del self._watchers[subscription]
                if not self._watchers:
                    self.latest = b""
                    self.watched(False)

        return unsubscribe

    def publish(self, overview: bytes) -> None:
        """Hand an overview to all watchers; one that fails is logged, and does not keep it from the others."""
        if not self._watchers:
            return  # it was on its way when the last one left
        self.latest = overview
        for watcher in list(self._watchers.values()):
            try:
                watcher(overview)
            except Exception:
                self._log.failure("an overview could not be shown")
