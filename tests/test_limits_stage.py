"""What a request is held to, what it is told, and what becomes of it while the limiter thinks."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.kit import EPOCH
from tests.kit_client import MemoryServer, Visitor, Waiting, answer_whole, request
from tracseq_gateway.config.policies import RateLimit
from tracseq_gateway.http.request_head import RequestHead
from tracseq_gateway.interfaces import Identity
from tracseq_gateway.limits.concurrency import ClientConcurrency, ServiceConcurrency
from tracseq_gateway.limits.fields import LimitFields
from tracseq_gateway.limits.gcra import Policy
from tracseq_gateway.limits.limiter import Limiter
from tracseq_gateway.limits.local_store import LocalStore
from tracseq_gateway.limits.question import Question
from tracseq_gateway.limits.rules import Keys, Rule
from tracseq_gateway.limits.stage import Limits, LimitStage
from tracseq_gateway.middleware.chain import Chain
from tracseq_gateway.server.request import GatewayRequest

SECOND = 1e6
BASE = Policy("samples", 60, 3)
BYTES = Policy("uploads", 6000, 1000, "bytes", 100_000)
USER = Identity("user", "6f1c", "guest")
KEY = Identity("key", "robot", "guest", key_name="freezer", rate_limit=RateLimit(120, 2))


class FakeStore:
    """Keeps what it is asked; the test answers."""

    def __init__(self) -> None:
        self.usable = True
        self.sound = True
        self.asked: list[Question] = []

    def ask(self, question: Question) -> None:
        self.asked.append(question)


class StageTestCase(SynchronousTestCase):
    """A site with a limit stage alone; what it passes on waits in ``following``."""

    further: tuple[Rule, ...] = ()
    identity: Identity | None = None

    def setUp(self) -> None:
        self.store = FakeStore()
        self.following = Waiting()
        self.server = MemoryServer(self.take)
        seconds = self.server.reactor.seconds
        self.limiter = Limiter(self.store, LocalStore(seconds), seconds)
        self.keys = Keys("p")
        self.build()

    def build(self, **limits: Any) -> None:
        fields = LimitFields(standard=True, legacy=True, now=lambda: EPOCH)
        held = Limits(Rule(BASE, self.keys.begin("samples")), self.further, **limits)
        keep: Any = self.following.handle
        self.stage = LimitStage(held, self.limiter, self.keys, fields, keep)

    def take(self, request: GatewayRequest) -> None:
        request.identity = self.identity
        request.service = "samples"
        self.stage(request)

    def admit(self, question: Question | None = None) -> None:
        question = question or self.store.asked[-1]
        question.decided(0, [0.0] * len(question.keys))

    def key_of(self, peer: str) -> bytes:
        """The key that a client at an address is counted under."""
        self.server.visit(request(), peer=peer)
        return self.store.asked[-1].keys[0]

    def retry_after(self, visitor: Visitor) -> int:
        [said] = visitor.answers()[-1].values(b"retry-after")
        return int(said)


class WhoTests(StageTestCase):
    def test_addresses(self) -> None:
        """A client without identity is its address: IPv4 as it is, also mapped into IPv6; IPv6 by its first 64 bits."""
        for peer, key in {
            "192.0.2.7": b"192.0.2.7",
            "::ffff:192.0.2.7": b"192.0.2.7",
            "2001:db8:1:2:3:4:5:6": b"2001:db8:1:2::/64",
            "2001:DB8:1:2::9": b"2001:db8:1:2::/64",
            "2001:db8:1:3::9": b"2001:db8:1:3::/64",
            "::1": b"::/64",
            "fe80::1%eth0": b"fe80::/64",
        }.items():
            self.assertEqual(self.key_of(peer), b"p:samples:a:" + key, peer)

    def test_identities(self) -> None:
        """A user is counted by his id and an instrument by its key's name, from wherever they come."""
        for identity, key in ((USER, b"u:6f1c"), (KEY, b"k:freezer")):
            self.identity = identity
            self.assertEqual({self.key_of(peer) for peer in ("192.0.2.7", "::1")}, {b"p:samples:" + key})

    def test_nobody_passes_for_another(self) -> None:
        """No id of a user, name of a key or address makes the key of another kind of client."""
        made = {self.keys.client(who) for who in map(_caller, (USER, Identity("user", "k:freezer", "guest"), KEY))}
        self.assertEqual(made, {b"u:6f1c", b"u:k:freezer", b"k:freezer"})

    def test_own_rate(self) -> None:
        """An API key with a rate of its own is held to that instead of the service's, each to its own."""
        self.identity = KEY
        self.server.visit(request())
        self.identity = Identity("key", "robot", "guest", key_name="other", rate_limit=RateLimit(6, 1))
        self.server.visit(request())
        policies = [question.policies for question in self.store.asked]
        self.assertEqual([(own.per_minute, own.burst) for (own,) in policies], [(120, 2), (6, 1)])


