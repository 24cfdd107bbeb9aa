"""What the tests of explanations share: a laboratory with all that can be explained, asked and then really used."""

from __future__ import annotations

import json
from collections.abc import Sequence
from ipaddress import ip_network
from typing import Any

import jwt
from attrs import frozen

from tests.identity_lab import KEYS
from tests.kit import Answer, MemoryClient, MemoryGateway, Received
from tests.token_kit import SECRET, VARIABLE
from tracseq_gateway.config import (
    Authentication,
    Cors,
    Gateway,
    Instance,
    Jwt,
    Limit,
    PathRule,
    RateLimit,
    RateLimiting,
    Redis,
    Service,
    Size,
)
from tracseq_gateway.config.keys import Seconds
from tracseq_gateway.config.policies import FailedLogins, Security
from tracseq_gateway.config.upstream import PathTimeouts, Timeouts
from tracseq_gateway.service.explain import Question


def instances(*ports: int, weights: Sequence[int] = (1, 1, 1, 1)) -> tuple[Instance, ...]:
    return tuple(Instance(f"http://127.0.0.1:{port}", weight) for port, weight in zip(ports, weights, strict=False))


SERVICES = {
    "auth": Service("auth", prefix="/auth", rewrite="/api/v1", instances=instances(9001), public=("/login",)),
    "samples": Service(
        "samples",
        prefix="/samples",
        rewrite="/api/v1",
        instances=instances(9011, 9012, 9013),
        public=("/news",),
        roles={"DELETE": "lab_administrator"},
        rate_limit=RateLimit(60, 6),
        max_body=Size(1000),
        content_types=("application/json",),
        max_concurrent_per_client=3,
        paths={
            "/open": PathRule(auth="none", rate_limit=RateLimit(60, 4)),
            "/slow": PathRule(timeouts=PathTimeouts(total=Seconds(90.0))),
        },
    ),
    "storage": Service(
        "storage",
        prefix="/storage",
        rewrite="/storage",
        instances=instances(9021, 9022, weights=(3, 1)),
        balance="weighted_round_robin",
        host_header="upstream",
        auth="optional",
        timeouts=Timeouts(total=Seconds(20.0)),
        max_concurrent=2,
    ),
    "board": Service(
        "board",
        prefix="/board",
        rewrite="",
        instances=instances(9031, 9032, 9033),
        balance="consistent_hash",
        hash_by="path",
        auth="none",
        sticky_cookie="tsq",
    ),
    "far": Service(
        "far", prefix="/samples/far", instances=instances(9041, 9042), balance="p2c", auth="none", priority="high"
    ),
}
RATES = RateLimiting(
    enabled=True,
    default=RateLimit(120, 10),
    limits={
        "writes": Limit(per="address", per_minute=Size(30), burst=Size(3), methods=("POST", "PUT")),
        "upload": Limit(per="everyone", unit="bytes", per_minute=Size(60000), burst=Size(2000)),
    },
    failed_logins=FailedLogins(per_account=RateLimit(5, 3)),
)


@frozen
class Done:
    """What became of a request that was really made."""

    answer: Answer
    received: Received | None
    """As the service got it; None when it did not."""
    instance: str
    """Who got it."""


class Laboratory(MemoryGateway):
    """Explains requests, and makes them. Redis is away, so the worker limits alone; the Auth Service is not asked."""

    def __init__(self, *, services: dict[str, Service] | None = None, **tables: Any) -> None:
        super().__init__(
            gateway=Gateway(trusted_proxies=(ip_network("10.0.0.0/8"),)),
            services=services or SERVICES,
            tables={
                "auth": Authentication(enabled=True, service="", jwt=Jwt(), api_keys=KEYS),
                "rate_limit": RATES,
                "cors": Cors(enabled=True, allow_origins=("https://lab.tracseq.com",)),
                "security": Security(headers=True, deny=(ip_network("203.0.113.0/24"),)),
                "redis": Redis("unix:///nowhere/redis.sock"),
                **tables,
            },
            environ={VARIABLE: SECRET},
        )

    def explain(self, **question: Any) -> dict[str, Any]:
        """The report on a request, which must be there at once."""
        reports: list[bytes] = []
        asked = {"method": "GET", "target": "/samples/1", "address": "192.0.2.7", **question}
        self.worker.explain(json.dumps(asked).encode()).addCallback(reports.append)
        [report] = reports
        document: dict[str, Any] = json.loads(report)
        return document

    def token(self, user: str = "u-1", role: str = "lab_technician", **claims: object) -> str:
        """A token of this user."""
        now = int(self.now())
        content = {"sub": user, "role": role, "jti": "s-1", "iat": now, "exp": now + 3600, **claims}
        return jwt.encode(content, SECRET, "HS256")

    def make(self, question: Question) -> Done:
        """Make the request that was asked about."""
        body = None if question.account is None else json.dumps({"email": question.account}).encode()
        raw = question.head("X-API-Key", body)
        lengths = [line.partition(":")[2] for line in question.fields if line.lower().startswith("content-length:")]
        client = MemoryClient(self, question.address)
        before = len(self.service.requests)
        client.send(raw + (body or b"x" * (int(lengths[0]) if lengths else 0)))
        self.service.run()
        answer = next(answer for answer in client.answers(question.method.encode()) if answer.status >= 200)
        client.leave()
        received = self.service.requests[before] if len(self.service.requests) > before else None
        return Done(answer, received, self._instance_of(received))

    def _instance_of(self, received: Received | None) -> str:
        for connection in self.service.connections:
            if received is not None and received in connection.requests:
                return f"http://127.0.0.1:{connection.protocol.pool.port}"
        return ""


def head_of(received: Received) -> list[str]:
    """A request's head as a report shows it, without what is secret or new each time."""
    lines = [f"{received.method.decode()} {received.target.decode()} HTTP/1.1"]
    lines += [f"{name.decode().lower()}: {value.decode()}" for name, value in received.fields]
    return comparable(lines)


def comparable(lines: list[str]) -> list[str]:
    """The lines of a head that two alike requests, or answers, have in common; of a secret only that it is there."""
    kept = []
    for line in lines:
        name, colon, _ = line.partition(": ")
        if name in ("x-request-id", "date"):
            continue
        kept.append(f"{name}: [redacted]" if colon and name in ("authorization", "cookie", "x-api-key") else line)
    return kept


def answer_lines(answer: Answer) -> list[str]:
    """The fields of an answer as a report shows them."""
    return comparable([f"{name.decode().lower()}: {value.decode()}" for name, value in answer.fields])
