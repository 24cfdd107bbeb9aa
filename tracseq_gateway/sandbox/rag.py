"""The stand-in rag service: large documents are taken in, their text is found again, and forms are read out of it."""

from __future__ import annotations

import re

from twisted.internet.defer import Deferred
from twisted.protocols.basic import FileSender

from .demo.rag import demo_documents
from .kit.problems import bad_request
from .kit.reading import require_media_type, require_size
from .kit.records import Database, Page
from .kit.routes import Call, Outcome, Part, Routes, Streamed, attachment
from .kit.schema import (
    Json,
    array,
    boolean,
    choice,
    identifier,
    integer,
    mapping,
    number,
    record,
    stored,
    text,
)
from .kit.service import Context, Service
from .kit.uploads import FORM
from .rag_documents import DocumentStore
from .rag_index import open_index, words_of

UPLOAD_LIMIT = 1024**3
"""Largest upload, in bytes."""

DOCUMENT = stored(
    "Document",
    record(
        "DocumentFields",
        {
            "file_name": text(),
            "media_type": text(),
            "size": integer(0),
            "sha256": text(64, 64),
            "is_text": boolean(),
            "passages": integer(0),
            "indexed_fully": boolean(),
        },
    ),
)
QUERY = record("Query", {"query": text(1, 1000)}, {"limit": integer(1, 50, default=10)})
RESULT = record(
    "QueryResult",
    {
        "document_id": identifier(),
        "file_name": text(),
        "passage": integer(0),
        "snippet": text(maximum=5000),
        "score": number(),
    },
)
RESULTS = record("QueryResults", {"query": text(maximum=1000), "results": array(RESULT)})
TO_PROCESS = record("DocumentToProcess", {"document_id": identifier()})
STATUS = choice("completed", "failed")
SUBMISSION = stored(
    "Submission",
    record(
        "SubmissionFields",
        {
            "document_id": identifier(),
            "status": STATUS,
            "fields": mapping(text(maximum=500)),
            "barcodes": array(text()),
            "confidence": number(0, 1, description="Share of the usual fields that were found."),
            "error": {"type": ["string", "null"]},
        },
    ),
)

_LINE = re.compile(r"^[ \t]*([A-Za-z][A-Za-z0-9 _/-]{0,39}?)[ \t]*[:=][ \t]*(\S[^\r\n]{0,400})$", re.MULTILINE)
_BARCODE = re.compile(r"\bTSQ-\d{6}\b")
_USUAL_FIELDS = ("name", "sample_type", "collection_date", "collector", "concentration")
_PASSAGES_READ = 50


def service(context: Context) -> Service:
    """Return the rag service with a handful of laboratory documents."""
    database = Database(context.directory / "rag.sqlite")
    documents = DocumentStore(context.directory / "documents", database, open_index(database), context.reactor)
    database.fill_once(lambda: demo_documents(documents))
    parts = [Documents(documents), Submissions(database, context, documents)]
    description = "Documents of up to 1 GiB, plain-text search, and forms read out of text. There is no language model."
    return Service("rag", description, database, context.reactor, parts)


