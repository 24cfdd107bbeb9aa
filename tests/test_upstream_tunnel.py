"""Connections that change their protocol: WebSocket, and others that the configuration names."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.kit import MemoryClient, MemoryGateway, ServiceConnection
from tracseq_gateway.config.keys import Seconds
from tracseq_gateway.config.policies import Metrics
from tracseq_gateway.config.upstream import Instance, Tunnels
from tracseq_gateway.interfaces import Request

ASK = (
    b"GET /live HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
)
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
)
HELLO = b"\x81\x05hello"
GOING_AWAY = b"\x88\x02\x03\xe9"


class TunnelTestCase(SynchronousTestCase):
    def make(self, ask: bytes = ASK, tables: dict[str, Any] | None = None, **settings: Any) -> None:
        tables = {"metrics": Metrics(enabled=True), **(tables or {})}
        self.gateway = MemoryGateway(answer=None, tables=tables, **settings)
        self.ended: list[Request] = []
        recorder: Any = self.gateway.worker.site._recorder
        recorder._witnesses = (*recorder._witnesses, lambda request, *when: self.ended.append(request))
        self.client: MemoryClient = self.gateway.client()
        self.client.send(ask)

    @property
    def service(self) -> ServiceConnection:
        return self.gateway.service.connections[0]

    def open(self, more: bytes = b"", **settings: Any) -> None:
        """Open a WebSocket; forget what was sent to do so."""
        self.make(**settings)
        self.service.answer(SWITCH + more)
        self.client.transport.clear()
        self.service.transport.clear()

    def told(self) -> bytes:
        """What the client was sent since it was last asked."""
        data, _ = self.client.received, self.client.transport.clear()
        return data

    def statuses(self) -> list[int]:
        return [answer.status for answer in self.client.answers()]


class OpeningTests(TunnelTestCase):
    def test_handshake(self) -> None:
        """The service is asked for the protocol, and its 101 goes back to the client with ours of this hop."""
        self.make()
        (asked,) = self.gateway.service.requests
        self.assertEqual((asked.values(b"connection"), asked.values(b"upgrade")), ([b"upgrade"], [b"websocket"]))
        self.assertEqual(asked.values(b"sec-websocket-key"), [b"dGhlIHNhbXBsZSBub25jZQ=="])
        self.service.answer(SWITCH)
        head = self.client.received
        self.assertTrue(head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n"), head)
        self.assertTrue(head.endswith(b"connection: upgrade\r\nupgrade: websocket\r\n\r\n"), head)
        self.assertIn(b"\r\nsec-websocket-protocol: chat\r\n", head)
        self.assertNotIn(b"content-length", head)

    def test_both_ways(self) -> None:
        """After that bytes go both ways as they are, those that came with the 101 among them."""
        self.make()
        self.service.answer(SWITCH + HELLO)
        self.assertTrue(self.client.received.endswith(b"\r\n\r\n" + HELLO))
        self.service.transport.clear()
        self.client.send(b"GET / HTTP/1.1\r\n")
        self.client.send(b"\r\n")
        self.assertEqual(self.service.transport.value(), b"GET / HTTP/1.1\r\n\r\n")

    def test_early_bytes_wait(self) -> None:
        """What a client sends before the 101 waits for it: nothing is passed on before."""
        self.make(ASK + b"\x81\x85maskhello")
        before = self.service.transport.value()
        self.assertTrue(before.endswith(b"\r\n\r\n"), before)
        self.service.answer(SWITCH)
        self.assertEqual(self.service.transport.value(), before + b"\x81\x85maskhello")

    def test_declined(self) -> None:
        """A service that does not switch has answered, and the client's bytes behind are thrown away."""
        for status in (b"200 OK", b"426 Upgrade Required", b"403 Forbidden"):
            self.make(ASK + b"GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n")
            self.service.answer(b"HTTP/1.1 %b\r\nContent-Length: 2\r\n\r\nno" % status)
            self.assertEqual(self.statuses(), [int(status[:3])])
            self.assertTrue(self.client.closed)
            self.assertEqual(len(self.gateway.service.requests), 1)

    def test_wrong_answers(self) -> None:
        """A 101 to something else, or with the wrong key, is a broken answer: 502, and nothing is tunnelled."""
        for wrong in (
            SWITCH.replace(b"s3pP", b"s3pQ"),
            SWITCH.replace(b"Upgrade: websocket", b"Upgrade: h2c"),
            SWITCH.replace(b"Connection: Upgrade\r\n", b""),
            SWITCH.replace(b"Upgrade: websocket\r\n", b""),
            SWITCH.replace(b"HTTP/1.1", b"HTTP/1.0"),
        ):
            self.make(instances=(Instance("http://127.0.0.1:9001"),))
            self.service.answer(wrong + HELLO)
            self.assertEqual(self.statuses(), [502], wrong)
            self.assertNotIn(b"hello", self.client.received)
            self.assertTrue(self.service.transport.aborted)

    def test_bad_handshakes(self) -> None:
        """A handshake that is none is refused here, and the service is not asked."""
        for change, status in ((b"Version: 13", b"Version: 8"), 426), ((b"Key: dGhl", b"Key: dG"), 400):
            self.make(ASK.replace(*change))
            self.assertEqual(self.statuses(), [status])
            self.assertEqual(self.gateway.service.requests, [])

    def test_other_protocols(self) -> None:
        """What the configuration does not name goes on without its Upgrade, and what it names is tunnelled."""
        ask = b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: spdy/3\r\n\r\n"
        self.make(ask)
        self.assertEqual(self.gateway.service.requests[0].values(b"upgrade"), [])
        self.make(ask, tunnels=Tunnels(upgrades=("SPDY/3",)))
        self.service.answer(b"HTTP/1.1 101 Hm\r\nConnection: upgrade\r\nUpgrade: spdy/3\r\n\r\nbytes")
        self.assertTrue(self.client.received.endswith(b"\r\n\r\nbytes"))

    def test_off(self) -> None:
        """Without any protocol named, a WebSocket's request is answered like every other."""
        self.make(tunnels=Tunnels(upgrades=()))
        self.assertEqual(self.gateway.service.requests[0].values(b"upgrade"), [])

    def test_most(self) -> None:
        """So many tunnels are open at most; an end makes room."""
        self.open(tunnels=Tunnels(max=1))
        second = self.gateway.client()
        second.send(ASK)
        self.assertEqual([answer.status for answer in second.answers()], [503])
        self.client.leave()
        third = self.gateway.client()
        third.send(ASK)
        self.assertEqual(len(self.gateway.service.requests), 2)


