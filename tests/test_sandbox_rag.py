"""The stand-in rag service."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.sandbox_client import UNKNOWN, SandboxCase
from tracseq_gateway.sandbox import rag_index
from tracseq_gateway.sandbox.demo import demo_id
from tracseq_gateway.sandbox.kit.records import Database
from tracseq_gateway.sandbox.rag import fields_of
from tracseq_gateway.sandbox.rag_documents import DocumentStore
from tracseq_gateway.sandbox.rag_index import (
    PASSAGE_CHARACTERS,
    FullTextIndex,
    PassageIndex,
    PlainIndex,
    TextSplitter,
    open_index,
)

BOUNDARY = b"----form"


def form(content: bytes, name: str = "notes.txt", field: bytes = b"file") -> dict[str, Any]:
    body = (
        b"--" + BOUNDARY + b'\r\nContent-Disposition: form-data; name="' + field + b'"; filename="'
        + name.encode() + b'"\r\nContent-Type: text/plain\r\n\r\n' + content + b"\r\n--" + BOUNDARY + b"--\r\n"
    )  # fmt: skip
    return {"content": body, "headers": {"Content-Type": f"multipart/form-data; boundary={BOUNDARY.decode()}"}}


class RagCase(SandboxCase):
    """A test of the rag service."""

    name = "rag"

    def upload(self, content: bytes, name: str = "notes.txt") -> Any:
        return self.post("/documents/upload", **form(content, name), status=201)

    def found(self, query: str) -> list[str]:
        return [result["file_name"] for result in self.post("/query", {"query": query})["results"]]

    def files(self) -> set[str]:
        return {path.name for path in (self.directory / "documents").iterdir()}


class UploadTests(RagCase):
    """Taking documents in."""

    def test_text(self) -> None:
        """A text is kept byte for byte, described, and found at once."""
        content = "The Zephyr protocol: mix, wait, mix — again.\r\n--x".encode()
        document = self.upload(content, "../../etc/Zephyr.txt")
        self.assertEqual(
            ("Zephyr.txt", "text/plain", len(content)),
            tuple(document[name] for name in ("file_name", "media_type", "size")),
        )
        self.assertEqual(hashlib.sha256(content).hexdigest(), document["sha256"])
        self.assertEqual((True, 1, True), (document["is_text"], document["passages"], document["indexed_fully"]))
        self.assertEqual(["Zephyr.txt"], self.found("zephyr"))
        self.assertEqual(content, (self.directory / "documents" / document["id"]).read_bytes())

    def test_binary(self) -> None:
        """What turns out to be no text is kept whole, without passages."""
        content = b"Quixotic words " * 1000 + b"\xff\xfe\0"
        document = self.upload(content, "scan.pdf")
        self.assertEqual((False, 0, len(content)), (document["is_text"], document["passages"], document["size"]))
        self.assertEqual([], self.found("quixotic"))
        self.assertEqual(content, (self.directory / "documents" / document["id"]).read_bytes())

    def test_large(self) -> None:
        """A large upload is read in turns: other requests are answered before it is done."""
        content = b"A line about chromatography and other things.\n" * 60_000
        sent = self.client.post(
            "http://sandbox/api/v1/documents/upload", headers=form(b"")["headers"], data=form(content)["content"]
        )
        self.client.flush()
        self.assertNoResult(sent)
        self.assertEqual(1, len([name for name in self.files() if name.endswith(".part")]))
        self.assertEqual([], self.found("chromatography"))
        self.clock.pump([0] * 100)
        self.client.flush()
        document = self.read(self.successResultOf(sent)).data
        self.assertEqual(len(content), document["size"])
        self.assertEqual({"notes.txt"}, set(self.found("chromatography")))

    def test_leftInTheMiddle(self) -> None:
        """A client that leaves during a large upload leaves nothing behind."""
        before = self.files()
        sent = self.client.post(
            "http://sandbox/api/v1/documents/upload",
            headers=form(b"")["headers"],
            data=form(b"About ghosts.\n" * 200_000)["content"],
        )
        self.client.flush()
        sent.cancel()
        self.failureResultOf(sent)
        self.client.flush()
        self.clock.pump([0] * 100)
        self.assertEqual(before, self.files())
        self.assertEqual([], self.found("ghosts"))

    def test_refused(self) -> None:
        """A form that is cut short, without a file or with two, and what is no form, are refused and not kept."""
        before = self.files()
        whole = form(b"x" * 100)
        for content, code in (
            (whole["content"][:-20], "malformed_form"),
            (b"", "malformed_form"),
            (form(b"x")["content"].replace(b'; filename="notes.txt"', b""), "no_file"),
            (form(b"x")["content"][: -len(BOUNDARY) - 6] + form(b"y")["content"], "several_files"),
        ):
            refused = self.refused("POST", "/documents/upload", content=content, headers=whole["headers"], status=400)
            self.assertEqual(code, refused["code"], refused)
        self.refused("POST", "/documents/upload", {"file": "x"}, status=415)
        self.assertEqual(before, self.files())

    def test_remove(self) -> None:
        """A removed document is gone with its file and its text."""
        document = self.upload(b"About unicorns.")
        self.send("DELETE", f"/documents/{document['id']}")
        self.refused("GET", f"/documents/{document['id']}/content", status=404)
        self.assertEqual([], self.found("unicorns"))
        self.assertNotIn(document["id"], self.files())

    def test_restart(self) -> None:
        """Documents survive a restart; the rest of an interrupted upload does not."""
        self.upload(b"About unicorns.")
        (self.directory / "documents" / "x.part").write_bytes(b"half")
        self.service.close()
        self.start()
        self.assertEqual(["notes.txt"], self.found("unicorns"))
        self.assertNotIn("x.part", self.files())


class QueryTests(RagCase):
    """Finding documents."""

    def test_snippet(self) -> None:
        """The best passage comes first, with the words marked in a snippet."""
        results = self.post("/query", {"query": "freezer alarm -74", "limit": 3})["results"]
        self.assertEqual("SOP-031 Freezer alarm.md", results[0]["file_name"])
        self.assertIn("**freezer**", results[0]["snippet"].lower())
        self.assertEqual(sorted((one["score"] for one in results), reverse=True), [one["score"] for one in results])

    def test_operators(self) -> None:
        """The words of a query are words, whatever they mean to SQLite; a query needs one."""
        for query in ('"', "a OR", "NEAR(x", "text:*", "x' --", "(("):
            answer = self.send("POST", "/query", {"query": query}, status=200 if any(map(str.isalnum, query)) else 400)
            self.assertNotIn(b"internal", answer.content)


class SubmissionTests(RagCase):
    """Forms read out of documents."""

    def test_form(self) -> None:
        """The lines and barcodes of a form become a submission."""
        document = demo_id("document", "Submission form 2026-031.txt")
        submission = self.post("/process-document", {"document_id": document}, status=201)
        self.assertEqual(
            ("completed", 1, ["TSQ-000004"]), tuple(submission[name] for name in ("status", "confidence", "barcodes"))
        )
        self.assertEqual("cfDNA", submission["fields"]["sample_type"])
        self.assertEqual(submission, self.get(f"/submissions/{submission['id']}"))
        self.assertEqual([submission], self.get("/submissions?status=completed"))

    def test_noText(self) -> None:
        """A document without text gives a failed submission, an unknown one none."""
        document = self.upload(b"\0\1\2")
        submission = self.post("/process-document", {"document_id": document["id"]}, status=201)
        self.assertEqual(("failed", {}, 0), tuple(submission[name] for name in ("status", "fields", "confidence")))
        self.refused("POST", "/process-document", {"document_id": UNKNOWN}, status=404)

    def test_fields(self) -> None:
        """A field is a short name, a colon or an equals sign and a value on one line; the first of a name counts."""
        text = "Name: A\nname: B\nSample type =  DNA \nNo value:\nhttp://x\n3rd: x\nA long sentence, with: a colon\n"
        self.assertEqual({"name": "A", "sample_type": "DNA", "http": "//x"}, fields_of(text))


class IndexTests(SynchronousTestCase):
    """Both indices, without HTTP."""

    def database(self) -> Database:
        database = Database(Path(self.mktemp()))
        self.addCleanup(database.close)
        return database

    def check(self, index: PassageIndex) -> None:
        """Check what holds for every index."""
        index.add("a", 0, "Shear the DNA to 350 bp.")
        index.add("a", 1, "Pool the libraries.")
        index.add("b", 0, "The DNA libraries are pooled, and the DNA is measured.")
        self.assertEqual({("a", 0), ("b", 0)}, {(hit.document_id, hit.number) for hit in index.search(["dna"], 5)})
        self.assertEqual("b", index.search(["dna", "libraries"], 5)[0].document_id)
        self.assertEqual(1, len(index.search(["dna"], 1)))
        self.assertIn("**DNA**", index.search(["dna"], 1)[0].snippet)
        self.assertEqual([], index.search(["plasma"], 5))
        self.assertEqual(["Shear the DNA to 350 bp.", "Pool the libraries."], index.passages("a", 5))
        index.remove("a")
        self.assertEqual(["b"], [hit.document_id for hit in index.search(["libraries"], 5)])
        index.remove_orphans()
        self.assertEqual([], index.search(["libraries"], 5))

    def test_fullText(self) -> None:
        """Where SQLite has a full-text index, it is used."""
        index = open_index(self.database())
        self.assertIsInstance(index, FullTextIndex)
        self.check(index)

    def test_plain(self) -> None:
        """Where it has none, passages are searched plainly, with the same promises."""
        self.patch(FullTextIndex, "TABLE", "CREATE VIRTUAL TABLE IF NOT EXISTS passage USING fts99(text)")
        index = open_index(self.database())
        self.assertIsInstance(index, PlainIndex)
        self.check(index)


class SplitterTests(SynchronousTestCase):
    """Text into passages."""

    def test_pieces(self) -> None:
        """However the bytes are cut, letters and words stay whole and nothing is lost."""
        text = "Größe, µ-tube, " * 1000
        content = text.encode()
        for size in (1, 7, 4096):
            splitter = TextSplitter()
            passages = [
                passage
                for start in range(0, len(content), size)
                for passage in splitter.feed(content[start : start + size])
            ]
            passages += splitter.feed(b"", final=True)
            self.assertEqual(text, "".join(passages))
            self.assertTrue(all(len(passage) <= PASSAGE_CHARACTERS for passage in passages))
            self.assertTrue(all(passage.endswith(" ") for passage in passages))

    def test_binary(self) -> None:
        """Bytes that are no UTF-8, a NUL, and a letter that is cut off at the end are no text."""
        for content in (b"\xff", b"a\0b", "é".encode()[:1]):
            with self.assertRaises(ValueError):
                list(TextSplitter().feed(content, final=True))

    def test_longLine(self) -> None:
        """A line without any gap is cut where it must be."""
        passages = list(TextSplitter().feed(b"x" * (PASSAGE_CHARACTERS + 1), final=True))
        self.assertEqual([PASSAGE_CHARACTERS, 1], [len(passage) for passage in passages])


class LimitTests(SynchronousTestCase):
    """Very long texts."""

    def test_indexedBeginning(self) -> None:
        """Of a very long text the beginning is indexed, and the document says so."""
        directory = Path(self.mktemp())
        directory.mkdir()
        database = Database(directory / "rag.sqlite")
        self.addCleanup(database.close)
        store = DocumentStore(directory / "documents", database, open_index(database), Clock())
        self.patch(rag_index, "INDEXED_CHARACTERS", 100)
        document = store.add("long.txt", "text/plain", b"word " * 21, None, UNKNOWN)
        self.assertEqual((True, False), (document["is_text"], document["indexed_fully"]))
