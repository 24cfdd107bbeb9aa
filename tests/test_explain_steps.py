"""What an explanation says of each step of a request's way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.explain_kit import RATES, SERVICES, Laboratory
from tests.identity_lab import KEY
from tests.tls_kit import Authority
from tracseq_gateway.config import Instance, Jwt, RateLimit, Service
from tracseq_gateway.config.policies import Authentication, FailedLogins, WhenRedisIsDown
from tracseq_gateway.config.tls import Tls
from tracseq_gateway.config.tracing import Tracing
from tracseq_gateway.interfaces import InstanceHealth, Observation
from tracseq_gateway.service.explain import Question
from tracseq_gateway.service.explain.report import LONGEST_REPORT


class StepTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.lab = Laboratory()

    def step(self, name: str, **question: Any) -> dict[str, Any]:
        """One step of an explanation."""
        report = self.lab.explain(**question)
        [step] = [step for step in report["steps"] if step["name"] == name]
        return dict(step)


class FrontTests(StepTestCase):
    def test_request(self) -> None:
        """The path as it is resolved, the client as a trusted proxy names it, and the request's id."""
        step = self.step("request", target="/samples/./x/../7?a=1", fields=["X-Request-Id: mine"])
        self.assertEqual({"path": "/samples/7", "client": "192.0.2.7", "request_id": "mine"}, step["facts"])
        step = self.step("request", address="10.1.2.3", fields=["X-Forwarded-For: 198.51.100.9"])
        self.assertEqual("198.51.100.9", step["facts"]["client"])
        self.assertIn("client 198.51.100.9, as the trusted proxy at 10.1.2.3 says", step["lines"])

    def test_tls(self) -> None:
        """Where TLS is spoken the request comes by TLS, and its service is told so."""
        certificate = Authority(Path(self.mktemp())).issue("gw.test")
        self.lab = Laboratory(tls=Tls((certificate,)))
        report = self.lab.explain(target="/board/1")
        self.assertIn("by TLS, without a certificate of the client's", report["steps"][0]["lines"])
        self.assertIn("x-forwarded-proto: https", report["upstream"]["head"])
        self.assertNotIn("by TLS", str(Laboratory().explain(target="/board/1")))

    def test_trace(self) -> None:
        """The trace that it belongs to, and what the service is told of it."""
        self.lab = Laboratory(tracing=Tracing(enabled=True, ratio=1.0))
        trace = "4bf92f3577b34da6a3ce929d0e0e4736"
        report = self.lab.explain(target="/board/1", fields=[f"traceparent: 00-{trace}-00f067aa0ba902b7-01"])
        self.assertIn(f"trace {trace}, continued; its spans are kept", report["steps"][0]["lines"])
        [line] = [line for line in report["upstream"]["head"] if line.startswith("traceparent")]
        self.assertTrue(line.startswith(f"traceparent: 00-{trace}-") and "00f067aa0ba902b7" not in line, line)

    def test_malformed(self) -> None:
        """What the parser refuses is refused with its words, and with all that the client would get."""
        for question, status, kind in (
            ({"method": "TRACE"}, 405, "method-not-allowed"),
            ({"method": "get it"}, 400, "bad-request"),
            ({"target": "/a%2fb"}, 400, "bad-target"),
            ({"target": "/" + "a" * 9000}, 414, "target-too-long"),
            ({"fields": ["No colon"]}, 400, "bad-request"),
            ({"fields": ["A: b\r\nContent-Length: 1\r\nContent-Length: 2"]}, 400, "bad-request"),
        ):
            report = self.lab.explain(**question)
            answer = report["answer"]
            self.assertEqual(("refused", status, kind), (report["outcome"], answer["status"], answer["error"]))
            self.assertEqual(["request"], [step["name"] for step in report["steps"]])
            self.assertEqual(f"urn:tracseq:problem:{kind}", json.loads(report["answer"]["body"])["type"])

    def test_addresses(self) -> None:
        """Which list an address is in."""
        step = self.step("addresses", address="203.0.113.9")
        self.assertEqual("refused", step["outcome"])
        self.assertEqual(["security.deny has 203.0.113.0/24, which the address is in"], step["lines"])

    def test_cors(self) -> None:
        """Whether a page of another origin may read the answer; a preflight is answered."""
        for origin, allowed in (("https://lab.tracseq.com", True), ("https://x.example", False)):
            step = self.step("cors", fields=[f"Origin: {origin}"])
            self.assertEqual(("ok", allowed), (step["outcome"], step["facts"]["allowed"]))
            preflight = {"method": "OPTIONS", "fields": [f"Origin: {origin}", "Access-Control-Request-Method: PUT"]}
            step = self.step("cors", **preflight)
            self.assertEqual("answered", step["outcome"])
            self.assertEqual(allowed, not step["summary"].endswith("not granted"))
            report = self.lab.explain(**preflight)
            self.assertEqual(allowed, f"access-control-allow-origin: {origin}" in report["answer"]["head"])

    def test_route(self) -> None:
        """The longest prefix, what becomes of it upstream, and why it is none of the others."""
        step = self.step("route", target="/samples/far/1")
        self.assertEqual({"service": "far", "prefix": "/samples/far", "path": "/api/v1/1"}, step["facts"])
        self.assertIn("not /samples: it holds too, but is shorter", step["lines"])
        self.assertIn("not /auth, /board, /storage: no prefix of the path by whole segments", step["lines"])
        self.assertEqual("refused", self.step("route", target="/samplesx")["outcome"])
        for target in ("/", "/health", "/services"):
            self.assertEqual("answered", self.step("route", target=target)["outcome"])
        self.assertEqual(204, self.lab.explain(method="OPTIONS", target="*")["answer"]["status"])


