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
from tracseq_gateway.config.model import Client, Instance, Service
from tracseq_gateway.config.policies import Authentication, PathRule, TokenNeed

SEGMENTS = st.sampled_from([b"open", b"closed", b"mixed", b"secret", b"SECRET", b"x", b"news", b"..", b".", b"", b"*"])
SEPARATORS = st.sampled_from([b"/", b"/", b"/", b"/", b"//", b"%2f", b"%5C", b"\\", b";/", b";v=1/", b"%3b/", b"/./"])


@st.composite
def targets(draw: st.DrawFn) -> bytes:
    """A path, spelled in some way."""
    path = b"/"
    for segment in draw(st.lists(SEGMENTS, max_size=6)):
        every = draw(st.sampled_from([0, 0, 0, 1, 2]))
        for at, byte in enumerate(segment):
            path += b"%%%02x" % byte if every and not at % every else bytes([byte])
        path += draw(SEPARATORS)
    return path + draw(st.sampled_from([b"", b"?q=/../closed", b"%00", b"..", b"%2e%2e"]))


def service(name: str, prefix: str, auth: TokenNeed = "none", **settings: PathRule) -> Service:
    paths = {f"/{path}": rule for path, rule in settings.items()}
    instances = (Instance("http://127.0.0.1:9001"),)
    return Service(name, prefix=prefix, rewrite=f"/up/{name}", instances=instances, auth=auth, paths=paths)


SERVICES = {
    "open": service("open", "/open"),
    "closed": service("closed", "/open/closed", "required", news=PathRule(auth="none")),
    "mixed": service("mixed", "/mixed", secret=PathRule(auth="required")),
}


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
            up, name, *below = understood(seen)
            self.assertEqual(up, b"up")
            self.assertIn(name, (b"open", b"mixed", b"closed"), (target, seen))
            self.assertFalse(name == b"mixed" and below[:1] == [b"secret"], (target, seen))
            self.assertFalse(name == b"closed" and below[:1] != [b"news"], (target, seen))

    def test_reached(self) -> None:
        """What is open is reached, byte for byte but for its dots."""
        for target, seen in {
            b"/open/x": b"/up/open/x",
            b"/mixed/a%20b/../c;d=e?f=%2f": b"/up/mixed/c;d=e?f=%2f",
            b"/open/closed/news/%C3%A9": b"/up/closed/news/%C3%A9",
        }.items():
            self.assertEqual(self.seen(target, "refuse"), [seen])
