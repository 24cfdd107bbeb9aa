"""What an explanation says is what the gateway then does: with the same status, the same instance, the same bytes."""

from __future__ import annotations

import json
from typing import Any

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.explain_kit import SERVICES, Laboratory, answer_lines, comparable, head_of
from tests.identity_lab import KEY, OLD_KEY
from tracseq_gateway.interfaces import InstanceHealth, Observation
from tracseq_gateway.service.explain import Question

METHODS = st.sampled_from(["GET", "GET", "GET", "POST", "DELETE", "OPTIONS", "HEAD", "PUT", "TRACE", "get", "BREW"])
PATHS = st.sampled_from(
    [
        "/samples/1",
        "/samples/1?full=1&access_token=hidden",
        "/samples",
        "/samples/./x/../7",
        "/samples/open/2",
        "/samples/OPEN/3",
        "/samples/slow",
        "/samples/news",
        "/samples/far/away",
        "/samplesx",
        "/storage/a//b",
        "/storage",
        "/board/1",
        "/board/2",
        "/auth/login",
        "/auth/me",
        "/nowhere",
        "/samples/%2e%2e/%2fx",
        "/a\\b",
        "*",
        "http://gw.test/samples/9",
        "no-path",
    ]
)
FIELDS = st.lists(
    st.sampled_from(
        [
            "Origin: https://lab.tracseq.com",
            "Origin: https://elsewhere.example",
            "Access-Control-Request-Method: PUT",
            "Content-Type: application/json",
            "Content-Type: text/plain",
            "Content-Length: 20",
            "Content-Length: 900",
            "Content-Length: 5000",
            "Cookie: tsq=nothing; session=secret",
            "X-Request-Id: abc-123",
            "X-User-Id: somebody-else",
            "X-Forwarded-For: 198.51.100.9",
            "Via: 1.1 tracseq-gateway, 1.1 tracseq-gateway",
            "Max-Forwards: 0",
            "Connection: X-Hop",
            "X-Hop: for one hop",
            "Expect: 100-continue",
            "Expect: something",
            "Authorization: Basic dTpw",
            "Bad Name: x",
            "Host: a b",
        ]
    ),
    max_size=4,
)
ADDRESSES = st.sampled_from(["192.0.2.7", "192.0.2.7", "2001:db8::1", "10.1.2.3", "203.0.113.9"])
CALLERS = st.sampled_from(
    ["", "lab_technician", "lab_technician", "lab_administrator", "guest", "expired", "bad", "key", "old key"]
)
REQUESTS = st.fixed_dictionaries(
    {
        "method": METHODS,
        "target": PATHS,
        "fields": FIELDS.map(tuple),
        "address": ADDRESSES,
        "account": st.sampled_from([None, None, "a@lab.test", "b@lab.test"]),
    }
)
INSTANCES = st.sampled_from([(name, one.url) for name, service in SERVICES.items() for one in service.instances])
EVENTS = st.one_of(
    st.none(),
    st.sampled_from([1.0, 30.0]),
    st.builds(lambda one: InstanceHealth(one[0], one[1], "healthy"), INSTANCES),
    st.builds(lambda one: InstanceHealth(one[0], one[1], "unhealthy"), INSTANCES),
    st.builds(lambda one: InstanceHealth(one[0], one[1], "healthy", drained=True), INSTANCES),
    st.builds(lambda one: Observation(one[0], one[1], "ejected", 20.0, "it failed"), INSTANCES),
    st.builds(lambda one: Observation(one[0], "", "opened", 5.0, "all fail"), INSTANCES),
)
"""What happens between two requests: nothing, time passes, a probe ends, an operator drains, or a worker finds out."""
STEPS = st.lists(st.tuples(EVENTS, REQUESTS, CALLERS, st.sampled_from([1, 1, 1, 2, 7])), min_size=1, max_size=8)


class AgreementTests(SynchronousTestCase):
    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(STEPS)
    def test_agreement(self, steps: list[tuple[Any, dict[str, Any], str, int]]) -> None:
        """Whatever comes, in whatever order: each request fares as was said just before it."""
        lab = Laboratory()
        for event, request, caller, times in steps:
            self.happen(lab, event)
            for _ in range(times):
                self.agree(lab, Question(**{**request, **self.credential(lab, caller)}))

    def happen(self, lab: Laboratory, event: float | InstanceHealth | Observation | None) -> None:
        if isinstance(event, InstanceHealth):
            lab.worker.update_instances([event])
        elif isinstance(event, Observation):
            lab.worker.take_observation(event)
        elif event is not None:
            lab.pass_time(event, 0.5)

    def credential(self, lab: Laboratory, caller: str) -> dict[str, str]:
        if caller in ("key", "old key"):
            return {"api_key": (KEY if caller == "key" else OLD_KEY).key}
        if caller == "bad":
            return {"token": lab.token() + "x"}
        if caller == "expired":
            return {"token": lab.token(exp=int(lab.now()) - 100)}
        return {"token": lab.token(caller, caller)} if caller else {}

    def agree(self, lab: Laboratory, question: Question) -> None:
        """Have a request explained, make it, and compare."""
        if question.account is not None:  # its length goes with it
            fields = tuple(line for line in question.fields if not line.startswith("Content-Length"))
            question = evolve(question, fields=fields)
        said = lab.explain(**json.loads(question.packed()))
        self.assertNotIn("error", said, question)
        done = lab.make(question)
        about = f"{question}\n{json.dumps(said, indent=1)}\n{done}"
        if done.received is not None:
            self.assertEqual("passed", said["outcome"], about)
            self.assertEqual(done.instance, said["upstream"]["instance"], about)
            shown = comparable(said["upstream"]["head"])
            received = head_of(done.received)
            self.assertEqual(received[0].replace("access_token=hidden", "access_token=[redacted]"), shown[0], about)
            self.assertEqual(received[1:], shown[1:], about)
            return
        self.assertIn(said["outcome"], ("refused", "answered"), about)
        if said["answer"] is None:
            self.assertEqual("route", said["steps"][-1]["name"], about)  # a page of the gateway's own
            return
        self.assertEqual(done.answer.status, said["answer"]["status"], about)
        self.assertEqual(answer_lines(done.answer), comparable(said["answer"]["head"][1:]), about)
        self.assertEqual(bool(done.answer.body), bool(said["answer"]["body"]), about)
        if done.answer.body:
            body, told = json.loads(done.answer.body), json.loads(said["answer"]["body"])
            self.assertEqual({**body, "request_id": ""}, {**told, "request_id": ""}, about)
            self.assertEqual(body["type"], said["answer"]["type"], about)