class DoorTests(StepTestCase):
    def test_hops(self) -> None:
        """A request that runs in a circle, and one that may go no further."""
        via = ", ".join(["1.1 tracseq-gateway"] * 5)
        self.assertEqual("refused", self.step("hops", fields=[f"Via: {via}"])["outcome"])
        self.assertEqual("answered", self.step("hops", method="OPTIONS", fields=["Max-Forwards: 0"])["outcome"])

    def test_load(self) -> None:
        """How many requests there are, this one among them, and for how many there is room."""
        step = self.step("load")
        self.assertIn("requests at once, with this one: 1 of 1000 for normal priority", step["lines"])
        self.lab.worker.site.active = 1000
        self.assertEqual("refused", self.step("load")["outcome"])
        self.assertEqual("ok", self.step("load", target="/samples/far")["outcome"])  # of high priority
        self.assertEqual(1000, self.lab.worker.site.active)

    def test_body(self) -> None:
        """Size and type, and why one of them is wrong."""
        post = {"method": "POST", "target": "/samples/open/1"}
        for fields, error in (
            (["Content-Length: 1001", "Content-Type: application/json"], "body-too-large"),
            (["Content-Length: 10", "Content-Type: text/plain"], "unsupported-media-type"),
            (["Transfer-Encoding: chunked"], "unsupported-media-type"),
        ):
            self.assertEqual(error, self.lab.explain(**post, fields=fields)["answer"]["error"])
        step = self.step("body", **post, fields=["Content-Length: 10", "Content-Type: application/json"])
        self.assertEqual(["Content-Type: application/json", "at most 1000 bytes may come"], step["lines"])

    def test_at_once(self) -> None:
        """How many requests service and client have under way, and when that is enough."""
        self.lab.service.answer = None
        for _ in range(2):
            self.assertEqual("ok", self.step("at once", target="/storage/1")["outcome"])
            self.lab.client().send(b"GET /storage/1 HTTP/1.1\r\nHost: gw.test\r\n\r\n")
        step = self.step("at once", target="/storage/1")
        self.assertEqual("refused", step["outcome"])
        self.assertEqual(["the service has 2 of at most 2 requests in this worker"], step["lines"])
        for _ in range(3):
            self.lab.client().send(b"GET /samples/open/1 HTTP/1.1\r\nHost: gw.test\r\n\r\n")
        report = self.lab.explain(target="/samples/open/1")
        self.assertEqual("too-many-at-once", report["answer"]["error"])
        self.assertEqual("ok", self.step("at once", target="/samples/open/1", address="192.0.2.8")["outcome"])


