"""The doors from end to end: addresses, origins, headers and bodies, on services' answers and the gateway's own."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from twisted.internet.error import ConnectionRefusedError
from twisted.trial.unittest import SynchronousTestCase

from tests.kit import Answer, MemoryClient, MemoryGateway
from tests.kit_client import request
from tracseq_gateway.config import (
    Authentication,
    Cors,
    Gateway,
    Jwt,
    PathRule,
    RateLimit,
    RateLimiting,
    Redis,
    Security,
    Size,
)

BEHIND_PROXY = Gateway(trusted_proxies=(ip_network("10.0.0.0/8"),))
ORIGIN = b"Origin: https://lab.test"
SECRETS = {Jwt().secret_env: "0123456789abcdef" * 4}
PREFLIGHT = (ORIGIN, b"Access-Control-Request-Method: PUT", b"Access-Control-Request-Headers: authorization")


def said(text: bytes) -> bytes:
    """A service's answer with these lines."""
    return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n%b\r\nok" % text


class DoorTestCase(SynchronousTestCase):
    """A gateway with one service below /samples."""

    def start(self, **settings: Any) -> None:
        self.gateway = MemoryGateway(**{"prefix": "/samples", **settings})
        self.service = self.gateway.service

    def ask(self, path: bytes = b"/samples", *fields: bytes, peer: str = "192.0.2.7", **rest: Any) -> Answer:
        return self.send(request(path, *fields, **rest), peer)

    def send(self, data: bytes, peer: str = "192.0.2.7") -> Answer:
        client = self.gateway.client(peer)
        client.send(data)
        self.service.run()
        answer = client.answers(data.split()[0] if data.split() else b"GET")[-1]
        client.leave()
        return answer


class AddressTests(DoorTestCase):
    def lists(self, allow: tuple[str, ...] = (), deny: tuple[str, ...] = (), **settings: Any) -> None:
        networks = Security(allow=tuple(map(ip_network, allow)), deny=tuple(map(ip_network, deny)))
        self.start(tables={"security": networks}, **settings)

    def test_everywhere(self) -> None:
        """An address that may not call gets 403 from services, own pages and what is not there, and none is asked."""
        self.lists(deny=("192.0.2.0/24", "2001:db8::/32"))
        for path, status in ((b"/samples", 200), (b"/health", 200), (b"/nowhere", 404)):
            for peer in ("192.0.2.7", "::ffff:192.0.2.7", "2001:db8::1"):
                self.assertEqual(self.ask(path, peer=peer).status, 403)
            self.assertEqual(self.ask(path, peer="198.51.100.1").status, status)
        self.assertEqual(len(self.service.requests), 1)

    def test_allowed(self) -> None:
        """With addresses that may call, the others may not."""
        self.lists(allow=("192.0.2.0/24",), deny=("192.0.2.9/32",))
        statuses = [self.ask(peer=peer).status for peer in ("192.0.2.7", "192.0.2.9", "198.51.100.1", "::1")]
        self.assertEqual(statuses, [200, 403, 403, 403])

    def test_behind_a_proxy(self) -> None:
        """Behind a trusted proxy the client's address counts, the last that no trusted proxy has."""
        self.lists(deny=("192.0.2.0/24",), gateway=BEHIND_PROXY)
        for forwarded, status in (
            (b"192.0.2.7", 403),
            (b"198.51.100.1", 200),
            (b"192.0.2.7, 198.51.100.1", 200),
            (b"198.51.100.1, 192.0.2.7, 10.1.1.1", 403),
        ):
            self.assertEqual(self.ask(b"/samples", b"X-Forwarded-For: " + forwarded, peer="10.0.0.1").status, status)
        self.assertEqual(self.ask(peer="10.0.0.1").status, 200)

    def test_one_connection_many_clients(self) -> None:
        """A connection of a proxy carries many clients, each of which is looked at."""
        self.lists(deny=("192.0.2.0/24",), gateway=BEHIND_PROXY)
        client = self.gateway.client("10.0.0.1")
        for address in (b"198.51.100.1", b"192.0.2.7", b"198.51.100.1"):
            client.send(request(b"/samples", b"X-Forwarded-For: " + address))
            self.service.run()
        self.assertEqual([answer.status for answer in client.answers()], [200, 403, 200])

    def test_spoofed(self) -> None:
        """Who is no trusted proxy cannot say that he is somebody else, neither to get in nor to keep another out."""
        for fields in (
            (b"X-Forwarded-For: 198.51.100.1",),
            (b"Forwarded: for=198.51.100.1", b"X-Real-IP: 198.51.100.1"),
        ):
            self.lists(deny=("192.0.2.0/24",), gateway=BEHIND_PROXY)
            self.assertEqual(self.ask(b"/samples", *fields).status, 403)
            self.lists(deny=("198.51.100.0/24",), gateway=BEHIND_PROXY)
            self.assertEqual(self.ask(b"/samples", *fields).status, 200)

    def proxied(self, header: bytes, peer: str = "10.0.0.1") -> MemoryClient:
        client = self.gateway.client(peer)
        client.send(header + request(b"/samples"))
        self.service.run()
        return client

    def test_proxy_protocol(self) -> None:
        """By the PROXY protocol the address counts that the header carries, and the service hears of it."""
        self.lists(
            deny=("192.0.2.0/24",),
            gateway=Gateway(trusted_proxies=BEHIND_PROXY.trusted_proxies, proxy_protocol=True),
        )
        for address, status in ((b"192.0.2.7", 403), (b"198.51.100.1", 200)):
            client = self.proxied(b"PROXY TCP4 %b 10.0.0.9 40000 8000\r\n" % address)
            self.assertEqual([answer.status for answer in client.answers()], [status])
        self.assertEqual(self.service.requests[0].values(b"x-forwarded-for"), [b"198.51.100.1"])

    def test_proxy_protocol_of_others(self) -> None:
        """Without the right to it, or without the header, nothing is answered."""
        self.lists(gateway=Gateway(trusted_proxies=BEHIND_PROXY.trusted_proxies, proxy_protocol=True))
        good = b"PROXY TCP4 198.51.100.1 10.0.0.9 40000 8000\r\n"
        for header, peer in ((good, "192.0.2.7"), (b"", "10.0.0.1"), (b"PROXY TCP9 a b c d\r\n", "10.0.0.1")):
            client = self.proxied(header, peer)
            self.assertEqual((client.received, client.transport.aborted), (b"", True))
        self.assertEqual(self.service.attempts, [])


