"""Retries: what is sent again, where, after which pause, and what keeps them from becoming a storm."""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet.error import ConnectionRefusedError
from twisted.trial.unittest import SynchronousTestCase

from tests.kit import OK, MemoryClient, MemoryGateway
from tests.test_upstream_attempts import AttemptTestCase, request
from tracseq_gateway.config.keys import Seconds, Size
from tracseq_gateway.config.upstream import Breaker, Instance, Outliers, Retries, Timeouts
from tracseq_gateway.upstream.retry import LEAST_BUDGET, RetryPolicy

AWAY = b"HTTP/1.1 503 Away\r\nContent-Length: 4\r\n\r\naway"


class RetryTests(AttemptTestCase):
    def make_with(self, count: int = 3, **settings: Any) -> None:
        self.gateway = MemoryGateway(
            answer=None,
            instances=tuple(Instance(f"http://127.0.0.1:{9001 + index}") for index in range(count)),
            **{
                "breaker": Breaker(failures=0),
                "outliers": Outliers(failures=0, share=0.0),
                **settings,
            },
        )
        self.service = self.gateway.service
        self.instances = self.gateway.worker.services["all"].instances
        self.policy = self.gateway.worker.services["all"].retries

    def assertRest(self) -> None:
        self.assertAtRest()
        self.assertEqual(self.policy.under_way, 0)

    def retried(self, client: MemoryClient) -> None:
        """Let the pause pass: the request has gone to a second instance."""
        self.assertEqual(len(self.service.connections), 1)
        self.gateway.clock.advance(0.026)
        self.assertEqual(self.ports, [9001, 9002])
        first, second = self.service.requests
        self.assertEqual((first.method, first.body), (second.method, second.body))
        self.assertEqual(first.values(b"x-request-id"), second.values(b"x-request-id"))
        self.service.connections[1].answer(OK)
        self.assertAnswer(client, 200)
        self.assertRest()

    def test_closed_without_an_answer(self) -> None:
        """An idempotent request goes to another instance, and the client hears only of that."""
        for method in (b"GET", b"HEAD", b"PUT", b"DELETE", b"OPTIONS"):
            self.make_with()
            client = self.ask(request(method, b"body" if method == b"PUT" else b""))
            self.service.connections[0].close(reset=True)
            if method == b"HEAD":
                continue
            self.retried(client)

    def test_statuses(self) -> None:
        """502, 503 and 504 are not passed on while another instance may know better; a 500 is."""
        for status in (502, 503, 504):
            self.make_with()
            client = self.ask()
            self.service.connections[0].answer(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % status)
            self.retried(client)
        self.make_with()
        client = self.ask()
        self.service.connections[0].answer(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
        self.assertAnswer(client, 500)

    def test_an_answer_whose_body_still_comes(self) -> None:
        """The rest of an answer that is not passed on is not read: its connection is closed."""
        self.make_with()
        client = self.ask()
        self.service.connections[0].answer(b"HTTP/1.1 503 No\r\nContent-Length: 99\r\n\r\nhalf")
        self.assertTrue(self.service.connections[0].transport.aborted)
        self.retried(client)

    def test_too_late(self) -> None:
        """A silent instance costs its time, then another one answers."""
        self.make_with(timeouts=Timeouts(response=Seconds(2.0)))
        client = self.ask()
        self.gateway.pass_time(2.3)
        self.assertEqual(self.ports, [9001, 9002])
        self.service.connections[1].answer(OK)
        self.assertAnswer(client, 200)
        self.assertRest()

    def test_garbage(self) -> None:
        """What is no HTTP is no answer."""
        self.make_with()
        client = self.ask()
        self.service.connections[0].answer(b"220 mail ready\r\n\r\n")
        self.retried(client)

    def test_what_may_have_acted(self) -> None:
        """POST and PATCH are never sent twice: the error or the answer goes to the client."""
        for method in (b"POST", b"PATCH"):
            self.make_with()
            client = self.ask(request(method, b"body"))
            self.service.connections[0].close()
            self.assertAnswer(client, 502, b"connection_terminated")
            self.make_with()
            client = self.ask(request(method, b"body"))
            self.service.connections[0].answer(AWAY)
            self.assertAnswer(client, 503)
            self.gateway.pass_time(1.0)
            self.assertEqual(self.ports, [9001])
            self.assertRest()

    def test_once_an_answer_has_begun(self) -> None:
        """An answer that breaks off is cut: what the client has of it cannot be taken back."""
        self.make_with()
        client = self.ask()
        self.service.connections[0].answer(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf")
        self.service.connections[0].close()
        self.gateway.pass_time(1.0)
        self.assertEqual(self.ports, [9001])
        self.assertTrue(client.closed)

    def test_as_often_as_configured(self) -> None:
        """So many further attempts, each at an instance that was not tried; then the last error is the answer."""
        for attempts in (0, 1, 2, 9):
            self.make_with(retries=Retries(attempts=attempts))
            client = self.ask()
            for number in range(3):
                if len(self.service.connections) > number:
                    self.service.connections[number].close()
                self.gateway.clock.advance(0.3)
            self.assertAnswer(client, 502, b"connection_terminated")
            self.assertEqual(len(self.ports), min(attempts + 1, 3))
            self.assertEqual(len(set(self.ports)), len(self.ports))
            self.assertRest()

    def test_a_single_instance(self) -> None:
        """There is no other one: the answer is passed on as it is."""
        self.make_with(1)
        client = self.ask()
        self.service.connections[0].answer(AWAY)
        self.assertEqual([answer.body for answer in client.answers()], [b"away"])
        self.assertRest()

    def test_retry_after(self) -> None:
        """A service's Retry-After of a second is waited for; more, or a date, is the client's to wait for."""
        self.make_with()
        client = self.ask()
        self.service.connections[0].answer(AWAY.replace(b"\r\n\r\n", b"\r\nRetry-After: 1\r\n\r\n"))
        self.gateway.clock.advance(0.9)
        self.assertEqual(len(self.ports), 1)
        self.gateway.clock.advance(0.2)
        self.assertEqual(len(self.ports), 2)
        self.service.connections[1].answer(OK)
        self.assertAnswer(client, 200)
        for value in (b"2", b"Wed, 21 Oct 2026 07:28:00 GMT", b"soon"):
            self.make_with()
            client = self.ask()
            self.service.connections[0].answer(AWAY.replace(b"\r\n\r\n", b"\r\nRetry-After: %b\r\n\r\n" % value))
            (answer,) = client.answers()
            self.assertEqual((answer.status, answer.values(b"retry-after")), (503, [value]))
            self.assertRest()

    def test_within_the_total_time(self) -> None:
        """Pauses and further attempts count, and what does not fit is not begun."""
        self.make_with(timeouts=Timeouts(total=Seconds(1.0)))
        client = self.ask()
        self.service.connections[0].answer(AWAY.replace(b"\r\n\r\n", b"\r\nRetry-After: 1\r\n\r\n"))
        self.assertAnswer(client, 503)
        self.make_with(timeouts=Timeouts(total=Seconds(1.0)))
        client = self.ask()
        self.gateway.pass_time(0.8)
        self.service.connections[0].close()
        self.gateway.pass_time(0.4)
        self.assertEqual(len(self.ports), 2)
        self.assertAnswer(client, 504, b"http_response_timeout")
        self.assertRest()

    def test_a_client_that_leaves(self) -> None:
        """In the pause before the next attempt: then there is none."""
        self.make_with()
        client = self.ask()
        self.service.connections[0].close()
        client.leave()
        self.gateway.pass_time(1.0)
        self.assertEqual(len(self.ports), 1)
        self.assertRest()

    def test_a_body_in_pieces(self) -> None:
        """What has come of a small body is sent again, and what comes in the pause goes along."""
        self.make_with()
        client = self.ask(b"PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n0123")
        client.send(b"4567")
        self.service.connections[0].close()
        client.send(b"89")
        self.gateway.clock.advance(0.026)
        client.send(b"ab")
        self.assertEqual([one.body for one in self.service.connections[1].requests], [b"0123456789ab"])
        self.service.connections[1].answer(OK)
        self.assertAnswer(client, 200)
        self.assertRest()

    def test_a_body_that_is_too_large_to_keep(self) -> None:
        """Is not sent again; one that came in one piece is there anyway."""
        self.make_with(retries=Retries(max_body=Size(6)))
        client = self.ask(b"PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n0123")
        client.send(b"4567")
        self.service.connections[0].close()
        self.assertAnswer(client, 502, b"connection_terminated")
        self.make_with(retries=Retries(max_body=Size(6)))
        client = self.ask(request(b"PUT", b"01234567"))
        self.service.connections[0].close()
        self.retried(client)


class BudgetTests(SynchronousTestCase):
    def test_share(self) -> None:
        """A fifth of what is under way, and three in any case."""
        for active, most in ((1, LEAST_BUDGET), (15, 3), (20, 4), (1000, 200)):
            policy = RetryPolicy(Retries(), partial(int, active), lambda: 0.5)
            while policy.has_budget():
                policy.under_way += 1
            self.assertEqual(policy.under_way, most)

    def test_no_storm(self) -> None:
        """When every answer is an error, a fifth of the requests is tried once more."""
        gateway = MemoryGateway(
            answer=None,
            instances=tuple(Instance(f"http://127.0.0.1:{9001 + index}") for index in range(3)),
            breaker=Breaker(failures=0),
            outliers=Outliers(failures=0, share=0.0),
        )
        clients = []
        for _ in range(200):
            client = gateway.client()
            client.send(request(b"GET"))
            clients.append(client)
        for _ in range(4):
            for connection in list(gateway.service.connections):
                if connection.protocol._exchange is not None:
                    connection.answer(AWAY)
            gateway.clock.advance(0.3)
        self.assertEqual([client.answers()[0].status for client in clients], [503] * 200)
        self.assertLessEqual(len(gateway.service.requests), 200 * 1.2)
        service = gateway.worker.services["all"]
        self.assertEqual(service.retries.under_way, 0)
        counts = service.passive.counts
        self.assertEqual(counts["retried"] + counts["retry_refused"], 200)

    def test_pauses(self) -> None:
        """Drawn from a bound that doubles with each attempt and stops at a quarter of a second."""
        policy = RetryPolicy(Retries(), lambda: 0, lambda: 1.0)
        self.assertEqual([policy.pause(n) for n in range(1, 7)], [0.025, 0.05, 0.1, 0.2, 0.25, 0.25])
        self.assertEqual(RetryPolicy(Retries(), lambda: 0, lambda: 0.0).pause(3), 0.0)
        self.assertEqual(policy.pause(1, b"1"), 1.0)
        self.assertEqual(policy.pause(1, b"0"), 0.025)

    def test_connections_that_fail(self) -> None:
        """Are within the budget too: a service that is down does not cost three attempts for each request."""
        gateway = MemoryGateway(
            instances=tuple(Instance(f"http://127.0.0.1:{9001 + index}") for index in range(3)),
            breaker=Breaker(failures=0),
            outliers=Outliers(failures=0),
        )
        gateway.service.hold = True
        clients = [gateway.client() for _ in range(30)]
        for client in clients:
            client.send(request(b"GET"))
        while gateway.service.held:
            gateway.service.turn_away(ConnectionRefusedError())
        self.assertEqual([client.answers()[0].status for client in clients], [502] * 30)
        self.assertLessEqual(len(gateway.service.attempts), 30 + 2 * 30 * 0.5)
