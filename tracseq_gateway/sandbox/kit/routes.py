"""How a service declares its routes: a decorator that keeps the facts from which Klein is set up and OpenAPI written.

House rules:

1. A path is written once, below ``/api/v1``, in werkzeug's syntax: ``/samples/<uuid:sample_id>``.
2. The gateway turns ``/samples/x`` into ``/api/v1/x``, while clients of a service itself call ``/api/v1/samples/x``.
   Routes below the service's ``home`` are therefore served at both paths.
3. What a handler returns is data; the envelope, the status and the bytes are made elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

from attrs import Factory, field, frozen
from twisted.web.server import Request

from .reading import field_of
from .records import Page
from .schema import Json, Schema, integer

Handler = TypeVar("Handler", bound=Callable[..., Any])

PAGE: Mapping[str, Schema] = {
    "limit": integer(1, 200, default=50, description="Most items in the answer."),
    "offset": integer(0, 1_000_000, default=0, description="Items to skip."),
}
"""The query parameters of every paged list."""


@frozen
class Route:
    """One route of a service."""

    method: str
    path: str
    summary: str
    handler: str
    """Name of the method that answers; also the operation's id in the OpenAPI document."""
    answer: Schema | None = None
    """Schema of the ``data`` in the envelope, or of the whole body if ``plain``."""
    status: int = 200
    body: Schema | None = None
    query: Mapping[str, Schema] = field(factory=dict)
    errors: tuple[int, ...] = ()
    """Statuses that the handler itself refuses with."""
    paged: bool = False
    plain: bool = False
    produces: str | None = None
    """Media type of an answer that is not JSON."""
    consumes: tuple[str, ...] = ()
    """Media types of a body that the handler reads by itself."""


@frozen
class Call:
    """One request, checked: what a handler works with."""

    request: Request
    body: Json = Factory(dict)
    query: Json = Factory(dict)

    @property
    def user(self) -> str | None:
        """The user's id as the gateway states it. The sandbox believes it: it listens on this machine only."""
        return self.header("X-User-Id")

    @property
    def window(self) -> dict[str, int]:
        """The limit and offset of a paged list, as keyword arguments."""
        return {"limit": self.query["limit"], "offset": self.query["offset"]}

    @property
    def filters(self) -> Json:
        """The query parameters of a list without its limit and offset."""
        return {name: value for name, value in self.query.items() if name not in PAGE}

    def header(self, name: str) -> str | None:
        """Return the value of a request field, or None when it is absent."""
        return field_of(self.request, name)


@frozen
class Download:
    """An answer that is not JSON; with a file name, browsers save it."""

    content: bytes
    media_type: str
    file_name: str | None = None


def attachment(file_name: str) -> str:
    """Return a Content-Disposition that makes browsers save under this name, with an ASCII twin (RFC 6266)."""
    plain = "".join(letter if " " <= letter <= "~" and letter not in '"\\%' else "_" for letter in file_name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(file_name, safe='')}"


class Streamed:
    """What a handler's Deferred fires with when it has written the whole answer by itself."""


class Routes:
    """The routes of one part of a service, filled by decorators while the class is made."""

    def __init__(self, home: str = "") -> None:
        self.home = home
        self._declared: list[Route] = []

    def __iter__(self) -> Iterator[Route]:
        return iter(self._declared)

    def add(self, method: str, path: str, summary: str, **facts: Any) -> Callable[[Handler], Handler]:
        """Declare that the decorated method answers ``method path``; ``facts`` are the fields of :class:`Route`."""

        def remember(handler: Handler) -> Handler:
            self._declared.append(Route(method, path, summary, handler.__name__, **facts))
            return handler

        return remember

    def get(self, path: str, summary: str, **facts: Any) -> Callable[[Handler], Handler]:
        """Declare a GET route."""
        return self.add("GET", path, summary, **facts)

    def pages(self, path: str, summary: str, answer: Schema, **facts: Any) -> Callable[[Handler], Handler]:
        """Declare a GET route that answers with a page of items."""
        query = {**facts.pop("query", {}), **PAGE}
        return self.add("GET", path, summary, answer=answer, query=query, paged=True, **facts)

    def post(self, path: str, summary: str, **facts: Any) -> Callable[[Handler], Handler]:
        """Declare a POST route."""
        return self.add("POST", path, summary, **facts)

    def put(self, path: str, summary: str, **facts: Any) -> Callable[[Handler], Handler]:
        """Declare a PUT route."""
        return self.add("PUT", path, summary, **facts)

    def delete(self, path: str, summary: str, **facts: Any) -> Callable[[Handler], Handler]:
        """Declare a DELETE route."""
        return self.add("DELETE", path, summary, **facts)

    def paths(self, route: Route) -> list[str]:
        """Return every path below ``/api/v1`` that leads to the route, the declared one first."""
        home = f"/{self.home}"
        if self.home and (route.path == home or route.path.startswith(home + "/")):
            return [route.path, route.path[len(home) :] or "/"]
        return [route.path]


class Part:
    """One part of a service: a class with ``routes`` whose handlers are its methods."""

    routes: Routes


Outcome = Json | list[Any] | Page | Download | Streamed | None
"""What a handler returns, at once or by a Deferred."""
