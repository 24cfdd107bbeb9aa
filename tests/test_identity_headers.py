"""What services are told of who calls, and what never reaches them: in whole requests through a gateway in memory."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.identity_lab import KEY, X_API_KEY, Lab, identity_fields, statuses
from tests.kit import SPLITS
from tests.kit_client import request
from tracseq_gateway.identity.signing import verify

SIGNING_KEY = "an identity key of the tests, long"


class HeaderTests(SynchronousTestCase):
    def test_told(self) -> None:
        """A service is told who calls: user, role and session by a token, the owner and the role by an API key."""
        lab = Lab()
        told = {"x-user-id": "u-1", "x-user-role": "lab_technician", "x-session-id": "s-1"}
        self.assertEqual(identity_fields(lab.seen(b"/samples/7", lab.token())), told)
        owner = {"x-user-id": "sequencer-7", "x-user-role": "lab_technician"}
        self.assertEqual(identity_fields(lab.seen(b"/samples/7", X_API_KEY)), owner)

    def test_signed(self) -> None:
        """With a key, the service can tell that it was this gateway who said so, and when."""
        lab = Lab(environ={"TRACSEQ_IDENTITY_KEY": SIGNING_KEY})
        fields = dict(lab.seen(b"/samples/7", lab.token()).fields)
        self.assertTrue(verify(fields, SIGNING_KEY.encode(), lab.now()))
        self.assertFalse(verify({**fields, b"x-user-role": b"lab_administrator"}, SIGNING_KEY.encode(), lab.now()))

    def test_never_from_outside(self) -> None:
        """What a client says of identity never arrives, in whatever spelling, on any path, with a token or without."""
        lab = Lab()
        names = b"X-User-Id x-user-id X_USER_ID x_user-id X-User_Email X-User-Role X_User_Role X-USER-ROLE X-User-Name"
        names += b" X-Session-Id x_session_id X-Identity-Signature X_Identity_Signature Remote-User X-Remote_User"
        lies = [name + b": lab_administrator" for name in names.split()]
        told = {"x-user-id": "u-1", "x-user-role": "lab_technician", "x-session-id": "s-1"}
        every = [*lies, *lies, b"Connection: x-user-id, x-user-role, X-Session-Id, x-api-key"]
        for target, with_token in (
            (b"/samples/7", told),
            (b"/samples/maybe", told),
            (b"/samples/open", {}),
            (b"/samples/news", {}),
            (b"/auth/login", {}),
            (b"/board/7", {}),
        ):
            for chosen in (every, *([lie] for lie in lies)):
                self.assertEqual(identity_fields(lab.seen(target, *chosen, lab.token())), with_token, (target, chosen))
                self.assertEqual(identity_fields(lab.seen(target, lab.token(), *chosen)), with_token, (target, chosen))
                if target != b"/samples/7":
                    self.assertEqual(identity_fields(lab.seen(target, *chosen)), {}, (target, chosen))

    def test_trailers(self) -> None:
        """Nor does it in the trailers of a body."""
        lab = Lab()
        chunked = request(b"/samples/7", lab.token(), b"Transfer-Encoding: chunked", method=b"POST")
        lab.exchange(chunked + b"1\r\nx\r\n0\r\nX-User-Id: u-0\r\nX-User-Role: lab_administrator\r\n\r\n")
        (received,) = lab.service.requests
        self.assertEqual((received.body, identity_fields(received)["x-user-id"]), (b"x", "u-1"))
        self.assertNotIn(b"u-0", b"".join(c.transport.value() for c in lab.service.connections))

    def test_api_key_goes_no_further(self) -> None:
        """An API key is kept from the services in all spellings, whether it was used or not."""
        lab, secret = Lab(), KEY.key.encode()
        for target in (
            b"/samples/7",
            b"/samples/maybe",
            b"/samples/open",
            b"/samples/news",
            b"/auth/login",
            b"/board/7",
        ):
            for name in (b"X-API-Key", b"x-api-key", b"X_API_KEY", b"x-api_key", b"X_Api-Key"):
                lines = [name + b": " + secret]
                if target == b"/samples/7":
                    lines.append(lab.token())
                received = lab.seen(target, *lines)
                self.assertNotIn(secret, b"".join(name + value for name, value in received.fields), (target, name))

    def test_another_api_key_header(self) -> None:
        """So it is when the header has another name, spelled with dashes or not."""
        for header in ("X-Instrument", "x_instrument"):
            lab = Lab(api_key_header=header)
            for name in (b"X-Instrument", b"x_instrument", b"X_INSTRUMENT"):
                received = lab.seen(b"/samples/open", name + b": secret-of-mine")
                self.assertNotIn(b"secret-of-mine", b"".join(value for _, value in received.fields), (header, name))

    def test_connections_that_change_hands(self) -> None:
        """Each request of a kept connection is its own sender's: who came before on it is nobody."""
        lab = Lab()
        one, other = lab.token(), lab.token("u-2", "guest", "s-2")
        senders = [(one,), (one,), (other,), (), (one,), (X_API_KEY,), (other,), (other,), (), (), (one,)]
        wanted = ["u-1", "u-1", "u-2", "", "u-1", "sequencer-7", "u-2", "u-2", "", "", "u-1"]
        requests = [request(b"/samples/maybe", *lines) for lines in senders]
        for name, split in SPLITS.items():
            for pieces in ([b"".join(requests)], requests):
                lab.service.requests.clear()
                client = lab.client()
                for piece in pieces:
                    for part in split(piece):
                        client.send(part)
                        lab.service.run()
                told = [identity_fields(received).get("x-user-id", "") for received in lab.service.requests]
                self.assertEqual((told, client.closed), (wanted, False), name)

    def test_refused_between(self) -> None:
        """Between requests that are good, those that are not are refused, and the connection stays."""
        lab = Lab()
        good, bad, none = (
            request(b"/samples/7", lab.token()),
            request(b"/samples/7", lab.token() + b"x"),
            request(b"/samples/7"),
        )
        delete = request(b"/samples/7", lab.token(), method=b"DELETE")
        client = lab.exchange(good + bad + good + none + delete + good + none + none + good)
        self.assertEqual(statuses(client), [200, 401, 200, 401, 403, 200, 401, 401, 200])
        self.assertEqual((len(lab.service.requests), client.closed), (4, False))

    def test_shared_upstream_connection(self) -> None:
        """A connection to a service serves many callers, each told of by itself."""
        lab = Lab()
        for number in range(5):
            received = lab.seen(b"/samples/7", lab.token(f"u-{number}", "guest", f"s-{number}"))
            told = {"x-user-id": f"u-{number}", "x-user-role": "guest", "x-session-id": f"s-{number}"}
            self.assertEqual(identity_fields(received), told)
        self.assertEqual(len(lab.service.connections), 1)
