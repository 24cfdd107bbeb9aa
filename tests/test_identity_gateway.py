"""Who is let in, who waits and who is refused: in whole requests with real tokens, through a gateway in memory."""

from __future__ import annotations

import json

import jwt
from twisted.trial.unittest import SynchronousTestCase

from tests.identity_lab import OLD_KEY, X_API_KEY, Lab, identity_fields, statuses
from tests.kit import MemoryClient
from tests.kit_client import request


class RefusalTests(SynchronousTestCase):
    def test_alike(self) -> None:
        """Every 401 has the same text and the same headers, whatever was wrong; nothing reaches the service."""
        lab = Lab()
        lab.callers.revocations.revoke_session("s-dead")
        now = int(lab.now())
        causes: list[tuple[bytes, ...]] = [
            (),
            (b"Authorization: Bearer",),
            (b"Authorization: Bearer x.y.z",),
            (b"Authorization: Basic dTpw",),
            (lab.token(), lab.token()),
            (lab.token() + b"A",),
            (lab.token() + b"=",),
            (lab.token(exp=now - 11),),
            (lab.token(nbf=now + 60),),
            (lab.token(role="root"),),
            (lab.token(session="s-dead"),),
            (b"Authorization: Bearer " + b"x" * 9000,),
            (b"Authorization: Bearer " + jwt.encode({"sub": "u-1", "exp": now + 60}, "", "none").encode(),),
            (b"Authorization: Bearer " + jwt.encode({"sub": "u-1", "exp": now + 60}, "other" * 10, "HS256").encode(),),
            (X_API_KEY + b"x",),
            (b"X-API-Key:",),
            (b"X-API-Key: " + OLD_KEY.key.encode(),),
            (X_API_KEY, X_API_KEY),
            (lab.token()[:-1], X_API_KEY),
        ]
        seen = set()
        for lines in causes:
            answer = lab.ask(b"/samples/7", *lines)
            self.assertEqual(answer.status, 401, lines)
            self.assertEqual(answer.values(b"www-authenticate"), [b'Bearer realm="tracseq"'])
            document = json.loads(answer.body)
            del document["request_id"]
            fields = [(name, value) for name, value in answer.fields if name not in (b"x-request-id", b"date")]
            seen.add(json.dumps(document) + repr(fields))
        self.assertEqual(len(seen), 1, seen)
        self.assertEqual((lab.service.attempts, lab.service.requests), ([], []))

    def test_head(self) -> None:
        """HEAD is refused as GET is, without the text."""
        answer = Lab().ask(b"/samples/7", method=b"HEAD")
        self.assertEqual((answer.status, len(answer.values(b"www-authenticate")), answer.body), (401, 1, b""))

    def test_forbidden(self) -> None:
        """A 403 says what role is needed, and challenges nobody; nothing reaches the service."""
        lab = Lab()
        answer = lab.ask(b"/samples/7", lab.token(), method=b"DELETE")
        document = json.loads(answer.body)
        self.assertEqual((answer.status, document["required_role"]), (403, "lab_administrator"))
        self.assertEqual(answer.values(b"www-authenticate"), [])
        for target, method in ((b"/auth/me", b"GET"), (b"/samples/7", b"PUT")):
            self.assertEqual(lab.ask(target, X_API_KEY, method=method).status, 403)
        self.assertEqual((lab.service.attempts, lab.service.requests), ([], []))

    def test_doors(self) -> None:
        """What needs no token is open without one, and nothing beside it."""
        lab = Lab()
        for target, status in (
            (b"/", 200),
            (b"/health", 200),
            (b"/auth/login", 200),
            (b"/auth/LOGIN", 401),
            (b"/auth/log%69n", 401),
            (b"/auth/login/../me", 401),
            (b"/auth/me", 401),
            (b"/samples", 401),
            (b"/samples/news", 200),
            (b"/samples/open/7", 200),
            (b"/samples/OPEN/Not", 401),
            (b"/samples/open/%6eot/7", 401),
            (b"/samples/open/x/..;/not", 400),
            (b"/samples/open%2fnot", 400),
            (b"/samples/maybe", 200),
            (b"/board", 200),
            (b"http://gw.test/samples/7", 401),
            (b"http://samples/auth/login", 200),
        ):
            self.assertEqual(lab.ask(target).status, status, target)

    def test_optional(self) -> None:
        """Where a token is optional, a bad one is refused all the same."""
        lab = Lab()
        self.assertEqual(lab.ask(b"/samples/maybe", lab.token() + b"x").status, 401)
        self.assertEqual(lab.ask(b"/samples/maybe", b"X-API-Key: no").status, 401)
        self.assertEqual(lab.ask(b"/samples/maybe", method=b"DELETE").status, 401)
        self.assertEqual(lab.service.requests, [])

    def test_bearer_wins(self) -> None:
        """With a token and an API key, the token says who calls and what he may."""
        lab = Lab()
        received = lab.seen(b"/auth/me", X_API_KEY, lab.token())  # a service that the key is not for
        self.assertEqual(identity_fields(received)["x-user-id"], "u-1")

    def test_uploads(self) -> None:
        """An upload that is refused is answered at once: nothing of it is read, and the client is not told to go on."""
        lab = Lab()
        for framing in (b"Content-Length: 40000000", b"Transfer-Encoding: chunked"):
            for more in ([], [b"Expect: 100-continue"]):
                for lines, status in (([], 401), ([lab.token()], 403)):
                    client = lab.client()
                    client.send(request(b"/samples/7", framing, *more, *lines, method=b"DELETE"))
                    self.assertEqual(statuses(client, b"DELETE"), [status])
                    self.assertTrue(client.closed)
                    client.send(b"x" * 1000)
                    self.assertEqual(statuses(client, b"DELETE"), [status])
        self.assertEqual(lab.service.attempts, [])

    def test_too_large_for_anybody(self) -> None:
        """What is too large for the service is 413 before anybody is asked who he is."""
        answer = Lab().ask(b"/samples/7", b"Content-Length: 99999999999", method=b"POST")
        self.assertEqual(answer.status, 413)


