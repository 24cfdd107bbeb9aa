"""A lively laboratory that does not exist, to look at the dashboard with: ``python -m tests.dashboard_kit``."""

from __future__ import annotations

import json
import math
import socket
import sys
import time
from typing import Any

from twisted.internet.task import LoopingCall

from tracseq_gateway.config.model import Client
from tracseq_gateway.net.deadlines import Deadlines
from tracseq_gateway.net.transport import EagerPort
from tracseq_gateway.overview.feed import OverviewFeed
from tracseq_gateway.server.site import GatewaySite

NAMES = ("auth", "samples", "storage", "templates", "sequencing", "notifications", "rag")
LOAD = {"auth": 38.0, "samples": 212.0, "storage": 96.0, "templates": 31.0, "sequencing": 154.0, "notifications": 12.0}
STEP = 5


def wave(at: float, seconds: float, phase: float = 0.0) -> float:
    """Between 0 and 1, by itself."""
    return 0.5 + 0.5 * math.sin(2 * math.pi * at / seconds + phase)


def figures(load: float, at: float, latency: float, failing: float = 0.0, refused: float = 0.0) -> dict[str, Any]:
    """The figures of ten seconds."""
    rate = round(load * (0.8 + 0.4 * wave(at, 47, load)), 2)
    return {
        "requests_per_second": rate,
        "p50_ms": round(latency * (0.9 + 0.2 * wave(at, 31)), 2),
        "p95_ms": round(latency * 3.4 * (0.9 + 0.3 * wave(at, 23, 1)), 2),
        "p99_ms": round(latency * 7 * (0.8 + 0.5 * wave(at, 17, 2)), 2),
        "errors_per_second": round(rate * failing, 2),
        "refused_per_second": refused,
    }


def instance(service: str, number: int, at: float, **changed: Any) -> dict[str, Any]:
    """One instance, and what is different about it."""
    return {
        "url": f"http://{service}-{number}.lab.internal:80{80 + NAMES.index(service)}",
        "state": "healthy",
        "ejected": False,
        "drained": False,
        "since": at - 86400 * 3.2,
        "checked": at - 4,
        "latency_ms": round(2.1 + wave(at, 13, number), 2),
        "error": None,
        "requests_per_second": round(LOAD.get(service, 6.0) / 3 * (0.8 + 0.4 * wave(at, 41, number)), 2),
        "failed_per_second": 0.0,
        "in_flight": round(2 * wave(at, 11, number)),
        **changed,
    }


def service(name: str, at: float, instances: list[dict[str, Any]], **changed: Any) -> dict[str, Any]:
    """One service, and what is different about it."""
    made = {
        "name": name,
        "prefix": f"/{name}",
        "state": "healthy",
        "circuit": "closed",
        **figures(LOAD.get(name, 6.0), at, 6.0 + len(name)),
        "instances": instances,
        "timeline": [[at - 86400 * 3.2, "healthy"]],
    }
    return {**made, **changed}


def request(at: float, number: int, **changed: Any) -> dict[str, Any]:
    """One request that was worth a note."""
    return {
        "time": at,
        "method": "GET",
        "path": f"/samples/{number * 7919 % 9000:04d}",
        "service": "samples",
        "instance": "http://samples-2.lab.internal:8081",
        "status": 200,
        "duration_ms": 1000.0 + number * 37 % 900,
        "error": None,
        "reason": None,
        "request_id": f"{number * 2654435761 % 2**32:08x}4c1d4e0f9a7b2c3d{number:08x}",
        "trace_id": f"{number * 40503 % 2**32:08x}aa11bb22cc33dd44{number:08x}" if number % 3 else None,
        **changed,
    }


