"""Balancing: each policy's fairness, over real requests, and what health has to say."""

from __future__ import annotations

from collections import Counter
from typing import Any, get_args

from attrs import define
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.kit import OK, MemoryClient, MemoryGateway
from tracseq_gateway.config.keys import Seconds
from tracseq_gateway.config.upstream import Balance, Health, Instance
from tracseq_gateway.interfaces import InstanceHealth, State
from tracseq_gateway.upstream.balance import LeastConnections, Policy, RoundRobin, SmoothWeighted

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
WEIGHTS = st.lists(st.integers(1, 20), min_size=1, max_size=6)


@define
class Peer:
    """An instance as a policy sees it."""

    weight: int = 1
    in_flight: int = 0
    current_weight: int = 0
    latency: float = 0.0
    measured: float = 0.0
    url: str = "http://a"


def choices(policy: Policy, peers: list[Peer], count: int) -> list[int]:
    return [policy.choose(peers) for _ in range(count)]


class RoundRobinTests(SynchronousTestCase):
    def test_order(self) -> None:
        """One after the other, and from the start again, whatever they weigh."""
        self.assertEqual(choices(RoundRobin(), [Peer(5), Peer(1), Peer(1)], 7), [0, 1, 2, 0, 1, 2, 0])

    @given(st.integers(1, 9), st.integers(0, 100))
    @settings(max_examples=50, deadline=None)
    def test_fair(self, count: int, requests: int) -> None:
        """After any number of requests no one has had two more than another."""
        turns = Counter(choices(RoundRobin(), [Peer() for _ in range(count)], requests))
        shares = [turns[index] for index in range(count)]
        self.assertLessEqual(max(shares) - min(shares), 1)


class SmoothWeightedTests(SynchronousTestCase):
    def test_order(self) -> None:
        """5, 1, 1 gives a a b a c a a, and the same again."""
        peers = [Peer(5), Peer(1), Peer(1)]
        self.assertEqual("".join("abc"[index] for index in choices(SmoothWeighted(), peers, 14)), "aabacaa" * 2)

    @given(WEIGHTS)
    @settings(max_examples=100, deadline=None)
    def test_fair_over_a_cycle(self, weights: list[int]) -> None:
        """In as many requests as the weights sum up to, each gets exactly its weight; then all begins again."""
        peers = [Peer(weight) for weight in weights]
        policy = SmoothWeighted()
        first = choices(policy, peers, sum(weights))
        self.assertEqual([first.count(index) for index in range(len(weights))], weights)
        self.assertEqual(choices(policy, peers, sum(weights)), first)

    @given(WEIGHTS)
    @settings(max_examples=100, deadline=None)
    def test_spread(self, weights: list[int]) -> None:
        """At any time everyone has had its share, give or take less than one for each instance."""
        total = sum(weights)
        turns = choices(SmoothWeighted(), [Peer(weight) for weight in weights], total)
        counts = [0] * len(weights)
        for number, turn in enumerate(turns, 1):
            counts[turn] += 1
            for weight, count in zip(weights, counts, strict=True):
                self.assertLess(abs(count - weight * number / total), len(weights))


class LeastConnectionsTests(SynchronousTestCase):
    @given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 9)), min_size=1, max_size=6), st.integers(0, 9))
    @settings(max_examples=100, deadline=None)
    def test_least(self, loads: list[tuple[int, int]], turns: int) -> None:
        """It chooses one than which no other has fewer requests under way for its weight."""
        peers = [Peer(weight, in_flight) for weight, in_flight in loads]
        policy = LeastConnections()
        for chosen in choices(policy, peers, turns + 1):
            least = min(peer.in_flight / peer.weight for peer in peers)
            self.assertAlmostEqual(peers[chosen].in_flight / peers[chosen].weight, least)

    def test_equals_take_turns(self) -> None:
        """A service that answers faster than requests come uses all its instances."""
        turns = Counter(choices(LeastConnections(), [Peer(), Peer(), Peer()], 30))
        self.assertEqual(turns, {0: 10, 1: 10, 2: 10})

    def test_weights(self) -> None:
        """With nothing answered, load grows by weight."""
        peers = [Peer(3), Peer(1)]
        policy = LeastConnections()
        for _ in range(40):
            peers[policy.choose(peers)].in_flight += 1
        self.assertEqual([peer.in_flight for peer in peers], [30, 10])


