"""Compression as clients and services meet it: through the whole gateway, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.compression_kit import DECODE, samples
from tests.kit import Answer, MemoryGateway
from tests.kit_client import request
from tracseq_gateway.config.compression import Compression
from tracseq_gateway.config.keys import Size
from tracseq_gateway.config.model import Service
from tracseq_gateway.config.policies import Cors, Metrics, PathRule
from tracseq_gateway.config.upstream import Instance

BODY = samples(4000)
ON = {"compression": Compression(enabled=True)}


def answered(
    *lines: bytes, body: bytes = BODY, kind: bytes = b"application/json", status: bytes = b"200 OK", sized: bool = True
) -> bytes:
    """A service's answer."""
    fields = b"".join(line + b"\r\n" for line in lines)
    framing = b"Content-Length: %d\r\n" % len(body) if sized else b"Connection: close\r\n"
    return b"HTTP/1.1 %b\r\nContent-Type: %b\r\n%b%b\r\n%b" % (status, kind, framing, fields, body)


class GatewayTestCase(SynchronousTestCase):
    def gateway(self, answer: bytes | None, tables: dict[str, Any] = ON, **settings: Any) -> MemoryGateway:
        return MemoryGateway(answer=answer, tables=tables, **settings)

    def one(
        self,
        gateway: MemoryGateway,
        *fields: bytes,
        path: bytes = b"/list",
        method: bytes = b"GET",
        version: bytes = b"HTTP/1.1",
    ) -> Answer:
        client = gateway.exchange(request(path, *fields, method=method, version=version))
        (answer,) = client.answers(method)
        return answer

    def coding(self, answer: Answer) -> bytes:
        """The coding of an answer, whose body is decoded by it and compared."""
        codings: Sequence[bytes] = answer.values(b"content-encoding")
        if not codings:
            self.assertEqual(BODY, answer.body)
            return b""
        self.assertEqual(BODY, DECODE[codings[0]](answer.body))
        return codings[0]


class NegotiationTests(GatewayTestCase):
    def test_codings(self) -> None:
        """A client gets what it wants most, and of what it wants alike what the gateway would rather give."""
        for accept, coding in {
            b"gzip": b"gzip",
            b"gzip, deflate": b"gzip",
            b"gzip, deflate, br": b"br",
            b"gzip, deflate, br, zstd": b"zstd",
            b"zstd;q=0.5, gzip": b"gzip",
            b"*": b"zstd",
            b"deflate": b"",
            b"identity;q=0": b"",
        }.items():
            answer = self.one(self.gateway(answered()), b"Accept-Encoding: " + accept)
            self.assertEqual(coding, self.coding(answer), accept)
            self.assertEqual(([b"accept-encoding"], "length"), (answer.values(b"vary"), answer.framing))
        self.assertEqual(b"", self.coding(self.one(self.gateway(answered()))))

    def test_passedOn(self) -> None:
        """The service is asked as the gateway was; what it encodes itself goes on as it is."""
        gateway = self.gateway(answered(b"Content-Encoding: x-lab", b'ETag: "a"'))
        answer = self.one(gateway, b"Accept-Encoding: gzip, x-lab")
        self.assertEqual([b"gzip, x-lab"], gateway.service.requests[0].values(b"accept-encoding"))
        self.assertEqual((BODY, [b"x-lab"]), (answer.body, answer.values(b"content-encoding")))
        self.assertEqual(([b'"a"'], []), (answer.values(b"etag"), answer.values(b"vary")))

    def test_vary(self) -> None:
        """What others add to Vary stays: the service, and the gateway for CORS."""
        tables = {**ON, "cors": Cors(enabled=True, allow_origins=("https://lab.example", "https://b.example"))}
        gateway = self.gateway(answered(b"Vary: Accept-Language"), tables)
        answer = self.one(gateway, b"Accept-Encoding: gzip", b"Origin: https://lab.example")
        self.assertEqual({b"accept-language", b"accept-encoding", b"origin"}, set(self.members(answer)))
        self.assertEqual(3, len(self.members(answer)))

    def members(self, answer: Answer) -> list[bytes]:
        return [member.strip().lower() for value in answer.values(b"vary") for member in value.split(b",")]

    def test_off(self) -> None:
        """Without the setting nothing is changed."""
        gateway = self.gateway(answered(b'ETag: "a"'), {})
        answer = self.one(gateway, b"Accept-Encoding: gzip")
        self.assertEqual((b"", [], [b'"a"']), (self.coding(answer), answer.values(b"vary"), answer.values(b"etag")))


