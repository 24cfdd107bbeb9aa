"""The limit against guessing passwords, under guesses of all kinds."""

from __future__ import annotations

import json
from collections.abc import Sequence

from twisted.trial.unittest import SynchronousTestCase

from tests.kit import SPLITS, MemoryClient, MemoryGateway
from tests.kit_client import request
from tests.test_limits_stores import FakeLink
from tracseq_gateway.config import FailedLogins, Instance, RateLimit, RateLimiting, Redis, Service, WhenRedisIsDown
from tracseq_gateway.limits.logins import LARGEST_LOGIN

LOGIN = b"/auth/login"
JSON = b"Content-Type: application/json; charset=utf-8"


def answer(status: int) -> bytes:
    return b"HTTP/1.1 %d Said\r\nContent-Length: 0\r\n\r\n" % status


def login(body: object, path: bytes = LOGIN, *fields: bytes, method: bytes = b"POST") -> bytes:
    """A login with these bytes, or this JSON, as its body."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return request(path, JSON, *fields, method=method, body=data)


def account(name: str) -> dict[str, str]:
    return {"email": name, "password": "guess"}


def chunked(data: bytes, size: int) -> bytes:
    """A login in chunks."""
    chunks = b"".join(
        b"%x\r\n%b\r\n" % (len(data[at : at + size]), data[at : at + size]) for at in range(0, len(data), size)
    )
    return request(LOGIN, JSON, b"Transfer-Encoding: chunked", method=b"POST") + chunks + b"0\r\n\r\n"


class LoginTestCase(SynchronousTestCase):
    """An auth service whose clients may fail three times from an address, and twice for an account."""

    rate = RateLimit(60_000, 1000)
    address = RateLimit(60, 3)
    account = RateLimit(60, 2)
    member = "email"
    when_redis_is_down: WhenRedisIsDown = "local"

    def setUp(self) -> None:
        guard = FailedLogins(account=self.member, per_address=self.address, per_account=self.account)
        self.gateway = MemoryGateway(
            services={
                "auth": Service(
                    "auth",
                    prefix="/auth",
                    rewrite="",
                    instances=(Instance("http://127.0.0.1:9001"),),
                    rate_limit=self.rate,
                )
            },
            tables={
                "redis": Redis("unix:///nowhere"),
                "rate_limit": RateLimiting(
                    enabled=True, failed_logins=guard, when_redis_is_down=self.when_redis_is_down
                ),
            },
        )
        self.service = self.gateway.service
        self.addresses = 0

    def ask(self, data: bytes, status: int | None = 401, peer: str | None = None) -> MemoryClient:
        """Send a request, from a new address if none is given; the service answers with this status, or waits."""
        self.addresses += 1
        self.service.answer = answer(status) if status is not None else None
        client = self.gateway.client(peer or f"198.51.100.{self.addresses}")
        client.send(data)
        self.service.run()
        return client

    def said(self, data: bytes, status: int | None = 401, peer: str | None = None) -> int:
        return self.ask(data, status, peer).answers()[-1].status

    def statuses(self, bodies: Sequence[object], status: int = 401, peer: str | None = None) -> list[int]:
        return [self.said(login(body), status, peer) for body in bodies]


class CountingTests(LoginTestCase):
    def test_by_address(self) -> None:
        """Logins for many accounts that fail from one address are refused once the address has used up its limit."""
        bodies = [account(f"{number}@lab.test") for number in range(5)]
        self.assertEqual(self.statuses(bodies, peer="192.0.2.7"), [401, 401, 401, 429, 429])
        self.assertEqual(len(self.service.requests), 3)
        self.assertEqual(self.statuses(bodies[:1]), [401])

    def test_by_account(self) -> None:
        """Logins for one account that fail are refused from wherever they come, however its name is written."""
        names = ["ann@lab.test", " Ann@Lab.Test ", "ANN@LAB.TEST", "\tann@lab.test\n"]
        self.assertEqual(self.statuses([account(name) for name in names]), [401, 401, 429, 429])
        self.assertEqual(self.statuses([account("bob@lab.test")]), [401])

    def test_at_once(self) -> None:
        """Guesses that are sent at once cannot slip through while none of them is answered."""
        clients = [self.ask(login(account("ann@lab.test")), None) for _ in range(6)]
        self.assertEqual(len(self.service.requests), 2)
        self.assertEqual(list(map(_statuses, clients)), [[], []] + [[429]] * 4)

    def test_what_is_no_failure(self) -> None:
        """A login that succeeds, is sent on to elsewhere, or meets a fault of the service costs nothing."""
        for status in (503, 500, 302, 201, 200):
            self.assertEqual(self.statuses([account("ann@lab.test")] * 4, status, "192.0.2.7"), [status] * 4)
        self.service.failures[9001] = ConnectionRefusedError()
        self.service.connections[-1].close()
        self.assertEqual(self.statuses([account("ann@lab.test")] * 5, 200, "192.0.2.7"), [502] * 5)

    def test_refused_for_any_reason(self) -> None:
        """Whatever the service calls its refusal (bad, forbidden, locked, too many), it is a failed login."""
        for status in (400, 403, 422, 423, 429):
            bodies = [account(f"{status}@lab.test")] * 3
            self.assertEqual(self.statuses(bodies, status), [status, status, 429])

    def test_success_gives_back_once(self) -> None:
        """A success gives back what it was charged, and no failure that was before it."""
        bodies = [account("ann@lab.test")] * 2
        self.assertEqual(self.statuses(bodies[:1], 401), [401])
        self.assertEqual(self.statuses(bodies * 3, 200), [200] * 6)
        self.assertEqual(self.statuses(bodies, 401), [401, 429])

    def test_client_leaves(self) -> None:
        """Who does not wait to hear that his guess was wrong is counted as if he had."""
        for _ in range(2):
            self.ask(login(account("ann@lab.test")), None).leave()
        self.assertEqual(self.said(login(account("ann@lab.test"))), 429)
        self.assertEqual(self.gateway.worker.site.active, 0)

    def test_try_again(self) -> None:
        """The refusal says in whole seconds, at least one, when the next login goes on; and then it does."""
        self.statuses([account("ann@lab.test")] * 2)
        self.gateway.clock.advance(0.75)
        [refusal] = self.ask(login(account("ann@lab.test"))).answers()
        self.assertEqual(refusal.values(b"retry-after"), [b"1"])
        self.assertEqual(refusal.values(b"content-type"), [b"application/problem+json"])
        self.gateway.clock.advance(1)
        self.assertEqual(self.statuses([account("ann@lab.test")] * 2), [401, 429])


class RateTests(LoginTestCase):
    rate = RateLimit(60, 1)

    def test_limited_by_rate(self) -> None:
        """A login that the client's rate held back was no guess: the account pays nothing for it."""
        for _ in range(5):
            self.said(login(account("ann@lab.test")), 200, "192.0.2.7")
        self.assertEqual(self.statuses([account("ann@lab.test")] * 2), [401, 401])


