"""What a service demands of its callers, path by path, method by method."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.identity_kit import fake
from tracseq_gateway.config.policies import PathRule, Role, TokenNeed
from tracseq_gateway.errors import FORBIDDEN, UNAUTHENTICATED, GatewayError, RequestRefused
from tracseq_gateway.http.request_head import METHODS, RequestHead
from tracseq_gateway.identity.access import Access
from tracseq_gateway.interfaces import ROLES, Identity


class Door:
    """A link, and who comes to it."""

    unauthenticated = GatewayError(UNAUTHENTICATED, "who are you?")

    def __init__(
        self,
        auth: TokenNeed = "required",
        *,
        roles: Mapping[str, Role] | None = None,
        public: Sequence[str] = (),
        paths: Mapping[str, PathRule] | None = None,
        prefix: str = "",
    ) -> None:
        self.found: Any = None
        """What is found out about who comes."""
        self.asked = 0
        self.access = Access("samples", len(prefix), auth, roles or {}, public, paths or {}, self, self.lines)

    def identify(self, head: RequestHead) -> Any:
        self.asked += 1
        return self.found

    def lines(self, identity: Identity) -> bytes:
        return f"x-user-id: {identity.subject}\r\n".encode()

    def status(self, target: str, method: str = "GET") -> int:
        """What becomes of a request: 200 when it may go on."""
        verdict: Any = self.access(fake(target, method))
        return 200 if verdict is None else int(verdict.kind.status)

    def come(self, role: Role | None) -> Door:
        """From now on a user of this role comes, or nobody."""
        self.found = None if role is None else Identity("user", "u-1", role)
        return self


class RoleTests(SynchronousTestCase):
    def test_each_against_each(self) -> None:
        """Each of the six roles may do what it and the lower ones may, and nothing else."""
        for needed, lowest in enumerate(ROLES):
            door = Door(roles={"GET": lowest})
            for rank, role in enumerate(ROLES):
                self.assertEqual(door.come(role).status("/"), 200 if rank >= needed else 403, (role, lowest))
            self.assertEqual(door.come(None).status("/"), 401)

    def test_platform(self) -> None:
        """The order is the platform's."""
        order = "guest data_analyst research_scientist lab_technician principal_investigator lab_administrator"
        self.assertEqual(" ".join(ROLES), order)

    def test_methods(self) -> None:
        """A method's role is its own; HEAD has that of GET; a star stands for all that are not named."""
        roles: dict[str, Role]
        everybody = dict.fromkeys(sorted(method.decode() for method in METHODS), "guest")
        cases: tuple[tuple[dict[str, Role], dict[str, str]], ...] = (
            ({}, {}),
            ({"DELETE": "lab_administrator"}, {"DELETE": "lab_administrator"}),
            ({"GET": "lab_technician"}, {"GET": "lab_technician", "HEAD": "lab_technician"}),
            ({"GET": "lab_technician", "HEAD": "guest"}, {"GET": "lab_technician"}),
            ({"HEAD": "lab_technician"}, {"HEAD": "lab_technician"}),
            ({"*": "data_analyst"}, dict.fromkeys(everybody, "data_analyst")),
            (
                {"*": "lab_technician", "GET": "guest"},
                dict.fromkeys(everybody, "lab_technician") | {"GET": "guest", "HEAD": "guest"},
            ),
        )
        for roles, changed in cases:
            door = Door(roles=roles)
            for method, needed in (everybody | changed).items():
                for rank, role in enumerate(ROLES):
                    expected = 200 if rank >= [*ROLES].index(needed) else 403  # type: ignore[arg-type]
                    self.assertEqual(door.come(role).status("/", method), expected, (roles, method, role))

    def test_forbidden(self) -> None:
        """A 403 names the role that is needed; who it was is noted, and nothing is told to the service."""
        door = Door(roles={"DELETE": "lab_administrator"}).come("lab_technician")
        refused = fake("/7", "DELETE")
        error: Any = door.access(refused)
        self.assertEqual((error.kind, error.members), (FORBIDDEN, (("required_role", "lab_administrator"),)))
        self.assertIn("lab_administrator", error.detail)
        self.assertEqual((refused.identity, refused.forwarded), (door.found, b"via: 1.1 gw\r\n"))

    def test_admitted(self) -> None:
        """The service is told who calls, beside the lines that were there."""
        door = Door().come("guest")
        admitted = fake("/7")
        self.assertIsNone(door.access(admitted))
        self.assertEqual((admitted.identity, admitted.forwarded), (door.found, b"via: 1.1 gw\r\nx-user-id: u-1\r\n"))

    def test_later(self) -> None:
        """What is found out later has the same consequences then."""
        cases: tuple[tuple[Role | None, int | None], ...]
        cases = ("lab_technician", 403), ("lab_administrator", None), (None, 401)
        for role, status in cases:
            door = Door(roles={"GET": "lab_administrator"})
            found: Deferred[Identity | None] = Deferred()
            door.found = found
            visit = fake("/")
            verdict: Any = door.access(visit)
            self.assertNoResult(verdict)
            found.callback(None if role is None else Identity("user", "u-1", role))
            error: Any = self.successResultOf(verdict)
            self.assertEqual(error and error.kind.status, status)
            self.assertEqual(b"x-user-id" in visit.forwarded, status is None)

    def test_refused(self) -> None:
        """A refusal goes on as it is, and nobody is noted."""
        for auth in ("required", "optional"):
            door = Door(auth)
            door.found = GatewayError(UNAUTHENTICATED, "no")
            visit = fake("/")
            self.assertIs(door.access(visit), door.found)
            self.assertEqual((visit.identity, visit.forwarded), (None, b"via: 1.1 gw\r\n"))

    def test_api_keys(self) -> None:
        """An API key is held to its role, its services and its methods."""
        door = Door(roles={"DELETE": "lab_administrator"})
        cases: tuple[tuple[dict[str, Any], str, int], ...] = (
            ({}, "GET", 200),
            ({"services": {"samples", "rag"}}, "GET", 200),
            ({"services": {"rag"}}, "GET", 403),
            ({"services": {"Samples"}}, "GET", 403),
            ({"methods": {b"GET"}}, "GET", 200),
            ({"methods": {b"GET"}}, "POST", 403),
            ({"methods": {b"DELETE"}}, "DELETE", 403),
            ({"methods": {b"DELETE"}, "services": {"samples"}}, "GET", 403),
        )
        for limits, method, status in cases:
            frozen: dict[str, Any] = {name: frozenset(value) for name, value in limits.items()}
            door.found = Identity("key", "sequencer", "lab_technician", key_name="s7", **frozen)
            self.assertEqual(door.status("/", method), status, (limits, method))


