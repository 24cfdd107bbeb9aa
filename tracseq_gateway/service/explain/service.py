"""To whom a request would go, how long that may take, and whether it would be sent again."""

from __future__ import annotations

from tracseq_gateway.errors import CIRCUIT_OPEN, NOT_ADMITTED
from tracseq_gateway.service.explain.before import OFFLINE
from tracseq_gateway.service.explain.parts import Parts
from tracseq_gateway.service.explain.report import Step, listed
from tracseq_gateway.service.explain.request import RehearsedRequest
from tracseq_gateway.service.way import Way
from tracseq_gateway.uploads.stage import UploadStage
from tracseq_gateway.upstream.instance import Instance
from tracseq_gateway.upstream.rehearsal import Rehearsal
from tracseq_gateway.upstream.retry import IDEMPOTENT
from tracseq_gateway.upstream.service import UpstreamService


def upload(uploads: UploadStage, request: RehearsedRequest) -> Step:
    """What a request about a resumable upload comes to; only asked for one that is."""
    step = Step("uploads", "answered", "the gateway itself keeps the parts of uploads (tus 1.0.0)")
    step.lines.append(f"when all of one is there, the service gets it in one POST to {uploads.target(request.head)}")
    return step


def circuit(parts: Parts, request: RehearsedRequest, way: Way) -> Step:
    """Whether the service is to have any request."""
    if not parts.live:
        return Step("circuit", "skipped", f"not known: {OFFLINE}")
    service, error = way.proxy.service, request.error
    breaker = service.breaker
    state = breaker.state.replace("_", " ")
    step = Step("circuit", "ok", f"the circuit is {state}", facts={"state": breaker.state})
    if breaker.seconds_left:
        step.lines.append(f"it stays open for another {breaker.seconds_left:.1f} s")
    elif not breaker.closed:
        step.lines.append("one request at a time may try whether the service answers again")
    if service.admission is not None:
        share = service.admission.refused_share()
        step.lines.append(f"admission control refuses {share:.0%} of the requests")
        step.facts["refused_share"] = share
    if error is not None and error.kind in (CIRCUIT_OPEN, NOT_ADMITTED):
        step.outcome, step.summary = "refused", error.detail
    return step


def instances(parts: Parts, request: RehearsedRequest, way: Way, rehearsal: Rehearsal) -> Step:
    """Which instance would be asked."""
    service, passed_on = way.proxy.service, rehearsal.passed_on
    balance = service.settings.balance.replace("_", " ")
    if passed_on is None:
        detail = request.error.detail if request.error is not None else "nobody"
        step = Step("instances", "refused", detail)
    else:
        usable = sum(map(service.may_take, service.instances))
        chance = f"by {balance}; {usable} of {len(service.instances)} get requests"
        step = Step("instances", "ok", f"{passed_on.url}, {chance}")
    chosen = passed_on.url if passed_on is not None else ""
    step.lines = listed([_instance(service, instance, chosen) for instance in service.instances])
    if not parts.live:
        step.lines.append("how they are is not known, nor whose turn it is: " + OFFLINE)
    step.facts = {"balance": service.settings.balance, "chosen": chosen or None}
    step.facts["instances"] = [_facts(service, instance) for instance in service.instances[:40]]
    return step


def _instance(service: UpstreamService, instance: Instance, chosen: str) -> str:
    mark = ">" if instance.url == chosen else " "
    words = [_state(service, instance), f"weight {instance.weight}", f"{instance.in_flight} in flight"]
    pool = instance.pool.state
    words.append(f"{pool.busy + pool.idle} of {pool.most} connections")
    if pool.waiting:
        words.append(f"{pool.waiting} wait for one")
    if instance.latency:
        words.append(f"{instance.latency * 1000:.0f} ms on average")
    return f"{mark} {instance.url}  {', '.join(words)}"


def _state(service: UpstreamService, instance: Instance) -> str:
    """How an instance is, and whether it gets requests although it is so, or not although it is well."""
    state: str = instance.state
    left = instance.ejection.left if instance.ejection is not None else 0.0
    if instance.record.ejected:
        state += f", ejected for another {left:.0f} s"
    if instance.drained:
        state += ", drained"
    if instance.warm_from:
        state += ", warming up"
    may_take = service.may_take(instance)
    if may_take and (instance.record.ejected or instance.state == "unhealthy"):
        state += " (used all the same, for there is no other)"
    return state if may_take else f"{state} (gets none)"


def _facts(service: UpstreamService, instance: Instance) -> dict[str, object]:
    return {
        "url": instance.url,
        "state": instance.state,
        "ejected": instance.record.ejected,
        "drained": instance.drained,
        "usable": service.may_take(instance),
        "weight": instance.weight,
        "in_flight": instance.in_flight,
    }


def times(parts: Parts, request: RehearsedRequest, way: Way) -> Step:
    """How long it may take, and what is sent again."""
    proxy, service, method = way.proxy, way.proxy.service, request.head.method
    own = proxy.times_of(request.head.path) if proxy.times_of is not None else None
    limits = (own or proxy.times).timeouts
    settings = service.settings
    answer = f"{limits.response:g} s for an answer" if limits.response else "any time for an answer"
    total = f"{limits.total:g} s in all" if limits.total else "no bound in all"
    step = Step("times", "ok", f"{answer}, {total}")
    step.lines.append(
        f"{limits.connect:g} s to connect, {settings.connections.queue_seconds:g} s for a free connection, "
        f"{limits.idle:g} s of silence within a body"
    )
    step.lines.append("sent to another instance if no connection comes about")
    retries = settings.retries
    if not retries.attempts:
        step.lines.append("never sent again once it was sent (retries.attempts)")
    elif method not in IDEMPOTENT:
        step.lines.append(f"never sent again once it was sent: {method.decode('ascii')} may act twice")
    else:
        answers = ", ".join(map(str, retries.statuses)) or "no answer"
        step.lines.append(f"sent again after a failure, and after {answers}: at most {retries.attempts} more")
    if not service.retries.has_budget():
        step.lines.append("but too many retries are under way (retries.budget)")
    step.facts = {
        "connect": limits.connect,
        "response": limits.response,
        "idle": limits.idle,
        "total": limits.total,
        "attempts": retries.attempts if method in IDEMPOTENT else 0,
    }
    return step