class StreamTests(TunnelTestCase):
    def test_places(self) -> None:
        """A tunnel is no request that is worked on, and holds no place in the pool; its instance knows of it."""
        self.open()
        site, service = self.gateway.worker.site, self.gateway.worker.services["all"]
        (instance,) = service.instances
        self.assertEqual((site.active, site.busy, service.tunnels, instance.in_flight), (1, 0, 1, 1))
        self.assertIn("0 busy", repr(instance.pool))
        self.client.leave()
        self.assertEqual((site.active, site.busy, site.tunnels), (0, 0, 0))
        self.assertEqual((service.tunnels, instance.in_flight), (0, 0))

    def test_metrics(self) -> None:
        """Who looks sees how many are open."""
        self.open()
        records = self.gateway.worker.records
        records._read()
        assert records.metrics is not None
        self.assertIn(b'gateway_tunnels{service="all"} 1.0', records.metrics.page().body)
        self.client.leave()
        records._read()
        self.assertIn(b'gateway_tunnels{service="all"} 0.0', records.metrics.page().body)

    def test_record(self) -> None:
        """One line is written, at the end: 101, and the bytes of both directions."""
        self.open()
        self.client.send(b"12345")
        self.service.answer(HELLO)
        self.assertEqual(self.ended, [])
        self.client.leave()
        (ended,) = self.ended
        self.assertEqual((ended.status, ended.received, ended.sent, ended.error), (101, 5, 7, None))

    def test_client_leaves(self) -> None:
        """The service gets what the client sent last, and then the end."""
        self.open()
        self.client.send(HELLO)
        self.client.leave()
        self.assertEqual(self.service.transport.value(), HELLO)
        self.assertTrue(self.service.transport.write_closed)
        self.assertFalse(self.service.transport.aborted)

    def test_service_leaves(self) -> None:
        """The client gets what the service sent last, and then the end, however the service went."""
        for reset in (False, True):
            self.open()
            self.service.answer(HELLO)
            self.service.close(reset=reset)
            self.assertEqual(self.told(), HELLO)
            self.assertTrue(self.client.transport.write_closed)
            self.client.leave()
            self.assertEqual(len(self.ended), 1)

    def test_slow_client(self) -> None:
        """A client that does not read pauses the service, and reading goes on when it has read."""
        self.open()
        self.client.transport.fill()
        self.assertFalse(self.service.transport.reading)
        self.client.transport.drain()
        self.assertTrue(self.service.transport.reading)

    def test_slow_service(self) -> None:
        """A service that does not read pauses the client."""
        self.open()
        self.service.transport.fill()
        self.assertFalse(self.client.transport.reading)
        self.service.transport.drain()
        self.assertTrue(self.client.transport.reading)

    def test_no_body_limits(self) -> None:
        """The longest request body has nothing to do with what a tunnel may carry."""
        self.open(max_body=10)
        for _ in range(5):
            self.client.send(b"x" * 1000)
        self.assertEqual(self.service.transport.value(), b"x" * 5000)