class CallerTests(StepTestCase):
    def test_needs(self) -> None:
        """What a path demands, by its own rule, as public, or by the service."""
        for target, method, need, role in (
            ("/samples/1", "GET", "required", None),
            ("/samples/1", "DELETE", "required", "lab_administrator"),
            ("/samples/news", "GET", "none", None),
            ("/samples/open/1", "GET", "none", None),
            ("/storage/1", "GET", "optional", None),
        ):
            facts = self.step("identity", target=target, method=method)["facts"]
            self.assertEqual((need, role), (facts["needed"], facts["role_needed"]), target)

    def test_who(self) -> None:
        """Who the token or key is, how that was found out, and what role is missing."""
        token = self.lab.token(role="lab_technician")
        step = self.step("identity", token=token)
        self.assertEqual("user u-1, lab_technician", step["summary"])
        self.assertEqual("s-1", step["facts"]["session"])
        self.assertIn("verified here, as a token that was not seen before", step["lines"])
        self.lab.make(Question("GET", "/samples/1", token=token))
        self.assertIn("for another 300 s", "".join(self.step("identity", token=token)["lines"]))
        step = self.step("identity", token=token, method="DELETE")
        self.assertEqual("refused", step["outcome"])
        self.assertEqual("user u-1, lab_technician: the role lab_administrator is needed", step["summary"])
        self.assertEqual("s7", self.step("identity", api_key=KEY.key)["facts"]["key_name"])
        report = self.lab.explain(api_key=KEY.key, target="/storage/1")
        self.assertEqual("this API key is not for this service", report["answer"]["detail"])

    def test_why_not(self) -> None:
        """Why a token is refused, which its client is not told."""
        for token, why in (
            (self.lab.token(exp=int(self.lab.now()) - 100), "expired"),
            (self.lab.token() + "x", "the signature is"),
            ("abc", "1 parts, not 3"),
        ):
            report = self.lab.explain(token=token)
            self.assertIn(why, report["steps"][-1]["summary"])
            self.assertNotIn(why, report["answer"]["body"])
            self.assertNotIn(token, json.dumps(report))

    def test_keys_that_are_not_here(self) -> None:
        """A token whose key would be fetched first can be explained no further without asking."""
        self.lab = Laboratory(
            auth=Authentication(
                enabled=True, service="", jwt=Jwt(algorithms=("HS256", "RS256"), jwks_url="http://127.0.0.1:1/keys")
            )
        )
        token = "eyJhbGciOiJSUzI1NiIsImtpZCI6Im5ldyJ9.eyJzdWIiOiJ1In0.AAAA"  # alg RS256, kid new
        report = self.lab.explain(token=token)
        self.assertEqual(("unknown", None, None), (report["outcome"], report["upstream"], report["answer"]))

    def test_secrets(self) -> None:
        """Tokens, keys, cookies and secret parameters are nowhere in a report, as little as a signature."""
        token = self.lab.token()
        report = self.lab.explain(
            target="/samples/1?access_token=hid-den",
            token=token,
            fields=["Cookie: a=hid-den", "X-Auth-Token: hid-den", "Referer: http://x/?password=hid-den"],
        )
        text = json.dumps(report)
        self.assertEqual("passed", report["outcome"])
        self.assertFalse(token in text or "hid-den" in text, text)
        self.assertIn("authorization: [redacted]", report["upstream"]["head"])
        self.assertIn("x-user-id: u-1", report["upstream"]["head"])
        text = json.dumps(self.lab.explain(api_key=KEY.key))
        self.assertNotIn(KEY.key, text)


