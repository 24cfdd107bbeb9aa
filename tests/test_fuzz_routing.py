"""Paths in every spelling, through a whole gateway: what is authorised is what a service is asked for."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.kit import MemoryGateway
from tests.kit_client import request
from tests.test_http_target import remove_dot_segments
from tests.token_kit import SECRET, VARIABLE
from tracseq_gateway.config.model import Client, Service
from tracseq_gateway.config.policies import Authentication, PathRule, TokenNeed
from tracseq_gateway.config.upstream import Instance

DOTS = st.sampled_from([b"..", b".", b"%2e%2E", b".%2e", b"%2e", b"%252e%252e", b"..%00", b"...", b""])
SEPARATORS = st.sampled_from(
    [b"/", b"/", b"/", b"//", b"%2f", b"%5C", b"\\", b";/", b";v=1/", b"%3b/", b"/./", b"%2f/"]
)
DETOURS = st.tuples(st.sampled_from([b"", b"x/", b"x%2f", b"x/y/"]), DOTS, SEPARATORS).map(b"".join)
GOALS = st.sampled_from(
    [b"secret", b"SECRET", b"secret/x", b"closed/x", b"x", b"news", b"closed/news", b"mixed/secret"]
)


@st.composite
def targets(draw: st.DrawFn) -> bytes:
    """A path to somewhere, by detours, with some of its letters escaped."""
    path = draw(st.sampled_from([b"/open/", b"/mixed/", b"/open/closed/", b"/open/closed/news/", b"/"]))
    path += b"".join(draw(st.lists(DETOURS, max_size=3)))
    goal, escaped = draw(GOALS), draw(st.sampled_from([-1, -1, 0, 1, 6]))
    path += b"".join(b"%%%02x" % byte if at == escaped else bytes([byte]) for at, byte in enumerate(goal))
    return path + draw(st.sampled_from([b"", b"", b"/", b";x", b"?q=/../closed", b"/..", b"%2f.."]))


def service(name: str, prefix: str, auth: TokenNeed = "none", **settings: PathRule) -> Service:
    paths = {f"/{path}": rule for path, rule in settings.items()}
    instances = (Instance("http://127.0.0.1:9001"),)
    return Service(name, prefix=prefix, rewrite=f"/up/{name}", instances=instances, auth=auth, paths=paths)


SERVICES = {
    "open": service("open", "/open"),
    "closed": service("closed", "/open/closed", "required", news=PathRule(auth="none")),
    "mixed": service("mixed", "/mixed", secret=PathRule(auth="required")),
}


NAMES = [[name.encode()] for name in SERVICES]


def understood(target: bytes) -> list[bytes]:
    """The segments of a target as a service may understand it that decodes and resolves more than it should."""
    decoded = unquote_to_bytes(target.partition(b"?")[0]).replace(b"\\", b"/")
    segments = [segment.partition(b";")[0] for segment in decoded.split(b"/")]
    return [segment.lower() for segment in remove_dot_segments(b"/".join(segments)).split(b"/") if segment]


class AnySpellingTests(SynchronousTestCase):
    def seen(self, target: bytes, slashes: str) -> list[bytes]:
        """The targets that services see of a request without a token."""
        gateway = MemoryGateway(
            services=SERVICES,
            client=Client(encoded_slashes="keep" if slashes == "keep" else "refuse"),
            tables={"auth": Authentication(enabled=True, service="")},
            environ={VARIABLE: SECRET},
        )
        gateway.exchange(request(target))
        return [received.target for received in gateway.service.requests]

    @given(targets(), st.sampled_from(["refuse", "keep"]))
    @example(b"/open/x/../closed/y", "refuse")
    @example(b"/mixed/x%2f..%2fsecret", "keep")
    @example(b"/mixed/%73ecret", "refuse")
    @example(b"/open/closed/news/..%2fx", "keep")
    @settings(max_examples=400, deadline=None)
    def test_without_a_token(self, target: bytes, slashes: str) -> None:
        """No spelling of a path gets a stranger out of an open service's prefix, or to what needs a token below it."""
        for seen in self.seen(target, slashes):
            segments = understood(seen)
            self.assertEqual((segments[:1], segments[1:2] in NAMES), ([b"up"], True), (target, seen))
            self.assertNotEqual(segments[1:3], [b"mixed", b"secret"], (target, seen))
            if segments[1] == b"closed":
                self.assertEqual(segments[2:3], [b"news"], (target, seen))

    def test_reached(self) -> None:
        """What is open is reached, byte for byte but for its dots."""
        for target, seen in {
            b"/open/x": b"/up/open/x",
            b"/mixed/a%20b/../c;d=e?f=%2f": b"/up/mixed/c;d=e?f=%2f",
            b"/open/closed/news/%C3%A9": b"/up/closed/news/%C3%A9",
        }.items():
            self.assertEqual(self.seen(target, "refuse"), [seen])
