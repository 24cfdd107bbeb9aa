"""Balances that look at more than turns: hashing, two choices, latency, sticky cookies."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.kit import MemoryGateway
from tests.test_upstream_balance import Peer
from tracseq_gateway.config.upstream import Instance
from tracseq_gateway.http.cookies import cookie
from tracseq_gateway.interfaces import InstanceHealth
from tracseq_gateway.upstream.balance import DECAY_SECONDS, Ewma, PowerOfTwo, measure
from tracseq_gateway.upstream.hashing import ConsistentHash

PORTS = (9001, 9002, 9003)


class Keyed:
    """A request, as far as a hash looks at it."""

    def __init__(self, key: bytes) -> None:
        self.key = key


def peers(*weights: int) -> list[Peer]:
    return [Peer(weight, url=f"http://127.0.0.1:{9001 + index}") for index, weight in enumerate(weights)]


class ConsistentHashTests(SynchronousTestCase):
    def policy(self, bound: float = 1.25) -> ConsistentHash:
        return ConsistentHash(lambda request: request.key, bound)  # type: ignore[attr-defined]

    def owners(self, policy: ConsistentHash, candidates: list[Peer], count: int = 3000) -> list[str]:
        return [
            candidates[policy.choose(candidates, Keyed(b"key %d" % number))].url  # type: ignore[arg-type]
            for number in range(count)
        ]

    def test_same_place(self) -> None:
        """A key goes to the same instance again, in another worker too, in whatever order it knows them."""
        one, other = peers(1, 1, 1), peers(1, 1, 1)
        self.assertEqual(self.owners(self.policy(), one), self.owners(self.policy(), other))
        self.assertEqual(self.owners(self.policy(), one), self.owners(self.policy(), other[::-1]))

    def test_shares(self) -> None:
        """Many keys are shared by weight, to within a third."""
        shares = Counter(self.owners(self.policy(), peers(1, 1, 2)))
        for peer in peers(1, 1, 2):
            self.assertApproximates(shares[peer.url] / 3000, peer.weight / 4, peer.weight / 12)

    def test_only_what_must_moves(self) -> None:
        """When an instance goes, the keys of the others stay where they are."""
        all_of_them = peers(1, 1, 1)
        policy = self.policy()
        before = self.owners(policy, all_of_them)
        after = self.owners(policy, all_of_them[:2])
        moved = [old for old, new in zip(before, after, strict=True) if old != new]
        self.assertEqual(set(moved), {all_of_them[2].url})
        self.assertEqual(before, self.owners(policy, all_of_them))

    @given(st.lists(st.integers(0, 50), min_size=1, max_size=6), st.binary(min_size=1), st.floats(1, 3))
    @settings(max_examples=200, deadline=None)
    def test_bounded(self, loads: list[int], key: bytes, bound: float) -> None:
        """Nobody above the bound gets a request while somebody is below it."""
        candidates = peers(*(1 for _ in loads))
        for peer, load in zip(candidates, loads, strict=True):
            peer.in_flight = load
        chosen = candidates[self.policy(bound).choose(candidates, Keyed(key))]  # type: ignore[arg-type]
        most = max(1.0, bound * (sum(loads) + 1) / len(loads))
        if any(load < most for load in loads):
            self.assertLess(chosen.in_flight, most)

    def test_without_a_key(self) -> None:
        """A request that has none goes where least is under way."""
        candidates = peers(1, 1, 1)
        candidates[0].in_flight = candidates[2].in_flight = 1
        self.assertEqual(self.policy().choose(candidates, Keyed(b"")), 1)  # type: ignore[arg-type]
        self.assertEqual(self.policy().choose(candidates), 1)


class PowerOfTwoTests(SynchronousTestCase):
    def test_few_are_all_looked_at(self) -> None:
        """Below eight the least busy one is taken, always."""
        candidates = peers(*(1 for _ in range(7)))
        for peer in candidates:
            peer.in_flight = 2
        candidates[4].in_flight = 1
        policy = PowerOfTwo(Random(1).random)
        self.assertEqual({policy.choose(candidates) for _ in range(50)}, {4})

    def test_many(self) -> None:
        """Of many, the busiest is never taken, and requests spread."""
        candidates = peers(*(1 for _ in range(20)))
        candidates[7].in_flight = 1000
        policy = PowerOfTwo(Random(1).random)
        for _ in range(2000):
            candidates[policy.choose(candidates)].in_flight += 1
        self.assertEqual(candidates[7].in_flight, 1000)
        others = [peer.in_flight for peer in candidates if peer.in_flight < 1000]
        self.assertLess(max(others) - min(others), 8)


class EwmaTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.time = 1000.0
        self.policy = Ewma(Random(1).random, lambda: self.time)

    def test_slow_ones_get_less(self) -> None:
        """An instance that takes ten times as long loses more than four fifths of its requests."""
        candidates = peers(1, 1, 1)
        taken: Counter[int] = Counter()
        for _ in range(3000):
            self.time += 0.01
            index = self.policy.choose(candidates)
            taken[index] += 1
            measure(candidates[index], 0.1 if index == 1 else 0.01, self.time)
        self.assertLess(taken[1], 200)
        self.assertGreater(taken[1], 0)
        self.assertApproximates(taken[0], taken[2], 300)

    def test_what_is_under_way_counts(self) -> None:
        """Of equally fast ones the one with less to do is taken, by its weight."""
        candidates = peers(1, 1, 4)
        for peer in candidates:
            measure(peer, 0.01, self.time)
        candidates[0].in_flight, candidates[1].in_flight, candidates[2].in_flight = 3, 1, 8
        self.assertEqual(self.policy.choose(candidates), 1)
        candidates[2].in_flight = 6
        self.assertEqual(self.policy.choose(candidates), 2)

    def test_the_average(self) -> None:
        """After ten seconds a measurement weighs 1/e of what it did."""
        (peer,) = peers(1)
        measure(peer, 1.0, 0.0)
        self.assertEqual(peer.latency, 1.0)
        measure(peer, 0.0, DECAY_SECONDS)
        self.assertApproximates(peer.latency, 0.36788, 1e-4)


class ThroughTheGatewayTests(SynchronousTestCase):
    def make(self, **more: Any) -> MemoryGateway:
        return MemoryGateway(instances=tuple(Instance(f"http://127.0.0.1:{port}") for port in PORTS), **more)

    def ask(self, gateway: MemoryGateway, fields: bytes = b"", peer: str = "192.0.2.7", path: bytes = b"/x") -> int:
        """Make a request; return the port of the instance that got it."""
        client = gateway.client(peer)
        before = [len(connection.requests) for connection in gateway.service.connections]
        client.send(b"GET %b HTTP/1.1\r\nHost: a\r\n%b\r\n" % (path, fields))
        gateway.service.run()
        self.answer = client.answers()[0]
        before += [0] * (len(gateway.service.connections) - len(before))
        (port,) = [
            port
            for count, (_, port), connection in zip(
                before, gateway.service.attempts, gateway.service.connections, strict=True
            )
            if len(connection.requests) > count
        ]
        return port

    def test_hash_by(self) -> None:
        """The key is what the configuration says: address, path, a field, a cookie."""
        for setting, same, different in (
            ("client", [{}] * 6, [{"peer": f"192.0.2.{number}"} for number in range(20)]),
            ("path", [{"path": b"/one"}] * 6, [{"path": b"/%d" % number} for number in range(20)]),
            (
                "header:X-Project",
                [{"fields": b"x-project: rna\r\n", "path": b"/%d" % number} for number in range(6)],
                [{"fields": b"X-Project: %d\r\n" % number} for number in range(20)],
            ),
            (
                "cookie:lab",
                [{"fields": b'Cookie: a=b; lab="7"; c\r\n', "path": b"/%d" % number} for number in range(6)],
                [{"fields": b"Cookie: lab=%d\r\n" % number} for number in range(20)],
            ),
        ):
            gateway = self.make(balance="consistent_hash", hash_by=setting)
            self.assertEqual(len({self.ask(gateway, **what) for what in same}), 1, setting)  # type: ignore[arg-type]
            self.assertEqual({self.ask(gateway, **what) for what in different}, set(PORTS), setting)

    def test_sticky_cookie(self) -> None:
        """A browser that brings the cookie back gets the same instance, and no second cookie."""
        gateway = self.make(sticky_cookie="lab")
        first = self.ask(gateway)
        (line,) = self.answer.values(b"set-cookie")
        self.assertRegex(line, rb"^lab=[0-9a-f]{16}; Path=/; HttpOnly; SameSite=Lax$")
        value = line.partition(b";")[0]
        for _ in range(5):
            self.assertEqual(self.ask(gateway, b"Cookie: a=b; %b\r\n" % value), first)
            self.assertEqual(self.answer.values(b"set-cookie"), [])
        gateway.worker.update_instances([InstanceHealth("all", f"http://127.0.0.1:{first}", "unhealthy")])
        self.assertNotEqual(self.ask(gateway, b"Cookie: %b\r\n" % value), first)
        self.assertNotEqual(self.answer.values(b"set-cookie")[0].partition(b";")[0], value)

    def test_no_cookie_leads_elsewhere(self) -> None:
        """A cookie that was made up is replaced, and says nothing about what is behind the gateway."""
        gateway = self.make(sticky_cookie="lab")
        self.ask(gateway, b"Cookie: lab=http://169.254.169.254\r\n")
        self.assertEqual(len(self.answer.values(b"set-cookie")), 1)

    def test_a_cookie_by_name(self) -> None:
        """The first of its name counts; names that merely end like it do not."""
        self.assertEqual(cookie(b"xlab=1; lab=2; lab=3", b"lab"), b"2")
        self.assertEqual(cookie(b"lab", b"lab"), None)
        self.assertEqual(cookie(None, b"lab"), None)