class WhereTests(GatewayTestCase):
    def services(self) -> dict[str, Service]:
        instances = (Instance("http://127.0.0.1:9001"),)
        return {
            "auth": Service("auth", "/auth", "", instances, paths={"/export": PathRule(compression=True)}),
            "samples": Service("samples", "/samples", "", instances, paths={"/form": PathRule(compression=False)}),
            "storage": Service("storage", "/storage", "", instances, compression=False),
        }

    def test_where(self) -> None:
        """All services are compressed but that of logins, unless they, or a path, say otherwise."""
        for path, coding in {
            b"/samples/list": b"gzip",
            b"/samples/form": b"",
            b"/samples/FORM/7": b"",
            b"/storage/list": b"",
            b"/auth/me": b"",
            b"/auth/export/all": b"gzip",
        }.items():
            gateway = self.gateway(answered(), services=self.services())
            self.assertEqual(coding, self.coding(self.one(gateway, b"Accept-Encoding: gzip", path=path)), path)

    def test_ownPages(self) -> None:
        """The gateway's own pages are compressed, too, where they are long enough; who has one is told so."""
        gateway = self.gateway(answered())
        page = self.one(gateway, b"Accept-Encoding: gzip", path=b"/dashboard/style.css")
        plain = self.one(gateway, path=b"/dashboard/style.css")
        self.assertEqual(plain.body, DECODE[b"gzip"](page.body))
        self.assertEqual([b"W/" + plain.values(b"etag")[0]], page.values(b"etag"))
        again = b"If-None-Match: " + page.values(b"etag")[0]
        same = self.one(gateway, b"Accept-Encoding: gzip", again, path=b"/dashboard/style.css")
        self.assertEqual((304, page.values(b"etag")), (same.status, same.values(b"etag")))
        health = self.one(gateway, b"Accept-Encoding: gzip", path=b"/health/live")
        self.assertEqual(([], []), (health.values(b"content-encoding"), health.values(b"vary")))


