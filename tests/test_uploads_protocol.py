"""What a tus client is told (tus 1.0.0), request by request."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode

from twisted.trial.unittest import SynchronousTestCase

from tests.kit import Answer
from tests.kit_client import request
from tests.uploads_kit import CORS, PART, TAKES, TUS, UploadGateway, metadata
from tracseq_gateway.config import PathRule, Size
from tracseq_gateway.uploads.held import HeldUpload


def of_one(answer: Answer, name: bytes) -> bytes:
    """The value of a field that is there once."""
    (value,) = answer.values(name)
    return value


class UploadCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.gateway = UploadGateway(self.mktemp())


class CreationTests(UploadCase):
    def test_created(self) -> None:
        """POST answers 201 with the URL of the upload, how much of it has come, and until when it is kept."""
        answer = self.gateway.ask(b"POST", TAKES, TUS, b"Upload-Length: 5", metadata(filename="a.txt"))
        self.assertEqual(201, answer.status)
        self.assertRegex(of_one(answer, b"location"), rb"\A/files/up_[A-Za-z0-9_-]{32}\Z")
        self.assertEqual(b"0", of_one(answer, b"upload-offset"))
        self.assertRegex(of_one(answer, b"upload-expires"), rb"\A[A-Z][a-z]{2}, \d\d .* GMT\Z")
        self.assertEqual(b"1.0.0", of_one(answer, b"tus-resumable"))
        self.assertEqual([], self.gateway.service.requests)

    def test_slash_at_the_end(self) -> None:
        """A slash at the end of the path makes no difference: clients like to write one."""
        url = self.gateway.create(3, path=TAKES + b"/")
        self.assertEqual(204, self.gateway.append(url, 0, b"abc").status)
        self.assertEqual([TAKES], [seen.target for seen in self.gateway.service.requests])

    def test_with_the_first_part(self) -> None:
        """A POST may bring the first bytes with it, and if they are all, the service has them when it is answered."""
        gateway = self.gateway
        answer = gateway.ask(b"POST", TAKES, TUS, PART, b"Upload-Length: 5", body=b"abc")
        self.assertEqual((201, b"3"), (answer.status, of_one(answer, b"upload-offset")))
        answer = gateway.ask(b"POST", TAKES, TUS, PART, b"Upload-Length: 3", body=b"abc")
        self.assertEqual((201, b"3"), (answer.status, of_one(answer, b"upload-offset")))
        self.assertEqual([b"abc"], [seen.body for seen in gateway.service.requests])

    def test_empty(self) -> None:
        """An upload of nothing is whole when it is made."""
        self.gateway.create(0)
        self.assertEqual([b""], [seen.body for seen in self.gateway.service.requests])

    def test_not_tus(self) -> None:
        """Requests that do not speak tus go to the service, at the same path too."""
        self.assertEqual(b"ok", self.gateway.ask(b"POST", TAKES, body=b"plain").body)
        self.assertEqual(b"ok", self.gateway.ask(b"GET", TAKES).body)
        self.assertEqual(b"ok", self.gateway.ask(b"POST", b"/elsewhere", TUS, b"Upload-Length: 5").body)
        self.assertEqual(3, len(self.gateway.service.requests))

    def test_refused(self) -> None:
        """What a new upload must say is held to its form, and nothing is kept of one that is refused."""
        long = b"Upload-Metadata: a " + b64encode(b"x" * 4096)
        for status, *fields in (
            (400,),
            (400, b"Upload-Length: -1"),
            (400, b"Upload-Length: 1e3"),
            (400, b"Upload-Defer-Length: 1"),
            (400, b"Upload-Length: 1", b"Upload-Metadata: a b!"),
            (400, b"Upload-Length: 1", b"Upload-Metadata: a YQ==,a YQ=="),
            (400, b"Upload-Length: 1", b"Upload-Metadata: filename /w=="),
            (400, b"Upload-Length: 1", b"Upload-Metadata: filetype " + b64encode(b"text/plain\r\nX: y")),
            (400, b"Upload-Length: 1", long),
            (413, b"Upload-Length: 99999999999"),
            (415, b"Upload-Length: 1", b"Content-Type: text/plain", b"Content-Length: 1"),
        ):
            answer = self.gateway.ask(b"POST", TAKES, TUS, *fields)
            self.assertEqual(status, answer.status, fields)
            self.assertEqual(b"1.0.0", of_one(answer, b"tus-resumable"))
        self.assertEqual([], list(self.gateway.directory.glob("up_*")))

    def test_refused_type_of_a_form(self) -> None:
        """A file type that is none is refused before the upload comes, also where it would be sent in a form."""
        gateway = UploadGateway(self.mktemp(), form="file")
        fields = (TUS, b"Upload-Length: 3", metadata(filetype="no type"))
        self.assertEqual(400, gateway.ask(b"POST", TAKES, *fields).status)

    def test_leaves_nothing(self) -> None:
        """Of an upload that was begun with a first part that could not be taken, nothing stays: nobody has its URL."""
        gateway = self.gateway
        for length, line, status in (
            (3, b"Upload-Checksum: sha1 AAAA", 400),
            (3, b"Upload-Checksum: sha1 " + b64encode(bytes(20)), 460),
            (2, b"X-None: 1", 413),
        ):
            fields = (TUS, PART, b"Upload-Length: %d" % length, line)
            self.assertEqual(status, gateway.ask(b"POST", TAKES, *fields, body=b"abc").status)
            self.assertEqual([], list(gateway.directory.glob("up_*")), line)

    def test_refused_whole(self) -> None:
        """Neither of one that came whole at once, and that its service refused."""
        gateway = UploadGateway(self.mktemp(), b"HTTP/1.1 422 No\r\nContent-Length: 0\r\n\r\n")
        fields = (TUS, PART, b"Upload-Length: 3")
        self.assertEqual(422, gateway.ask(b"POST", TAKES, *fields, body=b"abc").status)
        self.assertEqual([], list(gateway.directory.glob("up_*")))

    def test_version(self) -> None:
        """Another version is refused with 412 and told which one is spoken."""
        answer = self.gateway.ask(b"POST", TAKES, b"Tus-Resumable: 0.2.2", b"Upload-Length: 1")
        self.assertEqual((412, b"1.0.0"), (answer.status, of_one(answer, b"tus-version")))
        url = self.gateway.create(3)
        self.assertEqual(412, self.gateway.ask(b"HEAD", url).status)
        self.assertEqual(412, self.gateway.ask(b"PATCH", url, PART, b"Upload-Offset: 0", body=b"abc").status)

    def test_options(self) -> None:
        """OPTIONS says what is spoken, at the path and at an upload."""
        for path in (TAKES, self.gateway.create(3)):
            answer = self.gateway.ask(b"OPTIONS", path)
            self.assertEqual(204, answer.status)
            self.assertEqual(b"1.0.0", of_one(answer, b"tus-version"))
            self.assertEqual(b"21474836480", of_one(answer, b"tus-max-size"))
            self.assertIn(b"checksum", of_one(answer, b"tus-extension"))
            self.assertEqual(b"md5,sha1,sha256", of_one(answer, b"tus-checksum-algorithm"))

    def test_type_of_the_service(self) -> None:
        """A type that the service does not take is refused before anything has come; parts may have theirs."""
        rule = PathRule(content_types=("image/png",))
        gateway = UploadGateway(self.mktemp(), of_service={"paths": {"/files": rule}, "max_body": Size(10)})
        fields = TUS, b"Upload-Length: 20"
        answer = gateway.ask(b"POST", TAKES, *fields, metadata(filetype="text/html"))
        self.assertEqual((415, b"image/png"), (answer.status, of_one(answer, b"accept")))
        url = gateway.create(20, metadata(filetype="image/png"))
        self.assertEqual(204, gateway.append(url, 0, b"x" * 20).status)
        self.assertEqual(415, gateway.ask(b"POST", TAKES, b"Content-Type: text/html", body=b"x").status)


class PartTests(UploadCase):
    def test_parts(self) -> None:
        """Parts are put together in their order, and each answer says how far that is."""
        gateway = self.gateway
        url = gateway.create(6)
        for offset, part in ((0, b"ab"), (2, b"cd")):
            answer = gateway.append(url, offset, part)
            self.assertEqual((204, b"%d" % (offset + 2)), (answer.status, of_one(answer, b"upload-offset")))
            self.assertEqual([], gateway.service.requests)
        answer = gateway.append(url, 4, b"ef")
        self.assertEqual((204, b"6"), (answer.status, of_one(answer, b"upload-offset")))
        self.assertEqual([b"abcdef"], [seen.body for seen in gateway.service.requests])

    def test_shown(self) -> None:
        """HEAD says how far an upload is and what was said of it, and may not be kept."""
        said = metadata(filename="a.txt")
        url = self.gateway.create(6, said)
        self.gateway.append(url, 0, b"abc")
        answer = self.gateway.show(url)
        self.assertEqual(200, answer.status)
        self.assertEqual(b"3", of_one(answer, b"upload-offset"))
        self.assertEqual(b"6", of_one(answer, b"upload-length"))
        self.assertEqual(said.partition(b": ")[2], of_one(answer, b"upload-metadata"))
        self.assertEqual(b"no-store", of_one(answer, b"cache-control"))

    def test_refused(self) -> None:
        """A part at another place, of another type, or beyond the end is refused, and nothing of it is kept."""
        gateway = self.gateway
        url = gateway.create(4)
        gateway.append(url, 0, b"ab")
        self.assertEqual(409, gateway.append(url, 0, b"ab").status)
        self.assertEqual(409, gateway.append(url, 3, b"d").status)
        self.assertEqual(413, gateway.append(url, 2, b"cde").status)
        self.assertEqual(415, gateway.ask(b"PATCH", url, TUS, b"Upload-Offset: 2", body=b"cd").status)
        self.assertEqual(400, gateway.ask(b"PATCH", url, TUS, PART, body=b"cd").status)
        self.assertEqual(405, gateway.ask(b"PUT", url, TUS, body=b"cd").status)
        self.assertEqual(2, gateway.offset(url))

    def test_chunked(self) -> None:
        """A part whose length is not said is taken as far as the upload goes."""
        gateway = self.gateway
        url = gateway.create(4)
        fields = (TUS, PART, b"Upload-Offset: 0", b"Transfer-Encoding: chunked")
        client = gateway.begin(b"PATCH", url, *fields)
        client.send(b"2\r\nab\r\n")
        client.send(b"0\r\n\r\n")
        gateway.settle()
        self.assertEqual(204, client.answers(b"PATCH")[0].status)
        client = gateway.begin(b"PATCH", url, TUS, PART, b"Upload-Offset: 2", b"Transfer-Encoding: chunked")
        client.send(b"3\r\ncde\r\n")
        gateway.settle()
        self.assertEqual(413, client.answers(b"PATCH")[0].status)
        self.assertEqual(2, gateway.offset(url))

    def test_override(self) -> None:
        """X-HTTP-Method-Override is not honoured: a POST to an upload stays one."""
        url = self.gateway.create(4)
        fields = (TUS, PART, b"Upload-Offset: 0", b"X-HTTP-Method-Override: PATCH")
        answer = self.gateway.ask(b"POST", url, *fields, body=b"ab")
        self.assertEqual((405, b"DELETE, GET, HEAD, OPTIONS, PATCH"), (answer.status, of_one(answer, b"allow")))
        self.assertEqual(0, self.gateway.offset(url))

    def test_cut(self) -> None:
        """What had come of a part when its client left is kept, and the rest follows it."""
        gateway = self.gateway
        url = gateway.create(6)
        gateway.leave(gateway.part(url, 0, 6, b"abcd"))
        self.assertEqual(4, gateway.offset(url))
        self.assertEqual(204, gateway.append(url, 4, b"ef").status)
        self.assertEqual([b"abcdef"], [seen.body for seen in gateway.service.requests])

    def test_taken_over(self) -> None:
        """A part that hangs lets go when its client comes again: its connection may be long dead."""
        gateway = self.gateway
        url = gateway.create(6)
        hanging = gateway.part(url, 0, 6, b"abcd")
        asking = gateway.begin(b"HEAD", url, TUS)
        self.assertEqual([], asking.answers(b"HEAD"))
        gateway.pass_time(1)
        self.assertEqual(423, hanging.answers(b"PATCH")[0].status)
        (answer,) = asking.answers(b"HEAD")
        self.assertEqual((200, b"4"), (answer.status, of_one(answer, b"upload-offset")))

    def test_waits_no_longer_than_its_client(self) -> None:
        """Who waits for an upload and leaves is not kept waiting for."""
        gateway = self.gateway
        url = gateway.create(6)
        gateway.part(url, 0, 6, b"abcd")
        gateway.leave(gateway.begin(b"HEAD", url, TUS))
        gateway.pass_time(1)
        self.assertEqual(4, gateway.offset(url))

    def test_leaves_while_it_waits(self) -> None:
        """A client that leaves while its part waits for another one holds nothing afterwards."""
        gateway = self.gateway
        url = gateway.create(6)
        gateway.part(url, 0, 6, b"abcd")
        gateway.leave(gateway.part(url, 4, 2, b"e"))
        gateway.pass_time(2)
        self.assertIn(gateway.offset(url), (4, 5))
        self.assertEqual(0, gateway.worker.site.active)

    def test_leaves_at_once(self) -> None:
        """Neither does one that leaves before its upload was found."""
        gateway = self.gateway
        url = gateway.create(6)
        client = gateway.client()
        lines = (TUS, PART, b"Upload-Offset: 0", b"Content-Length: 6")
        client.send(request(url, *lines, method=b"PATCH") + b"ab")
        gateway.leave(client)
        self.assertEqual(200, gateway.show(url).status)

    def test_broken_off(self) -> None:
        """A part whose time is over is broken off; what had come of it is kept, and the next one begins at once."""
        gateway = self.gateway
        url = gateway.create(6)
        client = gateway.part(url, 0, 6, b"abcd")
        gateway.pass_time(31, step=0.5)
        self.assertEqual(408, client.answers(b"PATCH")[0].status)
        self.assertEqual(204, gateway.append(url, 4, b"ef").status)

    def test_disturbed(self) -> None:
        """What cannot be written for another reason is a failure of the gateway, and is logged."""
        gateway = self.gateway
        url = gateway.create(6)

        def fail(held: HeldUpload, offset: int, data: bytes) -> None:
            raise OSError("the disk is gone")

        self.patch(HeldUpload, "write", fail)
        self.assertEqual(500, gateway.append(url, 0, b"abc").status)
        self.assertEqual(1, len(self.flushLoggedErrors(OSError)))
        self.assertEqual(0, gateway.offset(url))


class ChecksumTests(UploadCase):
    def line(self, algorithm: str, data: bytes) -> bytes:
        return b"Upload-Checksum: %b %b" % (algorithm.encode(), b64encode(hashlib.new(algorithm, data).digest()))

    def test_right(self) -> None:
        """A part that is what its checksum says is kept, by each algorithm that is offered."""
        url = self.gateway.create(6)
        for offset, algorithm, part in ((0, "md5", b"ab"), (2, "sha1", b"cd"), (4, "sha256", b"ef")):
            self.assertEqual(204, self.gateway.append(url, offset, part, self.line(algorithm, part)).status)
        self.assertEqual([b"abcdef"], [seen.body for seen in self.gateway.service.requests])

    def test_wrong(self) -> None:
        """Of one that is not, 460 is said and nothing kept; the same bytes may come again."""
        url = self.gateway.create(4)
        self.gateway.append(url, 0, b"ab")
        answer = self.gateway.append(url, 2, b"cX", self.line("sha1", b"cd"))
        self.assertEqual(460, answer.status)
        self.assertEqual(2, self.gateway.offset(url))
        self.assertEqual(204, self.gateway.append(url, 2, b"cd", self.line("sha1", b"cd")).status)
        self.assertEqual([b"abcd"], [seen.body for seen in self.gateway.service.requests])

    def test_cut(self) -> None:
        """Of a part with a checksum that did not come whole nothing is kept: nobody knows whether it is right."""
        url = self.gateway.create(4)
        self.gateway.append(url, 0, b"a")
        self.gateway.leave(self.gateway.part(url, 1, 3, b"bX", self.line("sha1", b"bcd")))
        self.assertEqual(1, self.gateway.offset(url))

    def test_content_digest(self) -> None:
        """The same holds for a part with a Content-Digest (RFC 9530)."""
        url = self.gateway.create(4)
        self.gateway.leave(self.gateway.part(url, 0, 4, b"ab", b"Content-Digest: sha-256=:AAAA:"))
        self.assertEqual(0, self.gateway.offset(url))

    def test_refused(self) -> None:
        """A checksum that is none is refused before anything is taken."""
        url = self.gateway.create(4)
        for line in (b"crc32 AAAA", b"sha1 ???", b"sha1 AAAA", b"sha1"):
            self.assertEqual(400, self.gateway.append(url, 0, b"abcd", b"Upload-Checksum: " + line).status)
        self.assertEqual(0, self.gateway.offset(url))


class OwnerTests(UploadCase):
    def test_others(self) -> None:
        """To everybody but its client an upload is as if it were not there."""
        url = self.gateway.create(4)
        other = "192.0.2.8"
        self.assertEqual(404, self.gateway.show(url, peer=other).status)
        self.assertEqual(404, self.gateway.append(url, 0, b"ab", peer=other).status)
        self.assertEqual(404, self.gateway.ask(b"GET", url, peer=other).status)
        self.assertEqual(404, self.gateway.ask(b"DELETE", url, TUS, peer=other).status)
        self.assertEqual(404, self.gateway.show(b"/files/up_" + b"A" * 32).status)
        self.assertEqual(0, self.gateway.offset(url))

    def test_no_upload(self) -> None:
        """What is not the name of an upload is a path of the service."""
        for path in (b"/files/up_short", b"/files/7", b"/files/up_%2e%2e" + b"A" * 30, b"/other/up_" + b"A" * 32):
            self.assertEqual(b"ok", self.gateway.ask(b"GET", path).body, path)


class TerminationTests(UploadCase):
    def test_deleted(self) -> None:
        """DELETE ends an upload, and its bytes are gone."""
        url = self.gateway.create(4)
        self.gateway.append(url, 0, b"ab")
        self.assertEqual(204, self.gateway.ask(b"DELETE", url, TUS).status)
        self.assertEqual(404, self.gateway.show(url).status)
        self.assertEqual([], list(self.gateway.directory.glob("up_*")))

    def test_expired(self) -> None:
        """An upload without progress for too long is gone: 410 until it is swept, then 404."""
        gateway = self.gateway
        url, young = gateway.create(4), gateway.create(4)
        gateway.age(url, 86400)
        gateway.age(young, 86300)
        self.assertEqual(410, gateway.show(url).status)
        gateway.pass_time(30, step=10)
        self.assertEqual(404, gateway.show(url).status)
        self.assertEqual(0, gateway.offset(young))


class LimitTests(UploadCase):
    def test_of_one_client(self) -> None:
        """A client has so many uploads under way at once, and one more when one of them has ended."""
        gateway = UploadGateway(self.mktemp(), uploads={"max_per_client": 2})
        urls = [gateway.create(3), gateway.create(3)]
        answer = gateway.ask(b"POST", TAKES, TUS, b"Upload-Length: 3")
        self.assertEqual((429, b"60"), (answer.status, of_one(answer, b"retry-after")))
        gateway.create(3, peer="192.0.2.8")
        gateway.append(urls[0], 0, b"abc")
        gateway.create(3)

    def test_bytes_of_one_client(self) -> None:
        """A client's uploads under way have so many bytes together, counted from their beginning."""
        gateway = UploadGateway(self.mktemp(), uploads={"max_bytes_per_client": Size(10)})
        gateway.create(6)
        self.assertEqual(429, gateway.ask(b"POST", TAKES, TUS, b"Upload-Length: 5").status)
        gateway.create(4)
        gateway.create(5, peer="192.0.2.8")

    def test_bytes_of_all(self) -> None:
        """And so have those of all together."""
        gateway = UploadGateway(self.mktemp(), uploads={"max_bytes": Size(10)})
        url = gateway.create(6)
        self.assertEqual(507, gateway.ask(b"POST", TAKES, TUS, b"Upload-Length: 5").status)
        gateway.create(4)
        gateway.append(url, 0, b"abcdef")
        gateway.create(6)

    def test_number(self) -> None:
        """So many uploads are kept; the answers to those that were delivered make room for new ones, oldest first."""
        gateway = UploadGateway(self.mktemp(), uploads={"max_uploads": 3})
        first, second = gateway.create(0), gateway.create(0)
        gateway.pass_time(1)
        gateway.create(3)
        gateway.create(3)
        self.assertEqual([404, 200], sorted((gateway.show(url).status for url in (first, second)), reverse=True))
        gateway.create(3)
        self.assertEqual(507, gateway.ask(b"POST", TAKES, TUS, b"Upload-Length: 3").status)


