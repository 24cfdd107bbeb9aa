"""A limit against guessing passwords: logins that fail are counted by address and by account.

Each login is charged before it is passed on, so that many guesses at once cannot slip through together; when it does
not fail, both charges are given back. A login that the client breaks off counts as a failed one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from math import ceil

from twisted.logger import Logger

from tracseq_gateway.errors import INTERNAL, QUOTA_EXCEEDED, GatewayError
from tracseq_gateway.interfaces import Request, Stage
from tracseq_gateway.limits.gcra import Policy
from tracseq_gateway.limits.limiter import Charge, Limiter
from tracseq_gateway.limits.rules import Keys

LARGEST_LOGIN = 16 * 1024
"""Bytes of a login that are looked at; of a larger one only the address is counted."""


class LoginGuard:
    """The stage before the rates of a login path."""

    log = Logger()

    def __init__(
        self, by_address: Policy, by_account: Policy, member: str, limiter: Limiter, keys: Keys, following: Stage
    ) -> None:
        """``member`` names the account in the JSON body of a login."""
        self.limiter = limiter
        self.following = following
        self._policies = (by_address, by_account)
        self._member = member
        self._keys = keys
        self._address = keys.begin("failed-logins/address")
        self._account = keys.begin("failed-logins/account")

    def __call__(self, request: Request) -> None:
        """Take over a request: look at its body first, then ask."""
        if request.head.method != b"POST":
            self.following(request)
            return
        request.peek_body(LARGEST_LOGIN, lambda body: self._ask(request, body))

    def _ask(self, request: Request, body: bytes | None) -> None:
        keys = [self._address + self._keys.address(request.client)]
        account = account_of(body, self._member) if body is not None else None
        if account is not None:
            # An account's name is nobody's business in Redis, and may be as long as the client likes; JSON can hold
            # half of a surrogate pair.
            name = account.encode("utf-8", "surrogatepass")
            keys.append(self._account + hashlib.sha256(name).hexdigest()[:32].encode("ascii"))
        self.limiter.ask(_Login(self, request, keys, self._policies[: len(keys)]))

    def go_on(self, request: Request) -> None:
        """Pass a login on."""
        try:
            self.following(request)
        except Exception:
            self.log.failure("a login could not be passed on")
            request.refuse(GatewayError(INTERNAL))


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
            seconds = ceil(wait / 1e6)
            request.refuse(
                GatewayError(QUOTA_EXCEEDED, f"too many failed logins; try again in {seconds} s", retry_after=seconds)
            )
            return
        if not request.finished:
            request.at_end(self._ended)
            self._guard.go_on(request)

    def undecided(self) -> None:
        """See :class:`tracseq_gateway.limits.question.Question`: a guard that is down is replaced, never left out."""
        self._guard.limiter.local.ask(self)

    def _ended(self, request: Request) -> None:
        # That the rate of this client is used up says nothing of its password.
        limited = request.error is not None and request.error.kind is QUOTA_EXCEEDED
        if limited or not 400 <= request.status < 500:
            limiter = self._guard.limiter
            limiter.ask(Charge(limiter, self.keys, self.policies, (-1,) * len(self.keys)))


def account_of(body: bytes, member: str) -> str | None:
    """Read which account a login is for, in one spelling; None if the body does not say it."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    account = document.get(member) if isinstance(document, dict) else None
    return account.strip().lower() if isinstance(account, str) else None
