"""Rates as clients meet them: who is held to what, what answers say of it, and that no more is ever let through."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import jwt
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.kit import EPOCH, Answer, MemoryGateway
from tests.kit_client import request
from tests.test_limits_gcra import Bucket
from tests.test_limits_stores import FakeLink
from tests.token_kit import SECRET, VARIABLE
from tracseq_gateway.config import (
    ApiKey,
    Authentication,
    Cors,
    Instance,
    Jwt,
    Limit,
    PathRule,
    RateLimit,
    RateLimiting,
    Redis,
    Service,
    Size,
)
from tracseq_gateway.identity.api_keys import new_key

_STRING = r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"'
_KEY = r"[a-z*][a-z0-9_.*-]*"
_MEMBER = re.compile(rf"{_STRING}((?:; *{_KEY}=(?:\d{{1,15}}|{_STRING}))*)")
_PARAMETER = re.compile(rf"; *({_KEY})=(?:(\d{{1,15}})|{_STRING})")


def parse_list(lines: list[bytes]) -> list[tuple[str, dict[str, int | str]]]:
    """Read a structured field (RFC 8941) that is a list of strings with integers or strings as parameters, strictly."""
    text = ", ".join(line.decode("ascii") for line in lines)
    members: list[tuple[str, dict[str, int | str]]] = []
    at = 0
    while match := _MEMBER.match(text, at):
        parameters: dict[str, int | str] = {
            found[1]: int(found[2]) if found[2] else found[3] for found in _PARAMETER.finditer(match[2])
        }
        members.append((re.sub(r"\\(.)", r"\1", match[1]), parameters))
        at = match.end()
        if at == len(text):
            return members
        comma = re.compile(r"[ \t]*,[ \t]*").match(text, at)
        assert comma, text
        at = comma.end()
    raise AssertionError(f"not a list of strings: {text!r}")


def limits_of(answer: Answer) -> Mapping[str, Mapping[str, int | str]]:
    """What an answer says of each limit, by its name; checks what must hold of any answer."""
    policies, states = parse_list(answer.values(b"ratelimit-policy")), parse_list(answer.values(b"ratelimit"))
    assert [name for name, _ in policies] == [name for name, _ in states], answer
    said = {name: {**policy, **state} for (name, policy), (_, state) in zip(policies, states, strict=True)}
    assert len(said) == len(states), f"a limit twice: {answer}"
    for limit in said.values():
        r, q, t, w = (int(limit[key]) for key in "rqtw")
        assert 0 <= r <= q and t >= 0 and w >= 1 and limit.get("qu") in (None, "content-bytes"), answer
    if answer.status == 429:
        [retry_after] = [int(value) for value in answer.values(b"retry-after")]
        assert retry_after >= max(1, *(int(limit["t"]) for limit in said.values())), answer
        document = json.loads(answer.body)
        assert set(document["violated-policies"]) <= set(said), answer
        assert answer.values(b"content-type") == [b"application/problem+json"] and document["status"] == 429
    return said


class LimitsTestCase(SynchronousTestCase):
    """A gateway with samples, which a client may call three times and then once a second, and storage with twice."""

    limits: Mapping[str, Limit] = {}
    rate = RateLimit(60, 3)

    def setUp(self) -> None:
        self.start()

    def start(
        self, *, tables: Mapping[str, Any] | None = None, rating: Mapping[str, Any] | None = None, **samples: Any
    ) -> None:
        def service(name: str, port: int, **more: Any) -> Service:
            return Service(
                name, prefix=f"/{name}", rewrite="", instances=(Instance(f"http://127.0.0.1:{port}"),), **more
            )

        self.gateway = MemoryGateway(
            services={
                "samples": service("samples", 9001, rate_limit=self.rate, **samples),
                "storage": service("storage", 9002, rate_limit=RateLimit(120, 6)),
            },
            tables={
                "redis": Redis("unix:///nowhere"),
                "rate_limit": RateLimiting(enabled=True, limits=dict(self.limits), **(rating or {})),
                **(tables or {}),
            },
            environ={VARIABLE: SECRET},
        )
        self.service = self.gateway.service

    def ask(self, path: bytes = b"/samples", *fields: bytes, peer: str = "192.0.2.7", **rest: Any) -> Answer:
        """One request on a connection of its own, and its answer."""
        return self.send(request(path, *fields, **rest), peer)

    def send(self, data: bytes, peer: str = "192.0.2.7") -> Answer:
        client = self.gateway.client(peer)
        client.send(data)
        self.service.run()
        answer = client.answers(data.split()[0])[-1]
        client.leave()
        return answer

    def statuses(self, count: int, *arguments: Any, **rest: Any) -> list[int]:
        return [self.ask(*arguments, **rest).status for _ in range(count)]


class ClientTests(LimitsTestCase):
    def test_each_address(self) -> None:
        """Each address has the burst and then the rate, for each service; 64 bits of IPv6 are one address."""
        for peers in (["192.0.2.7", "::ffff:192.0.2.7"], ["2001:db8::1", "2001:db8::ffff:1"], ["192.0.2.8"]):
            statuses = [self.ask(peer=peer).status for peer in peers * 4][:5]
            self.assertEqual(statuses, [200, 200, 200, 429, 429][: len(statuses)])
        self.assertEqual(self.statuses(7, b"/storage"), [200] * 6 + [429])
        self.gateway.clock.advance(1)
        self.assertEqual(self.statuses(2), [200, 429])
        self.assertEqual(self.statuses(3, b"/storage"), [200, 200, 429])

    def test_old_fields_of_refusals(self) -> None:
        """The moment that X-RateLimit-Reset names is ahead, also when the same refusal was given before."""
        for _ in range(3):
            self.assertIn(429, self.statuses(9))
            [reset] = self.ask().values(b"x-ratelimit-reset")
            self.assertTrue(self.gateway.now() <= int(reset) <= self.gateway.now() + 4, reset)
            self.gateway.clock.advance(60)

    def test_identities(self) -> None:
        """A user is one client from all addresses, an API key another with its own rate; nobody else pays for them."""
        made = new_key()
        keys = {"robot": ApiKey(made.hash, "robot", rate_limit=RateLimit(60, 5))}
        self.start(tables={"auth": Authentication(enabled=True, service="", jwt=Jwt(), api_keys=keys)}, auth="optional")
        claims = {"sub": "6f1c", "role": "guest", "exp": EPOCH + 9000, "iat": EPOCH}
        bearer = b"Authorization: Bearer " + jwt.encode(claims, SECRET, "HS256").encode()
        key = b"X-API-Key: " + made.key.encode()
        peers = ["192.0.2.7", "192.0.2.8", "::1", "192.0.2.7"]
        self.assertEqual([self.ask(b"/samples", bearer, peer=peer).status for peer in peers], [200] * 3 + [429])
        self.assertEqual([self.ask(b"/samples", key, peer=peer).status for peer in peers * 2][:6], [200] * 5 + [429])
        said = limits_of(self.ask(b"/samples", key))
        self.assertEqual(said["samples"]["q"], 5)
        self.assertEqual(self.statuses(4), [200] * 3 + [429])

    def test_who_had_no_right(self) -> None:
        """What is refused for its credentials, its body or its address's page costs nothing and tells of no limit."""
        made = new_key()
        keys = {"robot": ApiKey(made.hash, "robot")}
        auth = Authentication(enabled=True, service="", jwt=Jwt(), api_keys=keys)
        origin = b"Origin: https://lab.test"
        self.start(
            tables={"auth": auth, "cors": Cors(enabled=True, allow_origins=("https://lab.test",))},
            roles={"DELETE": "lab_administrator"},
            max_body=Size(10),
            content_types=("text/plain",),
        )
        key = b"X-API-Key: " + made.key.encode()
        asked = [
            (401, self.ask()),
            (401, self.ask(b"/samples", b"Authorization: Bearer x")),
            (403, self.ask(b"/samples", key, method=b"DELETE")),
            (413, self.ask(b"/samples", key, method=b"POST", body=b"x" * 11)),
            (415, self.ask(b"/samples", key, method=b"POST", body=b"x")),
            (204, self.ask(b"/samples", origin, b"Access-Control-Request-Method: PUT", method=b"OPTIONS")),
            (404, self.ask(b"/nowhere", key)),
            (200, self.ask(b"/health", key)),
        ] * 2
        for status, answer in asked:
            self.assertEqual((answer.status, self.told(answer)), (status, []))
        self.assertEqual(self.service.requests, [])
        self.assertEqual(self.statuses(4, b"/samples", key), [200] * 3 + [429])

    def told(self, answer: Answer) -> list[bytes]:
        return [name for name, _ in answer.fields if b"ratelimit" in name.lower()]


