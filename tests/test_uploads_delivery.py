"""An upload on its way to its service: as one request, once, and what its client hears of it."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet.error import ConnectionRefusedError
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.kit import MemoryClient, Received
from tests.token_kit import SECRET, VARIABLE
from tests.uploads_kit import PART, TAKES, TUS, UploadGateway, metadata
from tracseq_gateway.config import ApiKey, Authentication
from tracseq_gateway.config.cache import ServiceCache
from tracseq_gateway.config.upstream import Breaker
from tracseq_gateway.errors import NO_SPACE
from tracseq_gateway.identity.api_keys import new_key
from tracseq_gateway.uploads import held
from tracseq_gateway.uploads.delivery import LONGEST_ANSWER
from tracseq_gateway.uploads.refused import Refused

CREATED = (
    b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nLocation: /documents/7\r\n"
    b'Content-Length: 9\r\n\r\n{"id": 7}'
)


def answered(status: bytes, body: bytes = b"", *fields: bytes) -> bytes:
    """What a service answers."""
    return b"\r\n".join((b"HTTP/1.1 " + status, *fields, b"Content-Length: %d" % len(body), b"", body))


KEPT = answered(b"200 OK", b"kept", b"Cache-Control: max-age=60")


class DeliveryCase(SynchronousTestCase):
    def gateway(self, answer: bytes | None = CREATED, **settings: Any) -> UploadGateway:
        return UploadGateway(self.mktemp(), answer, **settings)

    def last(self, gateway: UploadGateway, url: bytes, offset: int, body: bytes, *fields: bytes) -> MemoryClient:
        """Bring the last part; the service does not answer by itself."""
        lines = (TUS, PART, b"Upload-Offset: %d" % offset, *fields)
        if not body:
            lines = (*lines, b"Content-Length: 0")
        return gateway.begin(b"PATCH", url, *lines, body=body)


class RequestTests(DeliveryCase):
    def deliver(self, gateway: UploadGateway, *fields: bytes, of_part: tuple[bytes, ...] = ()) -> Received:
        url = gateway.create(6, *fields, path=TAKES + b"?run=7")
        gateway.append(url, 0, b"abc")
        self.assertEqual(204, gateway.append(url, 3, b"def", *of_part).status)
        (request,) = gateway.service.requests
        return request

    def test_file(self) -> None:
        """The service gets one POST to the path of the upload, with its query, length, type, name and digest."""
        gateway = self.gateway()
        said = metadata(filename="C:\\runs\\Lauf ä.bin", filetype="image/png")
        request = self.deliver(gateway, said)
        self.assertEqual((b"POST", b"/files?run=7", b"abcdef"), (request.method, request.target, request.body))
        digest = b"sha-256=:%b:" % b64encode(hashlib.sha256(b"abcdef").digest())
        for name, value in (
            (b"content-length", b"6"),
            (b"content-type", b"image/png"),
            (b"content-disposition", b"attachment; filename*=UTF-8''Lauf%20%C3%A4.bin"),
            (b"repr-digest", digest),
            (b"upload-metadata", said.partition(b": ")[2]),
            (b"x-forwarded-for", b"192.0.2.7"),
        ):
            self.assertEqual([value], request.values(name))
        (key,) = request.values(b"idempotency-key")
        self.assertRegex(key, rb'\A"up_[A-Za-z0-9_-]{32}"\Z')

    def test_form(self) -> None:
        """A service that takes forms gets one with the file in its field, and the digest of that whole form."""
        request = self.deliver(self.gateway(form="file"), metadata(filename='a"b.txt', filetype="text/plain"))
        (said,) = request.values(b"content-type")
        boundary = said.removeprefix(b"multipart/form-data; boundary=")
        self.assertEqual(
            b'--%b\r\nContent-Disposition: form-data; name="file"; filename="a%%22b.txt"\r\n'
            b"Content-Type: text/plain\r\n\r\nabcdef\r\n--%b--\r\n" % (boundary, boundary),
            request.body,
        )
        self.assertEqual([b"%d" % len(request.body)], request.values(b"content-length"))
        digest = b64encode(hashlib.sha256(request.body).digest())
        self.assertEqual([b"sha-256=:%b:" % digest], request.values(b"repr-digest"))

    def test_fields_of_the_part(self) -> None:
        """What the last part says of itself is not said of the whole; what it says of its client is."""
        of_part = (b"Content-Encoding: x", b"Idempotency-Key: k", b"User-Agent: lab/1", b"X-Request-Id: r-1")
        request = self.deliver(self.gateway(), of_part=(*of_part, b"Accept-Encoding: gzip"))
        for name in (b"content-encoding", b"tus-resumable", b"upload-offset"):
            self.assertEqual([], request.values(name))
        self.assertEqual([b"identity"], request.values(b"accept-encoding"))
        self.assertEqual([b"lab/1"], request.values(b"user-agent"))
        self.assertEqual([b"r-1"], request.values(b"x-request-id"))
        self.assertEqual([b"application/octet-stream"], request.values(b"content-type"))

    def test_large(self) -> None:
        """One of many pieces comes whole."""
        gateway = self.gateway(None)
        body = bytes(range(256)) * 8192
        url = gateway.create(len(body))
        gateway.leave(gateway.part(url, 0, len(body), body[:-1]))
        client = self.last(gateway, url, len(body) - 1, body[-1:])
        (connection,) = gateway.service.connections
        (request,) = gateway.service.requests
        self.assertTrue(body == request.body)
        connection.answer(CREATED)
        gateway.settle()
        self.assertEqual(204, client.answers(b"PATCH")[0].status)

    def test_slow_service(self) -> None:
        """A service that takes no more is not sent more."""
        gateway = self.gateway(None)
        body = b"x" * (4 << 20)
        url = gateway.create(len(body))
        gateway.leave(gateway.part(url, 0, len(body), body[:-1]))
        gateway.service.hold = True
        self.last(gateway, url, len(body) - 1, body[-1:])
        connection = gateway.service.admit()
        connection.transport.fill()
        gateway.settle()
        sent = len(connection.transport.value())
        self.assertLess(sent, 1 << 20)
        connection.transport.drain()
        gateway.settle()
        self.assertTrue([body] == [request.body for request in gateway.service.requests])

    def test_on_a_connection_of_its_own(self) -> None:
        """It does not go on a kept connection, which might turn out closed."""
        gateway = self.gateway()
        gateway.ask(b"GET", b"/other")
        url = gateway.create(3)
        gateway.append(url, 0, b"abc")
        self.assertEqual(2, len(gateway.service.connections))


class OutcomeTests(DeliveryCase):
    def deliver(self, answer: bytes | None, **settings: Any) -> tuple[UploadGateway, bytes, MemoryClient]:
        gateway = self.gateway(answer, **settings)
        url = gateway.create(3)
        return gateway, url, self.last(gateway, url, 0, b"abc")

    def status(self, client: MemoryClient) -> int:
        (answer,) = client.answers(b"PATCH")
        return answer.status

    def test_taken(self) -> None:
        """When the service has taken it the client hears 204, and can read what it said; the bytes are let go."""
        gateway, url, client = self.deliver(CREATED)
        self.assertEqual(204, self.status(client))
        answer = gateway.ask(b"GET", url)
        self.assertEqual((200, b'{"id": 7}'), (answer.status, answer.body))
        self.assertEqual([b"application/json"], answer.values(b"content-type"))
        self.assertEqual(b"", gateway.file(url, "data").read_bytes())
        self.assertEqual(3, gateway.offset(url))

    def test_once(self) -> None:
        """Whatever its client asks afterwards, it is not sent again."""
        gateway, url, _ = self.deliver(CREATED)
        gateway.show(url)
        self.assertEqual(204, gateway.append(url, 3, b"").status)
        self.assertEqual(413, gateway.append(url, 3, b"d").status)
        self.assertEqual(1, len(gateway.service.requests))

    def test_result_expires(self) -> None:
        """What the service said is kept for a while."""
        gateway, url, _ = self.deliver(CREATED, uploads={"result_seconds": 100.0})
        gateway.pass_time(99, step=11)
        self.assertEqual(200, gateway.ask(b"GET", url).status)
        gateway.pass_time(44, step=11)
        self.assertEqual(404, gateway.ask(b"GET", url).status)
        self.assertEqual([], list(gateway.directory.glob("up_*")))

    def test_long_answer(self) -> None:
        """Of a long answer the beginning is kept."""
        gateway, url, client = self.deliver(answered(b"200 OK", b"x" * (LONGEST_ANSWER + 1000)))
        self.assertEqual(204, self.status(client))
        self.assertEqual(LONGEST_ANSWER, len(gateway.ask(b"GET", url).body))

    def test_not_delivered(self) -> None:
        """There is no answer before there is one."""
        gateway = self.gateway()
        self.assertEqual(409, gateway.ask(b"GET", gateway.create(3)).status)

    def test_refused(self) -> None:
        """The service's refusal goes to the client, and the upload is sent again when he asks for it."""
        for status in (b"302 Found", b"422 Unprocessable Content", b"503 Service Unavailable"):
            said = answered(status, b"no", b"Content-Type: text/plain", b"Retry-After: 7")
            gateway, url, client = self.deliver(said)
            (answer,) = client.answers(b"PATCH")
            self.assertEqual((int(status[:3]), b"no"), (answer.status, answer.body))
            self.assertEqual([b"7"], answer.values(b"retry-after"))
            gateway.service.answer = CREATED
            self.assertEqual(204, gateway.append(url, 3, b"").status)
            bodies = [request.body for request in gateway.service.requests]
            self.assertEqual([b"abc", b"abc"], bodies)
            keys = {key for request in gateway.service.requests for key in request.values(b"idempotency-key")}
            self.assertEqual(1, len(keys))

    def test_shown_when_taken(self) -> None:
        """HEAD does not say that all has come before the service has it: it has it sent again, and else says 423."""
        gateway, url, _ = self.deliver(answered(b"503 Service Unavailable"))
        answer = gateway.show(url)
        self.assertEqual(
            (423, [b"1"], []), (answer.status, answer.values(b"retry-after"), answer.values(b"upload-offset"))
        )
        gateway.service.answer = CREATED
        self.assertEqual(3, gateway.offset(url))

    def test_early_success(self) -> None:
        """A service that says it has taken what it has not got whole is not believed: the bytes are kept."""
        gateway = self.gateway(None)
        size = 4 << 20
        url = gateway.create(size)
        gateway.leave(gateway.part(url, 0, size, b"x" * (size - 1)))
        gateway.service.hold = True
        client = self.last(gateway, url, size - 1, b"x")
        connection = gateway.service.admit()
        connection.transport.fill()
        connection.answer(CREATED)
        gateway.settle()
        self.assertEqual(502, self.status(client))
        self.assertEqual("unknown", gateway.record(url).state)
        self.assertEqual(size, gateway.file(url, "data").stat().st_size)

    def test_disk_full(self) -> None:
        """Where the disk has no room to note that the service took an upload, the bytes of that make room."""
        gateway, replace = self.gateway(), held.replace

        def full(file: Path, content: bytes) -> None:
            data = file.with_suffix(".data")
            if file.suffix == ".answer" and data.stat().st_size:
                raise Refused(NO_SPACE, "there is no room left for uploads")
            replace(file, content)

        self.patch(held, "replace", full)
        url = gateway.create(3)
        self.assertEqual(204, gateway.append(url, 0, b"abc").status)
        self.assertEqual("delivered", gateway.record(url).state)
        self.assertEqual(b'{"id": 7}', gateway.ask(b"GET", url).body)

    def test_changes_what_is_kept(self) -> None:
        """What the cache keeps of the path of an upload, and of what the service names, holds no longer then."""
        gateway = self.gateway(KEPT, of_service={"cache": ServiceCache(enabled=True)})
        for path in (TAKES, b"/documents/7"):
            gateway.ask(b"GET", path)
            self.assertIn(b"hit", gateway.ask(b"GET", path).values(b"cache-status")[0])
        gateway.service.answer = CREATED
        self.assertEqual(204, gateway.append(gateway.create(3), 0, b"abc").status)
        gateway.service.answer = KEPT
        for path in (TAKES, b"/documents/7"):
            self.assertIn(b"fwd=uri-miss", gateway.ask(b"GET", path).values(b"cache-status")[0])

    def test_early_answer(self) -> None:
        """A service that answers before it has all of it is heard, and sent no more."""
        gateway = self.gateway(None)
        size = 4 << 20
        url = gateway.create(size)
        gateway.leave(gateway.part(url, 0, size, b"x" * (size - 1)))
        gateway.service.hold = True
        client = self.last(gateway, url, size - 1, b"x")
        connection = gateway.service.admit()
        connection.transport.fill()
        connection.answer(answered(b"413 Content Too Large", b"big", b"Connection: close"))
        gateway.settle()
        self.assertEqual(413, self.status(client))
        self.assertEqual("receiving", gateway.record(url).state)

    def test_no_connection(self) -> None:
        """While nobody can be reached it cannot have acted: it is sent again when the client asks for it."""
        gateway = self.gateway()
        gateway.service.refuse = Failure(ConnectionRefusedError())
        url = gateway.create(3)
        self.assertEqual(502, gateway.append(url, 0, b"abc").status)
        gateway.service.refuse = None
        self.assertEqual(204, gateway.append(url, 3, b"").status)
        self.assertEqual(1, len(gateway.service.requests))

    def test_circuit(self) -> None:
        """Nothing is sent past an open circuit, and nothing is lost by that."""
        gateway = self.gateway(of_service={"breaker": Breaker(failures=1)})
        gateway.service.refuse = Failure(ConnectionRefusedError())
        gateway.ask(b"GET", b"/other")
        gateway.service.refuse = None
        url = gateway.create(3)
        self.assertEqual(503, gateway.append(url, 0, b"abc").status)
        self.assertEqual("receiving", gateway.record(url).state)

    def test_unknown(self) -> None:
        """After a failure of the service nobody knows whether it acted: it is not sent again, its client told."""
        gateway, url, client = self.deliver(answered(b"500 Internal Server Error", b"oops"))
        self.assertEqual(500, self.status(client))
        self.assertEqual(423, gateway.show(url).status)
        answer = gateway.append(url, 3, b"")
        self.assertEqual(423, answer.status)
        self.assertIn(b"upload-outcome-unknown", answer.body)
        self.assertEqual(423, gateway.ask(b"GET", url).status)
        self.assertEqual(1, len(gateway.service.requests))
        self.assertEqual(204, gateway.ask(b"DELETE", url, TUS).status)

    def test_broken(self) -> None:
        """The same after a connection that broke, at whatever point, once a byte was sent."""
        for said in (b"", b"HTTP/1.1 20"):
            gateway, url, client = self.deliver(None)
            (connection,) = gateway.service.connections
            connection.answer(said)
            gateway.settle()
            connection.close()
            gateway.settle()
            self.assertEqual(502, self.status(client))
            self.assertEqual("unknown", gateway.record(url).state)

    def test_answer_cut(self) -> None:
        """A service that says it has it has it, though the rest of what it says is missing."""
        gateway, url, client = self.deliver(None)
        (connection,) = gateway.service.connections
        connection.answer(b"HTTP/1.1 201 Created\r\nContent-Length: 9\r\n\r\n{")
        gateway.settle()
        connection.close()
        gateway.settle()
        self.assertEqual(204, self.status(client))
        self.assertEqual(b"{", gateway.ask(b"GET", url).body)

    def test_again(self) -> None:
        """A service that knows requests by their key may be asked again."""
        gateway, url, client = self.deliver(None, deliver="again")
        gateway.service.connections[0].close()
        gateway.settle()
        self.assertEqual(502, self.status(client))
        gateway.service.answer = CREATED
        self.assertEqual(3, gateway.offset(url))
        first, second = gateway.service.requests
        self.assertEqual(first.values(b"idempotency-key"), second.values(b"idempotency-key"))

    def test_client_leaves(self) -> None:
        """A client that leaves meanwhile stops nothing, and finds it delivered when it comes again."""
        gateway, url, client = self.deliver(None)
        gateway.leave(client)
        asking = gateway.begin(b"HEAD", url, TUS)
        gateway.pass_time(7)
        self.assertEqual([], asking.answers(b"HEAD"))
        gateway.service.connections[0].answer(CREATED)
        gateway.settle()
        gateway.pass_time(0.2)
        self.assertEqual(200, asking.answers(b"HEAD")[0].status)
        self.assertEqual(1, len(gateway.service.requests))

    def test_drain(self) -> None:
        """A worker that stops waits for what is being delivered, though its client has left."""
        gateway, url, client = self.deliver(None)
        gateway.leave(client)
        drained = gateway.worker.drain(10)
        gateway.pass_time(1)
        self.assertNoResult(drained)
        gateway.service.connections[0].answer(CREATED)
        gateway.settle()
        gateway.pass_time(0.1)
        self.assertEqual(0, self.successResultOf(drained))
        self.assertEqual("delivered", gateway.record(url).state)


