"""A service of the sandbox: its parts, and the Klein resource that serves them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from attrs import frozen
from klein import Klein
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from .health import Health
from .openapi import document
from .problems import Problem
from .reading import read_json, read_query
from .records import Database, Page
from .routes import Call, Download, Outcome, Part, Route, Streamed, attachment
from .schema import Json, Validator, record

API = "/api/v1"
NOTICE = "This is a TracSeq sandbox service: demo data, no real mail, instruments or sensors. Not for production."


@frozen
class Context:
    """What a service is built from."""

    directory: Path
    """Where it keeps its files; exists."""
    reactor: IReactorTime
    secret: str = ""
    """The key that signs tokens; only the auth service needs it."""


class Service:
    """One stand-in service.

    :param description: what it does and what is imitated, for the OpenAPI document.
    :param parts: its handlers; the health routes are added to them.
    """

    _log = Logger()

    def __init__(
        self, name: str, description: str, database: Database, clock: IReactorTime, parts: Sequence[Part]
    ) -> None:
        self.name = name
        self._database = database
        self._answered: Counter[int] = Counter()
        self._parts = [*parts, Health(name, database, clock, self._answered)]
        title = f"TracSeq {name} (sandbox)"
        self.openapi = document(name, title, f"{description}\n\n{NOTICE}", [part.routes for part in self._parts])

    def resource(self) -> IResource:
        """Return the whole service as one resource, to be the root of a Site."""
        klein = Klein()
        # A redirect would carry this service's own address past the gateway.
        klein.url_map.merge_slashes = False
        klein.route("/", methods=["GET"], endpoint="root")(self._root)
        klein.route("/openapi.json", methods=["GET"], endpoint="openapi")(self._openapi)
        klein.route(f"{API}/openapi.json", methods=["GET"], endpoint="openapi_below_api")(self._openapi)
        for part in self._parts:
            for route in part.routes:
                self._install(klein, part, route)
        klein.handle_errors(Problem)(self._refused)
        klein.handle_errors(HTTPException)(self._unrouted)
        klein.handle_errors(Exception)(self._failed)
        return _Front(klein.resource(), self._refuse)

    def close(self) -> None:
        """Close the service's database."""
        self._database.close()

    def _install(self, klein: Klein, part: Part, route: Route) -> None:
        answer = self._answerer(part, route)
        for number, path in enumerate(part.routes.paths(route)):
            endpoint = f"{route.handler}_{number}"
            klein.route(API + path.rstrip("/"), methods=[route.method], endpoint=endpoint)(answer)

    def _answerer(self, part: Part, route: Route) -> Callable[..., Deferred[bytes | None]]:
        """Return what Klein calls for a route: checks the request, calls the handler, writes down its answer."""
        handler = getattr(part, route.handler)
        body_validator = Validator(route.body) if route.body else None
        query_validator = Validator(record("Query", {}, route.query))
        body_optional = not (route.body or {}).get("required") and not (route.body or {}).get("minProperties")

        def answer(request: Request, **path: Any) -> Deferred[bytes | None]:
            body = read_json(request, body_validator, optional=body_optional) if body_validator else {}
            call = Call(request, body, read_query(request, dict(route.query), query_validator))
            identities = {name: str(value) if isinstance(value, UUID) else value for name, value in path.items()}
            outcome: Deferred[Outcome] = maybeDeferred(handler, call, **identities)
            return outcome.addCallback(self._write_down, route, request)

        return answer

    def _write_down(self, outcome: Outcome, route: Route, request: Request) -> bytes | None:
        self._answered[route.status] += 1
        if isinstance(outcome, Streamed):
            return None
        request.setResponseCode(route.status)
        if isinstance(outcome, Download):
            request.setHeader("Content-Type", outcome.media_type)
            if outcome.file_name is not None:
                request.setHeader("Content-Disposition", attachment(outcome.file_name))
            return _sized(request, outcome.content)
        if isinstance(outcome, Page):
            pagination = {"total": outcome.total, "limit": outcome.limit, "offset": outcome.offset}
            return _json(request, {"success": True, "data": outcome.items, "pagination": pagination})
        return _json(request, outcome if route.plain else {"success": True, "data": outcome})

    def _root(self, request: Request) -> bytes:
        links = {"openapi": "/openapi.json", "health": f"{API}/health"}
        return _json(request, {"service": self.name, "sandbox": True, "message": NOTICE, "links": links})

    def _openapi(self, request: Request) -> bytes:
        return _json(request, self.openapi)

    def _refused(self, request: IRequest, failure: Failure) -> bytes:
        problem = failure.value
        assert isinstance(problem, Problem)
        return self._refuse(request, problem)

    def _unrouted(self, request: IRequest, failure: Failure) -> bytes:
        error = failure.value
        assert isinstance(error, HTTPException)
        if isinstance(error, MethodNotAllowed):
            allowed = ", ".join(sorted(error.valid_methods or ()))
            message = f"this resource takes {allowed}"
            return self._refuse(request, Problem(405, "method_not_allowed", message, headers={"Allow": allowed}))
        path = request.path.decode("ascii", "replace")
        return self._refuse(request, Problem(error.code or 404, "not_found", f"the {self.name} service has no {path}"))

    def _failed(self, request: IRequest, failure: Failure) -> bytes:
        self._log.failure("{method} {path} failed", failure, method=request.method, path=request.path)
        return self._refuse(request, Problem(500, "internal_error", "the sandbox failed; its log says why"))

    def _refuse(self, request: IRequest, problem: Problem) -> bytes:
        self._answered[problem.status] += 1
        request.setResponseCode(problem.status)
        for name, value in problem.headers.items():
            request.setHeader(name, value)
        return _json(request, problem.as_json())


class _Front(Resource):
    """What a request meets first: ``/x/`` becomes ``/x`` without a redirect, and a path that is no text is unknown."""

    isLeaf = True

    def __init__(self, inner: IResource, refuse: Callable[[IRequest, Problem], bytes]) -> None:
        super().__init__()
        self._inner = inner
        self._refuse = refuse

    def render(self, request: Request) -> bytes | int:
        segments = request.postpath or []
        if len(segments) > 1 and not segments[-1]:
            segments.pop()
        try:
            b"/".join(segments).decode()
        except UnicodeDecodeError:
            return self._refuse(request, Problem(404, "not_found", "the path is not UTF-8"))
        outcome: bytes | int = self._inner.render(request)
        return outcome


def _json(request: IRequest, value: Json | list[Any] | None) -> bytes:
    request.setHeader("Content-Type", "application/json")
    return _sized(request, json.dumps(value).encode())


def _sized(request: IRequest, content: bytes) -> bytes:
    """State the length: Klein would send the content in chunks."""
    request.setHeader("Content-Length", str(len(content)))
    return content
