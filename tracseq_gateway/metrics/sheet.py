"""What a worker shares with who makes the page, beside the files of prometheus-client.

Those files hold no exemplars, and a series that once stood in them stays: but instances come and go. So each worker
writes both down in a small file of its own, every second, anew and as a whole.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final

from attrs import astuple, field, frozen

from tracseq_gateway.metrics.counting import Exemplar

PREFIX: Final = "sheet_"
DEAD: Final = f"{PREFIX}dead.json"
"""What the dead had counted of the instances that there still were."""

Place = tuple[str, str]
"""An instance: its service and its URL."""


@frozen
class InstanceFigures:
    """One instance, as one worker sees it."""

    healthy: bool | None = None
    """What the probes say; None before the first."""
    ejected: bool = False
    """Whether it gets no requests because it failed them."""
    drained: bool = False
    """Whether it gets none because an operator said so."""
    in_flight: int = 0
    requests: int = 0
    """How often it was asked since the worker's start."""
    failed: int = 0
    """How many of these it failed."""


@frozen
class Sheet:
    """All that one worker has to say."""

    instances: Mapping[Place, InstanceFigures] = field(factory=dict)
    """Every instance that there is now."""
    exemplars: Mapping[tuple[str, int], Exemplar] = field(factory=dict)
    """The newest sampled request by service and bucket of ``REQUEST_BUCKETS``."""


def write(sheet: Sheet, directory: str, name: str) -> None:
    """Put a sheet in the place of the one before; who reads sees one or the other. Raises OSError."""
    instances = [[*place, *astuple(figures)] for place, figures in sheet.instances.items()]
    exemplars = [[*key, *astuple(exemplar)] for key, exemplar in sheet.exemplars.items()]
    path = os.path.join(directory, name)
    with open(f"{path}.new", "w", encoding="ascii") as file:
        file.write(json.dumps([instances, exemplars], separators=(",", ":")))
    os.rename(f"{path}.new", path)


def name_of(pid: int) -> str:
    """The name of a worker's file."""
    return f"{PREFIX}{pid}.json"


def read(directory: str, name: str) -> Sheet | None:
    """Read a sheet; None when there is none. Raises OSError."""
    try:
        with open(os.path.join(directory, name), encoding="ascii") as file:
            instances, exemplars = json.loads(file.read())
    except FileNotFoundError:
        return None
    return Sheet(
        {(service, url): InstanceFigures(*figures) for service, url, *figures in instances},
        {(service, bucket): Exemplar(*exemplar) for service, bucket, *exemplar in exemplars},
    )


def read_living(directory: str) -> list[Sheet]:
    """The sheets of the workers that are there. Raises OSError."""
    names = [name for name in os.listdir(directory) if name.startswith(PREFIX) and name.endswith(".json")]
    return [sheet for name in sorted(names) if name != DEAD and (sheet := read(directory, name)) is not None]


def bury(directory: str, pid: int) -> None:
    """Add what a dead worker had counted to what the dead before it had, and remove its sheet. Raises OSError.

    Instances that neither it nor any of the living knows are forgotten, so that what is kept is bounded.
    """
    last = read(directory, name_of(pid))
    if last is None:
        return
    os.unlink(os.path.join(directory, name_of(pid)))
    known = {*last.instances, *(place for sheet in read_living(directory) for place in sheet.instances)}
    dead = read(directory, DEAD) or Sheet()
    sums = {place: counted(figures) for place, figures in dead.instances.items() if place in known}
    for place, figures in last.instances.items():
        sums[place] = added(sums.get(place, InstanceFigures()), counted(figures))
    write(Sheet(sums), directory, DEAD)
    with suppress(FileNotFoundError):
        os.unlink(os.path.join(directory, f"{name_of(pid)}.new"))  # it was killed while it wrote


def counted(figures: InstanceFigures) -> InstanceFigures:
    """Only what outlives its worker: a total that went down would look like a restart."""
    return InstanceFigures(requests=figures.requests, failed=figures.failed)


def added(one: InstanceFigures, other: InstanceFigures) -> InstanceFigures:
    """What two workers say of one instance; of its health, what the first says that knows."""
    return InstanceFigures(
        one.healthy if one.healthy is not None else other.healthy,
        one.ejected or other.ejected,
        one.drained or other.drained,
        one.in_flight + other.in_flight,
        one.requests + other.requests,
        one.failed + other.failed,
    )


def together(sheets: Iterable[Sheet], dead: Sheet | None) -> Sheet:
    """What all workers say. An instance that no living worker knows is gone, whatever the dead had counted."""
    instances: dict[Place, InstanceFigures] = {}
    exemplars: dict[tuple[str, int], Exemplar] = {}
    for sheet in sheets:
        for place, figures in sheet.instances.items():
            instances[place] = added(instances[place], figures) if place in instances else figures
        for key, exemplar in sheet.exemplars.items():
            if key not in exemplars or exemplar.ended > exemplars[key].ended:
                exemplars[key] = exemplar
    for place, figures in (dead.instances if dead is not None else {}).items():
        if place in instances:
            instances[place] = added(instances[place], figures)
    return Sheet(instances, exemplars)
