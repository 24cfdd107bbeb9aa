"""A sandbox service in memory, and a client that holds every answer against the service's OpenAPI document."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen
from jsonschema import Draft202012Validator
from treq.testing import StubTreq
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tracseq_gateway.sandbox.auth import service as auth_service
from tracseq_gateway.sandbox.auth_tokens import Passwords
from tracseq_gateway.sandbox.catalogue import build
from tracseq_gateway.sandbox.kit.service import API, Context, Service

NOW = 1_772_359_200.0
"""The moment at which each test begins: 2026-03-01T10:00:00Z."""
SECRET = "a-secret-of-the-tests-with-more-than-32-bytes"
UNKNOWN = "00000000-0000-4000-8000-000000000000"


@frozen
class Answer:
    """What a service answered."""

    status: int
    content: bytes
    headers: Mapping[str, str]

    @property
    def body(self) -> Any:
        return json.loads(self.content)

    @property
    def data(self) -> Any:
        return self.body["data"]

    @property
    def error(self) -> Any:
        return self.body["error"]


class SandboxCase(SynchronousTestCase):
    """A test of one service: :meth:`send` goes through twisted.web and Klein without a port."""

    name: str

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.directory = Path(self.mktemp())
        self.directory.mkdir(parents=True)
        self.start()

    def start(self) -> None:
        """Start the service on the test's directory, as a first start or as a restart."""
        self.service = start(self.name, Context(self.directory, self.clock, SECRET))
        self.addCleanup(self.service.close)
        self.client: Any = StubTreq(self.service.resource())

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str | bytes] | None = None,
        status: int | None = None,
    ) -> Answer:
        """Send a request to a path below ``/api/v1`` and return the answer, which must be as documented.

        :param body: sent as JSON; ``content`` is sent as it is instead.
        :param status: what the answer's status must be; by default it must be a success.
        """
        fields = dict(headers or {})
        if body is not None:
            content = json.dumps(body).encode()
            fields.setdefault("Content-Type", "application/json")
        sent = self.client.request(method, f"http://sandbox{API}{path}", headers=fields, data=content)
        self.client.flush()
        answer = self.read(self.successResultOf(sent))
        if status is None:
            self.assertIn(answer.status, (200, 201), answer.content)
        else:
            self.assertEqual(status, answer.status, answer.content)
        self.assertEqual([], undocumented(self.service, method, path, answer), f"{method} {path}")
        return answer

    def read(self, response: Any) -> Answer:
        """Read a whole response."""
        content = self.successResultOf(self.client.content(response))
        headers = {name.decode(): values[0].decode() for name, values in response.headers.getAllRawHeaders()}
        return Answer(response.code, content, headers)

    def get(self, path: str, **rest: Any) -> Any:
        """Return the data of a GET."""
        return self.send("GET", path, **rest).data

    def post(self, path: str, body: Any = None, **rest: Any) -> Any:
        """Return the data of a POST."""
        return self.send("POST", path, body, **rest).data

    def put(self, path: str, body: Any = None, **rest: Any) -> Any:
        """Return the data of a PUT."""
        return self.send("PUT", path, body, **rest).data

    def refused(self, method: str, path: str, body: Any = None, *, status: int, **rest: Any) -> Any:
        """Send what must be refused and return the error."""
        return self.send(method, path, body, status=status, **rest).error


def start(name: str, context: Context) -> Service:
    """Build a service; the auth service with a cheap hash."""
    return auth_service(context, Passwords(cost=2)) if name == "auth" else build(name, context)


def operations(service: Service) -> list[tuple[str, str, dict[str, Any]]]:
    """Return the method, the path and the description of each documented operation."""
    return [
        (method.upper(), path, operation)
        for path, item in service.openapi["paths"].items()
        for method, operation in item.items()
    ]


def undocumented(service: Service, method: str, path: str, answer: Answer) -> list[str]:
    """Return how an answer differs from what the document says of the route."""
    asked = path.partition("?")[0].rstrip("/") or "/"
    found = [
        operation
        for known, template, operation in operations(service)
        if known == method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), asked)
    ]
    if not found:
        return [] if answer.status in (404, 405) else [f"{method} {path} is not documented"]
    # Where several templates fit, the one with the fewest parameters is the most exact.
    responses = min(found, key=lambda operation: json.dumps(operation).count('"in": "path"'))["responses"]
    if str(answer.status) not in responses:
        return [f"status {answer.status} is not documented"]
    described = responses[str(answer.status)]["content"]
    media_type = answer.headers["Content-Type"].partition(";")[0]
    if media_type not in described:
        return [f"{media_type} is not documented"]
    if media_type != "application/json":
        return []
    validator = Draft202012Validator({**described[media_type]["schema"], "components": service.openapi["components"]})
    return [f"{error.json_path}: {error.message[-200:]}" for error in validator.iter_errors(answer.body)]