class Documents(Part):
    """The documents and the search in them."""

    routes = Routes()

    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents

    @routes.pages("/", "List documents", DOCUMENT)
    def list_rag(self, call: Call) -> Page:
        """List documents: the same as the list of documents."""
        return self.list_documents(call)

    @routes.pages("/documents", "List documents", DOCUMENT)
    def list_documents(self, call: Call) -> Page:
        """List documents, the newest first."""
        return self._documents.records.page(**call.window)

    @routes.post("/documents/upload", "Upload a document", consumes=(FORM,), answer=DOCUMENT, status=201)
    async def upload_document(self, call: Call) -> Json:
        """Take one file out of a form, keep it, and index its text if it is text."""
        require_media_type(call.request, FORM)
        require_size(call.request, UPLOAD_LIMIT)
        return await self._documents.receive(call.request, call.user)

    @routes.get("/documents/<uuid:document_id>", "Show a document", answer=DOCUMENT)
    def get_document(self, call: Call, document_id: str) -> Json:
        """Show what is known of a document."""
        return self._documents.records.get(document_id)

    @routes.get("/documents/<uuid:document_id>/content", "Download a document", produces="application/octet-stream")
    def download_document(self, call: Call, document_id: str) -> Deferred[Outcome]:
        """Return the file as it was uploaded, always as something to save: it may hold anything."""
        document = self._documents.records.get(document_id)
        file = self._documents.path(document_id).open("rb")
        call.request.setHeader("Content-Type", "application/octet-stream")
        call.request.setHeader("Content-Length", str(document["size"]))
        call.request.setHeader("Content-Disposition", attachment(document["file_name"]))
        call.request.setHeader("X-Content-Type-Options", "nosniff")
        sent: Deferred[object] = FileSender().beginFileTransfer(file, call.request)

        def finish(outcome: object) -> Streamed:
            # FileSender fails only when the client has left, and then there is nobody to tell.
            file.close()
            call.request.unregisterProducer()
            return Streamed()

        return sent.addBoth(finish)

    @routes.delete("/documents/<uuid:document_id>", "Remove a document", answer=DOCUMENT)
    def delete_document(self, call: Call, document_id: str) -> Json:
        """Remove a document, its file and its text."""
        return self._documents.remove(document_id)

    @routes.post("/query", "Search the documents", body=QUERY, answer=RESULTS)
    def query_documents(self, call: Call) -> Json:
        """Find passages with at least one of the words, the best first, each with a snippet."""
        words = words_of(call.body["query"])
        if not words:
            raise bad_request("no_words", "the query has no word to look for", {"query": "must have a word"})
        results = self._documents.search(words, call.body.get("limit", 10))
        return {"query": call.body["query"], "results": results}


class Submissions(Part):
    """Forms that were read out of documents."""

    routes = Routes()

    def __init__(self, database: Database, context: Context, documents: DocumentStore) -> None:
        self._submissions = database.collection("submissions", "submission", context.reactor)
        self._documents = documents

    @routes.post(
        "/process-document",
        "Read a form out of a document",
        body=TO_PROCESS,
        answer=SUBMISSION,
        status=201,
        errors=(404,),
    )
    def process_document(self, call: Call) -> Json:
        """Collect lines such as `Name: value` and barcodes; a document without text gives a failed submission."""
        document = self._documents.records.get(call.body["document_id"])
        return self._submissions.create(self._read(document), call.user)

    @routes.pages("/submissions", "List submissions", SUBMISSION, query={"status": STATUS, "document_id": identifier()})
    def list_submissions(self, call: Call) -> Page:
        """List submissions, the newest first."""
        return self._submissions.page(**call.window, **call.filters)

    @routes.get("/submissions/<uuid:submission_id>", "Show a submission", answer=SUBMISSION)
    def get_submission(self, call: Call, submission_id: str) -> Json:
        """Show a submission."""
        return self._submissions.get(submission_id)

    def _read(self, document: Json) -> Json:
        text = "".join(self._documents.passages(document["id"], _PASSAGES_READ))
        fields = dict(list(fields_of(text).items())[:100])
        found = sum(name in fields for name in _USUAL_FIELDS)
        return {
            "document_id": document["id"],
            "status": "completed" if document["is_text"] else "failed",
            "fields": fields,
            "barcodes": sorted(set(_BARCODE.findall(text)))[:1000],
            "confidence": round(found / len(_USUAL_FIELDS), 2),
            "error": None if document["is_text"] else "the document has no text in UTF-8",
        }


def fields_of(text: str) -> dict[str, str]:
    """Return the values of lines such as ``Sample type: DNA`` by names such as ``sample_type``; the first counts."""
    fields: dict[str, str] = {}
    for name, value in _LINE.findall(text):
        fields.setdefault(re.sub(r"[ /-]+", "_", name.strip().lower()), value.strip())
    return fields
