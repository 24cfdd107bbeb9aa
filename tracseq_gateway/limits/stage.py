"""The stage that lets a request go on to its service only if all of its limits admit it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil

from attrs import frozen
from twisted.logger import Logger

from tracseq_gateway.errors import INTERNAL, LIMITER_UNAVAILABLE, QUOTA_EXCEEDED, GatewayError
from tracseq_gateway.http.framing import CHUNKED
from tracseq_gateway.interfaces import Repeat, Request, Stage
from tracseq_gateway.limits.fields import LimitFields
from tracseq_gateway.limits.gcra import Policy
from tracseq_gateway.limits.limiter import Charge, Limiter, WhenDown
from tracseq_gateway.limits.rules import Keys, Rule

_ONE = (1,)
_log = Logger()

MOST_REFUSALS = 1000
"""Refusals that are kept ready; beyond it all are written anew."""


@frozen(eq=False)
class Limits:
    """What one service's requests are held to."""

    base: Rule
    """The rate of each client; an API key may have its own in its place."""
    further: tuple[Rule, ...] = ()
    when_down: WhenDown = "local"
    by_path: Callable[[bytes], Rule | None] | None = None
    """The one further limit that the rule for a path has."""


class LimitStage:
    """Asks, and goes on when the answer comes; takes a request over as the proxy does, so that nothing is made to wait
    by a Deferred."""

    def __init__(self, limits: Limits, limiter: Limiter, keys: Keys, fields: LimitFields, following: Stage) -> None:
        self.limits = limits
        self.limiter = limiter
        self.fields = fields
        self.following = following
        self._keys = keys
        self._base = (limits.base.policy,)
        self._several = bool(limits.further) or limits.by_path is not None
        self._own: dict[str, tuple[Policy, ...]] = {}
        self._refusals: dict[bytes, tuple[tuple[int, int], bytes, GatewayError]] = {}

    def __call__(self, request: Request) -> None:
        """Take over a request."""
        identity = request.identity
        policies: tuple[Policy, ...] = self._base
        if identity is not None and identity.rate_limit is not None:
            policies = self._own.get(identity.key_name) or self._own_policies(identity.key_name, request)
        keys: Sequence[bytes] = (self.limits.base.prefix + self._keys.client(request),)
        units: Sequence[int] = _ONE
        if self._several:
            policies, keys, units = self._all(request, policies, keys)
        refused = self.limiter.refused(keys)
        if refused:
            self.limiter.outcomes["remembered"] += 1
            request.limit = "remembered"
            if units is _ONE:
                self._refuse_again(request, keys[0], policies, refused[0][1])
                return
            violated = [policies[index] for index, _ in refused]
            # What is remembered is when one unit may come.
            waits = [
                wait + policy.interval * (min(units[index], policy.burst) - 1)
                for policy, (index, wait) in zip(violated, refused, strict=True)
            ]
            self.refuse(request, violated, max(waits))
        else:
            self.limiter.ask(Admission(self, request, policies, keys, units))

    def refuses(self, request: Request) -> bool:
        """Whether it is known, without asking, that this client's rate is used up."""
        return bool(self.limiter.refused((self.limits.base.prefix + self._keys.client(request),)))

    def refuse(self, request: Request, violated: Sequence[Policy], wait: float) -> None:
        """Answer 429: the request may come again after ``wait`` microseconds."""
        if request.finished:
            return
        request.answer_lines += self.fields.lines(tuple(violated), [policy.tolerance for policy in violated], wait)
        request.refuse(quota_exceeded(violated, ceil(wait / 1e6)))

    def _refuse_again(self, request: Request, key: bytes, policies: tuple[Policy, ...], wait: float) -> None:
        """The same for the usual single limit: within one second a client gets the same words, which are kept."""
        seconds = ceil(wait / 1e6)
        now = self.limiter.seconds()
        moment = int(now), seconds
        kept = self._refusals.get(key)
        if kept is None or kept[0] != moment:
            if len(self._refusals) >= MOST_REFUSALS:
                self._refusals.clear()
            lines = self.fields.lines(policies, [policies[0].tolerance], wait)
            self._refusals[key] = kept = (moment, lines, quota_exceeded(policies, seconds))
        request.answer_lines += kept[1]
        # The words hold as long as neither the second nor the seconds that are left are others.
        request.repeat = Repeat(min(moment[0] + 1, now + wait / 1e6 - seconds + 1), self._count_again)
        request.refuse(kept[2])

    def _count_again(self) -> None:
        self.limiter.outcomes["remembered"] += 1

    def _own_policies(self, name: str, request: Request) -> tuple[Policy, ...]:
        """The limit of an API key that has its own."""
        own = request.identity.rate_limit if request.identity is not None else None
        assert own is not None, "asked for an API key with a rate"
        policies = (Policy(self.limits.base.policy.name, own.requests_per_minute, own.burst),)
        self._own[name] = policies
        return policies

    def _all(
        self, request: Request, policies: tuple[Policy, ...], keys: Sequence[bytes]
    ) -> tuple[tuple[Policy, ...], Sequence[bytes], Sequence[int]]:
        """The limits that hold for this request, beside each client's rate."""
        head = request.head
        every, names, units = [*policies], [*keys], [1]
        own = self.limits.by_path(head.path) if self.limits.by_path is not None else None
        for rule in self.limits.further if own is None else (own, *self.limits.further):
            if rule.applies is not None and not rule.applies(head):
                continue
            count = 1
            if rule.policy.unit == "bytes":
                length = head.fields.length
                if not length:
                    continue
                # How long a chunked body is, is known when it has come: then the rest of it is charged.
                count = 1 if length == CHUNKED else length
            every.append(rule.policy)
            names.append(self._keys.of(rule, request))
            units.append(count)
        return tuple(every), names, units


