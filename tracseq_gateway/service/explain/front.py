"""The first steps: the bytes become a request, and the doors that every request passes, whatever it is for."""

from __future__ import annotations

from textwrap import wrap

from tracseq_gateway.errors import RequestRefused
from tracseq_gateway.http.origin import ForwardedLines, is_trusted, parse_address
from tracseq_gateway.http.request_head import RequestHead
from tracseq_gateway.interfaces import Stage
from tracseq_gateway.middleware.chain import Answer, Link
from tracseq_gateway.routing.resource import OPTIONS_OF_ALL, no_route
from tracseq_gateway.routing.table import Route, RouteTable
from tracseq_gateway.server.answer_writer import AnswerWriter
from tracseq_gateway.server.head_reader import HeadReader
from tracseq_gateway.server.request import new_request_id
from tracseq_gateway.service.explain.parts import Parts
from tracseq_gateway.service.explain.question import Question
from tracseq_gateway.service.explain.report import Step, listed, text_of
from tracseq_gateway.service.explain.request import RehearsedChannel, RehearsedRequest
from tracseq_gateway.service.way import Way


def received(parts: Parts, question: Question, body: bytes | None) -> tuple[Step, RehearsedRequest | RequestRefused]:
    """Read the request as the server would; ``body`` is its body, if that is known."""
    site = parts.site
    raw = question.head(parts.config.auth.api_key_header, body)
    try:
        head, _ = HeadReader(site.head_limits, site.known).take(raw)
        assert head is not None, "a head that ends with an empty line"
    except RequestRefused as refusal:
        return Step("request", "refused", refusal.error.detail), refusal
    scheme = b"https" if parts.config.tls.certificates else b"http"
    origin = ForwardedLines(question.address, scheme, parts.config.gateway.port, site.trusted, site.via.encode("ascii"))
    forwarded = origin.lines(head)
    channel = RehearsedChannel(parts, question.address)
    channel.secure = origin.secure
    request = RehearsedRequest(channel, head, origin.client, forwarded, site.deadlines.now())
    if body is not None and head.fields.length:
        request.body_received(body)
        request.body_ended()
    if parts.doors.trace is not None:
        parts.doors.trace(request)
    return _read(question, request, scheme), request


def unread(parts: Parts, question: Question, refusal: RequestRefused) -> bytes:
    """The answer to bytes that are no request."""
    site, bodiless = parts.site, question.method == "HEAD"
    writer = AnswerWriter(site.via, site.date, site.own_lines)
    return writer.refusal(refusal.error, new_request_id(), bodiless=bodiless)


def _read(question: Question, request: RehearsedRequest, scheme: bytes) -> Step:
    head = request.head
    step = Step("request", "ok", f"{text_of(head.method)} {text_of(head.path)}, HTTP/1.{head.minor}")
    if head.path != question.target.partition("?")[0].encode("utf-8", "surrogateescape"):
        step.lines.append("the path is resolved, and matched and passed on as it stands here")
    client = request.client
    if client != question.address:
        step.lines.append(f"client {client}, as the trusted proxy at {question.address} says")
    else:
        step.lines.append(f"client {client}")
    if scheme == b"https":
        step.lines.append("by TLS, without a certificate of the client's")
    made = "kept from the client" if head.fields.request_id else "made by the gateway, another one each time"
    step.lines.append(f"request id {text_of(request.request_id)}, {made}")
    if request.trace is not None:
        whose = "continued" if request.trace.parent else "begun by the gateway"
        kept = "its spans are kept" if request.trace.sampled else "its spans are not kept"
        step.lines.append(f"trace {request.trace.trace_id}, {whose}; {kept}")
    step.facts = {"path": text_of(head.path), "client": client, "request_id": text_of(request.request_id)}
    return step


def addresses(parts: Parts, request: RehearsedRequest) -> Step:
    """Whether requests are taken from the client's address."""
    link, security = parts.doors.addresses, parts.config.security
    if link is None:
        return Step("addresses", "skipped", "there are no lists of addresses")
    address = parse_address(request.client)
    holding = [
        f"security.{name} has {network}, which the address is in"
        for name, networks in (("deny", security.deny), ("allow", security.allow))
        for network in networks
        if address is not None and is_trusted(address, [network])
    ]
    if settled(request, link):
        why = [] if holding else ["security.allow has no network that the address is in"]
        return Step("addresses", "refused", f"requests from {request.client} are not taken", listed(holding) + why)
    return Step("addresses", "ok", f"requests from {request.client} are taken", listed(holding))


def cors(parts: Parts, request: RehearsedRequest) -> Step:
    """What a page from another origin is told."""
    link, head = parts.doors.cors, request.head
    if link is None:
        return Step("cors", "skipped", "the gateway answers for no other origins (cors.enabled)")
    before = request.answer_lines
    if settled(request, link):
        granted = b"access-control-allow-origin:" in request.channel.answer
        return Step("cors", "answered", f"a preflight, answered here: {'granted' if granted else 'not granted'}")
    origin = head.get(b"origin")
    if origin is None:
        return Step("cors", "ok", "no Origin: no page of another origin asks")
    allowed = b"access-control-allow-origin:" in request.answer_lines[len(before) :]
    verdict = "may read the answer" if allowed else "may not read the answer; the request goes on all the same"
    step = Step("cors", "ok", f"a page of {text_of(origin)} {verdict}")
    step.facts = {"origin": text_of(origin), "allowed": allowed}
    return step


def settled(request: RehearsedRequest, link: Link) -> bool:
    """Let a link that does not wait look at the request; return whether it answered or refused it."""
    verdict = link(request)
    if verdict is None:
        return False
    if isinstance(verdict, Answer):
        request.begin(verdict.head, verdict.body, True)
    else:
        request.refuse(verdict)  # type: ignore[arg-type]  # none of these waits
    return True


def route(parts: Parts, request: RehearsedRequest) -> tuple[Step, Way | None]:
    """Which service the path belongs to, or which of the gateway's own pages it is."""
    head = request.head
    found = parts.root.destination(head.path)
    others = _others(parts, head, found if isinstance(found, Route) else None)
    if found == "server":
        request.begin(OPTIONS_OF_ALL, b"", True)
        return Step("route", "answered", "about the gateway as a whole, which answers itself"), None
    if found == "own page":
        return Step("route", "answered", f"{text_of(head.path)} is a page of the gateway's own"), None
    if found is None:
        request.refuse(no_route())
        return Step("route", "refused", "no service has this path", others), None
    way = parts.ways[found.prefix]
    request.service = way.settings.name
    target = text_of(found.upstream_path(head.path))
    step = Step("route", "ok", f"{way.settings.name}, by its prefix {way.settings.prefix}: {target} upstream", others)
    step.facts = {"service": way.settings.name, "prefix": way.settings.prefix, "path": target}
    return step, way


def _others(parts: Parts, head: RequestHead, matched: Route[Stage] | None) -> list[str]:
    """Why it was none of the other routes."""
    others = {way.settings.prefix: prefix for prefix, way in parts.ways.items() if not _is(prefix, matched)}
    holding = [
        shown
        for shown, prefix in sorted(others.items())
        if RouteTable([Route(prefix, b"", None)]).find(head.path) is not None
    ]
    lines = [f"not {shown}: it holds too, but is shorter" for shown in holding]
    rest = ", ".join(sorted(others.keys() - holding))
    if rest:
        lines += wrap(f"not {rest}: no prefix of the path by whole segments", 100, subsequent_indent="  ")
    return listed(lines)


def _is(prefix: bytes, matched: Route[Stage] | None) -> bool:
    return matched is not None and prefix == matched.prefix
