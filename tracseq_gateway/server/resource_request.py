"""The part of ``twisted.web.iweb.IRequest`` that resources use, made only when a resource asks for it.

Requests to services never touch it; the gateway's own pages, and resources that an operator adds, do.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote_to_bytes

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.error import UnsupportedMethod
from twisted.web.http import RESPONSES
from twisted.web.http_headers import Headers
from twisted.web.resource import IResource, getChildForRequest
from twisted.web.server import NOT_DONE_YET

from tracseq_gateway.errors import INTERNAL, METHOD_NOT_ALLOWED, GatewayError
from tracseq_gateway.http.fields import Fields
from tracseq_gateway.http.outgoing import OutgoingHead

if TYPE_CHECKING:
    from tracseq_gateway.http.request_head import RequestHead

_log = Logger()


class _State:
    """What a resource has asked for or set."""

    def __init__(self, head: RequestHead) -> None:
        self.prepath: list[bytes] = []
        self.postpath = [unquote_to_bytes(segment) for segment in head.path[1:].split(b"/")]
        self.requestHeaders = Headers()
        for name, value in head.fields.pairs:
            self.requestHeaders.addRawHeader(name, value)
        self.responseHeaders = Headers()
        self.code = 200
        self.message: bytes | None = None
        self.waiting: list[Deferred[None]] = []


class ResourceRequest:
    """Mixed into the request; provides what twisted.web resources call."""

    __slots__ = ("_state",)

    # Provided by the request that this is mixed into.
    head: RequestHead
    begun: bool
    finished: bool
    client: str
    channel: Any
    begin: Callable[[OutgoingHead, bytes, bool], None]
    send: Callable[[bytes, bool], None]
    refuse: Callable[[GatewayError], None]
    break_off: Callable[[GatewayError], None]

    def __init__(self) -> None:
        self._state: _State | None = None

    @property
    def state(self) -> _State:
        """What resources see beyond the head."""
        if self._state is None:
            self._state = _State(self.head)
        return self._state

    def render_from(self, root: IResource) -> None:
        """Find the resource below ``root`` and let it answer."""
        try:
            resource = root if root.isLeaf else getChildForRequest(root, self)
            body = resource.render(self)
            if body is NOT_DONE_YET:
                return
            if not isinstance(body, bytes):
                raise TypeError(f"a resource answered with {type(body).__name__} instead of bytes")
            self.write_all(body)
        except UnsupportedMethod as error:
            methods: tuple[bytes, ...] = error.allowedMethods
            allowed = tuple(sorted(method.decode("ascii") for method in methods))
            self.refuse(GatewayError(METHOD_NOT_ALLOWED, "this resource has no such method", allow=allowed))
        except Exception:
            _log.failure("a resource failed on {path!r}", path=self.head.path)
            # Whoever had begun to work on it is told, so that nothing of his stays behind.
            self.break_off(GatewayError(INTERNAL))

    def connection_lost(self) -> None:
        """Tell those who asked by :meth:`notifyFinish`."""
        if self._state is not None:
            waiting, self._state.waiting = self._state.waiting, []
            for deferred in waiting:
                deferred.errback(Failure(ConnectionLost()))

    # The face that twisted.web knows.

    @property
    def method(self) -> bytes:
        """The method, in upper case."""
        return self.head.method

    @property
    def path(self) -> bytes:
        """The normalised path."""
        return self.head.path

    @property
    def uri(self) -> bytes:
        """Path and query."""
        return self.head.path + self.head.query

    @property
    def args(self) -> dict[bytes, list[bytes]]:
        """The query's parameters; bodies are never parsed."""
        return parse_qs(self.head.query[1:], keep_blank_values=True)

    @property
    def content(self) -> io.BytesIO:
        """Empty: the gateway's own resources take no bodies."""
        return io.BytesIO()

    @property
    def prepath(self) -> list[bytes]:
        """Segments that were followed."""
        return self.state.prepath

    @property
    def postpath(self) -> list[bytes]:
        """Segments that are left."""
        return self.state.postpath

    @property
    def requestHeaders(self) -> Headers:
        """The request's fields."""
        return self.state.requestHeaders

    @property
    def responseHeaders(self) -> Headers:
        """The answer's fields so far."""
        return self.state.responseHeaders

    def getHeader(self, name: str | bytes) -> str | bytes | None:
        """The last value of a field, of the type of ``name``."""
        if isinstance(name, str):
            values = self.requestHeaders.getRawHeaders(name)
            return values[-1] if values else None
        raw = self.requestHeaders.getRawHeaders(name)
        return raw[-1] if raw else None

    def getClientIP(self) -> str:
        """The client's address."""
        return self.client

    def isSecure(self) -> bool:
        """Whether the request came by TLS."""
        return bool(self.channel.secure)

    def setResponseCode(self, code: int, message: bytes | None = None) -> None:
        """Set the status."""
        self.state.code = code
        self.state.message = message

    def setHeader(self, name: str | bytes, value: str | bytes) -> None:
        """Set a field of the answer."""
        raw_name = name.encode("ascii") if isinstance(name, str) else name
        raw_value = value.encode("utf-8") if isinstance(value, str) else value
        self.responseHeaders.setRawHeaders(raw_name, [raw_value])

    def write(self, data: bytes) -> None:
        """Send a piece of the answer; the first one sends the head."""
        if self.begun:
            self.send(data, False)
        else:
            self._begin(data, None, False)

    def write_all(self, body: bytes) -> None:
        """Send the whole answer."""
        self._begin(body, len(body), True)
        self._notify()

    def finish(self) -> None:
        """End the answer."""
        if self.begun:
            self.send(b"", True)
        else:
            self._begin(b"", 0, True)
        self._notify()

    def notifyFinish(self) -> Deferred[None]:
        """A Deferred that fires when the answer is complete, or fails when the client leaves before."""
        deferred: Deferred[None] = Deferred()
        self.state.waiting.append(deferred)
        return deferred

    def _notify(self) -> None:
        waiting, self.state.waiting = self.state.waiting, []
        for deferred in waiting:
            deferred.callback(None)

    def _begin(self, data: bytes, length: int | None, done: bool) -> None:
        state = self.state
        fields: Fields = [
            (name.lower(), value) for name, values in state.responseHeaders.getAllRawHeaders() for value in values
        ]
        fields = [field for field in fields if field[0] not in (b"content-length", b"transfer-encoding", b"connection")]
        reason = state.message if state.message is not None else RESPONSES.get(state.code, b"")
        dated = any(name == b"date" for name, _ in fields)
        self.begin(OutgoingHead(state.code, reason, fields, length, dated=dated), data, done)