class CorsTests(DoorTestCase):
    cors = Cors(enabled=True, allow_origins=("https://lab.test", "https://*.tracseq.com"), allow_credentials=True)

    def open(self, **settings: Any) -> None:
        tables = {"cors": self.cors, "redis": Redis("unix:///nowhere"), **settings.pop("tables", {})}
        self.start(tables=tables, **settings)

    def lines(self, answer: Answer) -> dict[bytes, list[bytes]]:
        """The CORS fields of an answer."""
        return {name: answer.values(name) for name, _ in answer.fields if name.startswith(b"access-control-")}

    def test_readable(self) -> None:
        """Whoever answers, and whatever: an allowed origin may read it, with credentials, and caches keep it apart."""
        limited = RateLimiting(enabled=True, default=RateLimit(60, 1))
        auth = Authentication(enabled=True, service="", jwt=Jwt())
        self.open(tables={"rate_limit": limited}, max_body=Size(3))
        answers = [
            (200, self.ask(b"/samples", ORIGIN)),
            (429, self.ask(b"/samples", ORIGIN)),
            (413, self.ask(b"/samples", ORIGIN, method=b"POST", body=b"long")),
            (200, self.ask(b"/health", ORIGIN)),
            (404, self.ask(b"/nowhere", ORIGIN)),
            (405, self.ask(b"/health", ORIGIN, method=b"POST")),
        ]
        self.open(tables={"auth": auth}, environ=SECRETS)
        answers.append((401, self.ask(b"/samples", ORIGIN)))
        self.open()
        self.service.failures[9001] = ConnectionRefusedError()
        answers.append((502, self.ask(b"/samples", ORIGIN)))
        for status, answer in answers:
            self.assertEqual(answer.status, status)
            self.assertEqual(answer.values(b"access-control-allow-origin"), [b"https://lab.test"], status)
            self.assertEqual(answer.values(b"access-control-allow-credentials"), [b"true"])
            self.assertIn(b"Retry-After", answer.values(b"access-control-expose-headers")[0])
            self.assertEqual(answer.values(b"vary"), [b"Origin"])

    def test_other_origins(self) -> None:
        """An origin that is not allowed is told nothing; nor is who sends none; both are answered as ever."""
        self.open()
        for origin in (b"https://lab.test.evil.test", b"http://lab.test", b"null", b"https://a.b.tracseq.com", b""):
            for path in (b"/samples", b"/health", b"/nowhere"):
                answer = self.ask(path, b"Origin: " + origin)
                self.assertEqual((self.lines(answer), answer.values(b"vary")), ({}, [b"Origin"]))
        answer = self.ask()
        self.assertEqual((self.lines(answer), answer.values(b"vary")), ({}, [b"Origin"]))

    def test_preflight(self) -> None:
        """A preflight is answered by the gateway: without token, charge or service, allowed or not."""
        auth = Authentication(enabled=True, service="", jwt=Jwt())
        limited = RateLimiting(enabled=True, default=RateLimit(60, 1))
        tables = {"auth": auth, "rate_limit": limited}
        self.open(tables=tables, environ=SECRETS, content_types=("text/plain",), max_concurrent=1)
        for path in (b"/samples", b"/samples/7", b"/health", b"/nowhere"):
            for _ in range(3):
                answer = self.ask(path, *PREFLIGHT, method=b"OPTIONS")
                self.assertEqual((answer.status, answer.body), (204, b""))
                self.assertEqual(answer.values(b"access-control-allow-origin"), [b"https://lab.test"])
                self.assertEqual(answer.values(b"access-control-allow-headers"), [b"authorization"])
                self.assertEqual(answer.values(b"ratelimit"), [])
        refused = self.ask(b"/samples", b"Origin: https://evil.test", *PREFLIGHT[1:], method=b"OPTIONS")
        self.assertEqual((refused.status, self.lines(refused)), (204, {}))
        self.assertEqual(self.service.attempts, [])

    def test_other_options(self) -> None:
        """OPTIONS that is no preflight goes to the service like any other request."""
        self.open()
        self.assertEqual(self.ask(b"/samples", ORIGIN, method=b"OPTIONS").status, 200)
        self.assertEqual(self.ask(b"/samples", *PREFLIGHT[1:], method=b"OPTIONS").status, 200)
        self.assertEqual([got.method for got in self.service.requests], [b"OPTIONS"] * 2)

    def test_of_services(self) -> None:
        """What a service says of origins itself is replaced, not doubled; what it varies by stays."""
        self.open()
        self.service.answer = said(
            b"Access-Control-Allow-Origin: *\r\naccess-control-allow-methods: PUT\r\n"
            b"Access-Control-Allow-Private-Network: true\r\nVary: Accept\r\n"
        )
        answer = self.ask(b"/samples", ORIGIN)
        self.assertEqual(answer.values(b"access-control-allow-origin"), [b"https://lab.test"])
        self.assertEqual(sorted(answer.values(b"vary")), [b"Accept", b"Origin"])
        self.assertNotIn(b"access-control-allow-methods", self.lines(answer))
        self.assertNotIn(b"access-control-allow-private-network", self.lines(answer))
        self.assertEqual(self.lines(self.ask(b"/samples", b"Origin: https://evil.test")), {})

    def test_each_its_own(self) -> None:
        """Requests of several origins on one connection get each its own lines, though the answers are the same."""
        self.open()
        client = self.gateway.client()
        origins = [b"https://lab.test", b"https://a.tracseq.com", b"https://evil.test", b"https://lab.test"]
        for origin in origins:
            client.send(request(b"/samples", b"Origin: " + origin))
            self.service.run()
        told = [answer.values(b"access-control-allow-origin") for answer in client.answers()]
        self.assertEqual(told, [[origins[0]], [origins[1]], [], [origins[0]]])