class EndTests(TunnelTestCase):
    def wait(self, seconds: float) -> None:
        for _ in range(int(seconds * 10)):
            self.gateway.clock.advance(0.1)

    def test_idle(self) -> None:
        """Bytes of either side keep a tunnel open; silence of both ends it with 1001 and a moment for good-bye."""
        self.open(tunnels=Tunnels(idle=Seconds(10.0)))
        for _ in range(3):
            self.wait(8)
            self.client.send(HELLO)
            self.wait(8)
            self.service.answer(HELLO)
        self.assertEqual(self.told(), HELLO * 3)
        self.wait(11)
        self.assertEqual(self.told(), GOING_AWAY)
        self.assertFalse(self.client.closed)
        self.wait(6)
        self.assertTrue(self.client.closed)
        self.assertTrue(self.service.transport.write_closed)

    def test_total(self) -> None:
        """However lively it is, after its longest duration it ends."""
        self.open(tunnels=Tunnels(total=Seconds(20.0)))
        for _ in range(25):
            self.wait(1)
            self.service.answer(HELLO)
        self.assertIn(GOING_AWAY, self.told())
        self.wait(6)
        self.assertTrue(self.client.closed)

    def test_drain(self) -> None:
        """When the gateway stops, the client is told to go elsewhere; its good-bye goes to the service."""
        self.open()
        drained = self.gateway.worker.site.drain(30.0)
        self.assertEqual(self.told(), GOING_AWAY)
        self.service.answer(HELLO)
        self.assertEqual(self.told(), b"")
        self.client.send(b"\x88\x82mask\x6e\x88")
        self.assertEqual(self.service.transport.value(), b"\x88\x82mask\x6e\x88")
        self.service.close()
        self.client.leave()
        self.assertEqual(self.successResultOf(drained), 0)

    def test_drain_within_a_frame(self) -> None:
        """Within a frame the good-bye waits for its end."""
        self.open()
        self.service.answer(HELLO[:4])
        self.gateway.worker.site.drain(30.0)
        self.service.answer(HELLO[4:] + HELLO)
        self.assertEqual(self.told(), HELLO + GOING_AWAY)

    def test_gentle_drain(self) -> None:
        """A reload leaves a WebSocket alone until its time is nearly over."""
        self.open()
        self.gateway.worker.site.drain(30.0, gentle=True)
        self.wait(28)
        self.service.answer(HELLO)
        self.assertEqual(self.told(), HELLO)
        self.wait(1.5)
        self.assertEqual(self.told(), GOING_AWAY)
        self.wait(1)
        self.assertTrue(self.client.transport.aborted)
