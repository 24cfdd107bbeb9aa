"""What a call to Redis may fail with: the server said no, or there was no answer."""

from __future__ import annotations

import re
from typing import Literal, TypeVar

from OpenSSL.SSL import Error as TLSError
from service_identity import CertificateError, VerificationError
from twisted.internet import defer, error
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

Kind = Literal["connection", "timeout", "protocol", "replica", "refused", "stopped"]
"""Why there was no answer: no connection, none in time, one that made no sense, not from a master, the server said to
another call that it is of no use at present, or we stopped."""

LONGEST_REASON = 200
"""Characters of a reason."""

TIMEOUTS = (defer.TimeoutError, error.TimeoutError)
"""What Twisted raises when something did not happen in time."""

Given = TypeVar("Given")

_QUOTE = re.compile(r"['\"`]")


class RedisError(Exception):
    """The server answered with an error; the connection goes on."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        """As the server wrote it. It may quote what it was sent."""
        self.code = message.partition(" ")[0]
        """Its first word, such as ``NOSCRIPT``, ``OOM`` or ``ERR``."""

    @property
    def reason(self) -> str:
        """The message up to where it quotes what it was sent, which may be a password."""
        return _QUOTE.split(self.message, maxsplit=1)[0].strip()[:LONGEST_REASON]


class RedisUnavailable(Exception):
    """There was no answer. The command may have been carried out, unless there was no connection to send it by."""

    def __init__(self, reason: str, kind: Kind = "connection") -> None:
        super().__init__(reason)
        self.reason = reason
        """Why, in a few words, without secrets."""
        self.kind = kind


def cause(failure: Failure) -> BaseException:
    """Give the exception of a failure."""
    assert failure.value is not None
    return failure.value


def in_time(result: Deferred[Given], seconds: float, clock: IReactorTime) -> Deferred[Given]:
    """Cancel ``result`` after so many seconds; then it fails with TimeoutError of :mod:`twisted.internet.defer`,
    whatever the cancelled work made of it: connecting has an error of its own for that."""

    def late(_result: object, _seconds: float) -> Given:
        raise defer.TimeoutError

    result.addTimeout(seconds, clock, late)
    return result


def in_words(problem: BaseException) -> str:
    """Say why there is no connection, in a few words, without secrets."""
    if isinstance(problem, RedisError | RedisUnavailable):
        return problem.reason
    if isinstance(problem, VerificationError | CertificateError):
        return "TLS: the certificate is not for this name"
    if isinstance(problem, TLSError):
        # OpenSSL's list of (library, function, reason); none when the peer just closed.
        stack = problem.args[0] if problem.args and isinstance(problem.args[0], list) else []
        return f"TLS: {stack[-1][-1] if stack else 'closed by the server'}"
    if isinstance(problem, TIMEOUTS):
        return "no answer in time"
    if isinstance(problem, ConnectionDone):
        return "closed by the server"
    return (str(problem) or type(problem).__name__)[:LONGEST_REASON]
