"""What answers requests in clear on a site whose clients should use TLS."""

from __future__ import annotations

import re
from typing import Any

from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from tracseq_gateway.errors import TLS_REQUIRED, GatewayError
from tracseq_gateway.http.outgoing import OutgoingHead

HEALTH = b"/health"
"""Answered in clear, too: those who look there, such as a kubelet, know neither name nor authority."""

_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::[0-9]*)?").fullmatch


@implementer(IResource)
class ClearDoor:
    """Sends clients to the same place by https, or away; nothing that they ask for in clear is done.

    Who came to a trusted proxy by TLS, as that says, came by TLS.
    """

    isLeaf = True
    server = None

    def __init__(self, root: IResource, port: int | None) -> None:
        """``root`` answers what is answered in clear; ``port`` is the one that clients are sent to, None: none."""
        self._root = root
        self._port = b"" if port in (443, None) else b":%d" % port
        self._redirects = port is not None
        self._refusal = GatewayError(TLS_REQUIRED, "this is answered over TLS only: https, not http")

    def render(self, request: Any) -> Any:
        """Answer, or have it answered."""
        path: bytes = request.head.path
        if path == HEALTH or path.startswith(HEALTH + b"/") or b"\r\nx-forwarded-proto: https\r\n" in request.forwarded:
            return self._root.render(request)
        host = _HOST(request.head.host)
        if self._redirects and host is not None and path.startswith(b"/"):
            location = b"https://%b%b%b%b" % (host[1], self._port, path, request.head.query)
            request.begin(OutgoingHead(308, b"Permanent Redirect", [(b"location", location)], 0), b"", True)
        else:
            request.refuse(self._refusal)
        return NOT_DONE_YET

    def putChild(self, path: bytes, child: IResource) -> None:
        """What answers is fixed when it is built."""
        raise TypeError("nothing stands below this")

    def getChildWithDefault(self, name: bytes, request: Any) -> IResource:
        """Never called: this resource is a leaf."""
        raise TypeError("a leaf has no children")
