"""``/docs``, the page for people, and ``/openapi.json``, the document that it shows."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from html import escape
from importlib.resources import files
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from tracseq_gateway.admin.kept import Kept
from tracseq_gateway.admin.pages import Missing
from tracseq_gateway.errors import INTERNAL, METHOD_NOT_ALLOWED, GatewayError
from tracseq_gateway.http.fields import Fields

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy of the page: nothing from other hosts, nothing inline."""
DOCS: Final = "/docs"
DOCUMENT: Final = "/openapi.json"

Security = tuple[Fields, bytes]
"""Security fields, and the lines for clients that came by TLS."""

_FOREVER: Final = b"public, max-age=31536000, immutable"
_ASK: Final = b"no-cache"
_FILES: Final[Mapping[str, tuple[str, bytes]]] = {
    "swagger-ui-bundle.js": ("swagger_ui", b"text/javascript; charset=utf-8"),
    "swagger-ui.css": ("swagger_ui", b"text/css; charset=utf-8"),
    "start.js": ("api_page", b"text/javascript; charset=utf-8"),
    "page.css": ("api_page", b"text/css; charset=utf-8"),
}
"""What the page loads: the directory beside this module, and the media type."""


class WaitingPage(Resource):
    """A page whose answer is made while the request waits."""

    isLeaf = True
    _log = Logger()

    def __init__(self, find: Callable[[], Deferred[Kept]]) -> None:
        super().__init__()
        self._find = find

    def render(self, request: Any) -> Any:
        """Answer GET and HEAD; refuse other methods."""
        if request.method not in (b"GET", b"HEAD"):
            request.refuse(GatewayError(METHOD_NOT_ALLOWED, "this page can only be read", allow=("GET", "HEAD")))
        else:
            self._find().addCallbacks(_answer, self._failed, (request,), {}, (request,))
        return NOT_DONE_YET

    def _failed(self, failure: Failure, request: Any) -> None:
        self._log.failure("the page {path!r} could not be made", failure, path=request.path)
        if not request.finished:
            request.refuse(GatewayError(INTERNAL))


def _answer(kept: Kept, request: Any) -> None:
    if not request.finished:
        kept.answer(request)


def kept_document(plain: bytes, zipped: bytes, tag: str, security: Security) -> Kept:
    """What ``/openapi.json`` answers: a document, the same by gzip, and what changes with it."""
    return Kept(b"application/json", plain, zipped, tag, _ASK, *security)


class DocsPage(Resource):
    """``/docs``, with what it loads below ``/docs/assets/VERSION``, where VERSION changes with the files."""

    def __init__(
        self,
        services: Sequence[tuple[str, str]],
        run: Callable[[Callable[[], dict[str, Kept]]], Deferred[dict[str, Kept]]],
        security: Security,
    ) -> None:
        """``services`` are names and prefixes, for browsers without JavaScript; ``run`` calls a function in another
        thread.
        """
        super().__init__()
        version = (files(__package__) / "swagger_ui" / "VERSION").read_text("ascii").strip()
        own = b"".join((files(__package__) / "api_page" / name).read_bytes() for name in ("start.js", "page.css"))
        version = f"{version}-{hashlib.sha256(own).hexdigest()[:8]}"
        text = _page(services, f"{DOCS}/assets/{version}").encode("utf-8")
        tag = hashlib.sha256(text).hexdigest()[:32]
        self._kept = Kept(b"text/html; charset=utf-8", text, b"", tag, _ASK, *security)
        self._files: Deferred[dict[str, Kept]] | None = None
        self._load = lambda: run(lambda: _read_files(security))
        above, below = Missing.above(), Missing.above()
        self.putChild(b"assets", above)
        above.putChild(version.encode("ascii"), below)
        for name in _FILES:
            below.putChild(name.encode("ascii"), WaitingPage(partial(self._file, name)))

    def getChild(self, path: bytes, request: Any) -> Resource:
        """A trailing slash is the page itself; anything else below it does not exist."""
        return self if path == b"" else Missing()

    def render(self, request: Any) -> Any:
        """Answer GET and HEAD; refuse other methods."""
        self._kept.answer(request)
        return NOT_DONE_YET

    def _file(self, name: str) -> Deferred[Kept]:
        """One of the files, which are read when the first of them is asked for."""
        if self._files is None:
            self._files = self._load()
        found: Deferred[Kept] = Deferred()

        def tell(outcome: Any) -> Any:
            found.callback(outcome if isinstance(outcome, Failure) else outcome[name])
            if not isinstance(outcome, Failure):
                return outcome
            self._files = None  # another try for the next
            return None

        self._files.addBoth(tell)
        return found


def _read_files(security: Security) -> dict[str, Kept]:
    kept = {}
    for name, (directory, kind) in _FILES.items():
        body = (files(__package__) / directory / name).read_bytes()
        tag = hashlib.sha256(body).hexdigest()[:32]
        kept[name] = Kept(kind, body, gzip.compress(body, 9, mtime=0), tag, _FOREVER, *security)
    return kept


def _page(services: Sequence[tuple[str, str]], assets: str) -> str:
    """The page. What stands in it is replaced once the script runs."""
    listed = "\n".join(
        f"<li><strong>{escape(name)}</strong>: <code>{escape(prefix)}</code></li>" for name, prefix in services
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>TracSeq Gateway: API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{assets}/swagger-ui.css">
<link rel="stylesheet" href="{assets}/page.css">
<script src="{assets}/swagger-ui-bundle.js" defer></script>
<script src="{assets}/start.js" defer></script>
</head>
<body>
<main id="api" data-document="{DOCUMENT}">
<h1>TracSeq Gateway: API</h1>
<p>These services can be called. What each takes and answers is in the <a href="{DOCUMENT}">OpenAPI document</a>, which
this page shows where JavaScript runs.</p>
<ul>
{listed}
</ul>
</main>
</body>
</html>
"""