def pass_on(request: Request, following: Stage) -> None:
    """Go on with a request whose answer came in a reply of Redis; a failure must not touch the others of that reply."""
    try:
        following(request)
    except Exception:
        _log.failure("a request could not be passed on: {path!r}", path=request.head.path)
        request.break_off(GatewayError(INTERNAL))


def quota_exceeded(violated: Sequence[Policy], seconds: int, what: str = "the rate limit is used up") -> GatewayError:
    """The error 429 that names the limits ``violated``."""
    return GatewayError(
        QUOTA_EXCEEDED,
        f"{what}; try again in {seconds} s",
        retry_after=seconds,
        members=(("violated-policies", [policy.name for policy in violated]),),
    )


class Admission:
    """One request and the question whether it may go on."""

    __slots__ = ("_alone", "_request", "_stage", "keys", "policies", "units")

    def __init__(
        self,
        stage: LimitStage,
        request: Request,
        policies: tuple[Policy, ...],
        keys: Sequence[bytes],
        units: Sequence[int],
    ) -> None:
        self._stage = stage
        self._request = request
        self._alone = False
        self.policies = policies
        self.keys = keys
        self.units = units

    def decided(self, wait: float, ahead: Sequence[float]) -> None:
        """See :class:`tracseq_gateway.limits.question.Question`."""
        request, stage = self._request, self._stage
        limiter = stage.limiter
        if not self._alone:
            request.limit = outcome = "refused" if wait > 0 else "admitted"
            limiter.outcomes[outcome] += 1
        if wait > 0:
            limiter.remember(self, ahead)
            stage.refuse(request, self._violated(ahead), wait)
            return
        if request.finished:
            return
        request.answer_lines += stage.fields.lines(self.policies, ahead)
        if self.units is not _ONE and request.head.fields.length:
            request.at_end(self._settle)
        pass_on(request, stage.following)

    def _violated(self, ahead: Sequence[float]) -> list[Policy]:
        """The limits that refused; a worker's share refuses before the whole limit would: then the nearest to it."""
        missing = [
            reset + min(units, policy.burst) * policy.interval - policy.tolerance
            for policy, reset, units in zip(self.policies, ahead, self.units, strict=True)
        ]
        nearest = max(missing)
        return [policy for policy, units in zip(self.policies, missing, strict=True) if units > 0 or units == nearest]

    def undecided(self) -> None:
        """See :class:`tracseq_gateway.limits.question.Question`: Redis is away."""
        stage, request = self._stage, self._request
        mode = stage.limits.when_down
        stage.limiter.outcomes[mode] += 1
        request.limit = mode
        if mode == "local":
            self._alone = True
            stage.limiter.local.ask(self)
        elif mode == "open":
            if not request.finished:
                pass_on(request, stage.following)
        else:
            request.refuse(GatewayError(LIMITER_UNAVAILABLE, "rates cannot be checked at the moment", retry_after=1))

    def _settle(self, request: Request) -> None:
        """It is known now how many bytes have come: charge what was missing, give back what did not come."""
        owed = [
            (key, policy, request.received - units)
            for key, policy, units in zip(self.keys, self.policies, self.units, strict=True)
            if policy.unit == "bytes" and request.received != units
        ]
        if owed:
            keys, policies, units = zip(*owed, strict=True)
            limiter = self._stage.limiter
            limiter.forget(keys)
            limiter.ask(Charge(limiter, keys, policies, units))
