"""Large bodies between peers of different speed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tests.faults import checks
from tests.faults.figures import Figure, at_least, at_most, none, noted
from tests.faults.laboratory import Laboratory
from tests.faults.scenario import Length, Outcome, Phases, Scenario, Step
from tests.faults.setup import Setup
from tests.faults.transfers import Transfer, download_slowly, upload_at_once

EACH = 20
"""Uploads, and as many downloads, at the same time."""
SLOW: Mapping[Length, Phases] = {"quick": Phases(2, 7, 2), "default": Phases(2, 16, 2), "full": Phases(5, 50, 5)}
SERVICE_RATE = 1_000_000
CLIENT_RATE = 500_000
PATIENT = {"connect": 1, "response": 60, "idle": 10}
"""The service gets the last byte long after the gateway has sent it: buffers of megabytes lie between them."""
STREAM_MEGABYTES = 0.262144
"""What a stream may take, four times what may wait in each direction."""


def _transfers(phases: Phases) -> Sequence[Step]:
    # So much that they would take about five sevenths of the time, if the machine kept pace.
    seconds = phases.fault * 5 / 7

    def begin(laboratory: Laboratory) -> None:
        laboratory.tamper(0, "up", rate=SERVICE_RATE)
        port = laboratory.gateway.port
        for number in range(EACH):
            _aside(laboratory, _up(port, int(seconds * SERVICE_RATE), f"up-{number}"))
            _aside(laboratory, _down(port, int(seconds * CLIENT_RATE), f"down-{number}"))

    return [Step(0, "transfers begin", begin)]


def _up(port: int, size: int, name: str) -> Callable[[], Transfer]:
    return lambda: upload_at_once(port, "/samples/large", size, name)


def _down(port: int, size: int, name: str) -> Callable[[], Transfer]:
    return lambda: download_slowly(port, "/samples/large", size, CLIENT_RATE, name)


def _aside(laboratory: Laboratory, transfer: Callable[[], Transfer]) -> None:
    laboratory.aside(lambda: laboratory.note("transfers", transfer()))


def _judge(outcome: Outcome) -> Sequence[Figure]:
    transfers = outcome.notes["transfers"]
    troubles = sorted({one.trouble for one in transfers if one.trouble})
    return [
        at_least("transfers", len(transfers), 2 * EACH),
        none("of them not whole, or wrong", sum(one.trouble != "" for one in transfers)),
        noted("their troubles", "; ".join(troubles) or "none"),
        at_most("memory above before, all workers", checks.peak(outcome), EACH * STREAM_MEGABYTES, "MB"),
    ]


SCENARIOS = (
    Scenario(
        35,
        "slow transfers",
        "20 uploads to a service of 1 MB/s and 20 downloads by clients of 0.5 MB/s: exact, in bounded memory",
        _judge,
        _transfers,
        Setup(instances=1, load=False, service={"max_body": 0, "timeouts": PATIENT}),
        phases=SLOW,
    ),
)
