"""Follows a request's way, step by step, up to the one that ends it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from attrs import define
from twisted.logger import Logger

from tracseq_gateway.access_log.redaction import Redactor
from tracseq_gateway.errors import RequestRefused
from tracseq_gateway.service.explain import before, front, limits, outcome, service
from tracseq_gateway.service.explain.caller import caller
from tracseq_gateway.service.explain.kept import cache
from tracseq_gateway.service.explain.parts import Parts
from tracseq_gateway.service.explain.question import BadQuestion, Question
from tracseq_gateway.service.explain.report import Step, packed, shortened, text_of
from tracseq_gateway.service.explain.request import RehearsedRequest
from tracseq_gateway.service.way import Way
from tracseq_gateway.upstream.rehearsal import Rehearsal

_log = Logger()

AHEAD = (
    "addresses",
    "cors",
    "route",
    "hops",
    "load",
    "body",
    "identity",
    "at once",
    "limits",
    "cache",
    "circuit",
    "instances",
    "times",
)
"""The steps behind the first one."""


@define
class _Told:
    """What was found out so far."""

    question: Question
    live: bool
    redactor: Redactor
    steps: list[Step]
    upstream: dict[str, Any] | None = None
    answer: dict[str, Any] | None = None

    def add(self, step: Step) -> bool:
        """Note a step; return whether the request goes on."""
        self.steps.append(step)
        return not step.ends

    def document(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        last = self.steps[-1].outcome
        reached = {step.name for step in self.steps}
        path, mark, query = self.question.target.encode("utf-8", "surrogateescape").partition(b"?")
        method = text_of(self.question.method.encode("utf-8", "surrogateescape"))
        return {
            "request": {
                "method": shortened(method, 40),
                "target": shortened(text_of(path + self.redactor(mark + query)), 1000),
                "from": self.question.address,
            },
            "live": self.live,
            "outcome": last if last in ("refused", "answered", "unknown") else "passed",
            "steps": [step.bounded() for step in self.steps],
            "not_reached": [name for name in AHEAD if name not in reached],
            "upstream": self.upstream,
            "answer": self.answer,
        }


async def report(parts: Parts, question: bytes) -> bytes:
    """The same, from JSON to JSON. For what cannot be asked, or fails, it is an object with an ``error``."""
    try:
        return packed(await explain(parts, Question.of(json.loads(question))))
    except BadQuestion as error:
        return json.dumps({"error": str(error)}).encode("ascii")
    except Exception as error:
        # Its text may quote what was asked, and so may the places that it passed.
        _log.error("a request could not be explained: {kind}", kind=type(error).__name__)
        return json.dumps({"error": f"the request cannot be explained ({type(error).__name__})"}).encode("ascii")


async def explain(parts: Parts, question: Question) -> dict[str, Any]:
    """Say what would become of a request, as a document for JSON.

    Nothing is sent to a service, and nothing is charged, counted or remembered. Only with ``question.ask`` the Auth
    Service may be asked about a token, as by a request.
    """
    told = _Told(question, parts.live, Redactor(parts.config.access_log.redact), [])
    step, request = front.received(parts, question, _body(parts, question))
    told.add(step)
    if isinstance(request, RequestRefused):
        told.answer = outcome.answer(front.unread(parts, question, request), request.error, told.redactor)
        return told.document()
    try:
        rehearsal = await _follow(parts, question, request, told)
    finally:
        # Who works on it lets go of it; timers are stopped.
        request.client_gone()
    if rehearsal is not None and rehearsal.passed_on is not None:
        told.upstream = outcome.upstream(request.service, rehearsal.passed_on, told.redactor)
    elif request.channel.answer:
        told.answer = outcome.answer(request.channel.answer, request.error, told.redactor)
    return told.document()


def _body(parts: Parts, question: Question) -> bytes | None:
    """The body of a login, if it is known whose it is."""
    member = parts.config.rate_limit.failed_logins.account
    return None if question.account is None else json.dumps({member: question.account}).encode("ascii")


async def _follow(parts: Parts, question: Question, request: RehearsedRequest, told: _Told) -> Rehearsal | None:
    if not told.add(front.addresses(parts, request)) or not told.add(front.cors(parts, request)):
        return None
    step, way = front.route(parts, request)
    if not told.add(step) or way is None:
        return None
    doors: tuple[Callable[[Parts, RehearsedRequest, Way], Step], ...] = (before.hops, before.load, before.body)
    for door in doors:
        if not told.add(door(parts, request, way)):
            return None
    if not told.add(await caller(parts, request, way, question.ask)):
        return None
    if not told.add(before.at_once(parts, request, way)):
        return None
    step, rehearsal = await limits.run(parts, request, way)
    passes = told.add(step)
    if passes and way.uploads is not None and way.uploads.concerns(request.head):
        told.add(service.upload(way.uploads, request))
        return None
    passes = passes and told.add(cache(parts, request, way)) and told.add(service.circuit(parts, request, way))
    if passes and told.add(service.instances(parts, request, way, rehearsal)):
        told.add(service.times(parts, request, way))
    return rehearsal
