"""The wheel of deadlines on a fake clock: never early, at most one tick late, and as cheap to move as it says."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tracseq_gateway.net.deadlines import Deadlines, Timer

TICK = 0.1
STEP = 0.01
ROUNDING = 1e-6
"""What sums of floats may be off by."""
LATEST = TICK + 2 * STEP + ROUNDING
"""A tick, and what the steps of the fake clock add to it."""


class WheelTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000.0)
        self.wheel = Deadlines(self.clock, TICK)
        self.fired: list[float] = []

    def timer(self) -> Timer:
        """A timer that writes down when it expires."""
        return Timer(self.wheel, lambda: self.fired.append(self.clock.seconds()))

    def pass_time(self, seconds: float, step: float = STEP) -> None:
        """Let time pass in steps far shorter than a tick."""
        self.clock.pump([step] * round(seconds / step))


class TimerTests(WheelTestCase):
    def assertFired(self, *times: float) -> None:
        """The timers expired at these times, at most a tick later."""
        self.assertEqual(len(self.fired), len(times), self.fired)
        for fired, due in zip(self.fired, times, strict=True):
            self.assertGreaterEqual(fired, due - ROUNDING)
            self.assertLessEqual(fired, due + LATEST)

    def test_expires_once(self) -> None:
        """A deadline passes once, not before its time and at most a tick after."""
        timer = self.timer()
        timer.start(2.0)
        self.assertTrue(timer.running)
        self.pass_time(1.99)
        self.assertEqual(self.fired, [])
        self.pass_time(10.0)
        self.assertFired(1002.0)
        self.assertFalse(timer.running)

    def test_shorter_than_a_tick(self) -> None:
        """A deadline within the present tick passes, too."""
        self.timer().start(0.001)
        self.pass_time(1.0)
        self.assertFired(1000.001)

    def test_moved(self) -> None:
        """Starting again moves a deadline, later or earlier, however often."""
        timer = self.timer()
        timer.start(1.0)
        for _ in range(5):
            self.pass_time(0.5)
            timer.start(1.0)
        timer.start(60.0)
        timer.start(0.3)
        self.pass_time(100.0)
        self.assertFired(1002.8)

    def test_moved_earlier_and_back(self) -> None:
        """A deadline that is moved to and fro over the same slots passes once, at its last time."""
        timer = self.timer()
        for seconds in (5.0, 1.0, 5.0, 0.5, 5.0):
            timer.start(seconds)
        self.pass_time(10.0)
        self.assertFired(1005.0)

    def test_stopped(self) -> None:
        """A stopped deadline does not pass; it can be set again."""
        timer = self.timer()
        timer.start(1.0)
        timer.stop()
        self.assertFalse(timer.running)
        self.pass_time(3.0)
        self.assertEqual(self.fired, [])
        timer.start(1.0)
        self.pass_time(3.0)
        self.assertFired(1004.0)

    def test_zero(self) -> None:
        """Zero seconds means no deadline, and takes an earlier one away."""
        timer = self.timer()
        timer.start(1.0)
        timer.start(0)
        self.assertFalse(timer.running)
        self.pass_time(3.0)
        self.assertEqual(self.fired, [])

    def test_closed(self) -> None:
        """A closed timer never calls anything again, even if it is started."""
        timer = self.timer()
        timer.start(1.0)
        timer.close()
        timer.start(1.0)
        self.pass_time(5.0)
        self.assertEqual(self.fired, [])

    def test_started_by_its_own_callback(self) -> None:
        """What a deadline calls may set it anew."""

        def again() -> None:
            self.fired.append(self.clock.seconds())
            timer.start(1.0)

        timer = Timer(self.wheel, again)
        timer.start(1.0)
        self.pass_time(3.5)
        self.assertEqual(len(self.fired), 3)

    def test_closed_by_another(self) -> None:
        """A callback may stop or close a timer that is due in the same turn, and it is not called any more."""
        second, third = self.timer(), self.timer()

        def silence() -> None:
            second.close()
            third.stop()

        for timer in (Timer(self.wheel, silence), second, third):
            timer.start(1.0)
        self.pass_time(3.0)
        self.assertEqual(self.fired, [])


class WheelTests(WheelTestCase):
    def test_a_callback_that_fails(self) -> None:
        """A callback that raises is logged; the others of its slot, and later ones, are called all the same."""

        def fail() -> None:
            raise ValueError("a callback that fails")

        timers = [self.timer(), Timer(self.wheel, fail), self.timer(), self.timer()]
        for timer, seconds in zip(timers, (1.0, 1.0, 1.0, 2.0), strict=True):
            timer.start(seconds)
        self.pass_time(3.0)
        self.assertEqual(len(self.fired), 3)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_one_timer_for_all(self) -> None:
        """However many deadlines there are, the reactor has one timer, and a closed wheel has none."""
        for _ in range(1000):
            self.timer().start(5.0)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.pass_time(1.0, 0.1)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.wheel.stop()
        self.wheel.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_many(self) -> None:
        """Ten thousand deadlines pass, each a tick late at most."""
        late: list[float] = []

        def start(seconds: float) -> None:
            due = self.clock.seconds() + seconds
            Timer(self.wheel, lambda: late.append(self.clock.seconds() - due)).start(seconds)

        for number in range(10_000):
            start(0.05 + (number * 37 % 1000) / 50)
        self.pass_time(21.0)
        self.assertEqual(len(late), 10_000)
        self.assertGreaterEqual(min(late), -ROUNDING)
        self.assertLessEqual(max(late), LATEST)

    def test_jump(self) -> None:
        """After a jump of the clock by a day everything that was due is called, once."""
        for seconds in (0.5, 60.0, 86_000.0, 86_500.0):
            self.timer().start(seconds)
        self.clock.advance(86_400.0)
        self.assertEqual(len(self.fired), 3)
        self.pass_time(101.0, 0.1)
        self.assertEqual(len(self.fired), 4)

    def test_moving_is_free(self) -> None:
        """A deadline that is moved a thousand times within a turn waits in one slot."""
        timer = self.timer()
        for _ in range(1000):
            timer.start(60.0)
        self.assertEqual(sum(map(len, self.wheel._slots.values())), 1)

    def test_nothing_is_left(self) -> None:
        """A wheel whose deadlines are all over holds nothing."""
        for number in range(100):
            timer = self.timer()
            timer.start(1.0 + number / 10)
            timer.close()
        self.pass_time(20.0, 0.1)
        self.assertEqual(self.wheel._slots, {})

    def test_any_phase(self) -> None:
        """A wheel that was made between two ticks of the clock is a tick late at most, like any other."""
        self.clock.advance(0.09)
        self.wheel = Deadlines(self.clock, TICK)
        due = self.clock.seconds() + 1.02
        self.timer().start(1.02)
        self.pass_time(3.0)
        (fired,) = self.fired
        self.assertLessEqual(fired - due, LATEST)


ACTIONS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(["start", "start", "start", "stop", "close"]),
        st.sampled_from([0.0, 0.01, 0.05, 0.1, 0.15, 0.3, 1.0, 2.5]),
        st.sampled_from([0.0, 0.02, 0.1, 0.5, 1.3]),
    ),
    max_size=25,
)


class ModelTests(SynchronousTestCase):
    @given(ACTIONS, st.sampled_from([0.0, 0.03, 0.0999]))
    @example([(0, "start", 0.01, 0.0)], 0.0999)
    @settings(max_examples=150, deadline=None)
    def test_against_a_plain_list(self, actions: list[tuple[int, str, float, float]], phase: float) -> None:
        """Whatever is done to four timers, each expires exactly when a plain list of deadlines says, give a tick."""
        clock = Clock()
        clock.advance(1000.0 + phase)
        wheel = Deadlines(clock, TICK)
        due: dict[int, float] = {}
        late: list[float] = []

        def wait(seconds: float) -> None:
            for _ in range(round(seconds / STEP)):
                clock.advance(STEP)
                for number, when in due.items():
                    self.assertLessEqual(clock.seconds(), when + LATEST, f"{number} is overdue")

        def timer(number: int) -> Timer:
            return Timer(wheel, lambda: late.append(clock.seconds() - due.pop(number)))

        timers = [timer(number) for number in range(4)]
        closed = set()
        for number, action, seconds, pause in actions:
            if action == "start":
                timers[number].start(seconds)
            else:
                getattr(timers[number], action)()
            due.pop(number, None)
            if action == "close":
                closed.add(number)
            if action == "start" and seconds and number not in closed:
                due[number] = clock.seconds() + seconds
            wait(pause)
        wait(4.0)
        self.assertEqual(due, {})
        self.assertGreaterEqual(min(late, default=0.0), -ROUNDING)
        self.assertEqual(self.flushLoggedErrors(), [])
