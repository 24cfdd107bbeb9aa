"""How tunnels end when somebody does not behave: late frames, unread bytes, ends within ends."""

from __future__ import annotations

from typing import Any

from tests.test_upstream_tunnel import ASK, GOING_AWAY, HELLO, SWITCH, TunnelTestCase
from tracseq_gateway.config.keys import Seconds
from tracseq_gateway.config.model import Client
from tracseq_gateway.config.policies import Cors
from tracseq_gateway.config.upstream import Tunnels

FROM_CLIENT = b"\x81\x85mask\x05\x04\x1f\x07\x02"
CLOSE = b"\x88\x02\x0f\xa0"
"""A Close frame with a status of the service's own."""


class EndTests(TunnelTestCase):
    def wait(self, seconds: float) -> None:
        for _ in range(int(seconds * 10)):
            self.gateway.clock.advance(0.1)

    def test_client_talks_on(self) -> None:
        """A client that was told to leave and talks on wins no time by that."""
        self.open(tunnels=Tunnels(total=Seconds(20.0)))
        self.wait(21)
        self.assertEqual(self.told(), GOING_AWAY)
        for _ in range(6):
            self.client.send(FROM_CLIENT)
            self.wait(1)
        self.assertTrue(self.client.closed)
        self.assertEqual(self.gateway.worker.services["all"].tunnels, 0)

    def test_service_within_a_frame_for_ever(self) -> None:
        """Nor does a service that does not end the frame in which the good-bye waits."""
        self.open(b"\x82\x7f\x00\x00\x00\x10\x00\x00\x00\x00", tunnels=Tunnels(total=Seconds(20.0)))
        for _ in range(26):
            self.service.answer(b"x" * 100)
            self.wait(1)
        self.assertNotIn(GOING_AWAY, self.told())
        self.assertTrue(self.client.closed)

    def test_nothing_behind_a_close(self) -> None:
        """A service that has closed its side is the last that the client hears: nothing is put behind its Close."""
        self.open(CLOSE)
        self.gateway.worker.site.drain(30.0)
        self.wait(1)
        self.assertEqual(self.told(), b"")
        self.assertFalse(self.client.closed)
        self.client.send(b"\x88\x82mask\x62\xc1")
        self.service.close()
        self.assertTrue(self.client.closed)

    def test_nothing_behind_a_close_that_ends(self) -> None:
        """The same while the Close is still coming."""
        self.open(CLOSE[:3])
        self.gateway.worker.site.drain(30.0)
        self.service.answer(CLOSE[3:] + HELLO)
        self.assertEqual(self.told(), CLOSE[3:])

    def test_opened_during_a_stop(self) -> None:
        """A WebSocket that opens when the others have been told to leave is told as well."""
        self.make()
        drained = self.gateway.worker.site.drain(30.0)
        self.service.answer(SWITCH)
        self.assertTrue(self.client.received.endswith(b"\r\n\r\n" + GOING_AWAY))
        self.wait(6)
        self.client.leave()
        self.assertEqual(self.successResultOf(drained), 0)

    def test_other_protocol_during_a_stop(self) -> None:
        """What is no WebSocket ends with its 101 then."""
        self.make(ASK.replace(b"Upgrade: WebSocket", b"Upgrade: lab/1"), tunnels=Tunnels(upgrades=("lab/1",)))
        self.gateway.worker.site.drain(30.0)
        self.service.answer(b"HTTP/1.1 101 Hm\r\nConnection: upgrade\r\nUpgrade: lab/1\r\n\r\n")
        self.assertTrue(self.client.closed)
        self.assertTrue(self.service.transport.closed)

    def test_told_once(self) -> None:
        """Who is told to leave twice has as much time as who is told once, and hears it once."""
        self.open()
        self.gateway.worker.site.drain(30.0)
        self.gateway.worker.site.hasten()
        self.assertEqual(self.told(), GOING_AWAY)
        self.assertFalse(self.client.closed)

    def test_service_talks_on(self) -> None:
        """A service that still sends when its client has left destroys nothing of what it has not yet got."""
        self.open()
        self.service.transport.stalled = True
        self.client.send(FROM_CLIENT * 10)
        self.client.leave()
        for _ in range(3):
            self.service.protocol.dataReceived(HELLO)
        self.assertFalse(self.service.transport.aborted)
        self.assertEqual(self.service.transport.value(), FROM_CLIENT * 10)
        self.service.close()
        self.assertEqual(len(self.ended), 1)

    def test_service_stays(self) -> None:
        """One that does not close when its client has left is cut off after a moment, read or unread."""
        self.open()
        self.service.transport.stalled = True
        self.client.send(FROM_CLIENT)
        self.client.leave()
        self.wait(6)
        self.assertTrue(self.service.transport.aborted)

    def test_client_talks_when_the_service_leaves(self) -> None:
        """What a service sent last arrives although its client is sending: that is read for a moment."""
        self.open()
        self.service.answer(CLOSE)
        self.service.close()
        self.client.send(FROM_CLIENT)
        self.assertEqual(self.told(), CLOSE)
        self.assertTrue(self.client.transport.write_closed)
        self.assertFalse(self.client.transport.aborted)
        self.wait(3)
        self.assertTrue(self.client.transport.aborted)

    def test_slow_client_of_a_service_that_left(self) -> None:
        """A client that takes nothing of what was sent last is not waited for longer than of any answer."""
        self.open(client=Client(write_idle_seconds=Seconds(10.0)))
        self.client.transport.stalled = True
        self.service.answer(HELLO * 20)
        self.service.close()
        self.wait(8)
        self.assertFalse(self.client.transport.aborted)
        self.wait(4)
        self.assertTrue(self.client.transport.aborted)

    def test_paused_service(self) -> None:
        """A tunnel that ends while the service is held back reads on, so that the service can close."""
        self.open()
        self.client.transport.fill()
        self.client.leave()
        self.assertEqual(self.service.transport.producerState, "producing")

    def test_flood_of_frames(self) -> None:
        """Frames without content, a byte at a time, keep the place where a Close may stand."""
        self.open()
        for _ in range(100):
            for byte in b"\x89\x00\x01\x00\x80\x00":
                self.service.answer(bytes([byte]))
        self.gateway.worker.site.drain(30.0)
        self.assertTrue(self.told().endswith(b"\x80\x00" + GOING_AWAY))


