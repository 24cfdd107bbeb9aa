"""Open WebSockets and streams of events: what they cost, and how long their messages are on their way."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.contest import Running, scratch_directory
from benchmarks.contestants import CHECKOUT, Stage, gateway, nginx
from benchmarks.event_clients import listen
from benchmarks.http_client import PATH
from benchmarks.live_clients import LivePace, Watched, allow_descriptors
from benchmarks.measure import Say, turns
from benchmarks.processes import Cores, Launch, free_port, serving
from benchmarks.samples import percentile
from benchmarks.samples_protocols import EventSample, WebSocketSample
from benchmarks.settings import Settings
from benchmarks.websocket_clients import talk

CONTESTANTS = ("direct", "nginx", "gateway")
LAUNCHES = {"nginx": nginx, "gateway": gateway}


@contextmanager
def before_live_service(name: str, cores: Cores, connections: int) -> Iterator[Running]:
    """Run a contestant in front of the service with WebSockets and streams; ``direct`` is that service alone."""
    with scratch_directory() as scratch:
        upstream = free_port()
        command = [sys.executable, "-m", "benchmarks.live_service", "--port", str(upstream)]
        service = Launch("live-service", command, {"PYTHONPATH": str(CHECKOUT)})
        with serving(service, cores.load, upstream, PATH, scratch) as service_pid:
            if name == "direct":
                yield Running(upstream, service_pid)
                return
            stage = Stage(scratch, free_port(), upstream, most_connections=connections)
            with serving(LAUNCHES[name](stage), cores.proxy, stage.port, PATH, scratch) as pid:
                yield Running(stage.port, pid)


def measure_websockets(settings: Settings, cores: Cores, say: Say) -> list[WebSocketSample]:
    """Take a sample of the service alone and of each contestant in each round."""
    allow_descriptors(settings.websockets)
    pace = LivePace(settings.websockets, 1.0, settings.warmup, settings.live_seconds)
    samples = []
    for number, name in turns(settings.live_rounds, chosen(settings)):
        with before_live_service(name, cores, settings.websockets) as proxy:
            watched = talk(proxy.port, cores.load, proxy.workers, pace)
        sample = _websocket_sample(name, number, pace, watched)
        say(
            f"websockets {number} {name}: {sample.busy:.0%} of a core, {sample.each.resident:,} bytes each, "
            f"p50 {sample.p50 * 1e3:.2f} ms, p99 {sample.p99 * 1e3:.2f} ms"
        )
        samples.append(sample)
    return samples


def _websocket_sample(name: str, number: int, pace: LivePace, watched: Watched) -> WebSocketSample:
    return WebSocketSample(
        name,
        number,
        pace.connections,
        len(watched.latencies),
        watched.seconds,
        watched.cpu,
        watched.before.memory,
        watched.opened.memory,
        percentile(watched.latencies, 0.5),
        percentile(watched.latencies, 0.99),
    )


def measure_events(settings: Settings, cores: Cores, say: Say) -> list[EventSample]:
    """Take a sample of the service alone and of each contestant, at each number of open streams, in each round."""
    allow_descriptors(max(settings.event_streams))
    samples = []
    for number, name in turns(settings.live_rounds, chosen(settings)):
        for streams in settings.event_streams:
            pace = LivePace(streams, _every(streams), settings.warmup, settings.live_seconds)
            with before_live_service(name, cores, streams) as proxy:
                watched = listen(proxy.port, cores.load, proxy.workers, pace)
            taken = watched.latencies
            sample = EventSample(
                name,
                number,
                streams,
                len(taken),
                watched.seconds,
                watched.cpu,
                percentile(taken, 0.5),
                percentile(taken, 0.99),
            )
            say(
                f"events {number} {name}, {streams:,} open: p50 {sample.p50 * 1e3:.2f} ms, "
                f"p99 {sample.p99 * 1e3:.2f} ms"
            )
            samples.append(sample)
    return samples


def _every(streams: int) -> float:
    """Seconds between two events of a stream: one, unless that would give too few events for a p99."""
    return 1.0 if streams >= 100 else 0.02


def chosen(settings: Settings) -> list[str]:
    """The contestants of these parts that are asked for."""
    return [name for name in CONTESTANTS if name == "direct" or name in settings.contestants]
