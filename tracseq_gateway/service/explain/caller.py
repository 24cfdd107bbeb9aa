"""Who calls, and whether he may."""

from __future__ import annotations

from typing import cast

from twisted.internet.defer import Deferred

from tracseq_gateway.errors import GatewayError
from tracseq_gateway.identity.access import Access, Need
from tracseq_gateway.identity.authenticator import Ask, Authenticator, Refresh
from tracseq_gateway.identity.introspection import Verdict as ServiceVerdict
from tracseq_gateway.identity.verdicts import Verdict
from tracseq_gateway.interfaces import ROLES
from tracseq_gateway.service.callers import Callers
from tracseq_gateway.service.explain.before import OFFLINE
from tracseq_gateway.service.explain.parts import Parts
from tracseq_gateway.service.explain.report import Step, text_of
from tracseq_gateway.service.explain.request import RehearsedRequest
from tracseq_gateway.service.way import Way

HOW = {
    "cached": "its verdict is remembered",
    "verified": "verified here, as a token that was not seen before",
    "asked": "verified here, and the Auth Service says that its session stands",
    "key": "an API key that is known",
    "stale": "the Auth Service gives no verdict, and auth.when_service_is_down lets it pass",
}
"""By the authenticator's words for it."""


class Inquiry:
    """What would be asked of somebody else, and is not."""

    def __init__(self) -> None:
        self.session = False
        """Whether the Auth Service would be asked about the token's session."""
        self.keys = False
        """Whether a newer set of published keys would be fetched."""

    def ask(self, token: bytes) -> Deferred[ServiceVerdict]:
        """In the place of the question about a session: there is never an answer."""
        self.session = True
        return Deferred()

    def refresh(self, algorithm: str, kid: str | None) -> Deferred[None]:
        """In the place of fetching keys."""
        self.keys = True
        return Deferred()


async def caller(parts: Parts, request: RehearsedRequest, way: Way, ask: bool) -> Step:
    """Let the links look that find out who calls; ``ask``: others may be asked about a token."""
    callers = parts.callers
    if callers is None:
        return Step("identity", "skipped", "anybody may call (auth.enabled)")
    inquiry = Inquiry()
    own = callers.authenticator.own_questions
    rehearsal = callers.rehearsal(*(own if ask else _instead(own, inquiry)))
    access, verdict = _looked(rehearsal, request, way)
    if isinstance(verdict, Deferred):
        if ask:
            verdict = await verdict
        else:
            rehearsal = callers.rehearsal(None, None)
            access, verdict = _looked(rehearsal, request, way)
            assert not isinstance(verdict, Deferred), "nobody is asked"
    need = access.need(request.head.path)
    step = _judged(request, need, rehearsal.authenticator, verdict)
    if request.identity is not None and request.identity.kind == "user" and not (parts.live and callers.shared):
        step.lines.append(
            "which sessions were ended elsewhere is not known here" + ("" if parts.live else ": " + OFFLINE)
        )
    if inquiry.session and not step.ends:
        step.lines.append("the Auth Service would be asked whether its session stands: here that is taken for granted")
        step.facts["assumed"] = "session"
    elif inquiry.keys:
        step.outcome, step.summary = "unknown", "newer published keys would be fetched: none here is the token's"
    if verdict is not None and step.outcome == "refused":
        request.refuse(verdict)
    return step


def _instead(own: tuple[Ask | None, Refresh | None], inquiry: Inquiry) -> tuple[Ask | None, Refresh | None]:
    """What stands for the questions that there are."""
    ask, refresh = own
    return inquiry.ask if ask is not None else None, inquiry.refresh if refresh is not None else None


def _looked(
    callers: Callers, request: RehearsedRequest, way: Way
) -> tuple[Access, GatewayError | Deferred[GatewayError | None] | None]:
    """Let the first of the service's links, which says who may call, look at the request."""
    access = cast(Access, callers.links(way.settings, way.prefix)[0])
    return access, access(request)


def _judged(request: RehearsedRequest, need: Need, authenticator: Authenticator, verdict: GatewayError | None) -> Step:
    identity, rank = request.identity, need.ranks.get(request.head.method)
    step = Step("identity", "ok", "", [_needed(request, need)])
    step.facts = {"needed": need.auth, "role_needed": None if rank is None else ROLES[rank]}
    if identity is not None:
        who = {"user": "user", "key": f"API key {identity.key_name} of"}.get(identity.kind, "certificate of")
        step.summary = f"{who} {identity.subject}, {identity.role}"
        step.lines += _known(request, authenticator)
        names = ("kind", "subject", "role", "email", "session", "key_name")
        step.facts |= {name: getattr(identity, name) for name in names}
    elif need.auth == "none":
        step.summary = "nobody is asked who he is"
    else:
        step.summary = "nobody said who he is"
    if verdict is not None:
        step.outcome = "refused"
        step.summary = f"refused: {verdict.note}" if verdict.note else f"{step.summary}: {verdict.detail}"
    return step


def _needed(request: RehearsedRequest, need: Need) -> str:
    if need.auth == "none":
        return "this path needs no token"
    rank = need.ranks.get(request.head.method)
    role = "any role" if rank is None else f"the role {ROLES[rank]} or a higher one"
    said = "needs a token or API key" if need.auth == "required" or rank is not None else "takes a token or API key"
    return f"{text_of(request.head.method)} {said}, with {role}"


def _known(request: RehearsedRequest, authenticator: Authenticator) -> list[str]:
    """How it was found out, and what else is known."""
    lines = [HOW[outcome] for outcome in authenticator.outcomes if outcome in HOW]
    identity, kept = request.identity, request.head.fields.credential
    if isinstance(kept, Verdict):
        lines[:1] = [f"{HOW['cached']}, without a question for another {authenticator.fresh_for(kept):.0f} s"]
    if identity is not None and identity.session:
        lines.append(f"session {identity.session}")
    if identity is not None and identity.email:
        lines.append(identity.email)
    return lines
