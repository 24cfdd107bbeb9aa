"""Stored records: JSON documents in one SQLite file for each service.

Calls block the reactor thread. They take well under a millisecond on a sandbox's few thousand records; a service that
has to carry a laboratory would use a connection pool and threads instead.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from . import moments
from .problems import not_found
from .schema import Json

_TABLES = """
CREATE TABLE IF NOT EXISTS record (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    collection TEXT NOT NULL,
    id TEXT NOT NULL,
    document TEXT NOT NULL CHECK (json_valid(document)),
    UNIQUE (collection, id)
);
"""

# Filters come as one JSON object, so that the statement stays constant: a record matches when no wanted value differs.
_MATCHING = """
FROM record WHERE collection = :collection AND NOT EXISTS (
    SELECT 1 FROM json_each(:wanted) AS wanted
    WHERE json_extract(record.document, '$.' || wanted.key) IS NOT wanted.value
)
"""
_SELECT = f"SELECT document {_MATCHING} ORDER BY position DESC LIMIT :limit OFFSET :offset"
_COUNT = f"SELECT count(*) {_MATCHING}"


class Database:
    """One service's SQLite file.

    :param extra: further tables and indices of the service, as statements that may run at every start.
    :raises sqlite3.DatabaseError: when the file cannot be opened or is not a database.
    """

    def __init__(self, path: Path, extra: str = "") -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=2)
        self._connection.row_factory = sqlite3.Row
        # With a write-ahead log a commit need not wait for the disk; a crash of the machine may lose the last ones.
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.executescript(_TABLES + extra)

    def execute(self, statement: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[sqlite3.Row]:
        """Run one statement with bound parameters and return its rows."""
        return self._connection.execute(statement, parameters).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make the statements of the block one: all are kept, or none if it raises. An inner block joins the outer."""
        if self._connection.in_transaction:
            yield
            return
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def fill_once(self, seed: Callable[[], object]) -> None:
        """Call ``seed`` in a transaction if the file is new; a seed that fails leaves it new."""
        if self.execute("PRAGMA user_version")[0][0] == 0:
            with self.transaction():
                seed()
                self.execute("PRAGMA user_version = 1")

    def collection(self, name: str, what: str, clock: IReactorTime) -> Collection:
        """Return a collection of this file; ``what`` is one of its records in a sentence (``sample``)."""
        return Collection(self, name, what, clock)

    def counts(self) -> dict[str, int]:
        """Return the number of records in each collection that has any."""
        rows = self.execute("SELECT collection, count(*) FROM record GROUP BY collection ORDER BY collection")
        return {row[0]: row[1] for row in rows}

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


@frozen
class Page:
    """Some of a list, and how long the whole list is."""

    items: list[Json]
    total: int
    limit: int
    offset: int

    @classmethod
    def of(cls, items: Sequence[Json], limit: int, offset: int) -> Page:
        """Cut a page out of a list that is already there."""
        return cls(list(items[offset : offset + limit]), len(items), limit, offset)


class Collection:
    """The records of one kind. Lists run from the newest to the oldest."""

    def __init__(self, database: Database, name: str, what: str, clock: IReactorTime) -> None:
        self.database = database
        self._name = name
        self._what = what
        self._clock = clock

    def create(self, fields: Mapping[str, Any], user: str | None = None, identity: str | None = None) -> Json:
        """Store a new record and return it with its id and history.

        :raises sqlite3.IntegrityError: when it breaks a unique index.
        """
        now = moments.to_text(self._clock.seconds())
        history = {"id": identity or str(uuid4()), "created_at": now, "updated_at": now}
        document = {**history, "created_by": user, "updated_by": user, **fields}
        self.database.execute(
            "INSERT INTO record (collection, id, document) VALUES (?, ?, ?)",
            (self._name, document["id"], json.dumps(document)),
        )
        return document

    def get(self, identity: str) -> Json:
        """Return a record.

        :raises Problem: 404 when there is none.
        """
        rows = self.database.execute(
            "SELECT document FROM record WHERE collection = ? AND id = ?", (self._name, identity)
        )
        if not rows:
            raise not_found(self._what, identity)
        document: Json = json.loads(rows[0][0])
        return document

    def change(self, identity: str, fields: Mapping[str, Any], user: str | None = None) -> Json:
        """Set some fields of a record and return it.

        :raises Problem: 404 when there is none.
        :raises sqlite3.IntegrityError: when it breaks a unique index.
        """
        now = moments.to_text(self._clock.seconds())
        document = {**self.get(identity), **fields, "updated_at": now}
        if user is not None:
            document["updated_by"] = user
        self.database.execute(
            "UPDATE record SET document = ? WHERE collection = ? AND id = ?",
            (json.dumps(document), self._name, identity),
        )
        return document

    def remove(self, identity: str) -> Json:
        """Remove a record and return it as it was.

        :raises Problem: 404 when there is none.
        """
        document = self.get(identity)
        self.database.execute("DELETE FROM record WHERE collection = ? AND id = ?", (self._name, identity))
        return document

    def first(self, **wanted: Any) -> Json | None:
        """Return the newest record whose fields have these values, or None."""
        found = self._select(wanted, 1, 0)
        return found[0] if found else None

    def all(self, **wanted: Any) -> list[Json]:
        """Return every record whose fields have these values."""
        return self._select(wanted, -1, 0)

    def page(self, limit: int, offset: int, **wanted: Any) -> Page:
        """Return some of the records whose fields have these values; a wanted None matches anything."""
        known = {name: value for name, value in wanted.items() if value is not None}
        return Page(self._select(known, limit, offset), self.count(**known), limit, offset)

    def count(self, **wanted: Any) -> int:
        """Return how many records have these values."""
        rows = self.database.execute(_COUNT, {"collection": self._name, "wanted": json.dumps(wanted)})
        return int(rows[0][0])

    def _select(self, wanted: Mapping[str, Any], limit: int, offset: int) -> list[Json]:
        parameters = {"collection": self._name, "wanted": json.dumps(wanted), "limit": limit, "offset": offset}
        return [json.loads(row[0]) for row in self.database.execute(_SELECT, parameters)]