class BalancedTestCase(SynchronousTestCase):
    def make(self, *weights: int, **service: Any) -> None:
        self.gateway = MemoryGateway(
            answer=None,
            instances=tuple(
                Instance(f"http://127.0.0.1:{9001 + index}", weight) for index, weight in enumerate(weights)
            ),
            **service,
        )
        self.service = self.gateway.service

    def ask(self, count: int = 1) -> list[MemoryClient]:
        clients = [self.gateway.client() for _ in range(count)]
        for client in clients:
            client.send(GET)
        return clients

    def share(self, count: int) -> list[int]:
        """Send so many requests, one after the other; return how many each instance got."""
        self.service.answer = OK
        before = [self.served(index) for index in range(len(self.instances))]
        for _ in range(count):
            self.ask()
            self.service.run()
        return [self.served(index) - before[index] for index in range(len(self.instances))]

    @property
    def instances(self) -> list[Any]:
        return list(self.gateway.worker.services["all"].instances)

    def served(self, index: int) -> int:
        """Requests that an instance has seen: connections are told apart by the order of attempts."""
        return sum(
            len(connection.requests)
            for (_, port), connection in zip(self.service.attempts, self.service.connections, strict=True)
            if port == 9001 + index
        )

    def health(self, **states: State) -> None:
        """Tell what a probe said: ``one="unhealthy"``."""
        ports = {"one": 9001, "two": 9002, "three": 9003}
        self.gateway.worker.update_instances(
            [InstanceHealth("all", f"http://127.0.0.1:{ports[name]}", state) for name, state in states.items()]
        )


class RealRequestsTests(BalancedTestCase):
    def test_each_policy(self) -> None:
        """Requests of a service are shared as its policy says."""
        expected = {
            "round_robin": [14, 14, 14],
            "weighted_round_robin": [30, 6, 6],
            "least_connections": [14, 14, 14],
            "p2c": [14, 14, 14],
            "ewma": [14, 14, 14],
            "consistent_hash": [0, 0, 42],
        }
        self.assertEqual(set(expected), set(get_args(Balance)))
        for name, shares in expected.items():
            weights = (5, 1, 1) if name == "weighted_round_robin" else (1, 1, 1)
            self.make(*weights, balance=name)
            self.assertEqual(self.share(42), shares)

    def test_least_connections_counts_what_is_under_way(self) -> None:
        """An instance that does not answer gets no more than the others; one that answers gets the next."""
        self.make(1, 1, 1, balance="least_connections")
        clients = self.ask(9)
        self.assertEqual([instance.in_flight for instance in self.instances], [3, 3, 3])
        for (_, port), connection in zip(self.service.attempts, self.service.connections, strict=True):
            if port == 9002:
                connection.answer(OK)
        self.assertEqual([instance.in_flight for instance in self.instances], [3, 0, 3])
        more = self.ask(3)
        self.assertEqual([instance.in_flight for instance in self.instances], [3, 3, 3])
        for client in (*clients, *more):
            client.leave()
        self.assertEqual([instance.in_flight for instance in self.instances], [0, 0, 0])

    def test_waiting_for_a_connection_counts(self) -> None:
        """A request that waits for an instance's connection is under way to it."""
        self.make(1, 1, balance="least_connections")
        self.service.hold = True
        clients = self.ask(4)
        self.assertEqual([instance.in_flight for instance in self.instances], [2, 2])
        for client in clients:
            client.leave()
        self.assertEqual([instance.in_flight for instance in self.instances], [0, 0])