class FurtherTests(StageTestCase):
    further = (
        Rule(Policy("mine", 60, 9), b"p:+mine:"),
        Rule(Policy("here", 60, 9), b"p:+here:", "address"),
        Rule(Policy("all", 60, 9), b"p:+all:", "service"),
        Rule(Policy("total", 60, 9), b"p:+total:", "everyone"),
        Rule(Policy("writing", 60, 9), b"p:+writing:", applies=lambda head: head.method == b"POST"),
        Rule(BYTES, b"p:+uploads:"),
    )

    def asked(self, *fields: bytes, method: bytes = b"GET", body: bytes = b"") -> dict[bytes, int]:
        self.server.visit(request(b"/", *fields, method=method, body=body))
        question = self.store.asked[-1]
        return dict(zip(question.keys, question.units, strict=True))

    def test_sharers(self) -> None:
        """A further limit is counted for each client, each address, each service, or for all together."""
        self.identity = USER
        keys = [b"p:samples:u:6f1c", b"p:+mine:u:6f1c", b"p:+here:a:192.0.2.7", b"p:+all:s:samples", b"p:+total:"]
        self.assertEqual(self.asked(), dict.fromkeys(keys, 1))

    def test_bytes(self) -> None:
        """Bytes are asked for as Content-Length says; one of a chunked body, and none where there is no body."""
        uploads = b"p:+uploads:a:192.0.2.7"
        self.assertEqual(self.asked(method=b"POST", body=b"x" * 77)[uploads], 77)
        self.assertEqual(self.asked(b"Transfer-Encoding: chunked", method=b"POST")[uploads], 1)
        for field in (b"Content-Length: 0", b"X-Other: 1"):
            self.assertNotIn(uploads, self.asked(field, method=b"POST"))

    def test_what_is_violated(self) -> None:
        """A refusal names the limits that refused, and no others, and says when all of them admit again."""
        visitor = self.server.visit(request())
        self.store.asked[-1].decided(2.5 * SECOND, [0, 9 * SECOND, 0, 8.5 * SECOND, 0])
        [answer] = visitor.answers()
        self.assertIn(b'"violated-policies": ["mine", "all"]', answer.body)
        self.assertEqual((answer.status, self.retry_after(visitor)), (429, 3))
        self.assertEqual(answer.values(b"ratelimit"), [b'"mine";r=0;t=3, "all";r=0;t=3'])

    def test_chunked_rest(self) -> None:
        """The rest of a chunked body is charged once the request is over: answered, or broken off by the client."""
        for leaves in (False, True):
            visitor = self.server.visit(request(b"/", b"Transfer-Encoding: chunked", method=b"POST"))
            self.admit()
            going = self.following.requests[-1]
            going.take_body()
            visitor.send(b"a\r\n0123456789\r\n5\r\n01234\r\n")
            asked = len(self.store.asked)
            if leaves:
                visitor.leave()
            else:
                answer_whole(going)
            (charge,) = self.store.asked[asked:]
            self.assertEqual((list(charge.keys), list(charge.units)), ([b"p:+uploads:a:192.0.2.7"], [14]))

    def test_share_of_one_worker(self) -> None:
        """A refusal by one worker's share of a limit names the limit that refused, not all of them."""
        self.store.usable = False
        self.limiter.local.share_among(3)
        self.server.visit(request())
        self.server.reactor.advance(1.5)
        visitor = self.server.visit(request())
        self.assertIn(b'"violated-policies": ["samples"]', visitor.received)
        self.assertEqual((visitor.statuses(), self.retry_after(visitor)), ([429], 2))


