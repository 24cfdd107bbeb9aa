"""The text of documents, in passages, and how it is searched: SQLite's full-text index, or plainly without it."""

from __future__ import annotations

import codecs
import json
import re
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

from attrs import frozen

from .kit.records import Database

PASSAGE_CHARACTERS = 1500
INDEXED_CHARACTERS = 4 * 1024 * 1024
"""How much of one document is indexed; a longer one is found by its beginning."""


@frozen
class Hit:
    """A passage that was found."""

    document_id: str
    number: int
    """Of the passage in its document, from 0."""
    snippet: str
    score: float
    """The higher, the better; comparable within one search."""


class PassageIndex(ABC):
    """Passages of documents."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, document_id: str, number: int, passage: str) -> None:
        """Index one passage."""
        self._database.execute(
            "INSERT INTO passage (text, document_id, number) VALUES (?, ?, ?)", (passage, document_id, number)
        )

    def remove(self, document_id: str) -> None:
        """Forget a document."""
        self._database.execute("DELETE FROM passage WHERE document_id = ?", (document_id,))

    def remove_orphans(self) -> None:
        """Forget documents whose upload was cut short by the end of the process."""
        self._database.execute(
            "DELETE FROM passage WHERE document_id NOT IN (SELECT id FROM record WHERE collection = 'documents')"
        )

    def passages(self, document_id: str, most: int) -> list[str]:
        """Return the first passages of a document in their order."""
        rows = self._database.execute(
            "SELECT text FROM passage WHERE document_id = ? ORDER BY CAST(number AS INTEGER) LIMIT ?",
            (document_id, most),
        )
        return [row[0] for row in rows]

    @abstractmethod
    def search(self, words: Sequence[str], limit: int) -> list[Hit]:
        """Return the passages with at least one of the words, the best first."""


class FullTextIndex(PassageIndex):
    """Ranked by BM25, with word forms of case and accents taken as one."""

    TABLE = (
        "CREATE VIRTUAL TABLE IF NOT EXISTS passage USING "
        "fts5(text, document_id UNINDEXED, number UNINDEXED, tokenize = 'unicode61 remove_diacritics 2')"
    )

    def search(self, words: Sequence[str], limit: int) -> list[Hit]:
        """Return the passages with at least one of the words, the best first."""
        rows = self._database.execute(
            "SELECT document_id, number, snippet(passage, 0, '**', '**', '…', 24), bm25(passage) "
            "FROM passage WHERE passage MATCH ? ORDER BY rank LIMIT ?",
            (" OR ".join(f'"{word}"' for word in words), limit),
        )
        return [Hit(row[0], int(row[1]), row[2], round(-row[3], 6)) for row in rows]


class PlainIndex(PassageIndex):
    """For an SQLite without FTS5: ranked by how many of the words a passage contains."""

    TABLE = "CREATE TABLE IF NOT EXISTS passage (text TEXT, document_id TEXT, number INTEGER)"

    def search(self, words: Sequence[str], limit: int) -> list[Hit]:
        """Return the passages with at least one of the words, the best first."""
        rows = self._database.execute(
            "SELECT document_id, number, text, (SELECT count(*) FROM json_each(?) AS word "
            "WHERE instr(lower(passage.text), word.value)) AS found "
            "FROM passage WHERE found > 0 ORDER BY found DESC LIMIT ?",
            (json.dumps([word.lower() for word in words]), limit),
        )
        return [Hit(row[0], row[1], _snippet(row[2], words), float(row[3])) for row in rows]


def open_index(database: Database) -> PassageIndex:
    """Return the best index that this SQLite has."""
    try:
        database.execute(FullTextIndex.TABLE)
    except sqlite3.OperationalError:
        database.execute(PlainIndex.TABLE)
        return PlainIndex(database)
    return FullTextIndex(database)


def words_of(query: str) -> list[str]:
    """Return the distinct words of a query, at most 32."""
    return list(dict.fromkeys(re.findall(r"\w+", query)))[:32]


def _snippet(passage: str, words: Sequence[str]) -> str:
    """Return the surroundings of the first word that the passage has, marked as the full-text index does."""
    found = re.search("|".join(re.escape(word) for word in words), passage, re.IGNORECASE)
    if found is None:
        return passage[:160]
    start, end = max(0, found.start() - 80), found.end() + 80
    return f"{passage[start : found.start()]}**{found[0]}**{passage[found.end() : end]}"


class TextSplitter:
    """Turns the bytes of a document, piece by piece, into passages; holds one passage and one piece at most."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._pending = ""
        self._characters = 0

    @property
    def is_full(self) -> bool:
        """Whether enough has been taken; more is not looked at."""
        return self._characters >= INDEXED_CHARACTERS

    def feed(self, piece: bytes, *, final: bool = False) -> Iterator[str]:
        """Yield the passages that are complete with this piece; with ``final``, also the rest.

        :raises ValueError: when the bytes are no text in UTF-8.
        """
        decoded = self._decoder.decode(piece, final)
        if "\0" in decoded:
            raise ValueError("text has no NUL")
        self._characters += len(decoded)
        self._pending += decoded
        while len(self._pending) > PASSAGE_CHARACTERS:
            cut = self._cut()
            yield self._pending[:cut]
            self._pending = self._pending[cut:]
        if final and self._pending.strip():
            yield self._pending

    def _cut(self) -> int:
        """Return where the next passage ends: after a space if there is one, so that no word is torn."""
        for gap in ("\n", " "):
            position = self._pending.rfind(gap, 1, PASSAGE_CHARACTERS)
            if position > 0:
                return position + 1
        return PASSAGE_CHARACTERS
