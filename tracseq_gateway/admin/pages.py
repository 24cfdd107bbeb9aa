"""The gateway's own pages as a resource tree."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, cast

from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from tracseq_gateway.admin.status import Document, Status
from tracseq_gateway.errors import METHOD_NOT_ALLOWED, NOT_FOUND, GatewayError
from tracseq_gateway.http.accept import prefers_html

DASHBOARD = "/dashboard"


class Page(Resource):
    """A JSON document, made anew for each request."""

    def __init__(self, document: Callable[[], tuple[int, Document]], for_browsers: bytes = b"") -> None:
        """``for_browsers`` is where clients that would rather have HTML are sent."""
        super().__init__()
        self._document = document
        self._for_browsers = for_browsers

    def render(self, request: Any) -> Any:
        """Answer GET and HEAD; refuse other methods."""
        if request.method not in (b"GET", b"HEAD"):
            request.refuse(GatewayError(METHOD_NOT_ALLOWED, "this page can only be read", allow=("GET", "HEAD")))
            return NOT_DONE_YET
        if self._for_browsers:
            request.setHeader(b"vary", b"accept")
            if prefers_html(cast("bytes | None", request.getHeader(b"accept")) or b""):
                request.setResponseCode(303)
                request.setHeader(b"location", self._for_browsers)
                return b""
        status, document = self._document()
        request.setResponseCode(status)
        request.setHeader(b"content-type", b"application/json")
        request.setHeader(b"cache-control", b"no-store")
        return json.dumps(document, indent=2).encode("utf-8") + b"\n"

    def getChild(self, path: bytes, request: Any) -> Resource:
        """A trailing slash is the page itself; anything else below it does not exist."""
        return self if path == b"" else Missing()


class Missing(Resource):
    """Nothing here."""

    isLeaf = True

    @classmethod
    def above(cls) -> Missing:
        """Nothing here, but perhaps below."""
        missing = cls()
        missing.isLeaf = False
        return missing

    def getChild(self, path: bytes, request: Any) -> Resource:
        """Nothing below either."""
        return Missing()

    def render(self, request: Any) -> Any:
        """Answer 404."""
        request.refuse(GatewayError(NOT_FOUND, "the gateway has no such page"))
        return NOT_DONE_YET


def pages(
    status: Status, now: Callable[[], float] = time.time, further: Mapping[str, Resource] = MappingProxyType({})
) -> Resource:
    """Build the tree: ``/``, ``/health`` with ``live``, ``ready`` and ``services`` below, ``/services``; and
    ``further`` pages, by their path. With a dashboard among these, ``/`` sends browsers there.

    ``/health`` and ``/health/ready`` answer 200 while the gateway takes requests and 503 while it drains;
    ``/health/live`` answers 200 as long as the process does.
    """

    def serving() -> int:
        return 503 if status.draining else 200

    root = Page(lambda: (200, status.root()), b"dashboard" if DASHBOARD in further else b"")
    health = Page(lambda: (serving(), status.health(now())))
    health.putChild(b"live", Page(lambda: (200, {"status": "alive"})))
    health.putChild(b"ready", Page(lambda: (serving(), {"status": "draining" if status.draining else "ready"})))
    health.putChild(b"services", Page(lambda: (200, status.services_health(now()))))
    root.putChild(b"health", health)
    root.putChild(b"services", Page(lambda: (200, status.services())))
    for path, page in further.items():
        _put(root, path, page)
    return root


def _put(root: Resource, path: str, page: Resource) -> None:
    """Put a page where its path says, below what is there."""
    *above, last = path.strip("/").encode("ascii").split(b"/")
    for segment in above:
        if segment not in root.children:
            root.putChild(segment, Missing.above())
        root = root.children[segment]
    root.putChild(last, page)