class AnswerTests(LimitsTestCase):
    limits = {"all": Limit(per="everyone", per_minute=Size(60), burst=Size(100))}

    def test_served(self) -> None:
        """An answer of a service says what each limit has left and when it will be whole, by name."""
        self.ask()
        said = limits_of(self.ask())
        self.assertEqual(
            said, {"samples": {"q": 3, "w": 3, "r": 1, "t": 2}, "all": {"q": 100, "w": 100, "r": 98, "t": 2}}
        )

    def test_every_kind_of_answer(self) -> None:
        """Refused, HEAD, an empty or a failing one: each answer to a request that was charged tells of the limits."""
        for answer, status in (
            (b"HTTP/1.1 304 Not Modified\r\n\r\n", 304),
            (b"HTTP/1.1 204 No Content\r\n\r\n", 204),
            (b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", 500),
            (b"nonsense\r\n\r\n", 502),
        ):
            self.start()
            self.service.answer = answer
            for method in (b"GET", b"HEAD"):
                got = self.ask(method=method)
                self.assertEqual((got.status, limits_of(got)["all"]["q"]), (status, 100))
        self.service.failures[9001] = ConnectionRefusedError()
        self.assertEqual((self.ask().status, self.ask(method=b"HEAD").status), (502, 429))
        self.assertEqual(limits_of(self.ask())["samples"]["r"], 0)

    def test_old_fields(self) -> None:
        """X-RateLimit-* tell of the tightest limit: the burst, what is left, and the moment when it is whole again."""
        self.ask()
        answer = self.ask()
        limit, remaining, reset = (
            int(answer.values(b"x-ratelimit-" + name)[0]) for name in (b"limit", b"remaining", b"reset")
        )
        self.assertEqual((limit, remaining), (3, 1))
        self.assertTrue(0 <= reset - (self.gateway.now() + 2) <= 1, reset)

    def test_switches(self) -> None:
        """Each set of fields can be turned off; Retry-After and the refusal itself stay."""
        for standard in (True, False):
            for legacy in (True, False):
                self.start(rating={"standard_headers": standard, "legacy_headers": legacy})
                for status in (200, 200, 200, 429):
                    answer = self.ask()
                    told = bool(answer.values(b"ratelimit")), bool(answer.values(b"x-ratelimit-reset"))
                    self.assertEqual((answer.status, *told), (status, standard, legacy))
                self.assertEqual(answer.values(b"retry-after"), [b"1"])

    def test_come_again(self) -> None:
        """Who comes again when Retry-After says so is served."""
        for pause in (0.0, 0.3, 0.9):
            self.start()
            self.statuses(3)
            self.gateway.clock.advance(pause)
            [seconds] = self.ask().values(b"retry-after")
            self.gateway.clock.advance(int(seconds))
            self.assertEqual(self.ask().status, 200)


class FurtherTests(LimitsTestCase):
    limits = {
        "writes": Limit(per_minute=Size(60), burst=Size(1), methods=("POST",), services=("samples",)),
        "exports": Limit("everyone", per_minute=Size(60), burst=Size(2), paths=("/export",)),
        "uploads": Limit(unit="bytes", per_minute=Size(60_000), burst=Size(1000), services=("storage",)),
    }

    def test_all_or_nothing(self) -> None:
        """A request that one limit refuses is charged to none."""
        self.assertEqual(self.statuses(3, method=b"POST"), [200, 429, 429])
        self.assertEqual(self.statuses(3), [200, 200, 429])

    def test_paths_of_everyone(self) -> None:
        """A limit of paths that all share holds in every service, however the path is spelled."""
        paths = [b"/samples/export", b"/storage/EXPORT/x", b"/samples/e%78port/", b"/storage/export"]
        peers = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"]
        self.assertEqual(
            [self.ask(path, peer=peer).status for path, peer in zip(paths, peers, strict=True)], [200, 200, 429, 429]
        )

    def test_bytes(self) -> None:
        """A body larger than the burst needs all of it, and what it took beyond it is paid off before the next."""
        self.assertEqual(self.statuses(2, b"/storage", method=b"POST", body=b"x" * 3000), [200, 429])
        answer = self.ask(b"/storage", method=b"POST", body=b"x")
        self.assertEqual((answer.status, answer.values(b"retry-after")), (429, [b"3"]))
        self.assertEqual(limits_of(answer)["uploads"]["qu"], "content-bytes")
        self.gateway.clock.advance(2.002)
        self.assertEqual(self.statuses(2, b"/storage", method=b"POST", body=b"x"), [200, 200])
        self.assertEqual(self.statuses(1, b"/storage"), [200])

    def test_chunked(self) -> None:
        """A chunked body is charged when it has come, also when its client breaks it off."""
        head = request(b"/storage", b"Transfer-Encoding: chunked", method=b"POST")
        for end in (b"0\r\n\r\n", None):
            client = self.gateway.client()
            client.send(head + b"7d0\r\n" + b"x" * 2000 + b"\r\n")
            self.service.run()
            if end is not None:
                client.send(end)
                self.service.run()
            client.leave()
            answer = self.ask(b"/storage", method=b"POST", body=b"x")
            self.assertEqual((answer.status, answer.values(b"retry-after")), (429, [b"2"]))
            self.gateway.clock.advance(10)

    def test_announced_and_not_sent(self) -> None:
        """What was announced and never came is given back: a head alone uses up nobody's share."""
        client = self.gateway.client()
        client.send(request(b"/storage", b"Content-Length: 900", method=b"POST") + b"x" * 100)
        self.service.run()
        self.assertEqual(self.statuses(1, b"/storage", method=b"POST", body=b"x" * 200), [429])
        client.leave()
        self.assertEqual(self.statuses(2, b"/storage", method=b"POST", body=b"x" * 450), [200, 200])
        self.assertEqual(self.statuses(1, b"/storage", method=b"POST", body=b"x" * 10), [429])

    def test_paths_of_a_service(self) -> None:
        """A path's own rate holds beside the service's, for each client, under a name that a string can hold."""
        self.start(paths={'/"quoted"': PathRule(rate_limit=RateLimit(60, 1))})
        answers = [self.ask(b'/samples/"quoted"') for _ in range(2)]
        self.assertEqual([answer.status for answer in answers], [200, 429])
        self.assertEqual(list(limits_of(answers[1])), ['samples/"quoted"'])
        self.assertEqual(self.ask(b'/samples/"quoted"', peer="192.0.2.8").status, 200)

    def test_longest_path(self) -> None:
        """Of the paths that have a rate the longest holds, as with all that is said by path."""
        rates = {"/batch": PathRule(rate_limit=RateLimit(60, 1)), "/batch/small": PathRule(rate_limit=RateLimit(60, 2))}
        self.start(paths=rates)
        self.assertEqual(self.statuses(3, b"/samples/batch/small"), [200, 200, 429])


class DownTests(LimitsTestCase):
    def test_each_service(self) -> None:
        """What holds while Redis is away is each service's own: here samples are refused, storage is not limited."""
        self.start(rating={"when_redis_is_down": "open"}, when_redis_is_down="closed")
        answer = self.ask()
        self.assertEqual((answer.status, answer.values(b"retry-after")), (503, [b"1"]))
        self.assertEqual(self.statuses(10, b"/storage"), [200] * 10)
        self.assertEqual(self.ask(b"/storage").values(b"ratelimit"), [])

    def test_share(self) -> None:
        """``local``: each of several workers gives out its part."""
        assert self.gateway.worker.rates is not None
        self.gateway.worker.rates.limiter.local.share_among(3)
        self.assertEqual(self.statuses(2), [200, 429])


class RedisTests(LimitsTestCase):
    def setUp(self) -> None:
        super().setUp()
        assert self.gateway.worker.rates is not None
        self.rates = self.gateway.worker.rates
        self.link = FakeLink()
        self.patch(self.rates.store, "_link", self.link)

    def test_one_call_for_many(self) -> None:
        """Requests of one turn are asked about in one call, and each client gets its own verdict."""
        clients = [self.gateway.client(f"192.0.2.{number}") for number in range(3)]
        for client in clients:
            client.send(request(b"/samples"))
        self.gateway.clock.advance(0)
        self.link.answers[0].callback([0, 1_000_000, 400_000, 3_000_000, 0, 3_000_000])
        self.service.run()
        answers = [client.answers()[0] for client in clients]
        self.assertEqual(([answer.status for answer in answers], len(self.link.calls)), ([200, 429, 200], 1))
        self.assertEqual([limits_of(answer)["samples"]["r"] for answer in answers], [2, 0, 0])

    def test_flood(self) -> None:
        """A flood from a client that was refused costs no further call, until its time has come."""
        client = self.gateway.client()
        client.send(request(b"/samples"))
        self.gateway.clock.advance(0)
        self.link.answers[0].callback([500_000, 2_500_000])
        self.assertEqual(self.statuses(50), [429] * 50)
        self.gateway.clock.advance(0.5)
        self.gateway.client().send(request(b"/samples"))
        self.gateway.clock.advance(0)
        self.assertEqual((len(self.link.calls), self.rates.limiter.outcomes["remembered"]), (2, 50))

    def test_client_gone(self) -> None:
        """A client that leaves while Redis is asked has nothing sent on, also when Redis fails then."""
        for end in (lambda answer: answer.callback([0, 0]), lambda answer: answer.errback(OSError("gone"))):
            client = self.gateway.client()
            client.send(request(b"/samples", b"Content-Length: 9", method=b"POST") + b"half")
            self.gateway.clock.advance(0)
            client.leave()
            end(self.link.answers[-1])
        worker = self.gateway.worker
        self.assertEqual((self.service.attempts, worker.site.active, worker.site.channels), ([], 0, set()))


LIMITS = st.builds(
    Limit,
    per=st.sampled_from(["client", "address", "service", "everyone"]),
    unit=st.sampled_from(["requests", "requests", "bytes"]),
    per_minute=st.sampled_from([30, 60, 120]).map(Size),
    burst=st.integers(1, 8).map(Size),
    services=st.sampled_from([(), ("samples",), ("storage",)]),
    methods=st.sampled_from([(), ("POST",)]),
    paths=st.sampled_from([(), ("/a",)]),
)
REQUESTS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.0, 0.25, 0.5, 2.0]),
        st.sampled_from(["192.0.2.7", "192.0.2.8", "2001:db8::1", "2001:db8::2"]),
        st.sampled_from(["samples", "storage"]),
        st.sampled_from(["GET", "POST"]),
        st.sampled_from(["/a", "/b"]),
        st.sampled_from([0, 1, 2, 5, 20]),
        st.booleans(),
    ),
    max_size=40,
)


