"""The root of the resource tree: services by prefix, and the gateway's own pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from tracseq_gateway.config.model import OWN_PATHS
from tracseq_gateway.errors import NOT_FOUND, GatewayError
from tracseq_gateway.http.request_head import METHODS
from tracseq_gateway.interfaces import Request, Stage
from tracseq_gateway.routing.table import RouteTable

OWN = tuple(path.encode("ascii") for path in OWN_PATHS)
_NOT_OF_SERVICES = (*OWN, b"*")


@implementer(IResource)
class GatewayResource:
    """Looks a request's path up and hands the request on.

    The gateway's own pages come first; ``/`` is one of them unless a service owns it.
    """

    isLeaf = True
    server = None

    def __init__(self, table: RouteTable[Stage], own: Resource) -> None:
        self._find = table.find
        self._own = own
        self._root_is_ours = table.find(b"/") is None

    def render(self, request: Any) -> Any:
        """Hand a request on; the answer comes later."""
        path: bytes = request.head.path
        route = self._find(path)
        if route is not None and not path.startswith(_NOT_OF_SERVICES):
            route.target(request)
            return NOT_DONE_YET
        return self._render_rest(request, path, route.target if route is not None else None)

    def _render_rest(self, request: Any, path: bytes, stage: Callable[[Request], None] | None) -> Any:
        """The gateway's own pages, and paths that merely begin like one."""
        if path == b"*":
            request.setHeader(b"allow", b", ".join(sorted(METHODS)))
            request.setResponseCode(204)
            return b""
        if any(path == own or path.startswith(own + b"/") for own in OWN) or (path == b"/" and self._root_is_ours):
            request.render_from(self._own)
        elif stage is not None:
            stage(request)
        else:
            request.refuse(GatewayError(NOT_FOUND, "no service has this path"))
        return NOT_DONE_YET

    def putChild(self, path: bytes, child: IResource) -> None:
        """The tree is fixed when it is built."""
        raise TypeError("routes come from the configuration")

    def getChildWithDefault(self, name: bytes, request: Any) -> IResource:
        """Never called: this resource is a leaf."""
        raise TypeError("a leaf has no children")
