"""Who a client is by the certificate that it shows."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.identity_kit import fake
from tracseq_gateway.config.policies import ClientCertificate as Settings
from tracseq_gateway.config.policies import RateLimit, TokenNeed
from tracseq_gateway.errors import UNAUTHENTICATED, GatewayError
from tracseq_gateway.http.request_head import RequestHead
from tracseq_gateway.identity.access import Access
from tracseq_gateway.identity.client_certificates import MOST_KNOWN, ClientCertificates
from tracseq_gateway.interfaces import ClientCertificate, Identity, TlsFacts


def certificate(*names: str) -> ClientCertificate:
    return ClientCertificate("CN=somebody", names, "00" * 32, 2e9)


class FindTests(SynchronousTestCase):
    """From names to identities."""

    def found(self, matches: dict[str, str], *names: str) -> str | None:
        """The subject of who has these names, where ``matches`` are subjects by what they match."""
        settings = {f"t{index}": Settings(match, subject) for index, (match, subject) in enumerate(matches.items())}
        identity = ClientCertificates(settings).find(certificate(*names))
        return None if identity is None else identity.subject

    def test_each_kind(self) -> None:
        """A name is found by its kind and its whole; one of another kind is another name."""
        for name in ("URI:spiffe://lab/7", "DNS:seq-7.lab.test", "email:seq@lab.test", "CN:seq-7"):
            self.assertEqual(self.found({name: "seven"}, "DNS:other.test", name), "seven")
            self.assertIsNone(self.found({name: "seven"}, name + "0"))
            self.assertIsNone(self.found({name: "seven"}, name[:-1]))
            self.assertIsNone(self.found({name: "seven"}, "CN:" + name.partition(":")[2] + "!"))

    def test_dns_case(self) -> None:
        """The case of a DNS name makes no difference; of a URI it does."""
        self.assertEqual(self.found({"DNS:seq-7.lab.test": "seven"}, "DNS:SEQ-7.Lab.test"), "seven")
        self.assertIsNone(self.found({"URI:spiffe://lab/a": "seven"}, "URI:spiffe://lab/A"))

    def test_patterns(self) -> None:
        """A star at a URI's end stands for any rest, the longer pattern wins, and a whole name wins over both."""
        matches = {
            "URI:spiffe://lab/*": "any",
            "URI:spiffe://lab/seq/*": "seq",
            "URI:spiffe://lab/seq/7": "seven",
        }
        for name, subject in (
            ("URI:spiffe://lab/scales", "any"),
            ("URI:spiffe://lab/seq/8", "seq"),
            ("URI:spiffe://lab/seq/7", "seven"),
            ("URI:spiffe://lab/", None),
            ("URI:spiffe://laboratory/7", None),
            ("DNS:spiffe://lab/seq/7", None),
            ("URI:spiffe://lab/\r\nx-user-role: lab_administrator", None),
            ("URI:spiffe://lab/" + "x" * 600, None),
        ):
            self.assertEqual(self.found(matches, name), subject, name)

    def test_subject(self) -> None:
        """Who is not named otherwise is its name in the certificate, so that those of one pattern are not one."""
        known = ClientCertificates({"seq": Settings("URI:spiffe://lab/*", rate_limit=RateLimit(5, 6))})
        one, other = (known.find(certificate(f"URI:spiffe://lab/{number}")) for number in (1, 2))
        assert one is not None and other is not None
        self.assertEqual((one.subject, other.subject), ("spiffe://lab/1", "spiffe://lab/2"))
        self.assertEqual((one.client, other.client), (b"c:spiffe://lab/1", b"c:spiffe://lab/2"))
        self.assertEqual((one.kind, one.key_name, one.rate_limit), ("certificate", "certificate:seq", RateLimit(5, 6)))
        self.assertIs(known.find(certificate("URI:spiffe://lab/1")), one)

    def test_bounded(self) -> None:
        """However many come by one pattern, no more than so many are kept."""
        known = ClientCertificates({"seq": Settings("URI:spiffe://lab/*")})
        for number in range(2 * MOST_KNOWN + 1):
            self.assertIsNotNone(known.find(certificate(f"URI:spiffe://lab/{number}")))
        self.assertLessEqual(len(known._known), MOST_KNOWN)


class AccessTests(SynchronousTestCase):
    """What a certificate is good for."""

    unauthenticated = GatewayError(UNAUTHENTICATED, "who are you?")

    def setUp(self) -> None:
        self.found: Any = None

    def identify(self, head: RequestHead) -> Any:
        """Say what the token or API key of a request is worth."""
        return self.found

    def come(self, *names: str, need: TokenNeed = "required", tls: bool = True, **settings: Any) -> tuple[int, Any]:
        """What becomes of a request whose client has these names, and who it was."""
        known = ClientCertificates({"seq": Settings("URI:spiffe://lab/seq/7", **settings)})
        access = Access("samples", 0, need, {}, (), {}, self, lambda identity: b"", None, known)
        request: Any = fake("/7", "GET")
        request.tls = TlsFacts("TLSv1.3", "", "", certificate(*names) if names else None) if tls else None
        verdict: Any = access(request)
        return (200 if verdict is None else verdict.kind.status), request.identity

    def test_alone(self) -> None:
        """Who sends neither token nor API key is who the certificate says; a stranger's says nothing."""
        status, identity = self.come("URI:spiffe://lab/seq/7", role="lab_technician")
        self.assertEqual((status, identity.subject, identity.role), (200, "spiffe://lab/seq/7", "lab_technician"))
        self.assertEqual(self.come("URI:spiffe://lab/seq/8"), (401, None))
        self.assertEqual(self.come(), (401, None))
        self.assertEqual(self.come(tls=False), (401, None))

    def test_token_wins(self) -> None:
        """A token, or an API key, says who calls, whatever the certificate; one that is refused is refused."""
        self.found = Identity("user", "u-1", "guest")
        self.assertEqual(self.come("URI:spiffe://lab/seq/7"), (200, self.found))
        self.found = self.unauthenticated
        self.assertEqual(self.come("URI:spiffe://lab/seq/7"), (401, None))

    def test_limits(self) -> None:
        """A certificate is good for the services and methods of its table."""
        for services, methods in ((("storage",), ()), ((), ("POST",))):
            status, identity = self.come("URI:spiffe://lab/seq/7", services=services, methods=methods)
            self.assertEqual((status, identity.kind), (403, "certificate"))
        self.assertEqual(self.come("URI:spiffe://lab/seq/7", services=("samples",), methods=("GET",))[0], 200)

    def test_public(self) -> None:
        """Where nobody is asked, nobody is known; where a token is optional, the certificate is looked at."""
        self.assertEqual(self.come("URI:spiffe://lab/seq/7", need="none"), (200, None))
        status, identity = self.come("URI:spiffe://lab/seq/7", need="optional")
        self.assertEqual((status, identity.subject), (200, "spiffe://lab/seq/7"))
        self.assertEqual(self.come("URI:spiffe://lab/seq/8", need="optional"), (200, None))