class LimitTests(StepTestCase):
    def test_left(self) -> None:
        """Each limit that holds, by its key: what is left now, and after this request."""
        question: dict[str, Any] = {"target": "/samples/open/1"}
        facts = self.step("limits", **question)["facts"]["limits"]
        self.assertEqual(
            [("samples:a:192.0.2.7", 6, 5), ("samples/open:a:192.0.2.7", 4, 3)],
            [(one["key"], one["left"], one["left_after"]) for one in facts],
        )
        for _ in range(4):
            self.lab.make(Question("GET", "/samples/open/1", address="192.0.2.7"))
        report = self.lab.explain(**question)
        self.assertEqual(("quota-exceeded", 1), (report["answer"]["error"], report["answer"]["retry_after"]))
        [own] = [one for one in report["steps"][-1]["facts"]["limits"] if one["limit"] == "samples/open"]
        self.assertEqual((0, 1), (own["left"], own["retry_after"]))
        self.assertIn("Redis is away: this worker counts alone, and gives out its share", report["steps"][-1]["lines"])

    def test_bytes(self) -> None:
        """A limit of bytes is asked for as many as the body has."""
        put = {"method": "PUT", "target": "/storage/1"}
        for length, left in ((1500, 500), (2500, 0)):
            facts = self.step("limits", **put, fields=[f"Content-Length: {length}"])["facts"]["limits"]
            [bytes_] = [one for one in facts if one["unit"] == "bytes"]
            self.assertEqual((length, 2000, left), (bytes_["units"], bytes_["left"], bytes_["left_after"]))

    def test_logins(self) -> None:
        """Failed logins are looked at by address, and by account if it is known; nothing of it is charged."""
        login: dict[str, Any] = {"method": "POST", "target": "/auth/login"}
        self.lab.service.answer = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"
        for number in range(3):
            step = self.step("limits", **login, account="a@lab.test")
            limits = step["facts"]["limits"]
            self.assertEqual([3 - number], [one["left"] for one in limits if "account" in one["limit"]])
            self.lab.make(Question("POST", "/auth/login", account="a@lab.test"))
        report = self.lab.explain(**login, account="a@lab.test")
        self.assertIn("too many failed logins", report["answer"]["detail"])
        self.assertEqual("passed", self.lab.explain(**login, account="b@lab.test")["outcome"])
        json_body = ["Content-Type: application/json", "Content-Length: 40"]
        step = self.step("limits", **login, fields=json_body)
        self.assertEqual("ok", step["outcome"])
        self.assertIn("for which account is not known (--account)", "".join(step["lines"]))
        self.assertFalse(any("account" in one["limit"] for one in step["facts"]["limits"]))
        self.assertEqual(415, self.lab.explain(**login)["answer"]["status"])  # as without a JSON body

    def test_redis_away(self) -> None:
        """What holds while Redis is away is said."""
        modes: list[tuple[WhenRedisIsDown, str]] = [("open", "passed"), ("closed", "refused")]
        for mode, outcome in modes:
            self.lab = Laboratory(rate_limit=evolve(RATES, when_redis_is_down=mode))
            report = self.lab.explain(target="/samples/open/1")
            self.assertEqual(outcome, report["outcome"])
            [step] = [step for step in report["steps"] if step["name"] == "limits"]
            self.assertIn("Redis is away", "".join(step["lines"]))

    def test_unlimited_names(self) -> None:
        """A login whose accounts are not counted is not looked into."""
        guard = FailedLogins(account="", per_address=RateLimit(5, 2))
        self.lab = Laboratory(rate_limit=evolve(RATES, failed_logins=guard))
        limits = self.step("limits", method="POST", target="/auth/login")["facts"]["limits"]
        self.assertEqual(["failed-logins-address", "auth", "writes"], [one["limit"] for one in limits])