class WaitingTests(SynchronousTestCase):
    """While the Auth Service thinks."""

    def setUp(self) -> None:
        self.lab = Lab()
        self.lab.hold = True

    def send(self, *data: bytes) -> MemoryClient:
        client = self.lab.client()
        for piece in data:
            client.send(piece)
            self.lab.service.run()
        return client

    def test_one_question(self) -> None:
        """Many connections with one token wait for one question; who leaves meanwhile is not served."""
        clients = [self.send(request(b"/samples/%d" % number, self.lab.token())) for number in range(4)]
        self.assertEqual(self.lab.questions, 1)
        clients[1].leave()
        self.lab.answer_question()
        self.assertEqual([statuses(client) for client in clients], [[200], [], [200], [200]])
        targets = [received.target for received in self.lab.service.requests]
        self.assertEqual((targets, self.lab.worker.site.active), ([b"/0", b"/2", b"/3"], 0))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_refused(self) -> None:
        """All who wait are refused when the session does not stand, and nothing reaches the service."""
        clients = [self.send(request(b"/samples/7", self.lab.token())) for _ in range(3)]
        self.lab.answer_question(stands=False)
        self.assertEqual([statuses(client) for client in clients], [[401]] * 3)
        self.assertEqual(self.lab.service.requests, [])

    def test_pipelined(self) -> None:
        """What was sent ahead waits for its turn, and is then its own sender's."""
        tokens = [self.lab.token(f"u-{number}", session=f"s-{number}") for number in (1, 2, 1)]
        client = self.send(b"".join(request(b"/samples/7", token) for token in tokens))
        self.assertEqual(self.lab.questions, 1)
        self.lab.answer_question()
        self.lab.answer_question()
        self.assertEqual(statuses(client), [200, 200, 200])
        told = [identity_fields(received)["x-user-id"] for received in self.lab.service.requests]
        self.assertEqual(told, ["u-1", "u-2", "u-1"])

    def test_upload(self) -> None:
        """A body waits until its sender is known, and then goes on whole."""
        head = request(b"/samples", self.lab.token(), b"Content-Length: 8", method=b"POST")
        client = self.send(head + b"ab", b"cd")
        self.assertFalse(client.transport.reading)
        self.lab.answer_question()
        self.assertTrue(client.transport.reading)
        client.send(b"efgh")
        self.lab.service.run()
        self.assertEqual((statuses(client), self.lab.service.requests[0].body), ([200], b"abcdefgh"))

    def test_upload_that_waits_for_100(self) -> None:
        """A client that waits for it is told to go on when its sender is known, not before, and never when refused."""
        head = request(b"/samples", self.lab.token(), b"Content-Length: 2", b"Expect: 100-continue", method=b"POST")
        client, refused = self.send(head), self.send(head.replace(self.lab.token(), self.lab.token("u-2")))
        self.assertEqual(client.received, b"")
        self.lab.answer_question()
        self.lab.answer_question(stands=False)
        self.assertEqual((client.received, statuses(refused)), (b"HTTP/1.1 100 Continue\r\n\r\n", [401]))
        client.send(b"ab")
        self.lab.service.run()
        self.assertEqual(statuses(client), [100, 200])

    def test_upload_broken_off(self) -> None:
        """A body that is malformed is 400 while its sender is looked for, too; others wait on."""
        other = self.send(request(b"/samples/7", self.lab.token()))
        chunked = request(b"/samples", self.lab.token(), b"Transfer-Encoding: chunked", method=b"POST")
        client = self.send(chunked, b"no size\r\n")
        self.assertEqual(statuses(client), [400])
        self.lab.answer_question()
        self.assertEqual((statuses(client), statuses(other)), ([400], [200]))
        self.assertEqual(len(self.lab.service.requests), 1)