class WaitingTests(StageTestCase):
    def test_client_gone(self) -> None:
        """Nothing goes on for a client that left while the limiter thought, whatever the answer is."""
        for answer in (lambda q: q.decided(0, [0.0]), lambda q: q.decided(1.0, [3.0]), lambda q: q.undecided()):
            visitor = self.server.visit(request(b"/", method=b"POST", body=b"body"))
            visitor.leave()
            answer(self.store.asked[-1])
        self.assertEqual((self.following.requests, self.server.site.active, self.server.site.channels), ([], 0, set()))

    def test_body_waits(self) -> None:
        """A body that comes while the limiter thinks is not lost, and a client is not told to send one before."""
        head = request(b"/", b"Content-Length: 8", b"Expect: 100-continue", method=b"POST")
        visitor = self.server.visit(head)
        self.assertEqual(visitor.received, b"")
        self.admit()
        self.assertEqual(self.following.requests[0].take_body(), (b"", False))
        self.assertEqual([answer.status for answer in visitor.answers()], [100])
        visitor = self.server.visit(request(b"/", b"Content-Length: 8", method=b"POST") + b"half", b"half")
        self.admit()
        self.assertEqual(self.following.requests[1].take_body(), (b"halfhalf", True))

    def test_refused_before_its_body(self) -> None:
        """Who waits with his body is refused without having to send it."""
        visitor = self.server.visit(request(b"/", b"Content-Length: 8", b"Expect: 100-continue", method=b"POST"))
        self.store.asked[-1].decided(SECOND, [3 * SECOND])
        self.assertEqual((visitor.statuses(), visitor.closed), ([429], True))

    def test_pipelined(self) -> None:
        """What is sent ahead is asked about when its turn comes, and answered in order."""
        visitor = self.server.visit(request(b"/1") + request(b"/2"))
        self.assertEqual(len(self.store.asked), 1)
        self.admit()
        answer_whole(self.following.requests[0], b"one")
        self.store.asked[1].decided(SECOND, [3 * SECOND])
        self.assertEqual(visitor.statuses(), [200, 429])

    def test_what_follows_fails(self) -> None:
        """A stage that raises when its request goes on gets that request a 500, and nothing reaches the store."""
        self.stage.following = self.fail_it
        visitor = self.server.visit(request())
        self.admit()
        self.assertEqual((visitor.statuses(), self.server.site.active), ([500], 0))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def fail_it(self, request: Any) -> None:
        raise ZeroDivisionError


class RememberedTests(StageTestCase):
    further = (Rule(BYTES, b"p:+uploads:"),)

    def refuse(self, microseconds: float, ahead: list[float]) -> None:
        self.store.asked[-1].decided(microseconds, ahead)

    def test_costs_nothing(self) -> None:
        """A client that was refused is refused without asking until its time, told the time that is left; then not."""
        self.server.visit(request())
        self.refuse(2.5 * SECOND, [4.5 * SECOND])
        for passed, left in ((0.0, 3), (1.0, 2), (1.4, 1)):
            self.server.reactor.advance(passed)
            visitor = self.server.visit(request())
            self.assertEqual((visitor.statuses(), self.retry_after(visitor)), ([429], left))
        self.assertEqual((len(self.store.asked), self.limiter.outcomes["remembered"]), (1, 3))
        self.server.reactor.advance(0.1)
        self.server.visit(request())
        self.server.visit(request(), peer="192.0.2.8")
        self.assertEqual(len(self.store.asked), 3)

    def test_too_large_for_now(self) -> None:
        """That a large body was refused says nothing of smaller ones, nor of requests without."""
        self.server.visit(request(b"/", method=b"POST", body=b"x" * 900))
        self.refuse(SECOND, [0.0, 2 * SECOND])
        self.server.visit(request(b"/", method=b"POST", body=b"x" * 10))
        self.server.visit(request())
        self.assertEqual(len(self.store.asked), 3)

    def test_large_when_small_is_refused(self) -> None:
        """Who is refused from memory is told the time for what he asks now, not for what was asked then."""
        self.server.visit(request(b"/", method=b"POST", body=b"x"))
        self.refuse(0.01 * SECOND, [0.0, BYTES.tolerance])
        visitor = self.server.visit(request(b"/", method=b"POST", body=b"x" * 600))
        self.assertEqual((len(self.store.asked), self.retry_after(visitor)), (1, 6))


