"""Takers: small functions that copy a part of a document as far as it is what it should be.

House rules:

1. A taker returns a new value, or raises :class:`Unfit`; what is given to it is never changed.
2. What contains others leaves out those that are unfit, with a note, and stays; only what is needed makes it unfit too.
3. Keys that are not known are left out silently: they mean nothing here. Extensions (``x-...``) are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from tracseq_gateway.openapi.walk import LONGEST_TEXT, Kind, Unfit, Walk

Taker = Callable[[Any, Walk], Any]


def anything(value: Any, walk: Walk) -> Any:
    """Any JSON: an example, a default, an extension. Not with a ``$ref`` in it, which readers might follow."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if "$ref" in item:
                raise Unfit("examples and extensions with references in them were left out")
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
        walk.weigh(1 + len(item) // 16 if isinstance(item, str) else 1)
    return value


def text(value: Any, walk: Walk) -> str:
    """Text; what is too long is cut."""
    if not isinstance(value, str):
        raise Unfit("texts that are none were left out")
    walk.weigh(1 + len(value) // 16)
    return value if len(value) <= LONGEST_TEXT else value[:LONGEST_TEXT] + " ..."


def boolean(value: Any, walk: Walk) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise Unfit("switches that are neither true nor false were left out")
    return value


def number(value: Any, walk: Walk) -> float:
    """A number."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise Unfit("numbers that are none were left out")
    return value


def count(value: Any, walk: Walk) -> int:
    """A whole number from 0."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise Unfit("counts that are none were left out")
    return value


def one_of(*words: str) -> Taker:
    """One of some words."""

    def take(value: Any, walk: Walk) -> Any:
        if not isinstance(value, str) or value not in words:
            raise Unfit("words that OpenAPI does not know at their place were left out")
        return value

    return take


def link(value: Any, walk: Walk) -> str:
    """The URL of a page."""
    if not isinstance(value, str) or not value.startswith(("http://", "https://")) or len(value) > 2000:
        raise Unfit("links that are no URLs of pages were left out")
    if not all("!" <= letter <= "~" and letter not in '"<>\\^`{|}' for letter in value):
        raise Unfit("links that are no URLs of pages were left out")
    return value


def listing(taker: Taker, *, least: int = 0, unique: bool = False) -> Taker:
    """A list, without its unfit members."""

    def take(value: Any, walk: Walk) -> list[Any]:
        if not isinstance(value, list):
            raise Unfit("lists that are none were left out")
        taken: list[Any] = []
        for index, item in enumerate(value):
            walk.weigh()
            with walk.at(str(index)):
                try:
                    member = taker(item, walk)
                except Unfit as unfit:
                    walk.leave(unfit)
                    continue
            if not unique or member not in taken:
                taken.append(member)
        if len(taken) < least:
            raise Unfit("lists without a member of use were left out")
        return taken

    return take


def mapping(taker: Taker, fits: Callable[[str], object] = lambda name: True, *, least: int = 0) -> Taker:
    """An object with names of its own choice, as far as ``fits`` says yes to them."""

    def take(value: Any, walk: Walk) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise Unfit("objects that are none were left out")
        taken: dict[str, Any] = {}
        for name, item in value.items():
            walk.weigh()
            with walk.at(name):
                try:
                    if name == "$ref" or not fits(name):
                        raise Unfit("names that OpenAPI does not allow at their place were left out")
                    taken[name] = taker(item, walk)
                except Unfit as unfit:
                    walk.leave(unfit)
        if len(taken) < least:
            raise Unfit("objects without a member of use were left out")
        return taken

    return take


def record(fields: Mapping[str, Taker], needed: Collection[str] = ()) -> Taker:
    """An object with these fields, and extensions."""

    def take(value: Any, walk: Walk) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise Unfit("objects that are none were left out")
        taken: dict[str, Any] = {}
        for name, item in value.items():
            taker = fields.get(name) or (anything if name.startswith("x-") else None)
            if taker is None:
                continue
            walk.weigh()
            with walk.at(name):
                try:
                    taken[name] = taker(item, walk)
                except Unfit as unfit:
                    walk.leave(unfit)
        for name in needed:
            if name not in taken:
                raise Unfit(f"objects without a usable {name} were left out")
        return taken

    return take


def or_reference(kind: Kind, taker: Taker) -> Taker:
    """An object, or a reference to one."""

    def take(value: Any, walk: Walk) -> Any:
        if not isinstance(value, dict) or "$ref" not in value:
            return taker(value, walk)
        taken: dict[str, Any] = {"$ref": walk.refer(kind, value["$ref"])}
        for name in ("summary", "description"):
            if not walk.old and isinstance(value.get(name), str):
                taken[name] = text(value[name], walk)
        return taken

    return take


def later(find: Callable[[], Taker]) -> Taker:
    """A taker that is defined further down."""

    def take(value: Any, walk: Walk) -> Any:
        return find()(value, walk)

    return take
