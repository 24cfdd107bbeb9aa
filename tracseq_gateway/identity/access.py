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
from tracseq_gateway.identity.authenticator import Found
from tracseq_gateway.interfaces import ROLES, Identity, Request


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
    """Whether a rule for the path itself says whether a token is needed."""

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
        self._auth = PathPatterns({path: rule.auth for path, rule in paths.items() if rule.auth is not None})
        self._exact = PathPatterns(
            {path: rule.auth for path, rule in paths.items() if rule.auth is not None}, exact=True
        )
        demanded = {path: rule.roles for path, rule in paths.items() if rule.roles is not None}
        self._roles, self._exact_roles = PathPatterns(demanded), PathPatterns(demanded, exact=True)
        self._usual = auth, roles
        self._needs: dict[tuple[TokenNeed, int, bool, bool], Need] = {}

    def find(self, path: bytes) -> Need | None:
        """What a path below the prefix demands; None if no rule speaks of it."""
        auth, roles = self._auth.find(path), self._roles.find(path)
        if auth is not None and auth != "required" and self._exact.find(path) != auth:
            auth = "required"
        if auth is None and roles is None:
            return None
        usual_auth, usual_roles = self._usual
        demanded = usual_roles if roles is None else roles
        plain = roles is None or self._exact_roles.find(path) is roles
        key = (auth or usual_auth, id(demanded), auth is not None, plain)
        need = self._needs.get(key)
        if need is None:
            need = Need.of(key[0], demanded, named=key[2])
            self._needs[key] = need = need if plain else need.and_of(Need.of(key[0], usual_roles))
        return need


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
    ) -> None:
        """Compile the demands.

        :param prefix: how many bytes of a path are the service's public prefix.
        :param lines: the header lines that tell the service who calls.
        """
        self._service = service
        self._prefix = prefix
        self._identify = authenticator.identify
        self._unauthenticated = authenticator.unauthenticated
        self._lines = lines
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
        if isinstance(found, Deferred):
            return found.addCallback(self._found, request, need)
        return self._found(found, request, need)

    def _found(self, found: Found | None, request: Request, need: Need) -> GatewayError | None:
        if isinstance(found, GatewayError):
            return found
        method = request.head.method
        rank = need.ranks.get(method, 0)
        if found is None:
            return None if need.auth == "optional" and not rank else self._unauthenticated
        request.identity = found  # also of those who are refused, for the records
        if found.rank < rank:
            role = ROLES[rank]
            return GatewayError(FORBIDDEN, f"the role {role} is needed", members=(("required_role", role),))
        if found.services and self._service not in found.services:
            return GatewayError(FORBIDDEN, "this API key is not for this service")
        if found.methods and method not in found.methods and not (method == b"HEAD" and b"GET" in found.methods):
            return GatewayError(FORBIDDEN, "this API key is not for this method")
        request.forwarded += self._lines(found)
        return None
