"""The dashboard's page: a shell without data, which anybody may load, and the stream that only some may read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from tracseq_gateway.admin.assets import Asset, Care, packaged
from tracseq_gateway.admin.pages import Missing
from tracseq_gateway.interfaces import Stage

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Content-Security-Policy of the page: nothing from other hosts, nothing inline, no text that becomes markup."""
SHELL = "index.html"


class DashboardPage(Resource):
    """``/dashboard``: the shell; below it its files, its settings and the stream of events."""

    def __init__(self, settings: Mapping[str, object], events: Stage, care: Care) -> None:
        """``settings`` is what the shell must know of the configuration: public, like the shell itself."""
        super().__init__()
        found = packaged("static")
        self._shell = Asset(SHELL, found.pop(SHELL), care)
        for name, body in found.items():
            self.putChild(name.encode("ascii"), Asset(name, body, care))
        self.putChild(b"settings.json", Asset("settings.json", json.dumps(settings).encode("utf-8"), care))
        self.putChild(b"events", StagePage(events))

    def getChild(self, path: bytes, request: Any) -> Resource:
        """With a trailing slash the shell's links would lead astray, so that goes to the page; else nothing."""
        return Moved(b"../dashboard") if path == b"" else Missing()

    def render(self, request: Any) -> Any:
        """Answer with the shell."""
        return self._shell.render(request)


class StagePage(Resource):
    """A page that a stage answers, with whatever links stand before it."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self._stage = stage

    def getChild(self, path: bytes, request: Any) -> Resource:
        """Nothing lies below."""
        return Missing()

    def render(self, request: Any) -> Any:
        """Hand the request over."""
        self._stage(request)
        return NOT_DONE_YET


class Moved(Resource):
    """A page that is elsewhere."""

    isLeaf = True

    def __init__(self, location: bytes) -> None:
        super().__init__()
        self._location = location

    def render(self, request: Any) -> Any:
        """Send the client there."""
        request.setResponseCode(308)
        request.setHeader(b"location", self._location)
        return b""
