"""Files that come with the package, as a page in a browser loads them."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import Any, cast

from attrs import field, frozen
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from tracseq_gateway.admin.pages import Missing
from tracseq_gateway.errors import METHOD_NOT_ALLOWED, GatewayError
from tracseq_gateway.http.fields import Fields
from tracseq_gateway.http.outgoing import OutgoingHead

KINDS = {
    "html": b"text/html; charset=utf-8",
    "css": b"text/css; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
    "json": b"application/json",
    "svg": b"image/svg+xml",
}
"""The media type of a file, by the end of its name."""


@frozen
class Care:
    """The fields by which the files of one page ask browsers to be careful with it, in place of those that the
    gateway's other answers have."""

    fields: Fields = field(factory=list)
    over_tls: bytes = b""
    """Lines for clients that came by TLS, each with its CRLF."""


class Asset(Resource):
    """One file, in memory. Browsers may keep it and ask each time whether it is still the same."""

    def __init__(self, name: str, body: bytes, care: Care) -> None:
        """Raises KeyError for a file of a kind that a page does not load."""
        super().__init__()
        kind = KINDS[name.rpartition(".")[2]]
        self._tag = b'"%b"' % hashlib.sha256(body).hexdigest()[:32].encode("ascii")
        self._body = body
        kept: Fields = [(b"etag", self._tag), (b"cache-control", b"no-cache"), *care.fields]
        # Like an answer of a service, these have their security fields already.
        self._whole = OutgoingHead(
            200, b"OK", [(b"content-type", kind), *kept], len(body), of_service=True, over_tls=care.over_tls
        )
        self._same = OutgoingHead(304, b"Not Modified", kept, len(body), of_service=True, over_tls=care.over_tls)

    def getChild(self, path: bytes, request: Any) -> Resource:
        """Nothing lies below a file."""
        return Missing()

    def render(self, request: Any) -> Any:
        """Answer GET and HEAD; refuse other methods."""
        if request.method not in (b"GET", b"HEAD"):
            request.refuse(GatewayError(METHOD_NOT_ALLOWED, "this file can only be read", allow=("GET", "HEAD")))
        elif self._tag in _tags(cast("bytes | None", request.getHeader(b"if-none-match")) or b""):
            request.begin(self._same, b"", True)
        else:
            request.begin(self._whole, self._body, True)
        return NOT_DONE_YET


def _tags(condition: bytes) -> list[bytes]:
    """The tags of an If-None-Match field, which are compared weakly (RFC 9110 section 13.1.2)."""
    return [tag.strip(b" \t").removeprefix(b"W/") for tag in condition.split(b",")]


def packaged(directory: str) -> dict[str, bytes]:
    """The files in a directory beside this module, by name."""
    return {file.name: file.read_bytes() for file in files(__package__).joinpath(directory).iterdir() if file.is_file()}