class BodyTests(LoginTestCase):
    def test_account_is_not_said(self) -> None:
        """A body that does not say whose login it is, as far as can be read, is refused: a service may read it."""
        for body in (
            b"",
            b"email=ann%40lab.test&password=guess",
            b'{"email": "ann@lab.test"',
            b'{"email": "ann@lab.test"},',
            b'[{"email": "ann@lab.test"}]',
            b'["ann@lab.test"]',
            b'{"email": ["ann@lab.test"]}',
            b'{"email": 7}',
            b'{"email": "ann@lab.test", "n": ' + b"9" * 5000 + b"}",
            b'{"email": "ann@lab.test", "n": ' + b"[" * 2000 + b"]" * 2000 + b"}",
            b'{"email": "ann@lab.test", "n": "\xff"}',
            b"[" * 15_000,
            b'{"email":' * 1500,
            b"\xff\xfe\x00\xd8",
            b'{"user": {"email": "ann@lab.test"}}',
            b"{" + b", ".join(b'"email": "u%d@lab.test"' % number for number in range(5)) + b"}",
        ):
            self.assertEqual(self.said(login(body)), 400, body[:60])
        self.assertEqual(self.service.requests, [])

    def test_every_account_counts(self) -> None:
        """A body that names accounts in ways that services read differently counts for each of them."""
        for body in (
            b'{"email": "bob@lab.test", "email": "ann@lab.test"}',
            b'{"email": "ann@lab.test", "EMAIL": "bob@lab.test", "email": 7}',
            b'{"Email": " ANN@lab.test"}',
        ):
            self.setUp()
            self.assertEqual(self.statuses([body] * 2), [401, 401], body)
            self.assertEqual(self.statuses([account("ann@lab.test")]), [429], body)

    def test_what_hides_the_account(self) -> None:
        """A login that a service may not read as the JSON that it is to us is refused, before its body is asked for."""
        body = json.dumps(account("ann@lab.test")).encode()
        for fields in (
            [b"Content-Type: application/x-www-form-urlencoded"],
            [b"Content-Type: multipart/form-data; boundary=x"],
            [],
            [JSON, JSON],
            [JSON, b"Content-Encoding: gzip"],
            [JSON, b"Content-Encoding: identity", b"Content-Encoding: gzip"],
            [JSON, b"Content-Encoding: identity, gzip"],
        ):
            client = self.ask(request(LOGIN, *fields, b"Expect: 100-continue", method=b"POST", body=body))
            self.assertEqual(_statuses(client), [415], fields)
        self.assertEqual(self.service.requests, [])
        for kind in (b"application/json", b"Application/JSON ;charset=utf-8", b"application/vnd.lab+json"):
            self.assertEqual(self.said(request(LOGIN, b"Content-Type: " + kind, method=b"POST", body=body)), 401)
            self.setUp()

    def test_addresses_alone(self) -> None:
        """Without a member that names the account bodies are not looked at, and only addresses are counted."""
        self.member = ""
        self.setUp()
        self.assertEqual(self.statuses([b"anything"] * 4, peer="203.0.113.5"), [401, 401, 401, 429])
        self.assertEqual(self.service.requests[-1].body, b"anything")

    def test_half_a_character(self) -> None:
        """A name that is no text, which JSON can express, is a name like any other, in one piece or in many."""
        body = login(b'{"email": "\\ud800"}')
        self.service.answer = answer(401)
        for pieces, status in ((SPLITS["whole"], 401), (SPLITS["bytes"], 401), (SPLITS["bytes"], 429)):
            client = self.gateway.client(f"203.0.113.{status}")
            client.send_in(pieces(body))
            self.service.run()
            self.assertEqual(_statuses(client), [status])

    def test_largest(self) -> None:
        """A login of the largest size is looked at; a larger one, which could hide its account, is refused."""
        for size, last in ((LARGEST_LOGIN, 429), (LARGEST_LOGIN + 1, 413)):
            body = json.dumps(account(f"{size}@lab.test")).encode().ljust(size)
            for data in (login(body), chunked(body, 5000), login(body)):
                said = self.said(data)
            self.assertEqual(said, last)

    def test_however_it_comes(self) -> None:
        """A body reaches the service as it was, in whatever pieces it comes; and however framed, it counts."""
        body = json.dumps(account("ann@lab.test"), indent=1).encode()
        self.service.answer = answer(200)
        for data in (login(body), chunked(body, 7), login(body, LOGIN, b"Expect: 100-continue")):
            for split in SPLITS.values():
                client = self.gateway.exchange(data, split)
                self.assertEqual([a.status for a in client.answers() if a.status != 100], [200])
                self.assertEqual(self.service.requests[-1].body, body)
        self.service.answer = answer(401)
        for data in (chunked(body, 7), login(body)):
            self.gateway.exchange(data)
        self.assertEqual(self.said(login(body)), 429)

    def test_told_to_go_on(self) -> None:
        """A client that waits with its login is told once to send it, by the gateway that wants to look at it."""
        head, _, body = login(account("ann@lab.test"), LOGIN, b"Expect: 100-continue").partition(b"\r\n\r\n")
        client = self.ask(head + b"\r\n\r\n")
        self.assertEqual(_statuses(client), [100])
        client.send(body)
        self.service.run()
        self.assertEqual(_statuses(client), [100, 401])

    def test_gone_with_half_a_body(self) -> None:
        """A login that never came whole is no login: nothing is asked, charged or sent on, and nothing stays behind."""
        for end in (MemoryClient.leave, self.malformed, self.too_late):
            client = self.ask(chunked(json.dumps(account("ann@lab.test")).encode(), 7)[:-12])
            end(client)
            client.leave()
        worker = self.gateway.worker
        self.assertEqual((self.service.requests, worker.site.active, worker.site.channels), ([], 0, set()))
        self.assertEqual(self.statuses([account("ann@lab.test")] * 2), [401, 401])

    def malformed(self, client: MemoryClient) -> None:
        client.send(b"not a chunk\r\n")
        self.assertEqual(_statuses(client), [400])

    def too_late(self, client: MemoryClient) -> None:
        self.gateway.pass_time(31, 1)
        self.assertEqual(_statuses(client), [408])


