"""From a path to who answers it: the table, the rewrite, and the gateway's own pages among the services."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from tests.kit import MemoryGateway
from tests.kit_client import MemoryServer, answer_whole, request
from tracseq_gateway.admin.pages import Page
from tracseq_gateway.config.model import OWN_PATHS, Service
from tracseq_gateway.config.upstream import Instance
from tracseq_gateway.http.request_head import METHODS
from tracseq_gateway.http.target import normalise
from tracseq_gateway.interfaces import Stage
from tracseq_gateway.routing.resource import GatewayResource
from tracseq_gateway.routing.table import DuplicatePrefix, Route, RouteTable

SEGMENT = st.sampled_from([b"a", b"b", b"aa", b"samples", b"samplesX", b"%2e", b"a.b", b"*"])
PREFIXES = st.lists(st.lists(SEGMENT, max_size=4), max_size=8, unique_by=tuple).map(
    lambda lists: [b"".join(b"/" + segment for segment in segments) for segments in lists]
)
PATHS = st.lists(SEGMENT | st.just(b""), max_size=6).map(lambda segments: b"/" + b"/".join(segments))


def table(*prefixes: bytes) -> RouteTable[bytes]:
    """A table whose targets are the prefixes."""
    return RouteTable([Route(prefix, b"", prefix) for prefix in prefixes])


def found(routes: RouteTable[bytes], path: bytes) -> bytes | None:
    """The prefix of the route of a path."""
    route = routes.find(path)
    return None if route is None else route.target


def naive(prefixes: list[bytes], path: bytes) -> bytes | None:
    """The longest prefix that is the path, or its beginning up to a slash."""
    fitting = [prefix for prefix in prefixes if path == prefix or path.startswith(prefix + b"/")]
    return max(fitting, key=len, default=None)


class TableTests(SynchronousTestCase):
    def test_whole_segments(self) -> None:
        """A prefix matches itself and what lies below it, not what merely begins like it."""
        routes = table(b"/samples")
        for path in (b"/samples", b"/samples/", b"/samples/1", b"/samples/1/2", b"/samples//"):
            self.assertEqual(found(routes, path), b"/samples", path)
        for path in (b"/", b"/samplesX", b"/sample", b"/Samples", b"/x/samples", b"/samples%2f1", b"/samples;x", b"*"):
            self.assertIsNone(found(routes, path), path)

    def test_longest(self) -> None:
        """Of several prefixes the longest wins, whatever their order."""
        for order in (1, -1):
            routes = table(*[b"/a", b"/a/b", b"/a/b/c", b"/x/y", b""][::order])
            for path, prefix in {
                b"/a": b"/a", b"/a/": b"/a", b"/a/c": b"/a", b"/a/bb": b"/a", b"/a/b": b"/a/b", b"/a/b/cc": b"/a/b",
                b"/a/b/c/d": b"/a/b/c", b"/x": b"", b"/x/y/z": b"/x/y", b"/x/yy": b"", b"/": b"", b"/z": b"",
            }.items():  # fmt: skip
                self.assertEqual(found(routes, path), prefix, path)

    def test_root(self) -> None:
        """A service may own everything that no other prefix matches, or stand alone."""
        for routes in (table(b""), table(b"", b"/a"), table(b"/a/b", b"")):
            self.assertEqual(found(routes, b"/"), b"")
            self.assertEqual(found(routes, b"/z/a/b"), b"")

    def test_empty(self) -> None:
        """A table without routes finds none."""
        self.assertIsNone(found(table(), b"/"))
        self.assertEqual((len(table()), len(table(b"/a", b""))), (0, 2))

    def test_duplicates(self) -> None:
        """One prefix cannot have two routes; the error names it."""
        self.assertIn("/a", str(self.assertRaises(DuplicatePrefix, table, b"/a", b"/b", b"/a")))
        self.assertIn("two routes for /", str(self.assertRaises(DuplicatePrefix, table, b"", b"")))

    @given(PREFIXES, PATHS)
    @example([b"", b"/a"], b"/")
    @settings(max_examples=400, deadline=None)
    def test_against_a_plain_search(self, prefixes: list[bytes], path: bytes) -> None:
        """The table finds what a search through all prefixes finds."""
        self.assertEqual(found(table(*prefixes), path), naive(prefixes, path))


class RewriteTests(SynchronousTestCase):
    def test_rule(self) -> None:
        """The rewrite takes the prefix's place; what is left is a path, even if nothing is left."""
        for prefix, rewrite, path, upstream in [
            (b"/samples", b"/api/v1", b"/samples/batch/validate", b"/api/v1/batch/validate"),
            (b"/samples", b"/api/v1", b"/samples", b"/api/v1/"),
            (b"/samples", b"/api/v1", b"/samples/", b"/api/v1/"),
            (b"/samples", b"", b"/samples/1", b"/1"),
            (b"/samples", b"", b"/samples", b"/"),
            (b"/samples", b"/samples", b"/samples/1", b"/samples/1"),
            (b"/api/samples", b"/api/v1", b"/api/samples/a%2Eb", b"/api/v1/a%2Eb"),
            (b"", b"", b"/", b"/"),
            (b"", b"", b"/a/b/", b"/a/b/"),
            (b"", b"/api/v1", b"/", b"/api/v1/"),
            (b"", b"/api/v1", b"/a", b"/api/v1/a"),
        ]:
            self.assertEqual(Route(prefix, rewrite, None).upstream_path(path), upstream)

    @given(PREFIXES, PATHS, st.sampled_from([b"", b"/api/v1", b"/samples"]))
    @settings(max_examples=200, deadline=None)
    def test_what_is_matched_is_forwarded(self, prefixes: list[bytes], path: bytes, rewrite: bytes) -> None:
        """The bytes behind the prefix are forwarded as they were matched, and the target is a path again."""
        path = normalise(path)
        prefix = found(table(*prefixes), path)
        if prefix is not None:
            upstream = Route(prefix, rewrite, None).upstream_path(path)
            self.assertEqual(upstream[:1], b"/")
            self.assertEqual(upstream[len(rewrite) :].lstrip(b"/"), path[len(prefix) :].lstrip(b"/"))


