"""Published keys: fetched by one request at a time, kept while the source is down, refreshed for unknown keys."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, cast

from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorSSL, IReactorTCP
from twisted.internet.ssl import CertificateOptions
from twisted.internet.task import Clock
from twisted.internet.testing import EventLoggingObserver
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from tests.token_kit import certificate, jwk, private_key, public_key
from tracseq_gateway.config.keys import Seconds
from tracseq_gateway.config.policies import Jwt
from tracseq_gateway.identity.jwks import COOL_DOWN, FETCH_SECONDS, LARGEST_DOCUMENT, JwksSource, fetcher
from tracseq_gateway.identity.key_sets import Key, KeySet

URL = "https://issuer.example/keys"
POLICY = Jwt(algorithms=("ES256", "HS256"), jwks_url=URL, jwks_seconds=Seconds(600.0))


def document(*kids: str) -> bytes:
    """A JWK Set with an ES256 key for each kid."""
    return json.dumps({"keys": [jwk(public_key("ES256", kid), kid=kid) for kid in kids]}).encode()


class FakeSource:
    """An issuer: answers when told, or at once while ``says`` is set."""

    def __init__(self) -> None:
        self.says: bytes | Exception | None = None
        self.asked: list[str] = []
        self.waiting: list[Deferred[bytes]] = []
        self.cancelled = 0

    def fetch(self, url: str) -> Deferred[bytes]:
        self.asked.append(url)
        answer: Deferred[bytes] = Deferred(self.cancel)
        self.waiting.append(answer)
        if self.says is not None:
            self.answer(self.says)
        return answer

    def cancel(self, answer: Deferred[bytes]) -> None:
        self.cancelled += 1
        self.waiting.remove(answer)

    def answer(self, content: bytes | Exception) -> None:
        waiting = self.waiting.pop(0)
        if isinstance(content, bytes):
            waiting.callback(content)
        else:
            waiting.errback(content)


class JwksCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.issuer = FakeSource()
        self.changes = 0
        self.source = self.make(KeySet())

    def make(self, configured: KeySet, policy: Jwt = POLICY) -> JwksSource:
        return JwksSource(self.clock, self.issuer.fetch, policy, configured, self.count)

    def count(self) -> None:
        self.changes += 1

    def tearDown(self) -> None:
        self.source.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [], "something goes on after stop")

    def started(self, *kids: str) -> None:
        """Start, with an issuer that publishes these keys."""
        self.issuer.says = document(*kids)
        self.successResultOf(self.source.start())

    def pass_time(self, seconds: float) -> None:
        """Let the time pass second by second."""
        self.clock.pump([1.0] * int(seconds))

    def find(self, kid: str) -> Deferred[Key | None]:
        return self.source.find_refreshing("ES256", kid)

    def found(self, kid: str) -> bool:
        """Whether a key is found, at once."""
        return self.successResultOf(self.find(kid)) is not None

    def logged(self) -> Callable[[], list[str]]:
        """Watch the log; gives the formats of what was written since."""
        observer = EventLoggingObserver()
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        return lambda: [event["log_format"] for event in observer if event["log_namespace"].endswith("identity.jwks")]


class RefreshTests(JwksCase):
    """The keys follow the source."""

    def test_start(self) -> None:
        """The keys are fetched at the start, which ends with the first request."""
        started = self.source.start()
        self.assertNoResult(started)
        self.assertFalse(self.source.loaded)
        self.issuer.answer(document("k1"))
        self.successResultOf(started)
        self.assertTrue(self.source.loaded)
        self.assertTrue(self.found("k1"))
        self.assertEqual(self.issuer.asked, [URL])

    def test_age(self) -> None:
        """The keys are fetched again when they are as old as the configuration allows, and not before."""
        self.started("k1")
        self.pass_time(599)
        self.assertEqual(len(self.issuer.asked), 1)
        self.pass_time(1)
        self.assertEqual(len(self.issuer.asked), 2)
        self.pass_time(6000)
        self.assertEqual(len(self.issuer.asked), 12)

    def test_rotation(self) -> None:
        """A key that is published serves, one that is withdrawn does not; who caches verdicts hears of both."""
        self.started("k1")
        self.assertEqual(self.changes, 1)
        self.issuer.says = document("k2", "k1")
        self.pass_time(600)
        self.assertTrue(self.found("k1") and self.found("k2"))
        self.assertEqual(self.changes, 2)
        self.issuer.says = document("k1", "k2")
        self.pass_time(600)
        self.assertEqual(self.changes, 2, "another order is no change")
        self.issuer.says = document("k2")
        self.pass_time(600)
        self.assertEqual((self.source.keys().find("ES256", "k1"), self.changes), (None, 3))

    def test_sameName(self) -> None:
        """A different key under the old kid is a change."""
        self.started("k1")
        self.issuer.says = json.dumps({"keys": [jwk(public_key("ES256", "new"), kid="k1")]}).encode()
        self.pass_time(600)
        self.assertEqual(self.changes, 2)

    def test_configured(self) -> None:
        """Configured keys are there before, beside and in front of the published ones."""
        ours = Key("ES256", "k1", public_key("ES256", "ours"))
        self.source = self.make(KeySet([ours]))
        self.assertIs(self.source.keys().find("ES256", "k1"), ours)
        self.started("k1", "k2")
        self.assertIs(self.source.keys().find("ES256", "k1"), ours)
        self.assertTrue(self.found("k2"))

    def test_noAge(self) -> None:
        """A source is asked at most once a second, however the age is configured."""
        self.source = self.make(KeySet(), Jwt(algorithms=("ES256",), jwks_url=URL, jwks_seconds=Seconds(0.0)))
        self.started("k1")
        self.pass_time(10)
        self.assertEqual(len(self.issuer.asked), 11)

    def test_callbackFails(self) -> None:
        """A failure of who was told is logged; the new keys serve and the refreshing goes on."""
        self.issuer.says = document("k1")

        def changed() -> None:
            raise LookupError

        self.source = JwksSource(self.clock, self.issuer.fetch, POLICY, KeySet(), changed)
        self.successResultOf(self.source.start())
        self.assertEqual(len(self.flushLoggedErrors(LookupError)), 1)
        self.assertTrue(self.found("k1"))
        self.pass_time(600)
        self.assertEqual(len(self.issuer.asked), 2)

    def test_stop(self) -> None:
        """Stopping cancels the request in flight quietly, lets go who waits, and asks no more."""
        logged = self.logged()
        started = self.source.start()
        self.source.stop()
        self.successResultOf(started)
        self.assertEqual(self.issuer.cancelled, 1)
        self.assertFalse(self.found("k1"))
        self.pass_time(3600)
        self.assertEqual((len(self.issuer.asked), logged()), (1, []))


class DownTests(JwksCase):
    """A source that gives nothing of use."""

    def test_stale(self) -> None:
        """While the source is down for ten minutes known keys serve on, and the log says so once, and when it ends."""
        self.started("k1")
        logged = self.logged()
        self.issuer.says = ConnectionError("refused")
        for _ in range(600, 1800, 10):
            self.pass_time(10)
            self.assertTrue(self.found("k1"))
        self.assertEqual(len(logged()), 1)
        self.assertIn("cannot be fetched", logged()[0])
        self.issuer.says = document("k1")
        self.pass_time(60)
        self.assertEqual(len(logged()), 2)
        self.assertEqual(self.changes, 1)

    def test_retries(self) -> None:
        """A failed request is made again after 1, 2, 4 seconds and so on, at last once a minute."""
        self.issuer.says = ConnectionError("refused")
        self.successResultOf(self.source.start())
        moments = []
        for second in range(1, 301):
            before = len(self.issuer.asked)
            self.pass_time(1)
            moments += [second] * (len(self.issuer.asked) - before)
        self.assertEqual(moments, [1, 3, 7, 15, 31, 63, 123, 183, 243])
        self.assertFalse(self.source.loaded)

    def test_uselessDocuments(self) -> None:
        """A document without usable keys does not replace those that are known."""
        self.started("k1")
        for useless in (b"", b"<html>", b'{"keys":[]}', b"[" * 100_000, b'{"keys":[{"kty":"oct","k":"AA"}]}'):
            self.issuer.says = useless
            self.pass_time(60)
            self.assertTrue(self.found("k1"))
        self.assertEqual(self.changes, 1)

    def test_silence(self) -> None:
        """A source that does not answer is given up in time, and asked again."""
        started = self.source.start()
        self.pass_time(FETCH_SECONDS - 1)
        self.assertNoResult(started)
        self.pass_time(1)
        self.successResultOf(started)
        self.assertEqual(self.issuer.cancelled, 1)
        self.pass_time(1)
        self.assertEqual(len(self.issuer.asked), 2)

    def test_raises(self) -> None:
        """A fetch that fails before it begins is a failed fetch."""

        def fetch(url: str) -> Deferred[bytes]:
            raise ValueError("no such scheme")

        self.source = JwksSource(self.clock, fetch, POLICY, KeySet())
        self.successResultOf(self.source.start())
        self.assertFalse(self.source.loaded)


class UnknownKeyTests(JwksCase):
    """A token names a key that is not known."""

    def test_refreshed(self) -> None:
        """An unknown key is found when the source publishes it by now; the others are not held up meanwhile."""
        self.started("k1")
        self.issuer.says = None
        waiting = self.find("k2")
        self.assertNoResult(waiting)
        self.assertTrue(self.found("k1"))
        self.issuer.answer(document("k1", "k2"))
        self.assertEqual(self.successResultOf(waiting), Key("ES256", "k2", public_key("ES256", "k2")))

    def test_oneRequest(self) -> None:
        """All who wait share the one request in flight, whoever began it; each gets the key that he asked for."""
        started = self.source.start()
        waiting = [self.find(f"k{number}") for number in range(50)]
        self.assertEqual(len(self.issuer.asked), 1)
        self.issuer.answer(document("k1", "k7"))
        self.successResultOf(started)
        keys = [self.successResultOf(one) for one in waiting]
        self.assertEqual([key.kid for key in keys if key], ["k1", "k7"])

    def test_coolDown(self) -> None:
        """A thousand unknown keys in ten minutes cost at most one request a minute, and those between fire at once."""
        self.started("k1")
        for number in range(1000):
            self.assertFalse(self.found(f"made up {number}"))
            self.clock.advance(0.59)
        self.assertEqual(len(self.issuer.asked), 11)
        self.assertEqual(self.changes, 1)

    def test_coolDownWhenDown(self) -> None:
        """It is no different while the source is down."""
        self.started("k1")
        self.issuer.says = ConnectionError("refused")
        for number in range(1000):
            self.assertFalse(self.found(f"made up {number}"))
        self.assertEqual(len(self.issuer.asked), 2)

    def test_afterCoolDown(self) -> None:
        """A key that was published during the cool-down is found right after it."""
        self.started("k1")
        self.assertFalse(self.found("k2"))
        self.issuer.says = document("k1", "k2")
        self.pass_time(COOL_DOWN - 1)
        self.assertFalse(self.found("k2"))
        self.pass_time(1)
        self.assertTrue(self.found("k2"))

    def test_neverPublished(self) -> None:
        """No request is made for a key that the source could not have: a secret's, or of an algorithm not allowed."""
        self.started("k1")
        for algorithm in ("HS256", "RS256", "none"):
            self.assertIsNone(self.successResultOf(self.source.find_refreshing(algorithm, "k2")))
        self.assertEqual(len(self.issuer.asked), 1)

    def test_cancelled(self) -> None:
        """Who no longer waits leaves the request to the others, even while they are being told."""
        self.started("k1")
        self.issuer.says = None
        first, second, third = (self.find(kid) for kid in ("k2", "k3", "k1x"))
        first.cancel()
        self.failureResultOf(first, CancelledError)
        second.addCallback(lambda _: third.cancel())
        self.issuer.answer(document("k1", "k2"))
        self.assertEqual(self.issuer.cancelled, 0)
        self.successResultOf(second)
        self.failureResultOf(third, CancelledError)
        self.assertTrue(self.found("k2"))

    def test_again(self) -> None:
        """Who asks for another key as soon as he is answered waits for a new request, not for the one that ended."""
        again: list[Deferred[Key | None]] = []
        self.source.start().addCallback(lambda _: again.append(self.find("k2")))
        self.issuer.answer(document("k1"))
        self.assertNoResult(again[0])
        self.issuer.answer(document("k1", "k2"))
        self.assertIsNotNone(self.successResultOf(again[0]))
        self.assertEqual(len(self.issuer.asked), 2)


