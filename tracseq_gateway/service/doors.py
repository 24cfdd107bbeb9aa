"""The doors of one worker's gateway: what is looked at before a request is routed, and what all answers have."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tracseq_gateway.config.model import Config, Service
from tracseq_gateway.config.policies import Cors as CorsSettings
from tracseq_gateway.config.policies import Security
from tracseq_gateway.config.upstream import Tunnels
from tracseq_gateway.http.cors import OriginRules, drops_cors
from tracseq_gateway.http.fields import Fields
from tracseq_gateway.http.forwarding import AnswerRules
from tracseq_gateway.http.paths import PathPatterns
from tracseq_gateway.http.security_headers import SecurityHeaders, is_telltale
from tracseq_gateway.http.trace_context import TRACE_FIELDS
from tracseq_gateway.interfaces import Request, Stage
from tracseq_gateway.middleware.addresses import address_lists
from tracseq_gateway.middleware.chain import Chain, Link, Verdict
from tracseq_gateway.middleware.content_type import content_types, no_grpc
from tracseq_gateway.middleware.cors import Cors
from tracseq_gateway.middleware.limits import body_limit
from tracseq_gateway.middleware.tracing import tracer
from tracseq_gateway.uploads.tus import EXPOSED
from tracseq_gateway.uploads.uploads import takes_uploads


class Doors:
    """Built once from the configuration."""

    def __init__(self, config: Config) -> None:
        self._security = security_headers(config.security)
        self._hides = config.security.hide_server
        self._limits = config.rate_limit.enabled and config.rate_limit.legacy_headers
        self._cors = Cors(config.cors, EXPOSED if takes_uploads(config) else ()) if config.cors.enabled else None
        self.replaced = TRACE_FIELDS if config.tracing.enabled else frozenset()
        """Fields of requests that the gateway writes anew."""
        self.addresses = address_lists(config.security.allow, config.security.deny)
        """The link with the lists of addresses, or None."""
        self.cors: Link | None = self._cors.link if self._cors is not None else None
        self.trace: Callable[[Request], None] | None = tracer(config.tracing) if config.tracing.enabled else None
        """Gives each request its place in a trace, before everything else; None without traces."""
        self.front = [link for link in (self.addresses, self.cors) if link is not None]
        """The links that every request passes, to services and to the gateway's own pages."""

    def before(self, following: Stage) -> Stage:
        """The stage that every request passes first; ``following`` if there is none."""
        behind = Chain(self.front, following) if self.front else following
        trace = self.trace
        if trace is None:
            return behind

        def traced(request: Request) -> None:
            trace(request)
            behind(request)

        return traced

    def own_lines(self, secure: bool) -> bytes:
        """The lines of the gateway's own answers, each with its CRLF."""
        return self._security.own_lines(secure) if self._security is not None else b""

    def of_page(self, policy: str) -> tuple[Fields, bytes]:
        """The security fields of a page with a Content-Security-Policy of its own, and its lines over TLS."""
        own = policy.encode("ascii")
        return self._security.of_page(own) if self._security is not None else ([(b"content-security-policy", own)], b"")

    @property
    def rules(self) -> AnswerRules | None:
        """What becomes of the fields of services' answers."""
        security, cors, hides, limits = self._security, self._cors, self._hides, self._limits
        if security is None and cors is None and not hides and not limits:
            return None

        def rules(pairs: Fields) -> tuple[Fields, bytes]:
            over_tls = b""
            if cors is not None:
                pairs = [pair for pair in pairs if not drops_cors(pair[0])]
            if limits:
                pairs = [pair for pair in pairs if not pair[0].startswith(b"x-ratelimit-")]
            if hides:
                pairs = [pair for pair in pairs if not is_telltale(pair[0])]
            if security is not None:
                over_tls = security.hsts_line(pairs)
                pairs = security.complete(pairs)
            return pairs, over_tls

        return rules


def security_headers(settings: Security) -> SecurityHeaders | None:
    """The security headers as configured; None when none are added."""
    if not settings.headers:
        return None
    return SecurityHeaders(
        hsts=settings.hsts,
        frame=settings.frame,
        referrer=settings.referrer,
        permissions=settings.permissions,
        content_policy=settings.content_policy,
    )


def websocket_origins(cors: CorsSettings, tunnels: Tunnels) -> OriginRules | None:
    """The pages that may open a WebSocket; None: any."""
    allowed = tunnels.origins
    if allowed is None and cors.enabled:
        allowed = cors.allow_origins
    return None if allowed is None or "*" in allowed else OriginRules(allowed)


def body_links(settings: Service, prefix: int) -> Sequence[Link]:
    """The links that look at the size and the type of a body, by the rules of its path."""
    sizes = {path: body_limit(rule.max_body) for path, rule in settings.paths.items() if rule.max_body is not None}
    usual = body_limit(settings.max_body) if settings.max_body else None
    links = (
        _by_path(PathPatterns(sizes), usual, prefix) if sizes else usual,
        no_grpc,
        type_link(settings, prefix),
    )
    return [link for link in links if link is not None]


def type_link(settings: Service, prefix: int) -> Link | None:
    """The link that looks at the type of a body alone; None if any will do."""
    types = {
        path: content_types(rule.content_types)
        for path, rule in settings.paths.items()
        if rule.content_types is not None
    }
    usual = content_types(settings.content_types) if settings.content_types else None
    return _by_path(PathPatterns(types), usual, prefix) if types else usual


def _by_path(patterns: PathPatterns[Link], usual: Link | None, prefix: int) -> Link:
    """A link that is another one for some paths."""

    def check(request: Request) -> Verdict:
        link = patterns.find(request.head.path[prefix:]) or usual
        # None of these waits.
        return link(request) if link is not None else None  # type: ignore[return-value]

    return check
