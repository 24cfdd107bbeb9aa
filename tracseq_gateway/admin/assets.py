"""Files that come with the package, as a page in a browser loads them."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import Any

from attrs import field, frozen
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from tracseq_gateway.admin.kept import Kept
from tracseq_gateway.admin.pages import Missing
from tracseq_gateway.http.fields import Fields

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
        kind, tag = KINDS[name.rpartition(".")[2]], hashlib.sha256(body).hexdigest()[:32]
        self._kept = Kept(kind, body, b"", tag, b"no-cache", care.fields, care.over_tls)

    def getChild(self, path: bytes, request: Any) -> Resource:
        """Nothing lies below a file."""
        return Missing()

    def render(self, request: Any) -> Any:
        """Answer GET and HEAD; refuse other methods."""
        self._kept.answer(request)
        return NOT_DONE_YET


def packaged(directory: str) -> dict[str, bytes]:
    """The files in a directory beside this module, by name."""
    return {file.name: file.read_bytes() for file in files(__package__).joinpath(directory).iterdir() if file.is_file()}
