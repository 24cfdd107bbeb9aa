"""Kept answers and who asks: nobody gets what is another's, nor what he might not have asked for."""

from __future__ import annotations

from ipaddress import ip_network

import jwt
from twisted.trial.unittest import SynchronousTestCase

from tests.cache_kit import FRESH, Cached, answer, get, status
from tests.token_kit import SECRET, VARIABLE
from tracseq_gateway.config import ApiKey, Authentication, Gateway
from tracseq_gateway.identity.api_keys import new_key

PUBLIC = answer(b"Cache-Control: public, max-age=60", b"Vary: X-User-Role")


def token(role: str) -> bytes:
    content = {"sub": f"u-{role}", "role": role, "jti": "s-1", "exp": 4_000_000_000}
    return b"Authorization: Bearer " + jwt.encode(content, SECRET, "HS256").encode()


class CredentialTests(SynchronousTestCase):
    CREDENTIALS = (b"Authorization: Basic eDp5", b"Cookie: session=1", b"X-API-Key: secret")

    def test_apart(self) -> None:
        """What somebody's credential got is nobody else's, nor his own again, unless it says that it is for all."""
        for line in self.CREDENTIALS:
            cached = Cached()
            self.assertEqual(status(cached.ask(get(b"/a", line))), b"tracseq-gateway; fwd=uri-miss")
            self.assertEqual(status(cached.ask(get(b"/a", line))), b"tracseq-gateway; fwd=uri-miss")
            self.assertEqual(status(cached.ask()), b"tracseq-gateway; fwd=uri-miss; stored")
            self.assertEqual(status(cached.ask(get(b"/a", line))), b"tracseq-gateway; fwd=request")
            self.assertEqual(status(cached.ask()), b"tracseq-gateway; hit; ttl=60")

    def test_shared(self) -> None:
        """Answers that are public, or for shared caches, are kept and given to all."""
        for control in (b"public, max-age=60", b"s-maxage=60", b"max-age=60, must-revalidate"):
            cached = Cached(answer(b"Cache-Control: " + control))
            cached.ask(get(b"/a", self.CREDENTIALS[0]))
            for lines in ((), self.CREDENTIALS[:1], (b"Cookie: other=1",)):
                self.assertIn(b"hit", status(cached.ask(get(b"/a", *lines))), control)

    def test_private(self) -> None:
        """Private answers are kept for nobody."""
        for control in (b"private, max-age=60", b'public, max-age=60, private="x"', b"no-store, max-age=60"):
            cached = Cached(answer(b"Cache-Control: " + control))
            cached.ask()
            cached.ask()
            self.assertEqual(len(cached.asked), 2, control)


class GatewayIdentityTests(SynchronousTestCase):
    """The gateway itself finds out who asks."""

    def cached(self, said: bytes) -> tuple[Cached, bytes]:
        """A cache behind the doors, and the line of an API key whose field has a name of its own."""
        made = new_key()
        auth = Authentication(
            enabled=True,
            service="",
            api_key_header="X-Robot",
            api_keys={"robot": ApiKey(hash=made.hash, owner="robot", role="guest")},
        )
        cached = Cached(said, tables={"auth": auth}, environ={VARIABLE: SECRET})
        return cached, b"X-Robot: " + made.key.encode()

    def test_doors(self) -> None:
        """Who may not ask gets nothing of what is kept."""
        cached, _ = self.cached(PUBLIC)
        self.assertEqual(200, cached.ask(get(b"/a", token("guest"))).status)
        given = cached.ask(get(b"/a"))
        self.assertEqual((401, b"", []), (given.status, status(given), given.values(b"age")))

    def test_roles(self) -> None:
        """An answer that varies by what the gateway says of the caller is another one for each role."""
        cached, robot = self.cached(PUBLIC)
        for line, expected in (
            (token("guest"), b"fwd=uri-miss"),
            (token("data_analyst"), b"fwd=vary-miss"),
            (robot, b"hit"),
            (token("guest"), b"hit"),
            (token("data_analyst"), b"hit"),
        ):
            self.assertIn(expected, status(cached.ask(get(b"/a", line, b"X-User-Role: lab_administrator"))))

    def test_key(self) -> None:
        """What an API key got is nobody else's, whatever its field is called."""
        cached, robot = self.cached(FRESH)
        for line in (robot, token("guest"), robot):
            self.assertEqual(status(cached.ask(get(b"/a", line))), b"tracseq-gateway; fwd=uri-miss")


class OriginTests(SynchronousTestCase):
    def test_outer_place(self) -> None:
        """By which name and scheme a trusted proxy was called tells answers apart, for a service may write them."""
        gateway = Gateway(trusted_proxies=(ip_network("192.0.2.0/24"),))
        cached = Cached(gateway=gateway)
        for lines, expected in (
            ((), b"fwd=uri-miss"),
            ((b"X-Forwarded-Proto: https",), b"fwd=uri-miss"),
            ((b"X-Forwarded-Host: evil",), b"fwd=uri-miss"),
            ((b"X-Forwarded-Host: lab",), b"hit"),
            ((b"X-Forwarded-Host: evil",), b"hit"),
            ((), b"hit"),
        ):
            self.assertIn(expected, status(cached.ask(get(b"/a", *lines))), lines)
        cached = Cached()
        cached.ask()
        self.assertIn(b"hit", status(cached.ask(get(b"/a", b"X-Forwarded-Host: evil", b"X-Forwarded-Proto: https"))))

    def test_port_and_forwarded(self) -> None:
        """So do the port and what Forwarded says of both, which proxies often pass on as a client wrote it."""
        for line in (b"X-Forwarded-Port: 666", b"Forwarded: host=evil", b'Forwarded: for=192.0.2.9;Host="evil:1"'):
            cached = Cached(gateway=Gateway(trusted_proxies=(ip_network("192.0.2.0/24"),)))
            from_client = b"X-Forwarded-For: 198.51.100.1"
            for lines, expected in (
                ((line, from_client), b"fwd=uri-miss"),
                ((from_client,), b"fwd=uri-miss"),
                ((line, from_client), b"hit"),
                ((b"Forwarded: for=198.51.100.1", from_client), b"hit"),
            ):
                self.assertIn(expected, status(cached.ask(get(b"/a", *lines))), lines)
            cached = Cached()
            cached.ask()
            self.assertIn(b"hit", status(cached.ask(get(b"/a", line))))
