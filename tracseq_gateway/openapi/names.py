"""Names in the merged document: what several services call alike keeps its name only where it is the same.

Two components are the same when they say the same and refer to the same, however deep. Of those that differ, each gets
its service's name before its own.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from tracseq_gateway.openapi.walk import Key, Kind, Reference

MOST_ROUNDS: Final = 64
"""How deep components are compared; what is still undecided then counts as different."""

_OTHER = re.compile(r"[^A-Za-z0-9._-]+")

Owned = tuple[str, Key]
"""A service's name and a key in its document."""


class Names:
    """Gives each name once."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)
        self._next: dict[str, int] = {}

    def give(self, wanted: str) -> str:
        """Return the name that was asked for, with a number behind it if it is gone."""
        name, number = wanted, self._next.get(wanted, 2)
        while name in self._taken:
            name, number = f"{wanted}_{number}", number + 1
        self._next[wanted] = number
        self._taken.add(name)
        return name


def component_names(
    documents: Mapping[str, Mapping[Key, Any]], reserved: Mapping[str, Iterable[str]]
) -> dict[Owned, str]:
    """Name each component of each service; components of one kind with one name are the same.

    :param documents: the components, by service.
    :param reserved: names that are the gateway's own, by kind.
    """
    classes = _classes(documents)
    alike: defaultdict[tuple[Kind, str], list[Owned]] = defaultdict(list)
    for service, components in documents.items():
        for key in components:
            alike[key.kind, plain_name(key)].append((service, key))
    given = {kind: Names(names) for kind, names in reserved.items()}
    names: dict[Owned, str] = {}
    for (kind, wanted), owned in alike.items():
        names_of_kind = given.setdefault(kind, Names())
        same = len({classes[one] for one in owned}) == 1 and wanted not in reserved.get(kind, ())
        by_class: dict[object, str] = {}
        for one in owned:
            group = None if same else (one[0], classes[one])
            if group not in by_class:
                by_class[group] = names_of_kind.give(wanted if same else f"{_clean(one[0])}.{wanted}")
            names[one] = by_class[group]
    return names


def plain_name(key: Key) -> str:
    """The name of a component without regard to others: its own, or of what is within another, its place."""
    pointer = key.pointer[2:] if key.pointer[:1] == ("components",) and len(key.pointer) > 2 else key.pointer
    return _clean(".".join(pointer))


def _clean(name: str) -> str:
    return _OTHER.sub("_", name).strip("_")[:100] or "_"


def _classes(documents: Mapping[str, Mapping[Key, Any]]) -> dict[Owned, object]:
    """Find out which components are the same: first by what they say, then by what those are that they refer to."""
    referred: dict[Owned, list[Owned]] = {}
    said: dict[Owned, object] = {}
    for service, components in documents.items():
        for key, value in components.items():
            targets: list[Owned] = []
            said[service, key] = (key.kind, plain_name(key), _say(value, service, targets))
            referred[service, key] = targets
    numbers = _numbered(said)
    for _ in range(MOST_ROUNDS):
        finer = _numbered({one: (numbers[one], *(numbers[to] for to in referred[one])) for one in numbers})
        if len(set(finer.values())) == len(set(numbers.values())):
            return dict(numbers)
        numbers = finer
    return {one: one for one in numbers}


def _say(value: Any, service: str, targets: list[Owned]) -> str:
    def stand_in(found: Any) -> str:
        targets.append((service, found.key))
        return f"#{plain_name(found.key)}"

    return json.dumps(value, default=stand_in, sort_keys=True)


def _numbered(signs: Mapping[Owned, object]) -> dict[Owned, int]:
    numbers: dict[object, int] = {}
    return {one: numbers.setdefault(sign, len(numbers)) for one, sign in signs.items()}


def renamed(value: Any, name: Callable[[Key], str]) -> Any:
    """Return a copy of what was taken over, with the text of its references."""
    if isinstance(value, Reference):
        return f"#/components/{value.key.kind}/{name(value.key)}"
    if isinstance(value, dict):
        return {member: renamed(item, name) for member, item in value.items()}
    if isinstance(value, list):
        return [renamed(item, name) for item in value]
    return value


def operation_ids(wanted: Sequence[tuple[str, str]], reserved: Iterable[str] = ()) -> list[str]:
    """Name operations, given the service and the id of each: ids that come again, or are reserved, get their service's
    name before their own."""
    often = Counter([*reserved, *(wish for _, wish in wanted)])
    names = Names(often)
    return [wish if often[wish] == 1 else names.give(f"{service}_{wish}") for service, wish in wanted]