class ResourceTests(SynchronousTestCase):
    def server(self, *prefixes: bytes) -> MemoryServer:
        """A server with these services, who answer with their prefix, and with pages that answer with their name."""
        own = Page(lambda: (200, {"page": "root"}))
        health = Page(lambda: (200, {"page": "health"}))
        health.putChild(b"live", Page(lambda: (200, {"page": "live"})))
        own.putChild(b"health", health)
        routes: RouteTable[Stage] = RouteTable(
            [
                Route(prefix, b"", lambda request, name=prefix: answer_whole(request, b"service " + name))
                for prefix in prefixes
            ]
        )
        return MemoryServer(GatewayResource(routes, own))

    def ask(self, server: MemoryServer, path: bytes, method: bytes = b"GET") -> str:
        """Who answers, or the status of the refusal."""
        (answer,) = server.visit(request(path, method=method)).answers(method)
        if answer.body.startswith(b"service"):
            return answer.body.decode()
        return f"page {json.loads(answer.body)['page']}" if answer.status == 200 else str(answer.status)

    def test_services(self) -> None:
        """A path goes to its service; a path that no service has is 404."""
        server = self.server(b"/samples", b"/samples/archive")
        self.assertEqual(self.ask(server, b"/samples/1?x"), "service /samples")
        self.assertEqual(self.ask(server, b"/samples/archive"), "service /samples/archive")
        self.assertEqual(self.ask(server, b"/samples/../samples/1"), "service /samples")
        for path in (b"/samplesX", b"/none", b"/samples/../none"):
            self.assertEqual(self.ask(server, path), "404", path)

    def test_own_pages(self) -> None:
        """The gateway's own pages answer beside the services; below them it is 404, not a service."""
        server = self.server(b"/samples")
        for path, who in {
            b"/": "page root", b"/?x": "page root", b"/health": "page health", b"/health/": "page health",
            b"/health/live": "page live", b"/health?x": "page health", b"/health/none": "404",
            b"/samples/../health": "page health",
        }.items():  # fmt: skip
            self.assertEqual(self.ask(server, path), who, path)

    def test_own_pages_before_a_service(self) -> None:
        """A service that owns everything gets ``/``, but none of the gateway's own paths."""
        server = self.server(b"")
        self.assertEqual(self.ask(server, b"/"), "service ")
        self.assertEqual(self.ask(server, b"/health"), "page health")
        for path in OWN_PATHS:
            self.assertNotIn("service", self.ask(server, path.encode() + b"/none"))

    def test_paths_that_begin_alike(self) -> None:
        """A path that merely begins like one of the gateway's own belongs to the service that has it."""
        server = self.server(b"", b"/healthy")
        self.assertEqual(self.ask(server, b"/healthy/1"), "service /healthy")
        for path in (b"/healthX", b"/services-of-ours/1", b"/docs.html", b"/openapi.jsonx", b"/%68ealth"):
            self.assertEqual(self.ask(server, path), "service ", path)
        self.assertEqual(self.ask(self.server(b"/samples"), b"/healthX"), "404")

    def test_only_reading(self) -> None:
        """The gateway's own pages answer GET and HEAD; other methods are 405 and name those two."""
        server = self.server(b"/samples")
        for method in sorted(METHODS - {b"GET", b"HEAD"}):
            for path in (b"/", b"/health", b"/health/live"):
                (answer,) = server.visit(request(path, method=method)).answers()
                self.assertEqual((answer.status, answer.values(b"allow")), (405, [b"GET, HEAD"]), (method, path))
        self.assertEqual(self.ask(server, b"/samples", method=b"DELETE"), "service /samples")

    def test_options_of_the_server(self) -> None:
        """OPTIONS * asks about the gateway: it answers itself with its methods, also where a service owns ``/``."""
        for prefixes in ((b"/samples",), (b"",), ()):
            (answer,) = self.server(*prefixes).visit(request(b"*", method=b"OPTIONS")).answers()
            self.assertEqual((answer.status, answer.body), (204, b""), prefixes)
            self.assertEqual(answer.values(b"allow"), [b", ".join(sorted(METHODS))])

    def test_fixed(self) -> None:
        """The tree is what the configuration says: children cannot be added or asked for."""
        resource = GatewayResource(RouteTable([]), Resource())
        self.assertRaises(TypeError, resource.putChild, b"x", Resource())
        self.assertRaises(TypeError, resource.getChildWithDefault, b"x", None)