HEADERS = (b"x-content-type-options", b"x-frame-options", b"referrer-policy", b"permissions-policy")


class HeaderTests(DoorTestCase):
    def test_own_answers(self) -> None:
        """Pages, refusals, preflights, and answers to what is no request: each has each header once, and no HSTS."""
        self.start(tables={"security": Security(headers=True), "cors": CorsTests.cors}, max_body=Size(3))
        answers = [
            (200, self.ask(b"/health")),
            (200, self.ask(b"/health", method=b"HEAD")),
            (404, self.ask(b"/nowhere")),
            (405, self.ask(b"/health", method=b"POST")),
            (413, self.ask(b"/samples", method=b"POST", body=b"long")),
            (204, self.ask(b"/samples", *PREFLIGHT, method=b"OPTIONS")),
            (204, self.ask(b"*", method=b"OPTIONS")),
            (400, self.send(b"nonsense\r\n\r\n")),
            (400, self.send(b"GET /samples HTTP/1.1\r\n\r\n")),
            (431, self.ask(b"/samples", *[b"X-A: b"] * 200)),
            (400, self.send(request(b"/samples", b"Transfer-Encoding: chunked", method=b"POST") + b"oh\r\n")),
        ]
        self.service.failures[9001] = ConnectionRefusedError()
        answers.append((502, self.ask()))
        for status, answer in answers:
            self.assertEqual(answer.status, status)
            for name in (*HEADERS, b"content-security-policy"):
                self.assertEqual(len(answer.values(name)), 1, (status, name))
            self.assertEqual(answer.values(b"strict-transport-security"), [])

    def test_services(self) -> None:
        """Answers of services have them, too, but for the policy of a page's content; what is stricter stays."""
        self.start(tables={"security": Security(headers=True, frame="SAMEORIGIN")})
        for lines, frame in (
            (b"", b"SAMEORIGIN"),
            (b"X-Frame-Options: DENY\r\n", b"DENY"),
            (b"X-Frame-Options: ALLOW-FROM https://evil.test\r\n", b"SAMEORIGIN"),
            (b"Strict-Transport-Security: max-age=9\r\nContent-Security-Policy: img-src 'self'\r\n", b"SAMEORIGIN"),
        ):
            self.service.answer = said(lines)
            answer = self.ask()
            self.assertEqual(answer.values(b"x-frame-options"), [frame])
            self.assertEqual([len(answer.values(name)) for name in HEADERS], [1] * 4)
            policies = answer.values(b"content-security-policy")
            self.assertEqual(policies, [b"img-src 'self'"] if b"img-src" in lines else [])
            self.assertEqual(answer.values(b"strict-transport-security"), [])

    def test_what_services_run_on(self) -> None:
        """What tells of a service's software is hidden if that is wished for, with or without the other headers."""
        for hide in (False, True):
            for headers in (False, True):
                self.start(tables={"security": Security(headers=headers, hide_server=hide)})
                self.service.answer = said(b"Server: nginx\r\nX-Powered-By: PHP/5\r\nX-Other: 1\r\n")
                answer = self.ask()
                told = answer.values(b"server") + answer.values(b"x-powered-by")
                self.assertEqual((told, answer.values(b"x-other")), ([] if hide else [b"nginx", b"PHP/5"], [b"1"]))
                self.assertEqual(bool(answer.values(b"x-frame-options")), headers)

    def test_off(self) -> None:
        """Without them nothing is added."""
        self.start()
        for path in (b"/samples", b"/health"):
            self.assertEqual([self.ask(path).values(name) for name in HEADERS], [[]] * 4)