class DownTests(StageTestCase):
    def statuses(self, when_down: str) -> list[int]:
        """What five requests get while the store cannot be asked."""
        self.build(when_down=when_down)
        self.store.usable = False
        answers = []
        for _ in range(5):
            before = len(self.following.requests)
            visitor = self.server.visit(request())
            for waiting in self.following.requests[before:]:
                answer_whole(waiting)
            answers += visitor.answers()
        self.last = answers[-1]
        return [answer.status for answer in answers]

    def test_local(self) -> None:
        """``local``: the worker's own limits hold, and are told."""
        self.assertEqual(self.statuses("local"), [200, 200, 200, 429, 429])
        self.assertTrue(self.last.values(b"ratelimit"))

    def test_open(self) -> None:
        """``open``: all go on, and nobody is told of a limit."""
        self.assertEqual(self.statuses("open"), [200] * 5)
        self.assertEqual(self.last.values(b"ratelimit") + self.last.values(b"x-ratelimit-limit"), [])

    def test_closed(self) -> None:
        """``closed``: 503 with Retry-After."""
        self.assertEqual(self.statuses("closed"), [503] * 5)
        self.assertEqual(self.last.values(b"retry-after"), [b"1"])
        self.assertEqual(self.limiter.outcomes["closed"], 5)

    def test_lost_while_asked(self) -> None:
        """A question that the store cannot answer is decided as if it had not been asked."""
        visitor = self.server.visit(request())
        self.store.asked[0].undecided()
        answer_whole(self.following.requests[0])
        self.assertEqual(visitor.statuses(), [200])


class FieldsTests(SynchronousTestCase):
    def lines(self, *policies: Policy, ahead: list[float], **switches: bool) -> list[str]:
        clock = Clock()
        both = {"standard": True, "legacy": True, **switches}
        return LimitFields(now=clock.seconds, **both).lines(policies, ahead).decode("ascii").splitlines()

    def test_time_is_rounded_up(self) -> None:
        """``t`` is whole seconds, never less than what is meant: a limit that is not whole again says at least 1."""
        for reset, told in ((0, 0), (1, 1), (600_000, 1), (SECOND, 1), (1_000_001, 2), (2.5 * SECOND, 3)):
            for policies, ahead in (((BASE,), [reset]), ((BASE, BASE), [reset, reset])):
                standard = self.lines(*policies, ahead=ahead, legacy=False)
                self.assertTrue(standard[1].endswith(f";t={told}"), (reset, standard))

    def test_switches(self) -> None:
        """Either set of fields can be turned off."""
        legacy = ["x-ratelimit-limit: 3", "x-ratelimit-remaining: 2", "x-ratelimit-reset: 2"]
        standard = ['ratelimit-policy: "samples";q=3;w=3', 'ratelimit: "samples";r=2;t=1']
        for policies in ((BASE,), (BASE, BYTES)):
            ahead = [SECOND, 0.0][: len(policies)]
            self.assertEqual(self.lines(*policies, ahead=ahead, standard=False), legacy)
            self.assertEqual(len(self.lines(*policies, ahead=ahead, legacy=False)), 2)
            self.assertEqual(self.lines(*policies, ahead=ahead, legacy=False, standard=False), [])
        self.assertEqual(self.lines(BASE, ahead=[SECOND]), standard + legacy)

    def test_tightest(self) -> None:
        """The old fields have room for one limit, the tightest one on requests."""
        wide = Policy("wide", 60, 100)
        said = self.lines(wide, BYTES, BASE, ahead=[50 * SECOND, BYTES.tolerance, SECOND])
        self.assertIn("x-ratelimit-limit: 3", said)
        self.assertIn("x-ratelimit-remaining: 2", said)

    def test_names_are_quoted(self) -> None:
        """A name with a quotation mark, as a path may have, is still one string (RFC 8941 section 3.3.3)."""
        for policies in ((Policy('a/b"c', 60, 3),), (Policy('a/b"c', 60, 3), BASE)):
            for line in self.lines(*policies, ahead=[0.0] * len(policies), legacy=False):
                self.assertIn('"a/b\\"c";', line)


class ConcurrencyTests(SynchronousTestCase):
    def test_each_client(self) -> None:
        """One client's requests at once take no room from another's; 429 and 503 say when to come again."""
        keep: Any = Waiting().handle
        server = MemoryServer(Chain([ServiceConcurrency(3), ClientConcurrency(2, Keys("p"))], keep))
        peers = ["192.0.2.7"] * 3 + ["192.0.2.8"] * 2
        answers = [server.visit(request(), peer=peer).answers() for peer in peers]
        self.assertEqual([[answer.status for answer in said] for said in answers], [[], [], [429], [], [503]])
        self.assertEqual(answers[2][0].values(b"retry-after") + answers[4][0].values(b"retry-after"), [b"1", b"1"])


def _caller(identity: Identity) -> Any:
    """As much of a request as says who calls."""

    class Caller:
        client = "192.0.2.7"
        head: RequestHead | None = None

    caller: Any = Caller()
    caller.identity = identity
    return caller
