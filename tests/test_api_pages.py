"""``/docs`` and ``/openapi.json`` in memory: what they answer, to whom, and that the document says what is so."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Callable
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from twisted.internet.defer import Deferred, execute, fail
from twisted.trial.unittest import SynchronousTestCase

from tests.identity_lab import Lab
from tests.kit import Answer, MemoryGateway
from tests.kit_client import MemoryServer, request
from tracseq_gateway.admin.api_pages import DocsPage
from tracseq_gateway.admin.kept import PIECE, Kept
from tracseq_gateway.config.docs import Docs
from tracseq_gateway.config.keys import Size
from tracseq_gateway.config.model import Config, Gateway, Service
from tracseq_gateway.config.policies import Limit, Metrics, PathRule, RateLimit, RateLimiting, Security
from tracseq_gateway.config.upstream import Instance
from tracseq_gateway.service.api_docs import described

INSTANCES = (Instance("http://127.0.0.1:8081"),)
SERVICES = {"samples": Service("samples", "/samples", instances=INSTANCES, openapi="")}


class AtOnce:
    """A thread pool without threads."""

    def callInThreadWithCallback(self, done: Callable[..., None], work: Callable[..., Any], *arguments: Any) -> None:
        done(True, work(*arguments))


def gateway(**settings: Any) -> MemoryGateway:
    """A whole gateway whose pages are made at once."""
    made = MemoryGateway(services=settings.pop("services", SERVICES), tables=settings)
    clock: Any = made.clock
    clock.getThreadPool = AtOnce
    clock.callFromThread = lambda work, *arguments: work(*arguments)
    return made


class PagesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.gateway = gateway()

    def ask(self, path: str, *fields: bytes, method: bytes = b"GET") -> Answer:
        (answer,) = self.gateway.exchange(request(path.encode(), *fields, method=method)).answers(method)
        return answer

    def assets(self) -> list[str]:
        """What the page loads."""
        return re.findall(r'(?:src|href)="(/docs/[^"]+)"', self.ask("/docs").body.decode())

    def test_page(self) -> None:
        """The page says what language it is in, names the services, and has nothing inline or from elsewhere."""
        answer = self.ask("/docs")
        text = answer.body.decode()
        self.assertEqual((answer.status, answer.values(b"content-type")), (200, [b"text/html; charset=utf-8"]))
        self.assertIn('<html lang="en">', text)
        self.assertIn("<title>TracSeq Gateway: API</title>", text)
        self.assertIn("<strong>samples</strong>: <code>/samples</code>", text)
        self.assertNotRegex(text, r"https?:|<style|\bon[a-z]+=|<script(?! src=)")
        self.assertEqual(self.ask("/docs/").body, answer.body)
        self.assertEqual(self.ask("/docs/none").status, 404)

    def test_assets(self) -> None:
        """What the page loads is there, is kept for good by browsers under a name that changes with it, and comes by
        gzip to who takes it."""
        self.assertEqual(len(self.assets()), 4)
        for path in self.assets():
            plain, zipped = self.ask(path), self.ask(path, b"Accept-Encoding: br, gzip")
            self.assertEqual(plain.values(b"cache-control"), [b"public, max-age=31536000, immutable"], path)
            self.assertEqual(zipped.values(b"content-encoding"), [b"gzip"])
            self.assertEqual(gzip.decompress(zipped.body), plain.body)
            self.assertNotEqual(zipped.values(b"etag"), plain.values(b"etag"))
            self.assertIn(plain.values(b"content-type")[0].split(b";")[0], (b"text/css", b"text/javascript"))

    def test_conditional(self) -> None:
        """Who has an answer already gets 304 without it; HEAD has the fields of GET; other methods are refused."""
        for path in ("/docs", "/openapi.json", *self.assets()):
            answer = self.ask(path)
            (tag,) = answer.values(b"etag")
            same = self.ask(path, b"If-None-Match: W/" + tag)
            self.assertEqual((same.status, same.body, same.values(b"etag")), (304, b"", [tag]), path)
            head = self.ask(path, method=b"HEAD")
            self.assertEqual((head.status, head.values(b"content-length")), (200, [b"%d" % len(answer.body)]))
            refused = self.ask(path, method=b"POST")
            self.assertEqual((refused.status, refused.values(b"allow")), (405, [b"GET, HEAD"]))
            self.assertEqual(self.ask(path, b'If-None-Match: "other"').status, 200)

    def test_policy(self) -> None:
        """The page has one policy, its own, beside the other security headers, also where the gateway's other answers
        have theirs."""
        for settings in ({}, {"security": Security(headers=True)}):
            self.gateway = gateway(**settings)
            for path in ("/docs", self.assets()[0], "/openapi.json"):
                (policy,) = self.ask(path).values(b"content-security-policy")
                self.assertTrue(policy.startswith(b"default-src 'none'; script-src 'self'; "), policy)
                self.assertNotIn(b"unsafe", policy)
        self.assertEqual(self.ask("/docs").values(b"x-frame-options"), [b"DENY"])

    def test_off(self) -> None:
        """Switched off, neither is there, nor linked to."""
        self.assertEqual(json.loads(self.ask("/").body)["links"]["docs"], "/docs")
        self.gateway = gateway(docs=Docs(enabled=False))
        for path in ("/docs", "/openapi.json"):
            self.assertEqual(self.ask(path).status, 404)
        self.assertNotIn("docs", json.loads(self.ask("/").body)["links"])

    def test_escaped(self) -> None:
        """What stands in the page is text, whatever it is."""
        security: Any = ([], b"")
        page = DocsPage([("a<b>", '/"&')], execute, security)
        (answer,) = MemoryServer(page).visit(request(b"/")).answers()
        self.assertIn(b"<strong>a&lt;b&gt;</strong>: <code>/&quot;&amp;</code>", answer.body)

    def test_defect(self) -> None:
        """Files that cannot be read are a 500, and are tried again."""
        fails = [True]

        def run(work: Callable[[], dict[str, Kept]]) -> Deferred[dict[str, Kept]]:
            return fail(ZeroDivisionError()) if fails else execute(work)

        server = MemoryServer(DocsPage([], run, ([], b"")))
        text = server.visit(request(b"/")).answers()[0].body.decode()
        path = re.findall(r'"/docs(/assets[^"]+)"', text)[0].encode()
        self.assertEqual(server.visit(request(path)).answers()[0].status, 500)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        fails.clear()
        self.assertEqual(server.visit(request(path)).answers()[0].status, 200)

    def test_slow_clients(self) -> None:
        """For a client that reads slowly a piece waits, not the file; it gets all of it, and a client that leaves ends
        that."""
        body = bytes(range(256)) * 4000
        kept = Kept(b"text/css", body, b"", "tag", b"no-cache", [])
        server = MemoryServer(kept.answer)
        visitor = server.visit(request(b"/"), window=1000)
        self.assertLess(visitor.transport.unsent(), 4 * PIECE)
        for _ in range(100):
            visitor.take(20_000)
        (answer,) = visitor.answers()
        self.assertEqual((answer.body, answer.framing), (body, "length"))
        server.visit(request(b"/"), window=1000).leave()
        (answer,) = server.visit(request(b"/", method=b"HEAD")).answers(b"HEAD")
        self.assertEqual(answer.values(b"content-length"), [b"%d" % len(body)])

    def test_unchanged(self) -> None:
        """The files of Swagger UI are those of its release, with its license."""
        directory = files("tracseq_gateway.admin") / "swagger_ui"
        for line in (directory / "SHA256SUMS").read_text().splitlines():
            sum, name = line.split()
            self.assertEqual(hashlib.sha256((directory / name).read_bytes()).hexdigest(), sum, name)
        self.assertIn("Apache License", (directory / "LICENSE").read_text())


class OwnTests(SynchronousTestCase):
    """What the document says of the gateway's own pages."""

    def check(self, made: MemoryGateway, skip: tuple[str, ...] = ()) -> dict[str, Any]:
        """Hold each page against its description; return the document."""

        def ask(path: str) -> Answer:
            return made.exchange(request(path.encode())).answers()[0]

        document: dict[str, Any] = json.loads(ask("/openapi.json").body)
        self.assertEqual(list(OpenAPIV31SpecValidator(document).iter_errors()), [])
        for path, item in document["paths"].items():
            if item.get("get", {}).get("tags") != ["This gateway"] or path in skip:
                continue
            answer = ask(path)
            content = item["get"]["responses"][str(answer.status)]["content"]
            (kind,) = answer.values(b"content-type")
            self.assertIn(kind.decode().partition(";")[0], {name.partition(";")[0] for name in content}, path)
            if kind == b"application/json":
                schema = {**content["application/json"]["schema"], "components": document["components"]}
                problems = [
                    error.message for error in Draft202012Validator(schema).iter_errors(json.loads(answer.body))
                ]
                self.assertEqual(problems, [], path)
        return document

    def test_pages(self) -> None:
        """Each answers as described, with auth and limits too, and while it drains; with metrics where they are."""
        self.check(gateway())
        self.check(gateway(rate_limit=RateLimiting(enabled=True)))
        paths = self.check(gateway(metrics=Metrics(enabled=True, path="/numbers")), skip=("/numbers",))["paths"]
        self.assertIn("/numbers", paths)
        made = gateway()
        made.worker.status.draining = True
        self.check(made)

    def test_root(self) -> None:
        """Where a service owns ``/``, that is not described as the gateway's."""
        service = Service("all", "/", instances=INSTANCES, openapi="")
        document = self.check(gateway(services={"all": service}))
        self.assertEqual(document["paths"]["/"]["get"]["tags"], ["all"])


