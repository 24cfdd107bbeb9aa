"""Sessions that end by requests through the gateway: log-outs, and deletions of sessions."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.identity_kit import fake
from tracseq_gateway.identity.sessions import SessionWatch
from tracseq_gateway.interfaces import Identity

UUID = "6f1c2a34-89ab-4cde-8f01-23456789abcd"


class SessionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.revoked: list[str] = []
        self.watch = SessionWatch(len("/auth"), ["/logout"], ["/sessions", "/v2/sessions/"], self, ["/change-password"])

    def revoke_session(self, session: str, until: float | None = None) -> None:
        if not session.isprintable() or not 0 < len(session) <= 256:
            raise ValueError("not an id")
        self.revoked.append(session)

    def revoke_user(self, user: str) -> None:
        self.revoked.append(f"user {user}")

    def after(self, target: str, method: str, status: int = 200, session: str = "s-1", kind: Any = "user") -> list[str]:
        """Which sessions have ended after such a request with this answer."""
        visit = fake(target, method, Identity(kind, "u-1", "guest", session=session))
        self.assertIsNone(self.watch(visit))  # type: ignore[func-returns-value]
        self.assertEqual(self.revoked, [], "before there is an answer")
        visit.end(status)
        revoked, self.revoked = self.revoked, []
        return sorted(revoked)

    def test_logout(self) -> None:
        """A log-out that succeeds ends the caller's session, as does one that the caller did not wait for; one that
        fails, or that nobody answers, does not."""
        for status, expected in ((200, ["s-1"]), (204, ["s-1"]), (299, ["s-1"]), (499, ["s-1"])):
            self.assertEqual(self.after("/auth/logout", "POST", status), expected)
        for status in (0, 101, 199, 300, 302, 400, 401, 403, 429, 500, 502, 503, 504):
            self.assertEqual(self.after("/auth/logout", "POST", status), [], status)

    def test_logout_spelled_otherwise(self) -> None:
        """A service may take another spelling for the same path: it counts as the log-out that it is."""
        for path in (
            "/logout/",
            "/LogOut",
            "/log%6fut",
            "/%4Cogout",
            "/logout;x=1",
            "/logout?next=/",
            "//logout",
            "/./logout",
        ):
            self.assertEqual(self.after(f"/auth{path}", "POST"), ["s-1"], path)

    def test_password_changed(self) -> None:
        """A password that was changed ends all sessions of its user, for the old one may be known to others."""
        self.assertEqual(self.after("/auth/change-password", "POST"), ["user u-1"])
        for status in (400, 401, 403, 499, 500):
            self.assertEqual(self.after("/auth/change-password", "POST", status), [], status)
        self.assertEqual(self.after("/auth/change-password", "GET"), [])
        self.assertEqual(self.after("/auth/change-password", "POST", kind="key"), [])

    def test_other_requests(self) -> None:
        """Other methods and paths end nothing, nor does a log-out by who has no session."""
        for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
            self.assertEqual(self.after("/auth/logout", method), [], method)
        for path in ("/logouts", "/x/logout", "/log-out", "", "/", "/sessions/s-2"):
            self.assertEqual(self.after(f"/auth{path}", "POST"), [], path)
        self.assertEqual(self.after("/auth/logout", "POST", session="", kind="key"), [])
        visit = fake("/auth/logout", "POST")
        self.watch(visit)
        visit.end(200)
        self.assertEqual(self.revoked, [])

    def test_deleted(self) -> None:
        """A session that is deleted ends, not the caller's; nothing ends by what fails or deletes something else."""
        self.assertEqual(self.after("/auth/sessions/s-2", "DELETE", 204), ["s-2"])
        self.assertEqual(self.after("/auth/v2/sessions/s-2", "DELETE"), ["s-2"])
        for status in (0, 202 + 100, 401, 403, 404, 499, 500):
            self.assertEqual(self.after("/auth/sessions/s-2", "DELETE", status), [])
        for path in ("/sessions", "/sessions/", "/session/s-2", "/v3/sessions/s-2", "/sessionsx/s-2"):
            self.assertEqual(self.after(f"/auth{path}", "DELETE"), [], path)
        for method in ("GET", "POST", "PUT", "PATCH"):
            self.assertEqual(self.after("/auth/sessions/s-2", method), [], method)

    def test_deleted_spelled_otherwise(self) -> None:
        """The id is what the service reads: without escapes, and a UUID in any spelling is the one in tokens."""
        for path in ("/sessions/s%2D2", "/Sessions/s-2", "/%73essions/s-2", "/sessions/s-2/", "/sessions/s-2?force=1"):
            self.assertEqual(self.after(f"/auth{path}", "DELETE"), ["s-2"], path)
        for spelled in (UUID, UUID.upper(), UUID.replace("-", ""), f"%7B{UUID}%7D", f"urn:uuid:{UUID}"):
            self.assertIn(UUID, self.after(f"/auth/sessions/{spelled}", "DELETE"), spelled)

    def test_no_session(self) -> None:
        """What cannot be the id of a session ends nothing and harms nobody."""
        for session in ("%01", "%0d%0a", "x" * 257, "%ff" * 300):
            self.assertEqual(self.after(f"/auth/sessions/{session}", "DELETE"), [], session)