class HealthTests(BalancedTestCase):
    def test_an_unhealthy_instance_gets_nothing(self) -> None:
        """And comes back as soon as it is healthy, with its share and no more."""
        for policy in get_args(Balance):
            if policy == "consistent_hash":
                continue  # one client is one key: see test_upstream_hashing
            self.make(1, 1, 1, balance=policy)
            self.assertEqual(self.share(9), [3, 3, 3])
            self.health(two="unhealthy")
            one, two, three = self.share(40)
            self.assertEqual(two, 0)
            self.assertEqual(one + three, 40)
            self.assertLessEqual(abs(one - three), 2)
            self.health(two="healthy")
            for got in self.share(30):
                self.assertLessEqual(abs(got - 10), 1)

    def test_nothing_known_is_no_reason(self) -> None:
        """Before the first probe an instance takes requests."""
        self.make(1, 1)
        self.assertEqual(self.share(4), [2, 2])
        self.health(one="unknown", two="healthy")
        self.assertEqual(self.share(4), [2, 2])

    def test_what_is_under_way_goes_on(self) -> None:
        """A request at an instance that becomes unhealthy is not cut off."""
        self.make(1, 1)
        (client,) = self.ask()
        self.health(one="unhealthy", two="unhealthy")
        self.service.connections[0].answer(OK)
        self.assertEqual([answer.status for answer in client.answers()], [200])

    def test_all_unhealthy(self) -> None:
        """503 at once, to come back after as many probes as make an instance healthy."""
        self.make(1, 1, health=Health(interval=Seconds(12.0)))
        self.health(one="unhealthy", two="unhealthy")
        (client,) = self.ask()
        (answer,) = client.answers()
        self.assertEqual(answer.status, 503)
        self.assertEqual(answer.values(b"retry-after"), [b"24"])
        self.assertEqual(answer.values(b"proxy-status"), [b"tracseq-gateway; error=destination_unavailable"])
        self.assertEqual(self.service.attempts, [])
        self.assertFalse(client.closed)
        self.health(two="healthy")
        self.assertEqual(self.share(3), [0, 3])

    def test_all_unhealthy_and_used_nevertheless(self) -> None:
        """With ``when_all_unhealthy = use_all``, health is ignored when it would leave nobody."""
        self.make(1, 1, when_all_unhealthy="use_all")
        self.health(one="unhealthy")
        self.assertEqual(self.share(4), [0, 4])
        self.health(two="unhealthy")
        self.assertEqual(self.share(4), [2, 2])
        self.health(one="healthy")
        self.assertEqual(self.share(4), [4, 0])

    def test_news_of_another_service(self) -> None:
        """The same URL may be sick as another service's instance."""
        self.make(1)
        self.gateway.worker.update_instances([InstanceHealth("other", "http://127.0.0.1:9001", "unhealthy")])
        self.assertEqual(self.share(2), [2])

    @given(
        st.sampled_from(get_args(Balance)),
        st.lists(
            st.tuples(st.integers(0, 3), st.sampled_from(["healthy", "unhealthy"]), st.sets(st.integers(0, 3))),
            max_size=20,
        ),
    )
    @settings(max_examples=60, deadline=None)
    def test_only_who_may(self, policy: str, events: list[tuple[int, State, set[int]]]) -> None:
        """Whatever probes say, a choice is healthy and was not tried before, and there is one while there can be."""
        self.make(1, 2, 3, 4, balance=policy)
        service = self.gateway.worker.services["all"]
        states: dict[int, State] = {}
        for index, state, tried in events:
            states[index] = state
            service.update(InstanceHealth("all", service.instances[index].url, state))
            may = [
                instance
                for number, instance in enumerate(service.instances)
                if states.get(number) != "unhealthy" and number not in tried
            ]
            chosen = service.choose(None, [service.instances[number] for number in tried])
            self.assertTrue(chosen in may if may else chosen is None)