class ShapeTests(GatewayTestCase):
    def test_head(self) -> None:
        """HEAD says what GET would, but for the length."""
        empty = answered(b'ETag: "a"', b"Accept-Ranges: bytes", body=b"").replace(b"Length: 0", b"Length: 5000")
        answer = self.one(self.gateway(empty), b"Accept-Encoding: br", method=b"HEAD")
        self.assertEqual([b"br"], answer.values(b"content-encoding"))
        self.assertEqual(([b'W/"a"'], [b"accept-encoding"]), (answer.values(b"etag"), answer.values(b"vary")))
        self.assertEqual(([], []), (answer.values(b"content-length"), answer.values(b"accept-ranges")))

    def test_pieces(self) -> None:
        """An answer in pieces goes on in chunks, each at once; for HTTP/1.0, until the connection closes."""
        for version, framing in ((b"HTTP/1.1", "chunked"), (b"HTTP/1.0", "close")):
            gateway = self.gateway(None)
            client = gateway.client()
            client.send(request(b"/list", b"Accept-Encoding: gzip", version=version))
            (service,) = gateway.service.connections
            head, _, body = answered(sized=False).partition(b"\r\n\r\n")
            service.answer(head + b"\r\n\r\n")
            for start in range(0, len(body), 1000):
                before = len(client.received)
                service.answer(body[start : start + 1000])
                self.assertLess(before, len(client.received))
            service.close()
            client.settle()
            (answer,) = client.answers()
            self.assertEqual((framing, b"gzip", True), (answer.framing, self.coding(answer), answer.complete))

    def test_wholeToHttp10(self) -> None:
        """An answer that came as a whole has its length for HTTP/1.0, too, whose connection serves on."""
        gateway = self.gateway(answered())
        answer = self.one(gateway, b"Accept-Encoding: gzip", b"Connection: keep-alive", version=b"HTTP/1.0")
        self.assertEqual((b"gzip", "length"), (self.coding(answer), answer.framing))
        self.assertEqual([b"keep-alive"], answer.values(b"connection"))

    def test_brokenOff(self) -> None:
        """A service that breaks off leaves the client with an answer that has no end."""
        gateway = self.gateway(None)
        client = gateway.client()
        client.send(request(b"/list", b"Accept-Encoding: gzip"))
        (service,) = gateway.service.connections
        service.answer(answered()[:-10])
        service.close()
        (answer,) = client.answers()
        self.assertEqual((False, True), (answer.complete, client.closed))
        self.assertRaises(ValueError, DECODE[b"gzip"], answer.body)

    def test_clientLeaves(self) -> None:
        """A client that leaves within its answer frees the encoder."""
        gateway = self.gateway(None)
        client = gateway.client()
        client.send(request(b"/list", b"Accept-Encoding: gzip"))
        gateway.service.connections[0].answer(answered()[:-10])
        compressor = gateway.worker.compressing._compressor  # type: ignore[union-attr]
        self.assertEqual(1, compressor.streams)
        client.leave()
        self.assertEqual(0, compressor.streams)

    def test_small(self) -> None:
        """What is shorter than the setting stays as it is."""
        for least, coding in ((len(BODY), b"gzip"), (len(BODY) + 1, b"")):
            tables = {"compression": Compression(enabled=True, least_bytes=Size(least))}
            answer = self.one(self.gateway(answered(), tables), b"Accept-Encoding: gzip")
            self.assertEqual(coding, self.coding(answer))

    def test_ranges(self) -> None:
        """A part of an answer stays a part of the answer as it is."""
        part = answered(b"Content-Range: bytes 0-9/99", status=b"206 Partial Content")
        answer = self.one(self.gateway(part), b"Accept-Encoding: gzip", b"Range: bytes=0-9")
        self.assertEqual((b"", [], 206), (self.coding(answer), answer.values(b"vary"), answer.status))

    def test_events(self) -> None:
        """Streams of events go on as they are."""
        gateway = self.gateway(answered(kind=b"text/event-stream", sized=False))
        client = gateway.exchange(request(b"/events", b"Accept-Encoding: gzip"))
        gateway.service.connections[0].close()
        (answer,) = client.answers()
        self.assertEqual((b"", []), (self.coding(answer), answer.values(b"vary")))

    def test_refusals(self) -> None:
        """The gateway's own refusals, and errors of services, go on as they are."""
        for answer in (answered(status=b"500 Oh"), b"nonsense\r\n\r\n"):
            got = self.one(self.gateway(answer), b"Accept-Encoding: gzip")
            self.assertEqual([], got.values(b"content-encoding"))

    def test_sent(self) -> None:
        """What is counted as sent is what went to the client; before and after are counted, too."""
        gateway = self.gateway(answered(), {**ON, "metrics": Metrics(enabled=True)})
        gateway.worker.start()
        answer = self.one(gateway, b"Accept-Encoding: gzip")
        gateway.pass_time(1.5)
        metrics = gateway.worker.records.metrics
        assert metrics is not None
        page = metrics.page().body.decode()
        self.assertIn(f'gateway_compression_bytes_total{{direction="in",service="all"}} {len(BODY):.1f}', page)
        self.assertIn(f'gateway_compression_bytes_total{{direction="out",service="all"}} {len(answer.body):.1f}', page)
        self.assertIn(f'gateway_sent_bytes_total{{service="all"}} {len(answer.body):.1f}', page)
