"""Where the gateway connects to is the configuration's to say, and nobody else's."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.kit import MemoryGateway

INSIDE = (b"169.254.169.254", b"127.0.0.1:6379", b"[::1]:6379", b"internal.example.org", b"0x7f000001", b"2130706433")
"""Where a request from outside would like to get: metadata, Redis, and what stands behind a name."""
REDIRECT = b"HTTP/1.1 307 Elsewhere\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"


class TargetTests(SynchronousTestCase):
    """A gateway with one instance, at 127.0.0.1:9001."""

    def check(self, data: bytes, answer: bytes = REDIRECT) -> None:
        gateway = MemoryGateway(answer=answer)
        client = gateway.exchange(data)
        self.assertEqual(len(client.answers()), 1, data)
        self.assertLessEqual(set(gateway.service.attempts), {("127.0.0.1", 9001)}, data)

    def test_host(self) -> None:
        """Neither Host, nor the authority of an absolute target, nor a field that speaks of hosts leads elsewhere."""
        for place in INSIDE:
            self.check(b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % place)
            self.check(b"GET http://%b/latest HTTP/1.1\r\nHost: a\r\n\r\n" % place)
            self.check(b"GET https://%b/latest HTTP/1.1\r\nHost: %b\r\n\r\n" % (place, place))
            for name in (b"X-Forwarded-Host", b"X-Original-URL", b"X-Rewrite-URL", b"Forwarded", b"Proxy", b"X-Host"):
                self.check(b"GET / HTTP/1.1\r\nHost: a\r\n%b: http://%b/\r\n\r\n" % (name, place))

    def test_path(self) -> None:
        """A path that looks like a URL is a path."""
        for place in INSIDE:
            self.check(b"GET //%b/ HTTP/1.1\r\nHost: a\r\n\r\n" % place)
            self.check(b"GET /http://%b/ HTTP/1.1\r\nHost: a\r\n\r\n" % place)
            self.check(b"GET /@%b/?url=http://%b/ HTTP/1.1\r\nHost: a\r\n\r\n" % (place, place))

    def test_redirect(self) -> None:
        """A redirect of a service is its client's to follow: it is passed on as it is."""
        gateway = MemoryGateway(answer=REDIRECT)
        (answer,) = gateway.exchange(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").answers()
        self.assertEqual((answer.status, answer.values(b"location")), (307, [b"http://169.254.169.254/"]))
        self.assertEqual(gateway.service.attempts, [("127.0.0.1", 9001)])
