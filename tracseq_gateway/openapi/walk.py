"""What goes along while a document is read: where one is, what was left out, and what is referred to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal
from urllib.parse import unquote

from attrs import define, field, frozen

from tracseq_gateway.openapi.reading import Raw, Unusable

Kind = Literal["schemas", "responses", "requestBodies", "headers", "examples", "parameters", "pathItems"]

MOST_HOPS: Final = 16
"""References that lead from one to the next."""
LARGEST: Final = 400_000
"""Values that are taken over from one document, where the same may be taken over more than once; a long text counts as
several."""
LONGEST_TEXT: Final = 20_000
"""Characters."""

_ESCAPES = re.compile(r"~[01]")


class Unfit(ValueError):
    """A part of a document cannot be taken over; says why, as it stands in the notes."""


@frozen
class Key:
    """Something in a document that others refer to: how it is meant, and where it is (a JSON pointer)."""

    kind: Kind
    pointer: tuple[str, ...]


@frozen
class Reference:
    """What stands in for the text of a ``$ref`` until what it points to has a name in the merged document."""

    key: Key


@define
class Notes:
    """What was left out of a document and why: each reason once, with how often and where first."""

    _found: dict[str, tuple[int, str]] = field(factory=dict)

    def add(self, reason: str, where: str = "") -> None:
        """Note that something was left out."""
        count, first = self._found.get(reason, (0, where))
        self._found[reason] = count + 1, first

    def lines(self) -> list[str]:
        """One sentence for each reason."""
        return [
            f"{reason}{f' ({count} times)' if count > 1 else ''}{f', at {where}' if where else ''}"
            for reason, (count, where) in self._found.items()
        ]


class Walk:
    """One walk through one document."""

    def __init__(self, raw: Raw) -> None:
        self.old = raw.version == "3.0"
        """Whether its schemas are in the dialect of OpenAPI 3.0."""
        self.notes = Notes()
        self.wanted: list[Key] = []
        """What was referred to, in the order of the references; the same may come again."""
        self._root = raw.content
        self._place: list[str] = []
        self._weight = 0

    @contextmanager
    def at(self, place: str) -> Iterator[None]:
        """Be at a place below the present one."""
        self._place.append(place)
        try:
            yield
        finally:
            self._place.pop()

    def leave(self, reason: object) -> None:
        """Note that what is here was left out."""
        where = " ".join(self._place)[:120]
        self.notes.add(str(reason), "".join(letter if letter.isprintable() else "?" for letter in where))

    def weigh(self, weight: int = 1) -> None:
        """Count what is taken over. Raises :class:`Unusable` when it is too much."""
        self._weight += weight
        if self._weight > LARGEST:
            raise Unusable("it grows beyond measure when its references are followed")

    def refer(self, kind: Kind, text: object) -> Reference:
        """Return what stands for a ``$ref`` to something of this kind. Raises :class:`Unfit`."""
        key, _ = self.follow(kind, text)
        self.wanted.append(key)
        return Reference(key)

    def follow(self, kind: Kind, text: object) -> tuple[Key, Any]:
        """Follow a ``$ref`` to where it ends, from reference to reference. Raises :class:`Unfit`."""
        for _ in range(MOST_HOPS):
            pointer = _pointer(text)
            value = self.find(pointer)
            if not self._is_alias(kind, value):
                return Key(kind, pointer), value
            text = value["$ref"]
        raise Unfit("references that lead nowhere but to each other were left out")

    def _is_alias(self, kind: Kind, value: Any) -> bool:
        # Beside a $ref, OpenAPI 3.0 ignores everything; a schema of 3.1 does not.
        return isinstance(value, dict) and "$ref" in value and (kind != "schemas" or self.old or len(value) == 1)

    def find(self, pointer: tuple[str, ...]) -> Any:
        """Return what is at a JSON pointer (RFC 6901) of the document. Raises :class:`Unfit`."""
        value: Any = self._root
        for token in pointer:
            if isinstance(value, dict) and token in value:
                value = value[token]
            elif isinstance(value, list) and token.isdecimal() and len(token) < 6 and int(token) < len(value):
                value = value[int(token)]
            else:
                raise Unfit("references to what is not there were left out")
        return value

    def find_schemas(self) -> dict[str, Any]:
        """Return the schemas that the document names."""
        components = self._root.get("components")
        schemas = components.get("schemas") if isinstance(components, dict) else None
        return schemas if isinstance(schemas, dict) else {}


def _pointer(text: object) -> tuple[str, ...]:
    if not isinstance(text, str) or not text.startswith("#/") or len(text) > 1000:
        raise Unfit("references to other documents were left out")
    tokens = unquote(text[2:]).split("/")
    return tuple(_ESCAPES.sub(lambda found: "~" if found[0] == "~0" else "/", token) for token in tokens)
