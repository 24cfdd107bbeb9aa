"""A scenario: what is promised, what is done when, and how it is judged; and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from attrs import Factory, frozen

from tests.faults.asked import Asked, Told, between
from tests.faults.figures import Figure
from tests.faults.instance import Seen
from tests.faults.ledger import Ledger
from tests.faults.proc import Holding
from tests.faults.setup import Setup

if TYPE_CHECKING:
    from tests.faults.laboratory import Laboratory

Length = Literal["quick", "default", "full"]


EJECTED = "ejected"
"""The state of an instance that was ejected at some time of the run, as if it always were from then on."""


@frozen
class Phases:
    """Seconds of load before the fault, with it, and after it."""

    before: float
    fault: float
    after: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.before + self.fault + self.after


USUAL: Mapping[Length, Phases] = {"quick": Phases(2, 4, 3), "default": Phases(5, 8, 7), "full": Phases(20, 20, 20)}
LONGER: Mapping[Length, Phases] = {"quick": Phases(3, 10, 6), "default": Phases(5, 12, 8), "full": Phases(20, 20, 20)}
"""Where the fault itself takes its time."""


@frozen
class Step:
    """Something that is done to somebody. ``at`` is in seconds from the fault's begin; it may be negative."""

    at: float
    what: str
    do: Callable[[Laboratory], object]


@frozen
class Sample:
    """What the gateway's processes held at one time."""

    when: float
    workers: tuple[Holding, ...]
    supervisor: Holding | None
    zombies: int


@frozen
class Outcome:
    """All that is known after a run. Times are monotonic seconds."""

    phases: Phases
    workers: int
    """How many there should be."""
    told: Told
    others: Mapping[str, Told]
    """What second loads had to tell."""
    ledger: Ledger
    seen: Mapping[int, Sequence[Seen]]
    """What each instance saw, by its number."""
    marks: Sequence[tuple[float, str]]
    """When each step was taken, and what it was."""
    samples: Sequence[Sample]
    health: Sequence[tuple[float, Mapping[str, str]]]
    """The state of each instance by its URL, as ``/health/services`` said it, or :data:`EJECTED`."""
    urls: Sequence[str]
    """The instances' URLs, in order."""
    notes: Mapping[str, Any]
    """What steps wrote down."""
    log: str
    exit_code: int | None
    stop_seconds: float
    left_over: int
    """Processes that were still there after the gateway had stopped."""

    @property
    def fault_begin(self) -> float:
        """When the fault began."""
        return self.told.begun + self.phases.before

    @property
    def fault_end(self) -> float:
        """When it ended."""
        return self.fault_begin + self.phases.fault

    @property
    def end(self) -> float:
        """When the last request was due."""
        return self.told.begun + self.phases.total

    @property
    def before(self) -> list[Asked]:
        """The requests before the fault, without the first second: the gateway warms up."""
        return between(self.told.asked, self.told.begun + min(1.0, self.phases.before / 2), self.fault_begin)

    @property
    def during(self) -> list[Asked]:
        """The requests during the fault."""
        return between(self.told.asked, self.fault_begin, self.fault_end)

    @property
    def after(self) -> list[Asked]:
        """The requests after the fault."""
        return between(self.told.asked, self.fault_end, self.end)

    def since_fault(self, begin: float, end: float = float("inf")) -> list[Asked]:
        """The requests that were due so many seconds after the fault's begin."""
        return between(self.told.asked, self.fault_begin + begin, self.fault_begin + end)


@frozen
class Scenario:
    """See the module. ``number`` is the one in the reference; what has none is numbered from 100."""

    number: int
    name: str
    promise: str
    judge: Callable[[Outcome], Sequence[Figure]]
    steps: Callable[[Phases], Sequence[Step]] = lambda phases: ()
    setup: Setup = Setup()
    phases: Mapping[Length, Phases] = Factory(lambda: USUAL)
    missing: Callable[[], str] = lambda: ""
    """What this machine lacks for it; empty: nothing."""
    exit_code: int | None = 0
    """With which the gateway ends; None: whichever."""
