"""Where the rag service keeps documents: files in a directory, what is known of them in its database."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.web.server import Request

from .kit.records import Database
from .kit.schema import Json
from .kit.uploads import FileHead, file_pieces
from .rag_index import PassageIndex, TextSplitter

PIECES_AT_ONCE = 16
"""Pieces, of 64 KiB each, between which other requests get their turn."""


class Intake:
    """One document on its way in: written, hashed, and indexed as long as it is text."""

    def __init__(self, identity: str, file: IO[bytes], index: PassageIndex) -> None:
        self.size = 0
        self.is_text = True
        self.passages = 0
        self._identity = identity
        self._file = file
        self._index = index
        self._hash = hashlib.sha256()
        self._splitter = TextSplitter()

    def take(self, piece: bytes) -> None:
        """Take the next bytes."""
        self._file.write(piece)
        self._hash.update(piece)
        self.size += len(piece)
        if self.is_text and not self._splitter.is_full:
            self._add_text(piece, final=False)

    def finish(self) -> Json:
        """Take the end and return what is known of the document."""
        full = self._splitter.is_full
        if self.is_text and not full:
            self._add_text(b"", final=True)
        self._file.flush()
        return {
            "size": self.size,
            "sha256": self._hash.hexdigest(),
            "is_text": self.is_text,
            "passages": self.passages,
            "indexed_fully": self.is_text and not full,
        }

    def _add_text(self, piece: bytes, *, final: bool) -> None:
        try:
            for passage in self._splitter.feed(piece, final=final):
                self._index.add(self._identity, self.passages, passage)
                self.passages += 1
        except ValueError:
            # No text after all: keep the file, and find it by its name only.
            self.is_text = False
            self.passages = 0
            self._index.remove(self._identity)


class DocumentStore:
    """The documents.

    :param directory: where the files are; made if it is missing. What an interrupted upload left there is removed.
    """

    def __init__(self, directory: Path, database: Database, index: PassageIndex, clock: IReactorTime) -> None:
        self.records = database.collection("documents", "document", clock)
        self._directory = directory
        self._index = index
        self._clock = clock
        directory.mkdir(mode=0o700, exist_ok=True)
        for left in directory.glob("*.part"):
            left.unlink()
        index.remove_orphans()

    def path(self, identity: str) -> Path:
        """Return where the file of a document is."""
        return self._directory / identity

    async def receive(self, request: Request, user: str | None) -> Json:
        """Store the one file of a form and return the document; other requests are served meanwhile.

        :raises Problem: 400 when the form cannot be read; nothing is kept then.
        """
        identity = str(uuid4())
        unfinished = self._directory / f"{identity}.part"
        head = FileHead("unnamed", "application/octet-stream")
        try:
            with unfinished.open("wb") as file:
                intake = Intake(identity, file, self._index)
                for number, piece in enumerate(file_pieces(request), 1):
                    if isinstance(piece, FileHead):
                        head = piece
                    else:
                        intake.take(piece)
                    if number % PIECES_AT_ONCE == 0:
                        await deferLater(self._clock, 0)
                known = intake.finish()
            unfinished.rename(self.path(identity))
        except BaseException:
            unfinished.unlink(missing_ok=True)
            self._index.remove(identity)
            raise
        return self.records.create(_described(head, known), user, identity)

    def add(self, file_name: str, media_type: str, content: bytes, user: str | None, identity: str) -> Json:
        """Store a small document that is already here."""
        with self.path(identity).open("wb") as file:
            intake = Intake(identity, file, self._index)
            intake.take(content)
            known = intake.finish()
        return self.records.create(_described(FileHead(file_name, media_type), known), user, identity)

    def remove(self, identity: str) -> Json:
        """Remove a document, its file and its text, and return it.

        :raises Problem: 404 when there is none.
        """
        document = self.records.remove(identity)
        self._index.remove(identity)
        self.path(identity).unlink(missing_ok=True)
        return document

    def passages(self, identity: str, most: int) -> list[str]:
        """Return the first passages of a document."""
        return self._index.passages(identity, most)

    def search(self, words: Sequence[str], limit: int) -> list[Json]:
        """Return the passages with at least one of the words, the best first."""
        results: list[Json] = []
        for hit in self._index.search(words, limit):
            document = self.records.first(id=hit.document_id)
            if document is not None:  # Else it is still being uploaded.
                results.append(
                    {
                        "document_id": hit.document_id,
                        "file_name": document["file_name"],
                        "passage": hit.number,
                        "snippet": hit.snippet,
                        "score": hit.score,
                    }
                )
        return results


def _described(head: FileHead, known: Json) -> dict[str, Any]:
    return {"file_name": head.file_name, "media_type": head.media_type[:200], **known}