class NeedTests(SynchronousTestCase):
    def test_service(self) -> None:
        """A service needs a token, or passes on who calls if somebody does, or does not look."""
        for auth, nobody, somebody, asked in (
            ("required", 401, 200, 2),
            ("optional", 200, 200, 2),
            ("none", 200, 200, 0),
        ):
            door = Door(auth)  # type: ignore[arg-type]
            self.assertEqual(door.come(None).status("/"), nobody)
            self.assertEqual(door.come("guest").status("/"), somebody)
            self.assertEqual(door.asked, asked)

    def test_optional(self) -> None:
        """Where a token is optional, a method that is for some role is not for those who do not say who they are."""
        door = Door("optional", roles={"DELETE": "data_analyst"})
        self.assertEqual((door.status("/"), door.status("/", "DELETE")), (200, 401))
        self.assertEqual(door.come("guest").status("/", "DELETE"), 403)
        self.assertEqual(door.come("data_analyst").status("/", "DELETE"), 200)

    def test_nobody_is_told_of(self) -> None:
        """Where nobody looks, the service is told of nobody."""
        visit = fake("/")
        self.assertIsNone(Door("none").come("guest").access(visit))
        self.assertEqual((visit.identity, visit.forwarded), (None, b"via: 1.1 gw\r\n"))

    def test_public(self) -> None:
        """A public path is open in that very spelling, and in no other."""
        door = Door(public=("/login", "/verify-email", "/forms/*"), prefix="/auth")
        for path in (
            "/auth/login",
            "/auth/login/",
            "/auth//login",
            "/auth/x/../login",
            "/auth/forms/7",
            "/auth/login?a=b",
        ):
            self.assertEqual(door.status(path), 200, path)
        closed = (
            "/auth",
            "/auth/",
            "/auth/LOGIN",
            "/auth/Login",
            "/auth/log%69n",
            "/auth/%6Cogin",
            "/auth/login%2F",
            "/auth/login%2f..%2fme",
            "/auth/login;x=1",
            "/auth/login%3Bx",
            "/auth/login%20",
            "/auth/login%09",
            "/auth/login.json",
            "/auth/loginx",
            "/auth/login/x",
            "/auth/x/login",
            "/auth/login/../me",
            "/auth/login/%2e%2e/me",
            "/auth/me?/login",
            "/auth/forms",
            "/auth/Forms/7",
            "/auth/forms/../me",
            "/login",
        )
        for path in closed:
            with contextlib.suppress(RequestRefused):  # which closes it, too
                self.assertEqual(door.status(path), 401, path)

    def test_public_roles(self) -> None:
        """A public path is open for every method, whatever roles the service's methods have."""
        door = Door(roles={"*": "lab_administrator"}, public=("/login",))
        for method in METHODS:
            self.assertEqual(door.status("/login", method.decode()), 200)
            self.assertEqual(door.status("/logins", method.decode()), 401)

    def test_rule_restricts(self) -> None:
        """A rule holds below its path however that is spelled, and nowhere else."""
        rules = {"/secret": PathRule(auth="required"), "/runs/*/stop": PathRule(auth="required")}
        door = Door("none", paths=rules, prefix="/samples")
        spellings = (
            "/secret",
            "/secret/",
            "/secret/7/x",
            "/SECRET",
            "/Secret/7",
            "/%73ecret",
            "/s%65cre%74/x",
            "/secret;a=b/7",
            "/secret%3Bx",
            "/secret%2F7",
            "/secret%5c7",
            "/x/../secret",
            "/x/%2e%2E/secret",
            "//secret",
            "/./secret",
            "/secret?x",
            "/runs/7/stop",
            "/RUNS/7/Stop/now",
        )
        for path in spellings:
            self.assertEqual(door.status(f"/samples{path}"), 401, path)
        for path in (
            "",
            "/",
            "/secrets",
            "/x/secret",
            "/secre",
            "/runs/stop",
            "/runs/7",
            "/runs/7/8/stop",
            "/sec%2572et",
        ):
            self.assertEqual(door.status(f"/samples{path}"), 200, path)

    def test_longest(self) -> None:
        """The longest rule that holds wins, whatever order they stand in."""
        rules = {
            "/a": PathRule(auth="none"),
            "/a/b/c": PathRule(auth="none"),
            "/a/b": PathRule(auth="required", roles={"*": "lab_administrator"}),
            "/a/*/d": PathRule(auth="optional"),
        }
        for paths in (rules, dict(reversed(rules.items()))):
            door = Door(paths=paths).come("guest")
            cases = {"/a": 200, "/a/x": 200, "/a/b": 403, "/a/b/x": 403, "/a/b/c": 200, "/a/b/c/x": 200, "/x": 200}
            self.assertEqual({path: door.status(path) for path in cases}, cases)
            nobody = {"/a": 200, "/a/b": 401, "/a/b/c": 200, "/a/x/d": 200, "/x": 401, "/": 401}
            self.assertEqual({path: door.come(None).status(path) for path in nobody}, nobody)

    def test_rule_and_service(self) -> None:
        """What a rule does not say is as the service says; roles that it has stand for all of the service's."""
        rules = {
            "/open": PathRule(auth="optional"),
            "/strict": PathRule(roles={"POST": "lab_administrator"}),
            "/lax": PathRule(roles={}),
            "/small": PathRule(max_body=None),
        }
        door = Door(roles={"DELETE": "lab_administrator"}, paths=rules)
        for path, anonymous, deleting, posting in (
            ("/open", 200, 403, 200),
            ("/strict", 401, 200, 403),
            ("/lax", 401, 200, 200),
            ("/small", 401, 403, 200),
            ("/other", 401, 403, 200),
        ):
            self.assertEqual(door.come(None).status(path), anonymous, path)
            door.come("guest")
            self.assertEqual((door.status(path, "DELETE"), door.status(path, "POST")), (deleting, posting), path)

    def test_rules_build_on_one_another(self) -> None:
        """A rule that speaks of roles alone leaves the token to a shorter rule, and the other way round."""
        rules = {"/a": PathRule(auth="required"), "/a/b": PathRule(roles={"*": "lab_administrator"})}
        door = Door("none", paths=rules)
        nobody = {"/x": 200, "/a": 401, "/a/b": 401}
        self.assertEqual({path: door.come(None).status(path) for path in nobody}, nobody)
        guest = {"/x": 200, "/a": 200, "/a/b": 403}
        self.assertEqual({path: door.come("guest").status(path) for path in guest}, guest)
        door = Door(paths={"/a": PathRule(roles={"*": "lab_administrator"}), "/a/b": PathRule(auth="optional")})
        self.assertEqual((door.come("guest").status("/a/b"), door.come(None).status("/a/b")), (403, 401))

    def test_what_opens_is_spelled_plainly(self) -> None:
        """A rule that opens a path holds for its plain spelling; what a service may take for the same stays closed."""
        for auth in ("none", "optional"):
            rule = PathRule(auth="none") if auth == "none" else PathRule(auth="optional")
            door = Door(paths={"/docs": rule, "/x/*/open": rule})
            for path in ("/docs", "/docs/", "/docs/a", "/Docs", "/x/7/open"):
                self.assertEqual(door.status(path), 200, path)
            for path in ("/d%6fcs", "/docs;a=1", "/docs%3Ba", "/x/7/%6fpen", "/docs%00"):
                with contextlib.suppress(RequestRefused):
                    self.assertEqual(door.status(path), 401, path)

    def test_roles_below_what_is_open(self) -> None:
        """Roles that are demanded of a path need a token, whatever a shorter rule, or the service, opens."""
        admin = PathRule(roles={"*": "lab_administrator"})
        for door in (
            Door(paths={"/open": PathRule(auth="none"), "/open/admin": admin}),
            Door(paths={"/open": PathRule(auth="optional"), "/open/admin": admin}),
            Door("none", paths={"/open/admin": admin}),
            Door(public=("/open", "/open/*"), paths={"/open/admin": admin}),
        ):
            self.assertEqual([door.status(path) for path in ("/open", "/open/x", "/open/admin")], [200, 200, 401])
            door.come("guest")
            self.assertEqual(door.status("/open/admin"), 403)
            door.come("lab_administrator")
            self.assertEqual(door.status("/open/admin"), 200)
        door = Door(paths={"/a": admin, "/a/open": PathRule(auth="none")})
        self.assertEqual((door.status("/a"), door.status("/a/open")), (401, 200))

    def test_guests_are_somebody(self) -> None:
        """Even the lowest role is one: where it is demanded, nobody without a token comes in."""
        door = Door("optional", roles={"POST": "guest"})
        self.assertEqual((door.status("/"), door.status("/", "POST")), (200, 401))
        self.assertEqual(door.come("guest").status("/", "POST"), 200)

    def test_roles_that_ask_for_less(self) -> None:
        """A rule that asks for less than the service holds for its plain spelling; others need both."""
        door = Door(roles={"*": "lab_administrator"}, paths={"/guests": PathRule(roles={"*": "guest"})}).come("guest")
        for path, status in (("/guests", 200), ("/guests/x", 200), ("/%67uests", 403), ("/guests;x", 403), ("/x", 403)):
            self.assertEqual(door.status(path), status, path)

    def test_head_with_a_key(self) -> None:
        """An API key that may GET may HEAD."""
        door = Door()
        door.found = Identity("key", "robot", "guest", key_name="k", methods=frozenset({b"GET"}))
        self.assertEqual([door.status("/", method) for method in ("GET", "HEAD", "POST")], [200, 200, 403])

    def test_rule_and_public(self) -> None:
        """A rule's own word on tokens or roles counts more than that its path is public; without one it is public."""
        rules = {
            "/login": PathRule(auth="required"),
            "/register": PathRule(max_body=None),
            "/admin": PathRule(roles={"*": "lab_administrator"}),
        }
        door = Door(public=("/login", "/register", "/admin"), paths=rules)
        statuses = [door.status(path, "POST") for path in ("/login", "/register", "/admin")]
        self.assertEqual(statuses, [401, 200, 401])

    def test_asterisk(self) -> None:
        """OPTIONS * is nobody's path: it needs what the service needs."""
        door = Door(public=("/",), paths={"/x": PathRule(auth="none")})
        self.assertEqual((door.status("*", "OPTIONS"), door.status("/")), (401, 200))