class BoundTests(TunnelTestCase):
    def test_all_at_once(self) -> None:
        """Who asks while there is room and is answered when there is none any more gets 503, and no tunnel."""
        self.make(tunnels=Tunnels(max=2))
        others = [self.gateway.client() for _ in range(3)]
        for other in others:
            other.send(ASK)
        connections = self.gateway.service.connections
        self.assertEqual(len(connections), 4)
        for connection in connections:
            connection.answer(SWITCH + HELLO)
        self.assertEqual([client.received[9:12] for client in (self.client, *others)], [b"101"] * 2 + [b"503"] * 2)
        self.assertEqual([connection.transport.aborted for connection in connections], [False] * 2 + [True] * 2)
        service = self.gateway.worker.services["all"]
        self.assertEqual((service.tunnels, service.instances[0].in_flight), (2, 2))
        self.assertEqual(service.passive.counts["ejected"], 0)


class OriginTests(TunnelTestCase):
    def status(self, *origins: bytes, host: bytes = b"lab.test", **settings: Any) -> int:
        """What becomes of a handshake from a page; 0 if the service is asked."""
        lines = b"".join(b"Origin: %b\r\n" % origin for origin in origins)
        ask = ASK.replace(b"Host: a\r\n", b"Host: %b\r\n%b" % (host, lines))
        self.make(ask, **settings)
        self.assertEqual(len(self.gateway.service.requests), 0 if self.client.received else 1)
        return self.statuses()[0] if self.client.received else 0

    def test_no_rule(self) -> None:
        """Without CORS and a list of origins, pages of any may open a WebSocket."""
        self.assertEqual(self.status(b"https://evil.test"), 0)
        self.assertEqual(self.status(b"null"), 0)

    def test_list(self) -> None:
        """With a list only those on it may, those of the host that is asked, and programs."""
        allowed = Tunnels(origins=("https://lims.test", "https://*.tracseq.com"))
        for origin in (b"https://lims.test", b"https://lims.test:443", b"https://a.tracseq.com", b"http://lab.test"):
            self.assertEqual(self.status(origin, tunnels=allowed), 0, origin)
        self.assertEqual(self.status(tunnels=allowed), 0)
        for origin in (
            b"https://evil.test",
            b"null",
            b"",
            b"https://lims.test.evil.test",
            b"http://lims.test",
            b"nonsense",
        ):
            self.assertEqual(self.status(origin, tunnels=allowed), 403, origin)
        self.assertEqual(self.status(b"https://lims.test", b"https://evil.test", tunnels=allowed), 403)

    def test_own_host(self) -> None:
        """The port belongs to the host, and is the scheme's own if it is not said."""
        none = Tunnels(origins=())
        for origin, host, status in (
            (b"https://lab.test", b"lab.test", 0),
            (b"https://lab.test", b"lab.test:443", 0),
            (b"http://lab.test:8000", b"LAB.test:8000", 0),
            (b"http://[::1]:8000", b"[::1]:8000", 0),
            (b"http://lab.test:8000", b"lab.test", 403),
            (b"http://lab.test", b"lab.test:8000", 403),
            (b"http://lab.test.evil.test", b"lab.test", 403),
        ):
            self.assertEqual(self.status(origin, host=host, tunnels=none), status, origin)

    def test_any(self) -> None:
        """A star is any, also where CORS would not have it."""
        self.assertEqual(self.status(b"https://evil.test", tunnels=Tunnels(origins=("*",))), 0)

    def test_as_cors(self) -> None:
        """Where CORS is on and nothing else is said, those that it lets read answers."""
        cors = {"cors": Cors(enabled=True, allow_origins=("https://lims.test",))}
        for tunnels, expected in ((Tunnels(), [0, 403]), (Tunnels(origins=("*",)), [0, 0])):
            statuses = [
                self.status(origin, tables=cors, tunnels=tunnels)
                for origin in (b"https://lims.test", b"https://evil.test")
            ]
            self.assertEqual(statuses, expected)

    def test_other_requests(self) -> None:
        """What is no WebSocket is not asked for its origin here."""
        self.make(b"GET / HTTP/1.1\r\nHost: a\r\nOrigin: https://evil.test\r\n\r\n", tunnels=Tunnels(origins=()))
        self.assertEqual(len(self.gateway.service.requests), 1)
