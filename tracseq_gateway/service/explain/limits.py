"""The last steps, in one go: how often, and then to whom and with which bytes."""

from __future__ import annotations

from math import ceil

from twisted.internet.defer import Deferred

from tracseq_gateway.interfaces import Stage
from tracseq_gateway.limits.peeking import Peeked, PeekingLimiter
from tracseq_gateway.service.explain.parts import Parts
from tracseq_gateway.service.explain.report import Step, listed
from tracseq_gateway.service.explain.request import RehearsedRequest
from tracseq_gateway.service.rates import Rates
from tracseq_gateway.service.way import Way
from tracseq_gateway.upstream.rehearsal import Rehearsal

WORKED = {
    "admitted": "all workers together count, in Redis",
    "refused": "all workers together count, in Redis",
    "remembered": "refused without asking Redis: a refusal of a moment ago is remembered",
    "local": "Redis is away: this worker counts alone, and gives out its share",
    "open": "Redis is away: nothing is limited",
    "closed": "Redis is away: everything is refused",
}
"""By the limiter's words for it."""


async def run(parts: Parts, request: RehearsedRequest, way: Way) -> tuple[Step, Rehearsal]:
    """Let the limits look, and behind them the service. The step is about the limits."""
    rehearsal, limiter, withheld = await _pass(parts, request, way, by_account=True)
    if withheld:
        rehearsal, limiter, _ = await _pass(parts, request, way, by_account=False)
    if limiter is None:
        return Step("limits", "skipped", "rates are not limited (rate_limit.enabled)"), rehearsal
    step = _told(parts, limiter)
    if withheld:
        step.lines.append("for which account is not known (--account): only what holds for the address is looked at")
    if rehearsal.reached or request.error is None:
        return step, rehearsal
    step.outcome, step.summary = "refused", request.error.detail
    return step, rehearsal


async def _pass(
    parts: Parts, request: RehearsedRequest, way: Way, *, by_account: bool
) -> tuple[Rehearsal, PeekingLimiter | None, bool]:
    """Pass what is behind the doors; also return whether the limits wanted to see a body that is not known."""
    done: Deferred[None] = Deferred()

    def told() -> None:
        if not done.called:
            done.callback(None)

    request.withheld = False
    request.channel.told = told
    rehearsal = Rehearsal(way.proxy, told)
    stage: Stage = rehearsal
    limiter = None
    if parts.rates is not None:
        limiter = parts.rates.peeking(live=parts.live)
        rates: Rates = parts.rates.rehearsal(limiter, by_account=by_account)
        stage = rates.stage(way.settings, way.prefix, rehearsal)
    stage(request)
    await done
    return rehearsal, limiter, request.withheld


def _told(parts: Parts, limiter: PeekingLimiter) -> Step:
    lines = [_line(parts, peeked) for peeked in limiter.peeked]
    lines += [f"{_key(parts, key)}: refused for another {ceil(left)} s" for key, left in limiter.remembered]
    lines = listed(lines)
    facts = [
        {
            "limit": peeked.policy.name,
            "key": _key(parts, peeked.key),
            "unit": peeked.policy.unit,
            "units": peeked.units,
            "burst": peeked.policy.burst,
            "per_minute": peeked.policy.per_minute,
            "left": peeked.policy.remaining(peeked.before),
            "left_after": peeked.policy.remaining(peeked.after),
            "retry_after": ceil(peeked.wait / 1e6),
        }
        for peeked in limiter.peeked
    ]
    if not parts.live:
        lines.append("as if nobody had called yet: what is used up is not known without a gateway that runs")
    else:
        lines += [WORKED[outcome] for outcome in limiter.outcomes]
    return Step("limits", "ok", _summary(limiter.peeked), lines, {"limits": facts})


def _summary(peeked: list[Peeked]) -> str:
    if not peeked:
        return "no limit was asked"
    tightest = min(peeked, key=lambda one: one.policy.remaining(one.before) / one.policy.burst)
    left = tightest.policy.remaining(tightest.before)
    return f"{left} of {tightest.policy.burst:g} {tightest.policy.unit} left by {tightest.policy.name}"


def _line(parts: Parts, peeked: Peeked) -> str:
    policy = peeked.policy
    rate = f"{policy.per_minute:g} {policy.unit} a minute, {policy.burst:g} at once"
    left = f"{policy.remaining(peeked.before)} left"
    if peeked.wait > 0:
        then = f"too few for {peeked.units:g}: again in {ceil(peeked.wait / 1e6)} s"
    else:
        then = f"{policy.remaining(peeked.after)} after this request"
    return f"{_key(parts, peeked.key)}: {rate}; {left}, {then}"


def _key(parts: Parts, key: bytes) -> str:
    """A key as the limiter names it: what is limited, and whom."""
    return key.decode("utf-8", "replace").removeprefix(f"{parts.config.redis.key_prefix}:")
