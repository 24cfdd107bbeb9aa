"""The merged document of one worker: made when somebody asks, kept until a service's document changes.

House rules:

1. Who asks while documents are fetched waits for those that are under way; there is one round at a time.
2. A service that gives nothing costs its timeout now and then, never the page.
3. What takes a while is done in another thread.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

from attrs import evolve, frozen
from twisted.internet.defer import Deferred, gatherResults
from twisted.python.failure import Failure

from tracseq_gateway.openapi.merge import Front, Part, merge
from tracseq_gateway.openapi.sources import Source


@frozen
class Rendered:
    """The merged document as it is sent."""

    plain: bytes
    zipped: bytes
    """The same by gzip."""
    tag: str
    """Changes with the content; for an ETag, without quotes."""


Aside = Callable[[Callable[[], Rendered]], Deferred[Rendered]]


class Catalogue:
    """What all services say of themselves, together."""

    def __init__(self, front: Front, parts: Sequence[tuple[Part, Source]], aside: Aside) -> None:
        """Nothing is fetched yet.

        :param parts: each service as it is without its document, and where that comes from.
        """
        self._front = front
        self._parts = parts
        self._aside = aside
        self._rendered: Rendered | None = None
        self._shown: tuple[int, ...] = ()
        self._waiting: list[Deferred[Rendered]] = []

    def document(self) -> Deferred[Rendered]:
        """The document, from services that were asked within the time that theirs are kept."""
        waiter: Deferred[Rendered] = Deferred()
        self._waiting.append(waiter)
        if len(self._waiting) == 1:
            Deferred.fromCoroutine(self._make()).addBoth(self._made)
        return waiter

    def stop(self) -> None:
        """Break off what is being fetched."""
        for _, source in self._parts:
            source.stop()

    async def _make(self) -> Rendered:
        due = [source for _, source in self._parts if source.due]
        if due:
            await gatherResults([Deferred.fromCoroutine(source.refresh()) for source in due])
        versions = tuple(source.changes for _, source in self._parts)
        if self._rendered is None or versions != self._shown:
            parts = [evolve(part, taken=it.taken, state=it.state, note=it.note) for part, it in self._parts]
            self._rendered = await self._aside(lambda: render(merge(self._front, parts)))
            self._shown = versions
        return self._rendered

    def _made(self, outcome: Rendered | Failure) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(outcome)


def render(document: dict[str, Any]) -> Rendered:
    """Write the document down; piece by piece, so that other threads get their turns."""
    pieces = []
    for name, value in document.items():
        if isinstance(value, dict) and name in ("paths", "components"):
            inner = ",\n".join(f"{json.dumps(member)}: {json.dumps(item)}" for member, item in value.items())
            pieces.append(f"{json.dumps(name)}: {{\n{inner}\n}}")
        else:
            pieces.append(f"{json.dumps(name)}: {json.dumps(value)}")
    plain = ("{\n" + ",\n".join(pieces) + "\n}\n").encode("ascii")
    return Rendered(plain, gzip.compress(plain, 6, mtime=0), hashlib.sha256(plain).hexdigest()[:32])