class ExplainTests(UploadCase):
    def test_explained(self) -> None:
        """An explanation says that uploads end at the gateway, and where the whole goes; of other requests nothing."""
        for method, target, fields, name, outcome in (
            ("POST", "/files", ["Tus-Resumable: 1.0.0"], "uploads", "answered"),
            ("PATCH", self.gateway.create(3).decode(), [], "uploads", "answered"),
            ("POST", "/files", [], "times", "passed"),
        ):
            question = {"method": method, "target": target, "fields": fields, "address": "192.0.2.7"}
            report = json.loads(self.successResultOf(self.gateway.worker.explain(json.dumps(question).encode())))
            self.assertEqual((name, outcome), (report["steps"][-1]["name"], report["outcome"]))
            lines = [line for step in report["steps"] for line in step["lines"]]
            told = any(line.endswith("the service gets it in one POST to /files") for line in lines)
            self.assertEqual(name == "uploads", told)
        self.assertEqual([], self.gateway.service.requests)


class BrowserTests(UploadCase):
    def test_exposed(self) -> None:
        """Scripts of other origins may read the fields of tus."""
        gateway = UploadGateway(self.mktemp(), tables={"cors": CORS})
        answer = gateway.ask(b"POST", TAKES, TUS, b"Upload-Length: 3", b"Origin: https://lims.example")
        exposed = of_one(answer, b"access-control-expose-headers").lower().split(b", ")
        self.assertLessEqual({b"location", b"upload-offset", b"tus-resumable", b"x-request-id"}, set(exposed))
        self.assertEqual(len(set(exposed)), len(exposed))

    def test_preflight(self) -> None:
        """A browser may ask for what tus needs."""
        gateway = UploadGateway(self.mktemp(), tables={"cors": CORS})
        fields = (b"Origin: https://lims.example", b"Access-Control-Request-Method: PATCH")
        asked = b"Access-Control-Request-Headers: tus-resumable, upload-offset, content-type"
        answer = gateway.ask(b"OPTIONS", gateway.create(3), *fields, asked)
        self.assertIn(b"PATCH", of_one(answer, b"access-control-allow-methods"))
        self.assertIn(b"upload-offset", of_one(answer, b"access-control-allow-headers"))