class ModelTests(LimitsTestCase):
    @given(st.lists(LIMITS, max_size=3), REQUESTS)
    @settings(max_examples=60, deadline=None)
    def test_model(self, limits: list[Limit], requests: list[tuple[Any, ...]]) -> None:
        """Whatever the limits and the clients, what is let through is what a bucket for each limit lets through."""
        self.limits = {f"limit{number}": limit for number, limit in enumerate(limits)}
        self.start()
        self.buckets: dict[tuple[str, ...], Bucket] = {}
        now = Fraction(0)
        for pause, peer, service, method, path, size, chunked in requests:
            now += Fraction(pause)
            self.gateway.clock.advance(pause)
            body = b"x" * size if method == "POST" else b""
            target = f"/{service}{path}".encode()
            data = request(target, method=method.encode(), body=body)
            if body and chunked:
                head = request(target, b"Transfer-Encoding: chunked", method=b"POST")
                data = head + b"%x\r\n%b\r\n0\r\n\r\n" % (size, body)
            answer = self.send(data, peer)
            limits_of(answer)
            admitted = self.admits(now, peer, service, method, path, len(body), chunked)
            self.assertEqual(answer.status, 200 if admitted else 429)

    def admits(self, now: Fraction, peer: str, service: str, method: str, path: str, size: int, chunked: bool) -> bool:
        who = "2001:db8" if ":" in peer else peer
        held: list[tuple[tuple[str, ...], RateLimit, int, int]] = []
        held.append((("base", service, who), self.rate if service == "samples" else RateLimit(120, 6), 1, 0))
        for name, limit in self.limits.items():
            units, later = 1, 0
            if limit.unit == "bytes":
                units, later = (1, max(0, size - 1)) if chunked and size else (size, 0)
            holds = (
                (not limit.services or service in limit.services)
                and (not limit.methods or method in limit.methods)
                and (not limit.paths or path in limit.paths)
            )
            if holds and units:
                sharer = {"service": service, "everyone": ""}.get(limit.per, who)
                held.append(((name, sharer), RateLimit(int(limit.per_minute), int(limit.burst)), units, later))
        taken = []
        for key, rate, units, later in held:
            bucket = self.buckets.setdefault(key, Bucket(rate.requests_per_minute, rate.burst))
            bucket.take(now, 0)
            taken.append((bucket, rate, units, later))
        if any(bucket.tokens < min(units, rate.burst) for bucket, rate, units, _ in taken):
            return False
        for bucket, _, units, later in taken:
            bucket.tokens -= units + later
        return True