class OutageTests(SynchronousTestCase):
    def test_modes(self) -> None:
        """Without the Auth Service a known token passes for the grace time, a new one is 503; so the settings say."""
        for mode, new, stale, later in (("cached", 503, 200, 503), ("local", 200, 200, 200), ("closed", 503, 503, 503)):
            lab = Lab(when_service_is_down=mode, grace_seconds=60.0)
            known = lab.token()
            self.assertEqual(lab.ask(b"/samples/7", known).status, 200)
            lab.down = True
            answers = [lab.ask(b"/samples/7", known), lab.ask(b"/samples/7", lab.token("u-2"))]
            lab.clock.advance(359.0)
            answers.append(lab.ask(b"/samples/7", known))
            lab.clock.advance(1.0)
            answers.append(lab.ask(b"/samples/7", known))
            self.assertEqual([answer.status for answer in answers], [200, new, stale, later], mode)
            for answer in answers:
                self.assertEqual(answer.values(b"retry-after"), [b"1"] if answer.status == 503 else [])
            self.assertEqual(lab.ask(b"/samples/7").status, 401)
            self.assertEqual(lab.ask(b"/samples/7", X_API_KEY).status, 200)
            self.assertEqual(lab.ask(b"/samples/7", lab.token() + b"x").status, 401)
            lab.down = False
            self.assertEqual(lab.ask(b"/samples/7", lab.token("u-2")).status, 200)

    def test_time(self) -> None:
        """A token is good to its end and the leeway, by the gateway's clock, with an open connection or without."""
        lab = Lab(asks=False, cache_seconds=86400.0)
        client = lab.client()
        data = request(b"/samples/7", lab.token(exp=int(lab.now()) + 60))
        for seconds in (0.0, 59.0, 10.0, 1.0, 3600.0):
            lab.clock.advance(seconds)
            if client.closed or seconds > 30:
                client = lab.client()
            client.send(data)
            lab.service.run()
        self.assertEqual([received.target for received in lab.service.requests], [b"/7"] * 3)