class BodyTests(DoorTestCase):
    def test_sizes(self) -> None:
        """A path's own limit holds instead of the service's, larger, smaller or none, however the path is spelled."""
        rules = {"/small": 3, "/large": 20, "/any": 0, "/any/but/this": 5}
        paths = {path: PathRule(max_body=Size(size)) for path, size in rules.items()}
        self.start(paths=paths, max_body=Size(10))
        for path, most in (
            (b"", 10),
            (b"/other", 10),
            (b"/small/below", 3),
            (b"/SMALL", 3),
            (b"/sm%61ll/", 3),
            (b"/small;v=1", 3),
            (b"/large", 20),
            (b"/any/but/this/x", 5),
        ):
            target = b"/samples" + path
            for size, status in ((most, 200), (most + 1, 413)):
                body = b"x" * size
                self.assertEqual(self.ask(target, method=b"POST", body=body).status, status, path)
                chunks = b"1\r\nx\r\n" * size + b"0\r\n\r\n"
                head = request(target, b"Transfer-Encoding: chunked", method=b"POST")
                self.assertEqual(self.send(head + chunks).status, status, path)
        self.assertEqual(self.ask(b"/samples/any", method=b"POST", body=b"x" * 5000).status, 200)

    def test_refused_unread(self) -> None:
        """A body that says that it is too large is refused before it comes; its client need not send it."""
        self.start(max_body=Size(10))
        answer = self.ask(b"/samples", b"Content-Length: 11", b"Expect: 100-continue", method=b"POST")
        self.assertEqual((answer.status, self.service.attempts), (413, []))

    def test_types(self) -> None:
        """A path's own media types hold instead of the service's; the refusal says which they are."""
        paths = {"/photos": PathRule(content_types=("image/*",)), "/any": PathRule(content_types=())}
        self.start(paths=paths, content_types=("application/json",))
        for path, kind, status in (
            (b"", b"application/json; charset=utf-8", 200),
            (b"", b"image/png", 415),
            (b"/photos/7", b"image/png", 200),
            (b"/PHOTOS", b"application/json", 415),
            (b"/any", b"text/plain", 200),
        ):
            answer = self.ask(b"/samples" + path, b"Content-Type: " + kind, method=b"POST", body=b"x")
            self.assertEqual(answer.status, status, (path, kind))
        self.assertEqual(self.ask(b"/samples", method=b"POST", body=b"x").values(b"accept"), [b"application/json"])
        self.assertEqual(self.ask(b"/samples", method=b"POST").status, 200)

    def test_grpc(self) -> None:
        """gRPC, which could not come back whole, is refused with 415 and never passed on; gRPC-Web passes."""
        self.start()
        for kind in (b"application/grpc", b"application/grpc+proto", b"Application/gRPC;v=1"):
            answer = self.ask(
                b"/samples", b"Content-Type: " + kind, b"TE: trailers", method=b"POST", body=b"\0\0\0\0\0"
            )
            self.assertEqual((answer.status, self.service.attempts), (415, []), kind)
            self.assertIn(b"gRPC-Web", answer.body)
        for kind in (b"application/grpc-web+proto", b"application/grpc-web-text", b"application/x-grpc"):
            answer = self.ask(b"/samples", b"Content-Type: " + kind, method=b"POST", body=bytes(5))
            self.assertEqual(answer.status, 200, kind)