class CrashTests(DeliveryCase):
    def interrupted(self, **settings: Any) -> tuple[UploadGateway, bytes]:
        """A gateway that finds an upload which another one died over while it delivered it."""
        gateway = self.gateway(**settings)
        url = gateway.create(3)
        gateway.leave(gateway.part(url, 0, 3, b"ab"))
        gateway.file(url, "data").write_bytes(b"abc")
        record = evolve(gateway.record(url), state="delivering")
        gateway.file(url, "json").write_bytes(record.written())
        return gateway, url

    def test_while_delivering(self) -> None:
        """What somebody died over is not sent again: nobody knows how far he came."""
        gateway, url = self.interrupted()
        self.assertEqual(423, gateway.show(url).status)
        self.assertEqual(b"", b"".join(request.body for request in gateway.service.requests))
        self.assertEqual("unknown", gateway.record(url).state)

    def test_while_delivering_again(self) -> None:
        """Unless the service may be asked twice."""
        gateway, url = self.interrupted(deliver="again")
        self.assertEqual(3, gateway.offset(url))
        self.assertEqual([b"abc"], [request.body for request in gateway.service.requests])

    def test_while_checking(self) -> None:
        """Bytes whose checksum nobody came to see do not stay."""
        gateway = self.gateway()
        url = gateway.create(6)
        gateway.leave(gateway.part(url, 0, 6, b"abcd"))
        record = evolve(gateway.record(url), unchecked=1)
        gateway.file(url, "json").write_bytes(record.written())
        self.assertEqual(1, gateway.offset(url))
        self.assertIsNone(gateway.record(url).unchecked)