class WhichTests(LoginTestCase):
    def test_other_spellings(self) -> None:
        """A path that the service may take for the login's is guarded, however it is spelled."""
        for path in (b"/LOGIN", b"/log%69n", b"/login/", b"/x/../login", b"//login", b"/login;v=1", b"/login?x=1"):
            statuses = [self.said(login(account(path.decode()), b"/auth" + path)) for _ in range(3)]
            self.assertEqual(statuses, [401, 401, 429], path)

    def test_not_guarded(self) -> None:
        """Other methods and other paths are nobody's login."""
        for method, path in ((b"GET", LOGIN), (b"PUT", LOGIN), (b"POST", b"/auth/refresh"), (b"POST", b"/auth/logins")):
            data = login(account("ann@lab.test"), path, method=method)
            self.assertEqual([self.said(data, 401, "192.0.2.7") for _ in range(5)], [401] * 5)


class SharedTests(LoginTestCase):
    def setUp(self) -> None:
        super().setUp()
        assert self.gateway.worker.rates is not None
        self.link = FakeLink()
        self.patch(self.gateway.worker.rates.store, "_link", self.link)

    def test_names_stay_here(self) -> None:
        """What Redis is told has neither the account's name nor a password in it, and is of bounded length."""
        self.ask(login({"email": "ann@lab.test" * 500, "password": "guess"}), None)
        self.gateway.clock.advance(0)
        [call] = self.link.calls
        words = b" ".join(word for word in call if isinstance(word, bytes)).lower()
        self.assertNotIn(b"ann@", words)
        self.assertNotIn(b"guess", words)
        self.assertLess(len(words), 500)

    def test_gone_while_asking(self) -> None:
        """A client that leaves while the limiter is asked sends nothing on; what is answered then hurts nobody."""
        for decision in ([0, 1_000_000, 1_000_000], [5, 2_000_000, 3_000_000]):
            client = self.ask(login(account("ann@lab.test")), None)
            self.gateway.clock.advance(0)
            client.leave()
            self.link.answers[-1].callback(decision)
        self.gateway.clock.advance(0)
        self.assertEqual((self.service.requests, len(self.link.calls), self.gateway.worker.site.active), ([], 2, 0))

    def test_given_back_where_it_was_charged(self) -> None:
        """A success asks Redis to take back one of each key."""
        client = self.ask(login(account("ann@lab.test")), 200)
        self.gateway.clock.advance(0)
        self.link.answers[-1].callback([0, 1_000_000, 1_000_000])
        self.gateway.clock.advance(0)
        self.link.answers[-1].callback([0, 10])
        self.service.run()
        self.gateway.clock.advance(0)
        asked, _, given = self.link.calls
        self.assertEqual(asked[3:5], given[3:5])
        self.assertEqual([given[9], given[13]], [b"-1", b"-1"])
        self.assertEqual(_statuses(client), [200])