class SessionTests(SynchronousTestCase):
    """Log-outs, and sessions that are deleted."""

    def test_logout(self) -> None:
        """A log-out kills its token at once: for what was sent right behind it, and on all connections."""
        lab = Lab()
        me, other = lab.token(), lab.token("u-2", session="s-2")
        kept = lab.exchange(request(b"/samples/7", me))
        again = request(b"/samples/7", me)
        client = lab.exchange(again + request(b"/auth/logout", me, method=b"POST") + again)
        kept.send(again)
        self.assertEqual((statuses(client), statuses(kept)), ([200, 200, 401], [200, 401]))
        self.assertEqual(lab.ask(b"/samples/7", lab.token()).status, 401)
        self.assertEqual(lab.ask(b"/samples/7", other).status, 200)

    def test_failed_logout(self) -> None:
        """A log-out that the service refuses, or that does not reach it, leaves the token alive."""
        for reply in (
            b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
            b"no",
        ):
            lab = Lab()
            lab.service.answer = reply
            self.assertGreaterEqual(lab.ask(b"/auth/logout", lab.token(), method=b"POST").status, 300)
            lab.service.answer = b"HTTP/1.1 204 No Content\r\n\r\n"
            self.assertEqual(lab.ask(b"/samples/7", lab.token()).status, 204)

    def test_logout_of_nobody(self) -> None:
        """A log-out that is refused here ends nothing."""
        lab = Lab()
        self.assertEqual(lab.ask(b"/auth/logout", method=b"POST").status, 401)
        self.assertEqual(lab.ask(b"/auth/sessions/s-1", method=b"DELETE").status, 401)
        self.assertEqual(lab.ask(b"/samples/7", lab.token()).status, 200)

    def test_deleted(self) -> None:
        """A session that is deleted is refused at once, and the one who deleted it goes on."""
        lab = Lab()
        admin, victim = lab.token(role="lab_administrator"), lab.token("u-2", session="s-2")
        self.assertEqual(lab.ask(b"/samples/7", victim).status, 200)
        lab.service.answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
        lab.ask(b"/auth/sessions/s-2", admin, method=b"DELETE")
        lab.service.answer = b"HTTP/1.1 204 No Content\r\n\r\n"
        self.assertEqual(lab.ask(b"/samples/7", victim).status, 204)
        self.assertEqual(lab.ask(b"/auth/sessions/s%2D2", admin, method=b"DELETE").status, 204)
        self.assertEqual([lab.ask(b"/samples/7", who).status for who in (victim, admin)], [401, 204])

    def test_deleted_nonsense(self) -> None:
        """Deleting what cannot be a session, which a service may call a success, leaves the connection in order."""
        lab = Lab()
        for session in (b"%01", b"x" * 300):
            delete = request(b"/auth/sessions/" + session, lab.token(), method=b"DELETE")
            client = lab.exchange(delete + request(b"/samples/7", lab.token()))
            self.assertEqual((statuses(client), lab.worker.site.active), ([200, 200], 0))

    def test_elsewhere(self) -> None:
        """Paths of other services that look alike end nothing."""
        lab = Lab()
        for target, method in (
            (b"/samples/logout", b"POST"),
            (b"/board/logout", b"POST"),
            (b"/samples/open", b"DELETE"),
        ):
            self.assertEqual(lab.ask(target, lab.token(role="lab_administrator"), method=method).status, 200)
        self.assertEqual(lab.ask(b"/samples/7", lab.token()).status, 200)

    def test_revoked_user(self) -> None:
        """A user who is revoked is refused with all tokens of before, and comes in with one of after."""
        lab = Lab()
        tokens = [lab.token(session=f"s-{number}") for number in range(3)]
        self.assertEqual([lab.ask(b"/samples/7", token).status for token in tokens], [200] * 3)
        lab.callers.revocations.revoke_user("u-1")
        self.assertEqual([lab.ask(b"/samples/7", token).status for token in tokens], [401] * 3)
        lab.clock.advance(1.0)
        self.assertEqual(lab.ask(b"/samples/7", lab.token()).status, 200)