class WholeWayTests(SynchronousTestCase):
    """Through a whole gateway: what a service sees of a target."""

    def gateway(self, **settings: Any) -> MemoryGateway:
        instance = (Instance("http://127.0.0.1:9001"),)
        return MemoryGateway(services={"all": Service("all", instances=instance, **settings)})

    def seen(self, gateway: MemoryGateway, target: bytes) -> bytes:
        """The target that the service sees."""
        gateway.exchange(request(target))
        return gateway.service.requests[-1].target

    def test_defaults(self) -> None:
        """The rule of the platform: ``/samples`` becomes ``/api/v1/``, and the query comes along."""
        gateway = self.gateway(prefix="/samples")
        self.assertEqual(self.seen(gateway, b"/samples/batch/validate"), b"/api/v1/batch/validate")
        self.assertEqual(self.seen(gateway, b"/samples"), b"/api/v1/")
        self.assertEqual(self.seen(gateway, b"/samples?a"), b"/api/v1/?a")

    def test_slashes_in_settings(self) -> None:
        """A trailing slash in a setting makes no difference."""
        for prefix, rewrite in (("/api/samples/", "/v1/"), ("/api/samples", "/v1")):
            gateway = self.gateway(prefix=prefix, rewrite=rewrite)
            self.assertEqual(self.seen(gateway, b"/api/samples/1"), b"/v1/1")
            self.assertEqual(self.seen(gateway, b"/api/samples"), b"/v1/")
        self.assertEqual(self.seen(self.gateway(prefix="/a", rewrite="/"), b"/a/b"), b"/b")

    @given(
        st.from_regex(
            rb"/samples(/([a-zA-Z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2}){1,6}){0,3}(\?[!-~]{0,20})?", fullmatch=True
        )
    )
    @settings(max_examples=100, deadline=None)
    def test_byte_for_byte(self, target: bytes) -> None:
        """Path and query reach the service byte for byte, or not at all; only dot segments are resolved."""
        target = target.replace(b"#", b"")
        path, mark, query = target.partition(b"?")
        gateway = self.gateway(prefix="/samples", rewrite="/up")
        client = gateway.exchange(request(target))
        if re.search(rb"%(2f|5c|00)|/(\.|%2e)+(/|;|%3b|$)", path, re.IGNORECASE):
            return
        self.assertEqual([answer.status for answer in client.answers()], [200])
        self.assertEqual(gateway.service.requests[0].target, b"/up" + (path[8:] or b"/") + mark + query)
