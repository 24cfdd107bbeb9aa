"""The link that lets a request go on only with an identity that may do what it asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from attrs import frozen
from twisted.internet.defer import Deferred

from tracseq_gateway.config.policies import PathRule, Role, TokenNeed
from tracseq_gateway.errors import FORBIDDEN, GatewayError
from tracseq_gateway.http.paths import ExactPaths, PathPatterns
from tracseq_gateway.http.request_head import METHODS, RequestHead
from tracseq_gateway.http.websocket import WEBSOCKET
from tracseq_gateway.http.websocket_token import WebSocketTokens
from tracseq_gateway.identity.authenticator import Found
from tracseq_gateway.identity.client_certificates import ClientCertificates
from tracseq_gateway.interfaces import ROLES, Identity, Request

_CREDENTIALS = {"user": "token", "key": "API key", "certificate": "certificate"}


class Identifies(Protocol):
    """See ``authenticator.Authenticator``."""

    unauthenticated: GatewayError

    def identify(self, head: RequestHead) -> Found | Deferred[Found] | None:
        """Say who sends a request."""


@frozen(eq=False)
class Need:
    """What one path of a service demands."""

    auth: TokenNeed
    ranks: Mapping[bytes, int]
    """By method, the rank of the lowest role that may use it; a method that is not there is for every role."""
    named: bool = False
    """Whether a rule for the path itself says whether a token or a role is needed."""

    @classmethod
    def of(cls, auth: TokenNeed, roles: Mapping[str, Role], *, named: bool = False) -> Need:
        """Compile what the configuration says. HEAD shows what GET shows, so it needs the same role."""
        ranks: dict[bytes, int] = {}
        for method in METHODS:
            name = method.decode("ascii")
            role = roles.get(name) or (roles.get("GET") if name == "HEAD" else None) or roles.get("*")
            if role is not None:
                ranks[method] = ROLES.index(role)
        return cls(auth, ranks, named)

    def and_of(self, other: Need) -> Need:
        """What both demand of roles."""
        methods = {*self.ranks, *other.ranks}
        ranks = {method: max(self.ranks.get(method, 0), other.ranks.get(method, 0)) for method in methods}
        return Need(self.auth, ranks, self.named)


def _demands(rule: PathRule) -> bool:
    return rule.auth is not None or rule.roles is not None


class PathRules:
    """What the rules for paths of one service demand of its callers.

    A rule that says nothing of the roles, or of the token, leaves that to the shorter ones. A rule that asks for less
    than the service does holds for its path as it is written, case aside; for what else a service may take for the
    same path, the service's own demands hold, too.
    """

    def __init__(self, auth: TokenNeed, roles: Mapping[str, Role], paths: Mapping[str, PathRule]) -> None:
        tokens = {path: (depth(path), rule.auth) for path, rule in paths.items() if rule.auth is not None}
        demanded = {path: (depth(path), rule.roles) for path, rule in paths.items() if rule.roles is not None}
        self._auth, self._exact_auth = PathPatterns(tokens), PathPatterns(tokens, exact=True)
        self._roles, self._exact_roles = PathPatterns(demanded), PathPatterns(demanded, exact=True)
        self._usual = auth, roles
        self._needs: dict[tuple[TokenNeed, int, bool, bool], Need] = {}

    def find(self, path: bytes) -> Need | None:
        """What a path below the prefix demands; None if no rule speaks of it."""
        token, role = self._auth.find(path), self._roles.find(path)
        if token is None and role is None:
            return None
        usual_auth, usual_roles = self._usual
        auth = usual_auth if token is None else token[1]
        if auth != "required" and (
            (token is not None and self._exact_auth.find(path) is not token)
            # Who demands roles of what a shorter rule, or the service, opens demands a token, too.
            or (role is not None and role[1] and (token is None or role[0] > token[0]))
        ):
            auth = "required"
        demanded = usual_roles if role is None else role[1]
        plain = role is None or self._exact_roles.find(path) is role
        named = token is not None or bool(role and role[1])
        key = (auth, id(demanded), named, plain)
        need = self._needs.get(key)
        if need is None:
            need = Need.of(auth, demanded, named=named)
            self._needs[key] = need = need if plain else need.and_of(Need.of(auth, usual_roles))
        return need


def depth(pattern: str) -> int:
    """How many segments a pattern has: of two that hold for a path, the deeper one says more of it."""
    return len([segment for segment in pattern.split("/") if segment])


class Access:
    """What one service demands of its callers."""

    def __init__(
        self,
        service: str,
        prefix: int,
        auth: TokenNeed,
        roles: Mapping[str, Role],
        public: Sequence[str],
        paths: Mapping[str, PathRule],
        authenticator: Identifies,
        lines: Callable[[Identity], bytes],
        websocket_tokens: WebSocketTokens | None = None,
        certificates: ClientCertificates | None = None,
    ) -> None:
        """Compile the demands.

        :param prefix: how many bytes of a path are the service's public prefix.
        :param lines: the header lines that tell the service who calls.
        :param websocket_tokens: where else than in Authorization the token of a WebSocket may be.
        :param certificates: who is known by a client's certificate; a token or an API key, if there is one, says more.
        """
        self._service = service
        self._prefix = prefix
        self._identify = authenticator.identify
        self._unauthenticated = authenticator.unauthenticated
        self._lines = lines
        self._websocket_tokens = websocket_tokens
        self._certificates = certificates
        self._usual = Need.of(auth, roles)
        self._open = Need("none", {})
        self._public = ExactPaths(public) if public else None
        self._rules = PathRules(auth, roles, paths) if any(map(_demands, paths.values())) else None

    def need(self, path: bytes) -> Need:
        """What a path demands: its rules' own word first, then whether it is public, then the service's word."""
        below = path[self._prefix :]
        found = self._rules.find(below) if self._rules is not None else None
        if (found is None or not found.named) and self._public is not None and self._public.matches(below):
            return self._open
        return found or self._usual

    def __call__(self, request: Request) -> GatewayError | Deferred[GatewayError | None] | None:
        """The link."""
        head = request.head
        need = self._usual if self._rules is None and self._public is None else self.need(head.path)
        if need.auth == "none":
            return None
        found = self._identify(head)
        if found is None and head.fields.upgrade == WEBSOCKET:
            found = self._identify_websocket(request)
        if found is None and self._certificates is not None:
            tls = request.tls
            if tls is not None and tls.certificate is not None:
                found = self._certificates.find(tls.certificate)
        if isinstance(found, Deferred):
            return found.addCallback(self._found, request, need)
        return self._found(found, request, need)

    def _identify_websocket(self, request: Request) -> Found | Deferred[Found] | None:
        moved = self._websocket_tokens.move(request.head) if self._websocket_tokens is not None else None
        if moved is None:
            return None
        request.head = moved.head
        request.answer_lines += moved.answer_lines
        return self._identify(moved.head)

    def _found(self, found: Found | None, request: Request, need: Need) -> GatewayError | None:
        if isinstance(found, GatewayError):
            return found
        if found is None:
            rank = need.ranks.get(request.head.method)
            return None if need.auth == "optional" and rank is None else self._unauthenticated
        request.identity = found  # also of those who are refused, for the records
        refusal = self._against(found, request.head.method, need)
        if refusal is None:
            request.forwarded += self._lines(found)
        return refusal

    def refusal(self, request: Request, method: bytes, path: bytes) -> GatewayError | None:
        """What stands against the caller of a request, who was let in with it, doing something else as well."""
        need = self.need(path)
        if need.auth == "none":
            return None
        if request.identity is None:
            return None if need.auth == "optional" and method not in need.ranks else self._unauthenticated
        return self._against(request.identity, method, need)

    def _against(self, identity: Identity, method: bytes, need: Need) -> GatewayError | None:
        rank = need.ranks.get(method)
        if rank is not None and identity.rank < rank:
            role = ROLES[rank]
            return GatewayError(FORBIDDEN, f"the role {role} is needed", members=(("required_role", role),))
        if identity.services and self._service not in identity.services:
            return GatewayError(FORBIDDEN, f"this {_CREDENTIALS[identity.kind]} is not for this service")
        if (
            identity.methods
            and method not in identity.methods
            and not (method == b"HEAD" and b"GET" in identity.methods)
        ):
            return GatewayError(FORBIDDEN, f"this {_CREDENTIALS[identity.kind]} is not for this method")
        return None
