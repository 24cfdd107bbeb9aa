"""A limit against guessing passwords: logins that fail are counted by address and by account.

Each login is charged before it is passed on, so that many guesses at once cannot slip through together; when it does
not fail, both charges are given back. A login that the client breaks off counts as a failed one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from math import ceil

from tracseq_gateway.errors import (
    BAD_REQUEST,
    BODY_TOO_LARGE,
    QUOTA_EXCEEDED,
    UNSUPPORTED_MEDIA_TYPE,
    GatewayError,
)
from tracseq_gateway.interfaces import Request
from tracseq_gateway.limits import gcra
from tracseq_gateway.limits.fields import LimitFields
from tracseq_gateway.limits.gcra import Policy
from tracseq_gateway.limits.limiter import Charge, Limiter
from tracseq_gateway.limits.rules import Keys
from tracseq_gateway.limits.stage import LimitStage, pass_on, quota_exceeded

LARGEST_LOGIN = 16 * 1024
"""Bytes of the largest login that is passed on: it must be possible to see whose it is."""
MOST_ACCOUNTS = 4
"""Accounts that one login may name before it is refused."""


class LoginGuard:
    """The stage before the rates of a login path."""

    def __init__(
        self,
        by_address: Policy,
        by_account: Policy,
        member: str,
        limiter: Limiter,
        keys: Keys,
        fields: LimitFields,
        following: LimitStage,
    ) -> None:
        """``member`` names the account in the JSON body of a login; empty: only addresses are counted."""
        self.limiter = limiter
        self.following = following
        self._fields = fields
        self._policies = (by_address, by_account)
        self._member = member
        self._keys = keys
        self._address = keys.begin("!failed-logins/address")
        self._account = keys.begin("!failed-logins/account")

    def __call__(self, request: Request) -> None:
        """Take over a request: look at its body first, then ask."""
        if request.head.method != b"POST" or self.following.refuses(request):
            # Who is refused anyway costs nobody a look at a body, and no account anything.
            self.following(request)
            return
        address = self._address + self._keys.address(request.client)
        if known := self.limiter.refused((address,)):
            self.refuse(request, known[0][1], self._policies[:1], (self._policies[0].tolerance,))
            return
        if not self._member:
            self._ask(request, b"")
            return
        refusal = _unclear(request)
        if refusal is not None:
            request.refuse(refusal)
            return
        request.peek_body(LARGEST_LOGIN, lambda body: self._ask(request, body))

    def _ask(self, request: Request, body: bytes | None) -> None:
        if body is None:
            request.refuse(GatewayError(BODY_TOO_LARGE, f"a login larger than {LARGEST_LOGIN} bytes"))
            return
        accounts = accounts_of(body, self._member) if self._member else []
        if self._member and not 1 <= len(accounts) <= MOST_ACCOUNTS:
            request.refuse(GatewayError(BAD_REQUEST, f'a login is a JSON object with one "{self._member}"'))
            return
        by_address, by_account = self._policies
        keys = [self._address + self._keys.address(request.client)]
        # An account's name is nobody's business in Redis, and may be as long as the client likes.
        keys += [self._account + hashlib.sha256(account).hexdigest()[:32].encode("ascii") for account in accounts]
        self.limiter.ask(_Login(self, request, keys, (by_address, *[by_account] * len(accounts))))

    def refuse(self, request: Request, wait: float, policies: tuple[Policy, ...], ahead: Sequence[float]) -> None:
        """Answer 429: a login may come again after ``wait`` microseconds."""
        if request.finished:
            return
        seconds = ceil(wait / 1e6)
        request.answer_lines += self._fields.lines(policies, ahead, wait)
        request.refuse(quota_exceeded(policies, seconds, "too many failed logins"))


class _Login:
    """One login: a question to the limiter, and what becomes of it."""

    def __init__(self, guard: LoginGuard, request: Request, keys: list[bytes], policies: tuple[Policy, ...]) -> None:
        self._guard = guard
        self._request = request
        self.keys = keys
        self.policies = policies
        self.units = (1,) * len(keys)

    def decided(self, wait: float, ahead: Sequence[float]) -> None:
        """See :class:`tracseq_gateway.limits.question.Question`."""
        request = self._request
        if wait > 0:
            self._guard.limiter.remember(self, ahead)
            violated = [
                (policy, reset)
                for policy, reset in zip(self.policies, ahead, strict=True)
                if gcra.wait(policy, reset, 1) > 0
            ]
            policies, resets = zip(*violated, strict=True) if violated else (self.policies, ahead)
            self._guard.refuse(request, wait, tuple(dict.fromkeys(policies)), resets[: len(set(policies))])
            return
        if not request.finished:
            request.at_end(self._ended)
            pass_on(request, self._guard.following)

    def undecided(self) -> None:
        """See :class:`tracseq_gateway.limits.question.Question`: a guard that is down is replaced, never left out."""
        self._guard.limiter.local.ask(self)

    def _ended(self, request: Request) -> None:
        # That the rate of this client is used up says nothing of its password.
        limited = request.error is not None and request.error.kind is QUOTA_EXCEEDED
        if limited or not 400 <= request.status < 500:
            limiter = self._guard.limiter
            limiter.forget(self.keys)
            limiter.ask(Charge(limiter, self.keys, self.policies, (-1,) * len(self.keys)))


def _unclear(request: Request) -> GatewayError | None:
    """Refuse what a service may read in another way than as the JSON that we look at."""
    fields = request.head.fields.pairs
    types = [value.partition(b";")[0].strip().lower() for name, value in fields if name == b"content-type"]
    encodings = [value.lower() for name, value in fields if name == b"content-encoding"]
    if len(types) != 1 or not (types[0] == b"application/json" or types[0].endswith(b"+json")):
        return GatewayError(UNSUPPORTED_MEDIA_TYPE, "a login is application/json")
    if any(encoding != b"identity" for encoding in encodings):
        return GatewayError(UNSUPPORTED_MEDIA_TYPE, "a login that is encoded")
    return None


def accounts_of(body: bytes, member: str) -> list[bytes]:
    """Read which accounts a login may be for, each in one spelling; none if the body does not say it.

    Of a member that is there twice, or in another case too, services take one or the other, so all of them count.
    """
    try:
        document = json.loads(body.decode("utf-8"), object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return []
    if not isinstance(document, _Pairs):
        return []
    found: dict[bytes, None] = {}
    for name, value in document:
        if name.lower() == member.lower() and isinstance(value, str):
            # JSON can hold half of a surrogate pair.
            found[value.strip().lower().encode("utf-8", "surrogatepass")] = None
    return list(found)


class _Pairs(list[tuple[str, object]]):
    """An object of JSON, with members that are there twice."""