class Issuer(Resource):
    """A web server's answers, by path."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.held: list[Request] = []
        self.holding: Deferred[None] = Deferred()

    def render_GET(self, request: Request) -> bytes | int:
        if request.path == b"/keys":
            request.setHeader(b"content-type", b"text/html")
            return document("k1")
        if request.path == b"/elsewhere":
            request.redirect(b"/keys")
            return b""
        if request.path == b"/large":
            request.write(b" " * (LARGEST_DOCUMENT + 1))
        if request.path == b"/slow":
            request.write(b"{")
        if request.path == b"/largest":
            return b" " * LARGEST_DOCUMENT
        if request.path == b"/cut":
            request.setHeader(b"content-length", b"100")
            request.write(b"{")
            request.loseConnection()
        if request.path == b"/lost":
            request.setResponseCode(404)
            request.write(b"no ")
        self.held.append(request)
        if not self.holding.called:
            self.holding.callback(None)
        return NOT_DONE_YET


class FetchTests(TestCase):
    """``fetcher``, against a real web server."""

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.issuer = Issuer()
        site = cast(Any, Site(self.issuer))
        port = cast(IReactorTCP, reactor).listenTCP(0, site, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.base = f"http://127.0.0.1:{cast(IPv4Address, port.getHost()).port}"
        key = private_key("RS256")
        identity = CertificateOptions(privateKey=key, certificate=cast(Any, certificate(key, datetime(2100, 1, 1))))
        port = cast(IReactorSSL, reactor).listenSSL(0, site, identity, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.secure_base = f"https://127.0.0.1:{cast(IPv4Address, port.getHost()).port}"
        self.fetch = fetcher(reactor)

    async def outcome(self, fetching: Deferred[bytes]) -> bytes | Exception:
        try:
            return await fetching
        except Exception as error:
            return error

    async def gone(self) -> None:
        """Wait until the connection of each request that is held has ended."""
        for request in self.issuer.held:
            if request.channel is not None:
                await request.notifyFinish().addErrback(lambda _: None)

    async def test_document(self) -> None:
        """The document comes as it is, up to the limit, whatever its media type."""
        self.assertEqual(await self.fetch(f"{self.base}/keys"), document("k1"))
        self.assertEqual(len(await self.fetch(f"{self.base}/largest")), LARGEST_DOCUMENT)

    async def test_refused(self) -> None:
        """A redirect, an error and too long a document are failures, and their connections are closed."""
        for path, words in (("/elsewhere", "status 302"), ("/lost", "status 404"), ("/large", "more than")):
            self.assertIn(words, str(await self.outcome(self.fetch(self.base + path))))
        await self.gone()

    async def test_unverified(self) -> None:
        """Over https nothing is taken from a server whose certificate nobody vouches for."""
        self.assertIn("certificate verify failed", str(await self.outcome(self.fetch(f"{self.secure_base}/keys"))))

    async def test_broken(self) -> None:
        """A document that is cut off is a failure, as is a URL that is not one of HTTP, or nobody there."""
        for url in (f"{self.base}/cut", "http://127.0.0.1:1/", "ftp://127.0.0.1/", "http://ä.example/", "keys"):
            self.assertIsInstance(await self.outcome(self.fetch(url)), Exception, url)

    async def test_cancelled(self) -> None:
        """A request that is cancelled in the middle of the document closes its connection."""
        fetching = self.fetch(f"{self.base}/slow")
        await self.issuer.holding
        fetching.cancel()
        self.assertIsInstance(await self.outcome(fetching), Exception)
        await self.gone()