class CallerTests(DeliveryCase):
    def test_identity(self) -> None:
        """The service hears who calls, an upload is its maker's wherever he calls from, and nobody else's."""
        keys = {name: new_key() for name in ("sequencer", "other")}
        auth = Authentication(
            enabled=True,
            service="",
            api_keys={name: ApiKey(hash=key.hash, owner=name, role="lab_technician") for name, key in keys.items()},
        )
        gateway = self.gateway(tables={"auth": auth}, environ={VARIABLE: SECRET})
        mine, others = (b"X-API-Key: " + keys[name].key.encode() for name in ("sequencer", "other"))
        self.assertEqual(401, gateway.ask(b"POST", TAKES, TUS, b"Upload-Length: 3").status)
        url = gateway.create(3, mine)
        self.assertEqual(404, gateway.append(url, 0, b"abc", others).status)
        self.assertEqual(204, gateway.append(url, 0, b"abc", mine, peer="192.0.2.9").status)
        (request,) = gateway.service.requests
        self.assertEqual([b"sequencer"], request.values(b"x-user-id"))
        self.assertEqual([], request.values(b"x-api-key"))

    def test_role(self) -> None:
        """Who may no longer do what an upload does when it is whole cannot have it done by its last part."""
        key, directory = new_key(), self.mktemp()

        def gateway(*methods: str) -> UploadGateway:
            allowed = ApiKey(hash=key.hash, owner="sequencer", methods=methods)
            auth = Authentication(enabled=True, service="", api_keys={"sequencer": allowed})
            return UploadGateway(directory, CREATED, tables={"auth": auth}, environ={VARIABLE: SECRET})

        mine = b"X-API-Key: " + key.key.encode()
        url = gateway().create(3, mine)
        restricted = gateway("PATCH", "HEAD")
        self.assertEqual(403, restricted.append(url, 0, b"abc", mine).status)
        self.assertEqual([], restricted.service.requests)
        self.assertEqual(204, gateway().append(url, 3, b"", mine).status)
