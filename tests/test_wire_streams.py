"""Every wire case of HTTP/2, whole and in pieces: the verdict is the right one and does not depend on the split."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from hpack import Decoder
from twisted.trial.unittest import SynchronousTestCase

from tests.kit import MemoryGateway, MemoryTransport, Received, byte_by_byte, whole
from tests.kit_client import slices
from tests.kit_http2 import frame, frames_of
from tracseq_gateway.server.h2_channel import H2Channel
from tracseq_gateway.server.h2_frames import PREFACE

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "wire_cases" / "h2-streams.json").read_text())
HEADERS, RST_STREAM, SETTINGS, GOAWAY = 1, 3, 4, 7
PROBE = 1001
"""A stream that no case uses."""
GOOD = frame(HEADERS, 0x5, PROBE, b"\x82\x86\x84\x41\x07gw.test")
"""A request that needs no table: GET / of http://gw.test."""
_NEVER_UPSTREAM = (b"te", b"connection", b"upgrade", b"http2-settings", b"keep-alive", b"expect")


def at_random(seed: int) -> Callable[[bytes], list[bytes]]:
    """Cut at some 40 places."""
    random = Random(seed)
    return lambda data: slices(data, [random.randrange(len(data)) for _ in range(40)])


SPLITS = {"whole": whole, "bytes": byte_by_byte, "random": at_random(1), "random again": at_random(2)}


class Connection:
    """One connection to a gateway in memory."""

    def __init__(self, gateway: MemoryGateway) -> None:
        self.gateway = gateway
        self.transport = MemoryTransport()
        self.channel = H2Channel(gateway.worker.site)
        self.channel.makeConnection(self.transport)

    def send(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            # Like the reactor: nothing is read while nothing is to be read.
            while not self.transport.reading and not self.transport.closed:
                self.gateway.clock.advance(0)
            if not self.transport.closed:
                self.channel.dataReceived(piece)
        # The service answers when all has come: whether before, would depend on the split.
        for _ in range(100):
            self.gateway.clock.advance(0)
            self.gateway.service.run()

    def seen(self) -> tuple[dict[int, int], dict[int, int], list[int]]:
        """Statuses and reset codes by stream, and the codes of GOAWAY."""
        statuses, resets, ends, decoder = {}, {}, [], Decoder()
        for kind, _, stream, payload in frames_of(self.transport.value()):
            if kind == HEADERS:
                statuses[stream] = int(dict(decoder.decode(payload, raw=True))[b":status"])
            elif kind == RST_STREAM:
                resets[stream] = int.from_bytes(payload, "big")
            elif kind == GOAWAY:
                ends.append(int.from_bytes(payload[4:8], "big"))
        return statuses, resets, ends


class WireStreamTests(SynchronousTestCase):
    """One test for each case, made below."""

    def check(self, case: dict[str, Any]) -> None:
        raw = base64.b64decode(case["raw_b64"])
        outcomes = {}
        for name, split in SPLITS.items():
            gateway = MemoryGateway()
            connection = Connection(gateway)
            connection.send(split(raw))
            asked = len(gateway.service.requests)
            for received in gateway.service.requests:
                self.well_formed(received)
            statuses, resets, ends = connection.seen()
            what = f"{name}: {statuses} {resets} {ends}, {asked} upstream, closed {connection.transport.closed}"
            getattr(self, f"verdict_{case['expect']}")(case, gateway, connection, what)
            outcomes[name] = (statuses, resets, ends, asked)
            self.unharmed(gateway)
        self.assertEqual(len({str(outcome) for outcome in outcomes.values()}), 1, outcomes)
        self.assertEqual(self.flushLoggedErrors(), [])

    def verdict_ok(self, case: dict[str, Any], gateway: MemoryGateway, connection: Connection, what: str) -> None:
        statuses, resets, ends = connection.seen()
        streams = (1, 3, 5) if case["id"] == "h2-3-streams" else (1,)
        self.assertEqual((statuses, resets, ends), (dict.fromkeys(streams, 200), {}, []), what)
        self.assertEqual(len(gateway.service.requests), len(streams), what)
        self.goes_on(connection)

    def verdict_stream_error(
        self, case: dict[str, Any], gateway: MemoryGateway, connection: Connection, what: str
    ) -> None:
        statuses, resets, ends = connection.seen()
        self.assertEqual(gateway.service.requests, [], what)
        self.assertTrue(resets.get(1) or statuses.get(1) == 400, what)
        self.assertEqual(ends, [], what)
        self.goes_on(connection)

    def verdict_conn_error(
        self, case: dict[str, Any], gateway: MemoryGateway, connection: Connection, what: str
    ) -> None:
        statuses, _, ends = connection.seen()
        self.assertEqual((gateway.service.requests, statuses), ([], {}), what)
        self.assertTrue(ends and ends[-1] and connection.transport.closed, what)

    def verdict_flood(self, case: dict[str, Any], gateway: MemoryGateway, connection: Connection, what: str) -> None:
        statuses, _, ends = connection.seen()
        if case["id"] == "h2-flood-headers-list":
            self.assertEqual((statuses, ends), ({1: 431}, []), what)
        elif case["id"] == "h2-slow-window0":
            self.window_is_closed(gateway, connection)
        else:
            self.assertTrue(ends and ends[-1] and connection.transport.closed, what)
            self.assertEqual(gateway.service.requests, [], what)

    def verdict_either(self, case: dict[str, Any], gateway: MemoryGateway, connection: Connection, what: str) -> None:
        statuses, resets, ends = connection.seen()
        self.assertTrue(statuses or resets or ends, what)
        self.assertLessEqual(len(gateway.service.requests), 1, what)

    def window_is_closed(self, gateway: MemoryGateway, connection: Connection) -> None:
        """Heads arrive; bodies wait until the client opens its windows, or for as long as it may take nothing."""
        statuses, resets, _ = connection.seen()
        self.assertEqual((len(statuses), resets), (50, {}))
        gateway.pass_time(61)
        _, resets, _ = connection.seen()
        self.assertEqual((len(resets), gateway.worker.site.active), (50, 0))

    def goes_on(self, connection: Connection) -> None:
        """Other streams of the same connection are served."""
        connection.send([GOOD])
        self.assertEqual(connection.seen()[0].get(PROBE), 200)

    def unharmed(self, gateway: MemoryGateway) -> None:
        """Others are served as before."""
        other = Connection(gateway)
        other.send([PREFACE + frame(SETTINGS) + GOOD])
        self.assertEqual(other.seen()[0], {PROBE: 200})
        gateway.service.requests.clear()

    def well_formed(self, received: Received) -> None:
        self.assertEqual(len(received.values(b"host")), 1, received.fields)
        framing = received.values(b"content-length") + received.values(b"transfer-encoding")
        self.assertLessEqual(len(framing), 1, received.fields)
        self.assertEqual(received.values(b"via"), [b"2 tracseq-gateway"])
        for name, value in received.fields:
            self.assertNotIn(name, _NEVER_UPSTREAM)
            self.assertNotRegex(value, rb"[\r\n\0]")


def _make(case: dict[str, Any]) -> Any:
    def test(self: WireStreamTests) -> None:
        self.check(case)

    test.__doc__ = f"{case['expect']}: {case['note'] or case['id']}"
    return test


for _case in CASES:
    setattr(WireStreamTests, f"test_{_case['id'].removeprefix('h2-').replace('-', '_')}", _make(_case))