def history(at: float) -> list[dict[str, Any]]:
    """Fifteen minutes, in which something happened."""
    points = []
    for ago in range(900, -1, -STEP):
        then = at - at % STEP - ago
        trouble = max(0.0, 1 - abs(ago - 260) / 120)
        points.append(
            {
                "time": then,
                "requests_per_second": round(520 + 90 * wave(then, 410) + 30 * wave(then, 33) - 160 * trouble, 1),
                "errors_per_second": round(14 * trouble * (0.7 + 0.3 * wave(then, 19)) + 0.3 * wave(then, 70) ** 8, 2),
                "p50_ms": round(8 + 2 * wave(then, 100) + 5 * trouble, 1),
                "p95_ms": round(30 + 9 * wave(then, 61) + 160 * trouble, 1),
                "p99_ms": round(74 + 30 * wave(then, 43) + 420 * trouble, 1),
            }
        )
    return points


def document(at: float, services: list[dict[str, Any]], **changed: Any) -> dict[str, Any]:
    """The whole overview."""
    totals = {**figures(550.0, at, 9.0), "in_flight": 17, "connections": 412}
    totals |= {"received_per_second": 1.31e6, "sent_per_second": 8.7e6}
    workers = [
        {
            "index": index,
            "pid": 4120 + index,
            "state": "serving",
            "since": at - 86400 * 3.2,
            "requests_per_second": round(137 + 9 * wave(at, 29, index), 1),
            "in_flight": 3 + index,
            "connections": 100 + index,
            "lag_ms": round(0.4 + wave(at, 7, index), 2),
            "memory_bytes": 61_000_000 + 900_000 * index,
        }
        for index in range(4)
    ]
    made = {
        "time": at,
        "version": "0.5.0",
        "environment": "production",
        "counted": True,
        "started": at - 86400 * 3.2,
        "status": "healthy",
        "totals": totals,
        "workers": workers,
        "restarts": 0,
        "services": services,
        "errors": [],
        "limits": {"mode": "shared", "hit": []},
        "recent": {"slow": [], "failed": []},
        "history": {"step": STEP, "points": history(at)},
    }
    return {**made, **changed}


def calm(at: float) -> dict[str, Any]:
    """All is well."""
    return document(at, [service(name, at, [instance(name, number, at) for number in (1, 2, 3)]) for name in NAMES])


def many(at: float) -> dict[str, Any]:
    """As large as it is promised to work: 50 services with three instances each."""
    names = [f"{name}-{number}" for number in range(8) for name in NAMES][:50]
    services = [
        service(
            name, at, [{**instance("samples", number, at), "url": f"http://{name}-{number}"} for number in (1, 2, 3)]
        )
        for name in names
    ]
    return document(at, services)


