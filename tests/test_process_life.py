"""A worker's life as a table, and the pauses between lives."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tracseq_gateway.process.backoff import Backoff
from tracseq_gateway.process.life import EVENTS, STATES, TABLE, Action, Event, State, step


class LifeTests(SynchronousTestCase):
    """``life.TABLE``."""

    def live(self, *events: Event) -> tuple[State, list[Action]]:
        """Let all events happen to a new worker."""
        state: State = "starting"
        actions: list[Action] = []
        for event in events:
            state, action = step(state, event)
            actions.append(action)
        return state, actions

    def test_total(self) -> None:
        """Every event has a row in every state."""
        self.assertEqual({(state, event) for state in STATES for event in EVENTS}, set(TABLE))

    def test_exitIsTheEnd(self) -> None:
        """Whatever a worker does, its exit is reported once, and nothing follows."""
        for state in STATES:
            self.assertEqual(("gone", "nothing" if state == "gone" else "bury"), step(state, "exited"))
        self.assertEqual({("gone", "nothing")}, {step("gone", event) for event in EVENTS})

    def test_killedOnce(self) -> None:
        """A worker that was killed once is not killed again."""
        self.assertEqual({"nothing", "bury"}, {step("dying", event)[1] for event in EVENTS})

    def test_ordinaryLife(self) -> None:
        """A worker serves, is asked to leave, and goes; that its connection is lost on the way means nothing."""
        self.assertEqual(
            ("gone", ["announce", "ask", "nothing", "bury"]), self.live("ready", "drain", "detached", "exited")
        )

    def test_suddenDeath(self) -> None:
        """A death is told by the exit alone, whether the loss of the connection is seen before or after it."""
        self.assertEqual(("gone", ["announce", "await", "bury"]), self.live("ready", "detached", "exited"))
        self.assertEqual(("gone", ["announce", "bury", "nothing"]), self.live("ready", "exited", "detached"))

    def test_drainBeforeReady(self) -> None:
        """A worker that is asked to leave while it starts is not announced any more."""
        self.assertEqual(("leaving", ["ask", "nothing"]), self.live("drain", "ready"))

    def test_farewell(self) -> None:
        """A worker that leaves of itself gets a successor, and is still asked how many requests it cut."""
        self.assertEqual(("leaving", ["announce", "succeed", "ask"]), self.live("ready", "farewell", "drain"))

    def test_tooSlow(self) -> None:
        """A deadline kills, whether it was for the start or for the drain."""
        self.assertEqual(("dying", ["kill"]), self.live("condemned"))
        self.assertEqual(("dying", ["announce", "ask", "kill"]), self.live("ready", "drain", "condemned"))

    def test_stuck(self) -> None:
        """A worker that answers no more is asked for its stack and then killed, whatever it says meanwhile."""
        self.assertEqual(
            ("gone", ["announce", "question", "nothing", "nothing", "kill", "bury"]),
            self.live("ready", "silent", "farewell", "drain", "condemned", "exited"),
        )

    def test_silence(self) -> None:
        """Silence means something only of a worker that serves; who starts or leaves has a deadline for that."""
        for state in set(STATES) - {"serving"}:
            self.assertEqual((state, "nothing"), step(state, "silent"))


class BackoffTests(SynchronousTestCase):
    """``Backoff``."""

    def test_crashLoop(self) -> None:
        """The first early death is followed at once, further ones after 1, 2, 4, 8, 16 and then 30 seconds."""
        backoff = Backoff()
        pauses = [backoff.died(served) for served in (4.9, None, 0.0, 1.0, None, None, None, None)]
        self.assertEqual([0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0], pauses)
        self.assertEqual(8, backoff.crashes)

    def test_neverTooLong(self) -> None:
        """However long the loop goes on, the pause stays at 30 seconds."""
        backoff = Backoff()
        self.assertEqual(30.0, [backoff.died(None) for _ in range(2000)][-1])

    def test_accident(self) -> None:
        """A worker that served for a while is followed at once, but does not clear the record."""
        backoff = Backoff()
        self.assertEqual([0.0, 1.0, 0.0, 2.0], [backoff.died(served) for served in (None, None, 5.0, None)])

    def test_proven(self) -> None:
        """A worker that served for a minute clears the record."""
        backoff = Backoff()
        self.assertEqual([0.0, 1.0, 0.0, 0.0], [backoff.died(served) for served in (None, None, 60.0, None)])