class OpenTests(LoginTestCase):
    when_redis_is_down = "open"

    def test_never_left_out(self) -> None:
        """While Redis is away the worker itself counts failed logins, also where rates are then not limited."""
        self.assertEqual(self.statuses([account("ann@lab.test")] * 3), [401, 401, 429])


class ClosedTests(LoginTestCase):
    when_redis_is_down = "closed"

    def test_nothing_to_guess(self) -> None:
        """Where rates are then refused, logins are, too, and the account pays nothing for it."""
        self.assertEqual(self.statuses([account("ann@lab.test")] * 5), [503] * 5)


def _statuses(client: MemoryClient) -> list[int]:
    return [answer.status for answer in client.answers()]


class FloodTests(LoginTestCase):
    rate = RateLimit(60, 1)

    def test_refused_unread(self) -> None:
        """Who is over a rate, or over the limit of failures, is refused before the body is asked for, and charged
        nothing; the refusal says what every limited answer says."""
        self.statuses([account("ann@lab.test")] * 2, peer="192.0.2.7")
        head = login(account("bob@lab.test"), LOGIN, b"Expect: 100-continue").partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        for _ in range(20):
            client = self.ask(head, peer="192.0.2.7")
            (said,) = client.answers()
            self.assertEqual((said.status, said.values(b"ratelimit")), (429, [b'"auth";r=0;t=1']))
        self.assertEqual(self.statuses([account("bob@lab.test")] * 3), [401, 401, 429])

    def test_guessing_unread(self) -> None:
        """So is an address that has failed too often."""
        self.rate = RateLimit(60_000, 1000)
        self.setUp()
        self.assertEqual(self.statuses([account(f"u{n}@lab.test") for n in range(4)], peer="192.0.2.7")[-1], 429)
        head = login(account("bob@lab.test"), LOGIN, b"Expect: 100-continue").partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        (said,) = self.ask(head, peer="192.0.2.7").answers()
        self.assertEqual((said.status, said.values(b"ratelimit")), (429, [b'"failed-logins-address";r=0;t=1']))
        self.assertIn(b"failed-logins-address", said.body)
