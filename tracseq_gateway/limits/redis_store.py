"""The limiter that all workers of all hosts share: questions of one reactor turn go to Redis in one call.

Redis runs the script as one step, so what it decides is exact however many ask; by its own clock, so that the hosts'
clocks do not matter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from tracseq_gateway.limits.question import Question

SCRIPT = (files(__package__) / "gcra.lua").read_bytes()
SCRIPT_SHA = hashlib.sha1(SCRIPT, usedforsecurity=False).hexdigest().encode("ascii")
MOST_IN_CALL = 256
"""Questions in one call, which bounds how long Redis is busy with it: some 2 ms."""
_ONE = (1,)
QUIET_SECONDS = 10.0
"""Between two lines of the log about errors."""
SUSPENDED_SECONDS = 0.25
"""How long Redis is left alone when it answers with an error."""


class Link(Protocol):
    """The connection to Redis: ``tracseq_gateway.redis.link.RedisLink``."""

    ready: bool

    def call(self, *arguments: bytes | int | str) -> Deferred[Any]:
        """Send a command; fails when the server is not there, does not answer in time, or answers with an error."""

    def distrust(self, reason: str) -> None:
        """End the connection: its replies are not what was asked for."""


class RedisStore:
    """Asks Redis."""

    _log = Logger()

    def __init__(
        self, link: Link, reactor: IReactorTime, called: Callable[[str, float], None] = lambda outcome, seconds: None
    ) -> None:
        """``called`` is told how each call ended, ``ok``, ``error`` or ``timeout``, and how many seconds it took."""
        self._called = called
        self._link = link
        self._reactor = reactor
        self._questions: list[Question] = []
        self._suspended = 0.0
        self._quiet_until = 0.0

    @property
    def usable(self) -> bool:
        """Whether there is somebody to ask."""
        return self._link.ready and (not self._suspended or self._reactor.seconds() >= self._suspended)

    @property
    def sound(self) -> bool:
        """Whether it is reached, and its last answer was none of an error."""
        return self._link.ready and not self._suspended

    def ask(self, question: Question) -> None:
        """Ask together with all that is asked in this turn of the reactor."""
        if not self._questions:
            self._reactor.callLater(0, self._send)
        self._questions.append(question)

    def _send(self) -> None:
        questions, self._questions = self._questions, []
        for start in range(0, len(questions), MOST_IN_CALL):
            self._call(questions[start : start + MOST_IN_CALL], b"EVALSHA", SCRIPT_SHA)

    def _call(self, questions: Sequence[Question], command: bytes, script: bytes) -> None:
        keys: list[bytes] = []
        arguments: list[bytes] = []
        for question in questions:
            keys += question.keys
            if question.units == _ONE:
                arguments += question.policies[0].alone
                continue
            arguments.append(b"%d" % len(question.keys))
            for policy, units in zip(question.policies, question.units, strict=True):
                arguments += policy.arguments
                arguments.append(b"1" if units == 1 else b"%d" % units)
        begun = self._reactor.seconds()
        answer = self._link.call(command, script, len(keys), *keys, *arguments)
        answer.addCallbacks(
            self._answered,
            self._failed,
            (questions, len(questions) + len(keys), begun),
            {},
            (questions, command, begun),
        )
        answer.addErrback(self._broken)

    def _answered(self, answer: Any, questions: Sequence[Question], size: int, begun: float) -> None:
        """Take a reply, which should be ``size`` integers."""
        if type(answer) is not list or len(answer) != size or any(type(number) is not int for number in answer):
            # Whose reply this is nobody knows, nor whose the next one would be.
            self._called("error", self._reactor.seconds() - begun)
            for question in questions:
                question.undecided()
            self._link.distrust("a reply of another form than was asked for")
            return
        self._called("ok", self._reactor.seconds() - begun)
        if self._suspended:
            self._suspended = 0.0
            self._log.info("Redis limits rates again")
        at = 0
        for question in questions:
            end = at + 1 + len(question.keys)
            try:
                if answer[at] < 0:
                    question.undecided()
                else:
                    question.decided(answer[at], answer[at + 1 : end])
            except Exception:
                self._log.failure("an answer of Redis could not be acted on")
            at = end

    def _failed(self, failure: Failure, questions: Sequence[Question], command: bytes, begun: float) -> None:
        code = getattr(failure.value, "code", "")
        self._called("error" if code else "timeout", self._reactor.seconds() - begun)
        if code == "NOSCRIPT" and command == b"EVALSHA":
            # Redis was restarted, or told to forget: EVAL runs the script and has it kept again.
            self._call(questions, b"EVAL", SCRIPT)
            return
        if code:
            if not self._suspended and self._reactor.seconds() >= self._quiet_until:
                self._quiet_until = self._reactor.seconds() + QUIET_SECONDS
                self._log.warn("Redis cannot limit rates: {error}", error=failure.getErrorMessage())
            self._suspended = self._reactor.seconds() + SUSPENDED_SECONDS
        for question in questions:
            question.undecided()

    def _broken(self, failure: Failure) -> None:
        self._log.failure("an answer of Redis could not be acted on", failure=failure)
