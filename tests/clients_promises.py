"""What every client may rely on; a test module has a class for each client."""

from __future__ import annotations

from hashlib import sha256

from twisted.trial.unittest import SynchronousTestCase

from tests.clients_kit import Ask, Client, Relay, Seen, knows, shared_gateway, shared_secure_gateway
from tests.clients_service import TEXT, noise

LARGE = 5_000_000
AT_ONCE = 16
FIELDS = {"Content-Type": "application/octet-stream"}


class Promises(SynchronousTestCase):
    """See the module. A client that cannot do something says so in the class's attributes."""

    client: Client
    version = "HTTP/1.1"
    secure = False
    keeps_cookies = True
    follows_redirects = True
    sends_chunks = True
    most_connections = 1
    """For requests one after the other."""
    multiplexes = False
    """Whether requests at once share one connection."""

    ca: str | None = None

    def setUp(self) -> None:
        if self.secure:
            gateway, self.ca = shared_secure_gateway()
        else:
            gateway = shared_gateway()
        self.relay = Relay(gateway.port)
        self.addCleanup(self.relay.stop)

    def ask(self, *asks: Ask, at_once: bool = False) -> list[Seen]:
        base = f"{'https' if self.secure else 'http'}://127.0.0.1:{self.relay.port}"
        found = self.client.run(base, asks, at_once=at_once, ca=self.ca)
        versions = {seen.fields.get(":version", self.version) for seen in found if seen.status}
        self.assertLessEqual(versions, {self.version})
        return found

    def test_upload(self) -> None:
        """A large body reaches the service as it was sent, and so does one whose length is not known before its end."""
        body = noise(LARGE)
        asks = [Ask("/lab/seen", "POST", body, FIELDS)]
        if self.sends_chunks:
            asks.append(Ask("/lab/seen", "PUT", body, FIELDS, chunked=True))
        for seen in self.ask(*asks):
            self.assertEqual(seen.status, 200, seen)
            self.assertEqual((seen.json()["size"], seen.json()["sha256"]), (LARGE, sha256(body).hexdigest()))

    def test_download(self) -> None:
        """A large answer arrives as the service sent it, and a part of one is a part."""
        whole, part = self.ask(Ask(f"/lab/bytes/{LARGE}"), Ask("/lab/bytes/1000", fields={"Range": "bytes=10-19"}))
        self.assertEqual((whole.status, sha256(whole.body).digest()), (200, sha256(noise(LARGE)).digest()))
        self.assertEqual((part.status, part.body), (206, noise(1000)[10:20]))
        self.assertEqual(part.fields["content-range"], "bytes 10-19/1000")

    def test_compressed(self) -> None:
        """A text comes compressed, because the client asks for that of itself, and is read as what it is."""
        if not knows("compression"):
            self.skipTest("the gateway does not compress")
        (seen,) = self.ask(Ask("/lab/text"))
        self.assertEqual((seen.status, seen.body), (200, TEXT))
        self.assertLess(self.relay.answered, len(TEXT) // 2)

    def test_kept(self) -> None:
        """One connection serves a whole session: bodies, answers without one, errors of the service and our own."""
        statuses = [
            seen.status
            for seen in self.ask(
                Ask("/lab/seen"),
                Ask("/lab/status/404"),
                Ask("/nowhere"),
                Ask("/lab/seen", "POST", b"some", FIELDS),
                Ask("/lab/status/204"),
                Ask("/closed/seen"),
                Ask("/lab/bytes/100000", "HEAD"),
                Ask("/lab/status/500"),
                Ask("/lab/seen", "DELETE"),
            )
        ]
        self.assertEqual(statuses, [200, 404, 404, 200, 204, 401, 200, 500, 200])
        self.assertLessEqual(self.relay.connections, self.most_connections)

    def test_head(self) -> None:
        """HEAD says how long the answer would be, and has none."""
        (seen,) = self.ask(Ask("/lab/bytes/1234", "HEAD"))
        self.assertEqual((seen.status, seen.fields["content-length"], seen.body), (200, "1234", b""))

    def test_refusals(self) -> None:
        """401, 413 and 429 are seen as what they are, each with its problem document and what to do."""
        (closed,) = self.ask(Ask("/closed/seen"))
        self.assertEqual((closed.status, closed.json()["status"]), (401, 401))
        self.assertIn("Bearer", closed.fields["www-authenticate"])
        (small,) = self.ask(Ask("/small/seen", "POST", bytes(100_001), FIELDS))
        self.assertEqual((small.status, small.json()["title"]), (413, "Content Too Large"))
        seldom = self.ask(Ask("/seldom/seen"), Ask("/seldom/seen"))[-1]
        self.assertEqual((seldom.status, seldom.json()["status"]), (429, 429))
        self.assertIn(int(seldom.fields["retry-after"]), range(1, 61))

    def test_refused_upload(self) -> None:
        """A body that is too large is refused while it is still being sent: the client hears so, and goes on."""
        body = noise(LARGE)
        framings = (False, True) if self.sends_chunks else (False,)
        asks = [Ask("/small/seen", "POST", body, FIELDS, chunked=chunked) for chunked in framings]
        *refused, then = self.ask(*asks, Ask("/lab/seen"))
        for seen in refused:
            self.assertEqual((seen.status, seen.failure), (413, ""))
            self.assertEqual(seen.json()["status"], 413)
        self.assertEqual(then.status, 200)

    def test_redirect(self) -> None:
        """A redirect of the service leads back through the gateway."""
        (seen,) = self.ask(Ask("/lab/moved"))
        if not self.follows_redirects:
            self.assertEqual((seen.status, seen.fields["location"]), (302, "/lab/seen/moved"))
            return
        self.assertEqual((seen.status, seen.json()["path"]), (200, "/seen/moved"))

    def test_cookies(self) -> None:
        """Cookies that the service sets come back to it."""
        if not self.keeps_cookies:
            self.skipTest("this client keeps no cookies")
        seen = self.ask(Ask("/lab/cookies"), Ask("/lab/seen"))[-1]
        cookies = sorted(seen.json()["fields"]["cookie"].split("; "))
        self.assertEqual(cookies, ["bar=open", "theme=dark"])

    def test_at_once(self) -> None:
        """Requests at once each get their own answer."""
        asks = [Ask(f"/lab/seen/{number}", "POST", noise(number), FIELDS) for number in range(1, AT_ONCE + 1)]
        found = [(seen.json()["path"], seen.json()["size"]) for seen in self.ask(*asks, at_once=True)]
        self.assertEqual(found, [(f"/seen/{number}", number) for number in range(1, AT_ONCE + 1)])
        if self.multiplexes:
            self.assertLessEqual(self.relay.connections, self.most_connections)
