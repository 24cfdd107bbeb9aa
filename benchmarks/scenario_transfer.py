"""1 GB up and 1 GB down through the gateway, with a slow peer at the far end: byte-exact, and in bounded memory."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from attrs import define, field

from benchmarks import proc
from benchmarks.contest import Running, scratch_directory
from benchmarks.contestants import CHECKOUT, Stage, gateway
from benchmarks.errors import BenchmarkError
from benchmarks.http_client import PATH, answer_length, ask, connect, receive
from benchmarks.measure import Say
from benchmarks.payload import CHUNK, SlowPace, payload
from benchmarks.processes import Cores, Launch, free_port, pinned, serving
from benchmarks.samples import TransferSample
from benchmarks.settings import Settings
from benchmarks.slow_peer import SMALL_BUFFER

SAMPLE_SECONDS = 0.05
PATIENCE_SECONDS = 60.0


@define
class MemoryWatch:
    """Reads the RSS of a process every 50 ms in a thread of its own, within a ``with`` block."""

    pid: int
    before: int = 0
    peak: int = 0
    history: list[tuple[float, int]] = field(factory=list)
    _over: threading.Event = field(factory=threading.Event)

    def _watch(self) -> None:
        start = time.monotonic()
        while not self._over.wait(SAMPLE_SECONDS):
            self.history.append((round(time.monotonic() - start, 3), proc.resident(self.pid)))

    @contextmanager
    def watching(self) -> Iterator[None]:
        proc.forget_peak(self.pid)
        self.before = proc.resident(self.pid)
        thread = threading.Thread(target=self._watch, name="memory")
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()
        self.peak = max(proc.peak_resident(self.pid), *(size for _when, size in self.history))


@define
class Moved:
    """How much arrived, and the digests at both ends."""

    received: int
    sent_sha256: str
    received_sha256: str


def upload(port: int, size: int) -> Moved:
    """Send as fast as it is taken; the service reads slowly and answers with what it got."""
    noise = os.urandom(CHUNK)
    digest = hashlib.sha256()
    with connect(port, timeout=PATIENCE_SECONDS) as connection:
        head = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {size}\r\n\r\n"
        connection.sendall(head.encode())
        for chunk in payload(size, noise):
            digest.update(chunk)
            connection.sendall(chunk)
        told = json.loads(receive(connection).body)
    return Moved(told["bytes"], digest.hexdigest(), told["sha256"])


def download(port: int, size: int) -> Moved:
    """Read slowly what the service sends as fast as it is taken."""
    digest = hashlib.sha256()
    with connect(port, timeout=PATIENCE_SECONDS, receive_buffer=SMALL_BUFFER) as connection:
        connection.sendall(f"GET {PATH}?bytes={size} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        received = _read_slowly(connection, digest)
    told = json.loads(ask(port, "/route0/digest").body)
    if told["bytes"] != size:
        raise BenchmarkError(f"the service sent {told['bytes']} bytes instead of {size}")
    return Moved(received, told["sha256"], digest.hexdigest())


def _read_slowly(connection: socket.socket, digest: hashlib._Hash) -> int:
    pace = SlowPace()
    begin = bytearray()
    while (length := answer_length(begin)) is None:
        begin += connection.recv(4096) or _cut_short(len(begin))
    body = begin[begin.find(b"\r\n\r\n") + 4 :]
    wanted = length - (len(begin) - len(body))
    digest.update(body)
    received = len(body)
    while received < wanted:
        data = connection.recv(min(CHUNK, wanted - received)) or _cut_short(received)
        digest.update(data)
        received += len(data)
        pace.took(len(data))
    return received


def _cut_short(received: int) -> bytes:
    raise BenchmarkError(f"the download ended after {received} bytes")


MOVES: tuple[tuple[Literal["upload", "download"], Callable[[int, int], Moved]], ...] = (
    ("upload", upload),
    ("download", download),
)


@contextmanager
def gateway_to_slow_peer(cores: Cores) -> Iterator[Running]:
    """Run the gateway with one worker in front of the slow peer."""
    with scratch_directory() as scratch:
        upstream = free_port()
        command = [sys.executable, "-m", "benchmarks.slow_peer", "--port", str(upstream)]
        peer = Launch("slow-peer", command, {"PYTHONPATH": str(CHECKOUT)})
        with serving(peer, cores.load, upstream, PATH, scratch):
            stage = Stage(scratch, free_port(), upstream)
            with serving(gateway(stage), cores.proxy, stage.port, PATH, scratch) as pid:
                yield Running(stage.port, pid)


def measure(settings: Settings, cores: Cores, say: Say) -> list[TransferSample]:
    """Take an upload and a download in each round, each through a fresh gateway."""
    samples = []
    for number in range(1, settings.transfer_rounds + 1):
        for direction, move in MOVES:
            with gateway_to_slow_peer(cores) as proxy, pinned(cores.load):
                (worker,) = proxy.workers
                watch = MemoryWatch(worker)
                start = time.monotonic()
                with watch.watching():
                    moved = move(proxy.port, settings.transfer_bytes)
                seconds = time.monotonic() - start
            sample = TransferSample(
                direction,
                number,
                settings.transfer_bytes,
                moved.received,
                seconds,
                moved.sent_sha256,
                moved.received_sha256,
                watch.before,
                watch.peak,
                tuple(watch.history),
            )
            exact = "byte-exact" if sample.exact else "NOT byte-exact"
            say(f"transfer {number} {direction}: {exact} in {seconds:.1f} s, memory grew {sample.growth / 1e6:.1f} MB")
            samples.append(sample)
    return samples
