"""What a contestant does for a request beside passing it on, and the proof that it does."""

from __future__ import annotations

import http.client
import time
from pathlib import Path
from uuid import uuid4

from attrs import field, frozen

from benchmarks.errors import BenchmarkError
from benchmarks.http_client import PATH
from benchmarks.tokens import AUDIENCE, ISSUER, Issuer, claims_of

AUTH, LIMITS, METRICS, LOG, HEADERS = DUTIES = ("auth", "limits", "metrics", "log", "headers")
"""The token's verdict, cached; GCRA in Redis; metrics; a JSON access line; security headers."""

LIMITED_PATH = "/limited/benchmark"
"""Of a service on which each client has one request a minute, and this many at once:"""
LIMITED_BURST = 5
PER_MINUTE = 60_000_000
"""The limit elsewhere: counted, and never reached."""

LOG_SECONDS = 5.0


@frozen
class Duties:
    """Which duties are on, and for whose tokens."""

    issuer: Issuer
    on: tuple[str, ...] = DUTIES
    introspected: bool = False
    """Whether the Auth Service is asked about a token, beside verifying it."""
    cache_entries: int = 10_000
    """Verdicts that are remembered."""
    probe: str = field(init=False)
    """A valid token of user 0, whose session is the one that the Auth Service's stand-in knows."""

    @probe.default
    def _probe(self) -> str:
        return self.issuer.token(claims_of(0))

    def values(self, scratch: Path) -> dict[str, object]:
        """The values of ``gateway_duties.toml`` that follow from the duties."""
        switches: dict[str, object] = {duty: str(duty in self.on).lower() for duty in DUTIES}
        keys = f'{{ file = "{public_key_file(scratch)}", algorithm = "{self.issuer.algorithm}" }}'
        return switches | {
            "log": log_file(scratch) if LOG in self.on else "off",
            "auth_service": "auth" if self.introspected else "",
            "cache_entries": self.cache_entries,
            "algorithm": self.issuer.algorithm,
            "keys": keys if self.issuer.public_key else "",
            "issuer": ISSUER,
            "audience": AUDIENCE,
            "per_minute": PER_MINUTE,
            "limited_burst": LIMITED_BURST,
        }


def log_file(scratch: Path) -> Path:
    return scratch / "access.log"


def public_key_file(scratch: Path) -> Path:
    return scratch / "issuer.pem"


@frozen
class Reply:
    """What came back, whatever its status; the fields by lower-case name."""

    status: int
    fields: dict[str, str]
    body: str


def fetch(port: int, path: str, token: str | None = None, **fields: str) -> Reply:
    """GET from 127.0.0.1 on a new connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        credentials = {"Authorization": f"Bearer {token}"} if token else {}
        connection.request("GET", path, headers=credentials | fields)
        response = connection.getresponse()
        body = response.read().decode("utf-8", "replace")
        return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, body)
    finally:
        connection.close()


def duties_done(port: int, token: str, log: Path, patience: float) -> tuple[str, ...]:
    """Try which duties the server on ``port`` does: by what it answers, not by how it is configured.

    Lines are logged in blocks: ``patience`` is how many seconds to wait for one.
    """
    mark = f"{PATH}/{uuid4()}"
    answer = fetch(port, mark, token)
    over = [fetch(port, LIMITED_PATH, token).status for _each in range(LIMITED_BURST + 1)]
    limited = over == [200] * LIMITED_BURST + [429] and "x-ratelimit-remaining" in answer.fields
    done = {
        AUTH: answer.status == 200 and fetch(port, PATH).status == 401,
        LIMITS: limited and "ratelimit" in answer.fields,
        METRICS: "gateway_requests_total" in fetch(port, "/metrics").body,
        LOG: _is_logged(mark, log, patience),
        HEADERS: answer.fields.get("x-frame-options") == "DENY",
    }
    return tuple(duty for duty in DUTIES if done[duty])


def _is_logged(mark: str, log: Path, patience: float) -> bool:
    deadline = time.monotonic() + patience
    while True:
        if log.exists() and mark in log.read_text(errors="replace"):
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.1)


def prove(name: str, port: int, duties: Duties, scratch: Path) -> None:
    """Raise :exc:`BenchmarkError` unless exactly these duties are done."""
    patience = LOG_SECONDS if LOG in duties.on else 0.0
    done = duties_done(port, duties.probe, log_file(scratch), patience)
    if done != duties.on:
        raise BenchmarkError(f"{name} does {', '.join(done) or 'nothing'} instead of {', '.join(duties.on) or 'that'}")