class ServiceTests(StepTestCase):
    def test_instances(self) -> None:
        """Who is well, ejected or drained, who gets requests, and who gets this one."""
        self.lab.worker.update_instances([InstanceHealth("samples", "http://127.0.0.1:9011", "unhealthy")])
        self.lab.worker.take_observation(Observation("samples", "http://127.0.0.1:9012", "ejected", 20.0))
        step = self.step("instances", target="/samples/open/1")
        self.assertEqual("http://127.0.0.1:9013", step["facts"]["chosen"])
        self.assertEqual([False, False, True], [one["usable"] for one in step["facts"]["instances"]])
        self.assertIn("  http://127.0.0.1:9011  unhealthy (gets none)", step["lines"][0])
        self.assertIn("unknown, ejected for another 20 s (gets none)", step["lines"][1])
        self.assertTrue(step["lines"][2].startswith("> "))
        drained = InstanceHealth("samples", "http://127.0.0.1:9013", "healthy", drained=True)
        self.lab.worker.update_instances([drained])
        step = self.step("instances", target="/samples/open/1")
        self.assertIn("ejected for another 20 s (used all the same, for there is no other)", step["lines"][1])
        self.assertIn("healthy, drained (gets none)", step["lines"][2])

    def test_sticky(self) -> None:
        """A browser's cookie keeps it with its instance."""
        instance = self.lab.worker.services["board"].instances[2]
        step = self.step("instances", target="/board/1", fields=[f"Cookie: tsq={instance.token.decode()}"])
        self.assertEqual(instance.url, step["facts"]["chosen"])

    def test_nobody(self) -> None:
        """Without an instance it is refused, and so while the circuit is open."""
        for port in (9021, 9022):
            self.lab.worker.update_instances([InstanceHealth("storage", f"http://127.0.0.1:{port}", "unhealthy")])
        report = self.lab.explain(target="/storage/1")
        self.assertEqual(("no-instance", "instances"), (report["answer"]["error"], report["steps"][-1]["name"]))
        self.lab.worker.take_observation(Observation("samples", "", "opened", 5.0))
        report = self.lab.explain(target="/samples/open/1")
        self.assertEqual(("circuit-open", "circuit"), (report["answer"]["error"], report["steps"][-1]["name"]))
        self.assertIn("it stays open for another 6.0 s", report["steps"][-1]["lines"])

    def test_times(self) -> None:
        """How long it may take, by the path's own rule, and whether it is sent again."""
        facts = self.step("times", target="/samples/slow", token=self.lab.token())["facts"]
        self.assertEqual((90.0, 1), (facts["total"], facts["attempts"]))
        step = self.step("times", method="POST", target="/storage/1")
        self.assertEqual((20.0, 0), (step["facts"]["total"], step["facts"]["attempts"]))
        self.assertIn("never sent again once it was sent: POST may act twice", step["lines"])


class ReportTests(StepTestCase):
    def test_bounded(self) -> None:
        """However many routes and instances there are, and however long the fields, a report fits into a message."""
        services = {
            f"s{number}": Service(
                f"s{number}",
                prefix=f"/service-number-{number}",
                instances=tuple(Instance(f"http://127.0.0.1:{9000 + one}") for one in range(300)),
                auth="none",
            )
            for number in range(300)
        }
        self.lab = Laboratory(services=services | {"auth": SERVICES["auth"]})
        fields = [f"X-Long-{number}: " + "\u00e9" * 400 for number in range(6)]
        report = self.lab.explain(target="/service-number-7/" + "x" * 3000, fields=fields)
        self.assertEqual("passed", report["outcome"])
        self.assertLess(len(json.dumps(report)), LONGEST_REPORT)

    def test_bad_questions(self) -> None:
        """What cannot be asked is said so, without quoting it."""
        for question in (
            {"address": "localhost"},
            {"token": 5},
            {"fields": "Accept: x"},
            {"account": 5},
            {"ask": "yes"},
            {"target": "/" + "x" * 30_000},
        ):
            self.assertEqual({"error"}, self.lab.explain(**question).keys(), question)
        reports: list[bytes] = []
        for question_bytes in (b"[]", b"null", b"{}", b"{", b'{"method": "GET"}'):
            self.lab.worker.explain(question_bytes).addCallback(reports.append)
        self.assertTrue(all("error" in json.loads(report) for report in reports))
        self.assertEqual(5, len(reports))

    def test_not_live(self) -> None:
        """By the configuration alone the rules are told, and of what is not known, that it is not."""
        reports: list[bytes] = []
        question = Question("GET", "/samples/open/1", address="192.0.2.7").packed()
        self.lab.worker.explain(question, live=False).addCallback(reports.append)
        report = json.loads(reports[0])
        self.assertEqual((False, "passed"), (report["live"], report["outcome"]))
        outcomes = {step["name"]: step["outcome"] for step in report["steps"]}
        self.assertEqual(["skipped"] * 3, [outcomes[name] for name in ("load", "at once", "circuit")])
        [limits] = [step for step in report["steps"] if step["name"] == "limits"]
        self.assertEqual([6, 4], [one["left"] for one in limits["facts"]["limits"]])
        self.assertIn("as if nobody had called yet", "".join(limits["lines"]))
