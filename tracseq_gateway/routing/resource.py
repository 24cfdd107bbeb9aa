"""The root of the resource tree: services by prefix, and the gateway's own pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal

from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from tracseq_gateway.config.model import OWN_PATHS
from tracseq_gateway.errors import NOT_FOUND, GatewayError
from tracseq_gateway.http.outgoing import OutgoingHead
from tracseq_gateway.http.request_head import METHODS
from tracseq_gateway.interfaces import Stage
from tracseq_gateway.routing.table import Route, RouteTable

OWN = tuple(path.encode("ascii") for path in OWN_PATHS)
OPTIONS_OF_ALL = OutgoingHead(204, b"No Content", [(b"allow", b", ".join(sorted(METHODS)))])
"""How ``OPTIONS *`` is answered."""


def no_route() -> GatewayError:
    """Why a path that belongs to nobody is refused."""
    return GatewayError(NOT_FOUND, "no service has this path")


def _render(page: Resource, request: Any) -> None:
    request.render_from(page)


@implementer(IResource)
class GatewayResource:
    """Looks a request's path up and hands the request on.

    The gateway's own pages come first; ``/`` is one of them unless a service owns it.
    """

    isLeaf = True
    server = None

    def __init__(
        self,
        table: RouteTable[Stage],
        own: Resource,
        before: Callable[[Stage], Stage] = lambda following: following,
        further: Iterable[str] = (),
        before_own: Callable[[Stage], Stage] | None = None,
    ) -> None:
        """``before`` makes the stage that every request passes first, given the one that routes it; ``further`` are
        paths of the gateway's own beside those that it always has, and ``before_own`` makes a stage before them all.
        """
        self._paths = (*OWN, *(path.encode("ascii") for path in further))
        self._not_of_services = (*self._paths, b"*")
        self._find = table.find
        render: Stage = partial(_render, own)
        self._own = before_own(render) if before_own is not None else render
        self._root_is_ours = table.find(b"/") is None
        self._first: Stage = before(self._dispatch)

    def render(self, request: Any) -> Any:
        """Hand a request on; the answer comes later."""
        self._first(request)
        return NOT_DONE_YET

    def _dispatch(self, request: Any) -> None:
        path: bytes = request.head.path
        route = self._find(path)
        if route is not None and not path.startswith(self._not_of_services):
            route.target(request)
        else:
            self._dispatch_rest(request, path)

    def _dispatch_rest(self, request: Any, path: bytes) -> None:
        """The gateway's own pages, and paths that merely begin like one."""
        found = self.destination(path)
        if isinstance(found, Route):
            found.target(request)
        elif found == "own page":
            self._own(request)
        elif found == "server":
            request.begin(OPTIONS_OF_ALL, b"", True)
        else:
            request.refuse(no_route())

    def destination(self, path: bytes) -> Route[Stage] | Literal["own page", "server"] | None:
        """Who answers a path: a service by its route, one of the gateway's own pages, or for ``*`` the gateway."""
        if path == b"*":
            return "server"
        return "own page" if self._is_own(path) else self._find(path)

    def _is_own(self, path: bytes) -> bool:
        if path == b"/":
            return self._root_is_ours
        return any(path == own or path.startswith(own + b"/") for own in self._paths)

    def putChild(self, path: bytes, child: IResource) -> None:
        """The tree is fixed when it is built."""
        raise TypeError("routes come from the configuration")

    def getChildWithDefault(self, name: bytes, request: Any) -> IResource:
        """Never called: this resource is a leaf."""
        raise TypeError("a leaf has no children")
