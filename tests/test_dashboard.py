"""The dashboard's page and its files: who gets them, how they may be kept, and what they may do in a browser."""

from __future__ import annotations

import json
import re
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.kit import Answer, MemoryGateway
from tests.kit_client import request
from tests.token_kit import SECRET, VARIABLE
from tracseq_gateway.admin.assets import KINDS, packaged
from tracseq_gateway.admin.dashboard import POLICY
from tracseq_gateway.config.dashboard import Dashboard
from tracseq_gateway.config.keys import Seconds
from tracseq_gateway.config.model import Service
from tracseq_gateway.config.policies import Authentication, Jwt, Security
from tracseq_gateway.config.upstream import Instance

BROWSER = b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
SERVICES = {
    name: Service(name, f"/{name}", instances=(Instance("http://127.0.0.1:9001"),)) for name in ("auth", "samples")
}


def gateway(**tables: Any) -> MemoryGateway:
    return MemoryGateway(services=SERVICES, tables=tables, environ={VARIABLE: SECRET})


class PageTestCase(SynchronousTestCase):
    def ask(self, path: str, *lines: bytes, method: bytes = b"GET", **tables: Any) -> Answer:
        (answer,) = gateway(**tables).exchange(request(path.encode(), *lines, method=method)).answers(method)
        return answer


class FrontDoorTests(PageTestCase):
    def test_browser(self) -> None:
        """A browser that asks for ``/`` is sent to the dashboard; caches keep that apart from what others get."""
        answer = self.ask("/", BROWSER)
        self.assertEqual((303, [b"dashboard"]), (answer.status, answer.values(b"location")))
        self.assertEqual([b"accept"], answer.values(b"vary"))

    def test_program(self) -> None:
        """curl, a program that wants JSON, and one that does not say get the document, with a link to the dashboard."""
        for lines in ([], [b"Accept: */*"], [b"Accept: application/json"]):
            answer = self.ask("/", *lines)
            self.assertEqual((200, [b"accept"]), (answer.status, answer.values(b"vary")))
            self.assertEqual("/dashboard", json.loads(answer.body)["links"]["dashboard"])

    def test_off(self) -> None:
        """Without a dashboard there is no page, no stream and no link, and ``/`` is JSON for browsers, too."""
        off = Dashboard(enabled=False)
        answer = self.ask("/", BROWSER, dashboard=off)
        self.assertEqual(200, answer.status)
        self.assertNotIn("dashboard", json.loads(answer.body)["links"])
        for path in ("/dashboard", "/dashboard/", "/dashboard/events", "/dashboard/main.js"):
            self.assertEqual(404, self.ask(path, dashboard=off).status, path)


class ShellTests(PageTestCase):
    def test_page(self) -> None:
        """The page is HTML that names only files which are there, each of the type that browsers insist on."""
        answer = self.ask("/dashboard", BROWSER)
        self.assertEqual((200, [b"text/html; charset=utf-8"]), (answer.status, answer.values(b"content-type")))
        named = {"main.js", *re.findall(r'(?:href|src)="dashboard/([^"]+)"', answer.body.decode())}
        self.assertLessEqual({"style.css", "theme.js", "icon.svg"}, named)
        for module in packaged("static").values():
            named |= set(re.findall(r'from "\./([^"]+)"', module.decode()))
        for name in named:
            file = self.ask(f"/dashboard/{name}")
            kind = KINDS[name.rpartition(".")[2]]
            self.assertEqual((200, [kind]), (file.status, file.values(b"content-type")), name)
        self.assertEqual(set(packaged("static")) - {"index.html"}, named)

    def test_only_ours(self) -> None:
        """No file names another host, has a script or a style inline, or makes markup of text."""
        for name, content in packaged("static").items():
            text = content.decode().replace("http://www.w3.org/2000/svg", "")
            self.assertNotRegex(text, r"https?://|innerHTML|insertAdjacentHTML|document\.write|eval\(", name)
            if name.endswith(".html"):
                self.assertNotRegex(text, r"<style|<script(?![^>]* src=)|\son\w+=|\sstyle=", name)

    def test_kept(self) -> None:
        """Browsers ask each time whether what they keep is still the same, and are told so in a few bytes."""
        answer = self.ask("/dashboard/main.js")
        self.assertEqual([b"no-cache"], answer.values(b"cache-control"))
        (tag,) = answer.values(b"etag")
        for condition in (tag, b"W/" + tag, b'"other", ' + tag):
            again = self.ask("/dashboard/main.js", b"If-None-Match: " + condition)
            self.assertEqual((304, b"", [tag]), (again.status, again.body, again.values(b"etag")))
        self.assertEqual(200, self.ask("/dashboard/main.js", b'If-None-Match: "other"').status)

    def test_methods(self) -> None:
        """The page and its files can only be read; HEAD has the fields of GET."""
        for path in ("/dashboard", "/dashboard/style.css"):
            get, head = self.ask(path), self.ask(path, method=b"HEAD")
            self.assertEqual((200, b""), (head.status, head.body))
            self.assertEqual(get.values(b"content-length"), head.values(b"content-length"))
            refused = self.ask(path, method=b"POST")
            self.assertEqual((405, [b"GET, HEAD"]), (refused.status, refused.values(b"allow")))

    def test_paths(self) -> None:
        """A trailing slash leads to the page; what is not there is not found, however it is written."""
        moved = self.ask("/dashboard/")
        self.assertEqual((308, [b"../dashboard"]), (moved.status, moved.values(b"location")))
        for path in (
            "/dashboard/none.js",
            "/dashboard/index.html",
            "/dashboard/main.js/x",
            "/dashboard/static/main.js",
        ):
            self.assertEqual(404, self.ask(path).status, path)

    def test_policy(self) -> None:
        """The page has one policy, its own: nothing inline, nothing from elsewhere; other answers keep theirs."""
        for security in (Security(), Security(headers=True)):
            for path in ("/dashboard", "/dashboard/main.js", "/dashboard/settings.json"):
                answer = self.ask(path, security=security)
                self.assertEqual([POLICY.encode()], answer.values(b"content-security-policy"), path)
        self.assertNotIn("unsafe", POLICY)
        answer = self.ask("/dashboard", security=Security(headers=True))
        self.assertEqual([b"nosniff"], answer.values(b"x-content-type-options"))
        self.assertEqual([b"DENY"], answer.values(b"x-frame-options"))
        other = self.ask("/health", security=Security(headers=True))
        self.assertEqual([b"default-src 'none'; frame-ancestors 'none'"], other.values(b"content-security-policy"))


class SettingsTests(PageTestCase):
    def settings(self, **tables: Any) -> dict[str, Any]:
        read: dict[str, Any] = json.loads(self.ask("/dashboard/settings.json", **tables).body)
        return read

    def test_open(self) -> None:
        """Without authentication there is nowhere to sign in."""
        self.assertEqual({"login": None, "logout": None, "interval": 1.0}, self.settings())

    def test_sign_in(self) -> None:
        """With authentication the page learns where to sign in, below the auth service's own prefix."""
        auth = Authentication(enabled=True, service="auth", jwt=Jwt(secret_env=VARIABLE))
        settings = self.settings(auth=auth, dashboard=Dashboard(role="guest", login="/in", interval=Seconds(5.0)))
        self.assertEqual({"login": "/auth/in", "logout": "/auth/logout", "interval": 5.0}, settings)