class DemandTests(SynchronousTestCase):
    def test_tokens(self) -> None:
        """What the document says of tokens and roles is what the gateway does."""
        lab = Lab()
        config = lab.worker._config
        parts = {name: described(service, config, lab.worker.callers) for name, service in config.services.items()}
        for path, method, need, role in (
            ("/auth/login", "post", "none", ""),
            ("/auth/me", "get", "required", ""),
            ("/samples/news", "get", "none", ""),
            ("/samples/open/{id}", "get", "none", ""),
            ("/samples/open/not", "get", "required", ""),
            ("/samples/maybe", "get", "optional", ""),
            ("/samples/{id}", "delete", "required", "lab_administrator"),
            ("/samples/{id}", "get", "required", ""),
            ("/board", "get", "none", ""),
        ):
            found = parts[path.split("/")[1]].demand(method, path)
            self.assertEqual((found.need, found.role), (need, role), path)
            refused = lab.ask(path.replace("{id}", "7").encode(), method=method.upper().encode()).status == 401
            self.assertEqual(refused, need == "required", path)

    def test_rules(self) -> None:
        """Rules for paths, and further limits, are told where they hold."""
        service = Service(
            "samples",
            "/samples",
            instances=INSTANCES,
            content_types=("application/json",),
            paths={
                "/batch": PathRule(rate_limit=RateLimit(5, 10), max_body=Size(1 << 30), content_types=("text/csv",)),
            },
        )
        limit = Limit(unit="bytes", per="service", per_minute=Size(1000), burst=Size(2000), methods=("POST",))
        config = Config(
            gateway=Gateway(),
            services={"samples": service},
            rate_limit=RateLimiting(enabled=True, limits={"uploads": limit}),
        )
        part = described(service, config, None)
        self.assertEqual(part.remarks[0], "At most 100 requests a minute for each client, 200 at once.")
        found = part.demand("post", "/samples/batch/{id}")
        self.assertEqual((found.need, found.max_body, found.content_types), ("none", 1 << 30, ("text/csv",)))
        self.assertEqual(
            found.remarks,
            (
                "At most 5 requests a minute for each client, 10 at once for this path.",
                "At most 1000 bytes of request bodies a minute for all clients of a service together, 2000 at once.",
                "Takes bodies of up to 1 GiB.",
            ),
        )
        self.assertEqual(part.demand("get", "/samples").remarks, ())
        self.assertEqual(part.demand("get", "/samples").content_types, ("application/json",))
