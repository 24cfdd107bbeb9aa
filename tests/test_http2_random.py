"""Whatever a client sends in HTTP/2: no exception, nothing left behind, and the same verdict however it is split."""

from __future__ import annotations

import base64
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from tests.kit import MemoryGateway
from tests.kit_http2 import frame, frames_of
from tests.test_wire_streams import CASES, Connection, at_random
from tracseq_gateway.server.h2_frames import PREFACE

ROUNDS = 300
KNOWN = [
    one
    for case in CASES
    if len(raw := base64.b64decode(case["raw_b64"])) < 400 and raw.startswith(PREFACE)
    for one in frames_of(raw[len(PREFACE) :])
]
"""The frames of all short wire cases."""
BODY = b"\x83\x86\x84\x41\x07gw.test"
"""The head of a POST that needs no table."""


def stream_of(random: Random) -> bytes:
    """Frames of all kinds, on few streams, some of them changed."""
    data = PREFACE + frame(4)
    newest = 1
    for _ in range(random.randrange(1, 25)):
        chance = random.random()
        number = random.choice((newest, newest, newest, max(1, newest - 2), 0, 1, 2))
        if chance < 0.45:
            newest += 2
            data += frame(1, random.choice((0x4, 0x4, 0x4, 0x5)), newest, BODY)
        elif chance < 0.85:
            size = random.choice((0, 1, 5, 100))
            data += frame(0, random.choice((0, 0, 0, 1)), newest, random.randbytes(size))
        elif chance < 0.9:
            data += random.choice(
                (frame(6, 0, 0, bytes(8)), frame(8, 0, newest, b"\0\0\0\1"), frame(3, 0, newest, bytes(4)))
            )
        elif chance < 0.95:
            kind = random.choice((0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 200))
            size = random.choice((0, 1, 4, 4, 5, 6, 8, 20))
            data += frame(kind, random.choice((0, 0, 1, 4, 8, 0x2D)), number, random.randbytes(size))
        else:
            kind, flags, stream, payload = random.choice(KNOWN)
            data += frame(kind, flags, random.choice((stream, number)), payload)
    if random.random() < 0.2:
        place = random.randrange(len(PREFACE), len(data))
        data = data[:place] + random.randbytes(1) + data[place + 1 :]
    return data


class RandomTests(SynchronousTestCase):
    def test_random_streams(self) -> None:
        """Made-up streams of frames, whole and in pieces."""
        goaways = 0
        for seed in range(ROUNDS):
            data = stream_of(Random(seed))
            whole = self.play([data])
            pieces = self.play(at_random(seed)(data))
            if not any(status >= 400 for status in (*whole[0].values(), *pieces[0].values())):
                # Else a stream ended early, and whether a frame came for it before or after depends on the split.
                self.assertEqual(whole, pieces, f"seed {seed}")
            goaways += bool(whole[2])
        self.assertEqual(self.flushLoggedErrors(), [])
        # Some of them are good, or the test would show nothing.
        self.assertTrue(ROUNDS // 10 < goaways < ROUNDS - ROUNDS // 10, goaways)

    def play(
        self, pieces: list[bytes]
    ) -> tuple[dict[int, int], dict[int, int], list[int], list[tuple[bytes, bytes, bytes]]]:
        gateway = MemoryGateway()
        connection = Connection(gateway)
        connection.send(pieces)
        statuses, resets, ends = connection.seen()
        requests = [(one.method, one.target, one.body) for one in gateway.service.requests]
        self.assertTrue(connection.transport.closed or not any(ends))
        gateway.pass_time(200, 1)
        connection.channel.connectionLost()
        site = gateway.worker.site
        self.assertEqual((site.active, site.awaited, len(site.channels)), (0, 0, 0))
        return statuses, resets, ends, requests