def lively(at: float) -> dict[str, Any]:
    """A bad quarter of an hour: a service down, one limping, a circuit open, limits hit, Redis away."""
    minute = at - at % 60
    down = [
        instance(
            "storage",
            number,
            at,
            state="unhealthy",
            since=minute - 190,
            latency_ms=None,
            error="connection refused",
            requests_per_second=0.0,
        )
        for number in (1, 2)
    ]
    limping = [
        instance("samples", 1, at),
        instance(
            "samples", 2, at, state="unhealthy", since=minute - 75, error="no answer within 5 s", failed_per_second=1.4
        ),
        instance("samples", 3, at, drained=True, requests_per_second=0.0, in_flight=0),
    ]
    slow = figures(6.0, at, 420.0) | {"errors_per_second": 0.6}
    services = {name: service(name, at, [instance(name, number, at) for number in (1, 2)]) for name in NAMES}
    services["storage"] |= {"state": "unhealthy", "circuit": "open", "instances": down, "requests_per_second": 41.0}
    services["storage"] |= {"errors_per_second": 41.0, "p50_ms": 0.6, "p95_ms": 1.1, "p99_ms": 2.4}
    services["storage"]["timeline"] = [[at - 4000, "healthy"], [minute - 400, "degraded"], [minute - 190, "unhealthy"]]
    services["samples"] |= {"state": "degraded", "instances": limping}
    services["samples"]["timeline"] = [
        [at - 9000, "healthy"],
        [minute - 700, "degraded"],
        [minute - 640, "healthy"],
        [minute - 75, "degraded"],
    ]
    services["rag"]["timeline"] = [[at - 86400 * 3.2, "healthy"], [minute - 40, "degraded"]]
    services["rag"] |= {
        **slow,
        "state": "degraded",
        "circuit": "half_open",
        "instances": [instance("rag", 1, at, ejected=True)],
    }
    services["sequencing"] |= {"refused_per_second": 3.2}
    made = document(at, list(services.values()), status="degraded", restarts=3)
    made["totals"] |= {"errors_per_second": 42.7, "refused_per_second": 3.2}
    made["workers"][2] |= {"state": "starting", "since": at - 2, "requests_per_second": 0.0, "lag_ms": 0.0}
    made["workers"][3] |= {"lag_ms": 140.0}
    made["errors"] = [
        {"service": "storage", "kind": "circuit-open", "count": 9120},
        {"service": "storage", "kind": "connect-refused", "count": 1260},
        {"service": "sequencing", "kind": "quota-exceeded", "count": 961},
        {"service": "rag", "kind": "response-timeout", "count": 44},
        {"service": "samples", "kind": "closed-early", "count": 12},
    ]
    made["limits"] = {
        "mode": "local",
        "hit": [
            {"service": "sequencing", "client": "k:sequencer-7", "count": 912},
            {"service": "auth", "client": "a:2001:db8:85a3::8a2e:370:7334", "count": 36},
            {"service": "sequencing", "client": "u:6f1c2d9e-08b4-4c55-9f0e-2a7d1c5b9e10", "count": 13},
        ],
    }
    beat = int(at) // 3
    made["recent"] = {
        "failed": [_failed(at - 3 * ago - at % 3, beat - ago) for ago in range(20)],
        "slow": [_slow(at - 17 * ago - at % 3, beat // 6 - ago) for ago in range(12)],
    }
    return made


def _failed(at: float, number: int) -> dict[str, Any]:
    if number % 4:
        return request(
            at,
            number,
            path=f"/storage/iot/sensors/{number % 90}/data",
            service="storage",
            instance="",
            status=503,
            duration_ms=0.4,
            error="circuit-open",
            reason="the service fails too often",
        )
    return request(
        at,
        number,
        method="POST",
        status=502,
        duration_ms=31.0,
        error="closed-early",
        reason="it closed without an answer",
    )


def _slow(at: float, number: int) -> dict[str, Any]:
    return request(
        at,
        number,
        method="POST",
        path="/rag/documents/upload",
        service="rag",
        instance="http://rag-1.lab.internal:8086",
        status=201,
    )


SCENES = {"calm": calm, "lively": lively, "many": many}


def main(reactor: Any, scene: str, port: int) -> None:
    """Serve the dashboard of a made-up laboratory until interrupted."""
    from tracseq_gateway.admin.assets import Care
    from tracseq_gateway.admin.dashboard import POLICY, DashboardPage
    from tracseq_gateway.admin.events import Streams
    from tracseq_gateway.admin.pages import Missing

    feed = OverviewFeed()
    settings = {"login": None, "logout": None, "interval": 1.0}
    care = Care([(b"content-security-policy", POLICY.encode("ascii"))])
    root = Missing.above()
    root.putChild(b"dashboard", DashboardPage(settings, Streams(feed, reactor, time.time), care))
    site = GatewaySite(root, reactor, Deadlines(reactor), Client(), (), "gw")
    listening = socket.create_server(("127.0.0.1", port))
    url = "http://{}:{}/dashboard".format(*listening.getsockname())
    EagerPort.adopt(reactor, listening, site)
    LoopingCall(lambda: feed.publish(json.dumps(SCENES[scene](time.time())).encode())).start(0.2)
    print(url, flush=True)
    reactor.run()


if __name__ == "__main__":
    from twisted.internet import reactor as running

    words = dict(enumerate(sys.argv))
    main(running, words.get(1, "lively"), int(words.get(2, "0")))
