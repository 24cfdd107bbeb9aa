"""What all services of the sandbox have in common."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from openapi_spec_validator import OpenAPIV31SpecValidator
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.sandbox_client import SECRET, UNKNOWN, SandboxCase, operations, start
from tracseq_gateway.sandbox import DEMO_PASSWORD, ROLES, SERVICES, demo_users
from tracseq_gateway.sandbox.catalogue import BUILDERS
from tracseq_gateway.sandbox.kit.openapi import document
from tracseq_gateway.sandbox.kit.records import Database
from tracseq_gateway.sandbox.kit.routes import Routes, attachment
from tracseq_gateway.sandbox.kit.schema import (
    MOST_PROBLEMS,
    Validator,
    array,
    changes,
    choice,
    complete,
    date,
    integer,
    moment,
    record,
    text,
)
from tracseq_gateway.sandbox.kit.service import Context


class FactsTests(SynchronousTestCase):
    """What the package says of itself."""

    def test_services(self) -> None:
        """Each of the seven services has its default port and can be built."""
        self.assertEqual(list(range(8080, 8087)), list(SERVICES.values()))
        self.assertEqual(list(SERVICES), list(BUILDERS))

    def test_demoUsers(self) -> None:
        """There is one demo user for each role, lowest first."""
        self.assertEqual(list(ROLES), [role for role, _ in demo_users()])
        self.assertIn(("lab_technician", "lab_technician@sandbox.tracseq.test"), demo_users())
        self.assertEqual("tracseq-demo", DEMO_PASSWORD)

    def test_cheapImport(self) -> None:
        """Reading these facts imports neither Twisted nor Klein."""
        program = "import sys, tracseq_gateway.sandbox; print({'twisted', 'klein', 'werkzeug'} & set(sys.modules))"
        root = Path(__file__).parent.parent
        ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=root)
        self.assertEqual(("set()\n", ""), (ran.stdout, ran.stderr))


class SchemaTests(SynchronousTestCase):
    """Validation."""

    SAMPLE = record("Sample", {"name": text(1, 5)}, {"kind": choice("a", "b"), "count": integer(1, 9, default=1)})

    def problems(self, schema: dict[str, object], value: object) -> dict[str, str]:
        return Validator(schema).problems(value)

    def test_everyFieldIsNamed(self) -> None:
        """All wrong fields are reported at once, each by its path, missing and unknown ones too."""
        batch = record("Batch", {"samples": array(self.SAMPLE, 1)})
        wrong = {"samples": [{"name": "abcdef", "kind": "c"}, {"count": 0, "size": 1}]}
        self.assertEqual(
            {
                "samples[0].name": "must have at most 5 characters",
                "samples[0].kind": "must be one of a, b",
                "samples[1].name": "is required",
                "samples[1].count": "must be at least 1",
                "samples[1].size": "is not a known field",
            },
            self.problems(batch, wrong),
        )

    def test_nullsAndDefaults(self) -> None:
        """An optional field may be null unless it has a default, which stands for an absent one."""
        self.assertEqual({}, self.problems(self.SAMPLE, {"name": "x", "kind": None}))
        self.assertEqual({"count": "must be integer"}, self.problems(self.SAMPLE, {"name": "x", "count": None}))
        self.assertEqual({"name": "x", "kind": None, "count": 1}, complete(self.SAMPLE, {"name": "x"}))

    def test_changes(self) -> None:
        """A partial update takes any field but not none, and invents no defaults."""
        partial = changes("Changes", self.SAMPLE)
        self.assertEqual({}, self.problems(partial, {"kind": "a"}))
        self.assertEqual({"body": "must have at least 1 property"}, self.problems(partial, {}))
        self.assertNotIn("default", json.dumps(partial))

    def test_moments(self) -> None:
        """A moment needs an offset, and a day must exist."""
        when = record("When", {}, {"at": moment(), "on": date()})
        self.assertEqual({}, self.problems(when, {"at": "2026-03-01T10:00:00Z", "on": "2028-02-29"}))
        for at in ("2026-03-01", "2026-03-01T10:00:00", "soon", "0001-01-01T00:00:00Z"):
            self.assertEqual({"at": "must be a valid date-time"}, self.problems(when, {"at": at}))
        for on in ("2026-02-29", "20260301", "2026-W09-1"):
            self.assertEqual({"on": "must be a valid date"}, self.problems(when, {"on": on}))


class ManyProblemsTests(SynchronousTestCase):
    """Validation of what is wrong all over."""

    def test_bounded(self) -> None:
        """No more is said than the documented schema of refusals allows."""
        self.assertEqual(len(Validator(array(integer(), 0, 500)).problems(["x"] * 300)), MOST_PROBLEMS)


class RecordsTests(SynchronousTestCase):
    """Stored records."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.path = Path(self.mktemp())
        self.database = Database(self.path)
        self.addCleanup(self.database.close)
        self.things = self.database.collection("things", "thing", self.clock)

    def test_filters(self) -> None:
        """A page holds the newest of the records with all of the wanted values, and says how many there are."""
        for number in range(5):
            self.things.create({"number": number, "even": number % 2 == 0, "kind": "a"})
        page = self.things.page(2, 1, even=True, kind="a", number=None)
        self.assertEqual(([2, 0], 3), ([thing["number"] for thing in page.items], page.total))

    def test_transaction(self) -> None:
        """A block that fails leaves nothing behind, not even what an inner block had finished."""

        def fail() -> None:
            with self.database.transaction():
                with self.database.transaction():
                    self.things.create({})
                raise ZeroDivisionError

        self.assertRaises(ZeroDivisionError, fail)
        self.assertEqual(0, self.things.count())

    def test_fillOnce(self) -> None:
        """A file is filled at the first start only, and again if the first attempt failed."""

        def fail() -> None:
            self.things.create({})
            raise ZeroDivisionError

        self.assertRaises(ZeroDivisionError, self.database.fill_once, fail)
        self.database.fill_once(lambda: self.things.create({}))
        self.database.fill_once(fail)
        self.assertEqual({"things": 1}, self.database.counts())


class DocumentTests(SynchronousTestCase):
    """The OpenAPI documents."""

    def test_valid(self) -> None:
        """The document of every service is valid OpenAPI 3.1."""
        for name in SERVICES:
            directory = Path(self.mktemp())
            directory.mkdir(parents=True)
            service = start(name, Context(directory, Clock(), SECRET))
            self.addCleanup(service.close)
            OpenAPIV31SpecValidator(service.openapi).validate()
            self.assertIn("sandbox", service.openapi["info"]["description"])

    def test_contradictions(self) -> None:
        """Two handlers of one name, or two schemas of one title, are refused when the document is made."""

        def first() -> None: ...

        def second() -> None: ...

        same_handler, same_title = Routes(), Routes()
        same_handler.get("/a", "")(first)
        same_handler.get("/b", "")(first)
        same_title.get("/a", "", answer=record("Thing", {}))(first)
        same_title.get("/b", "", answer=record("Thing", {"size": text()}))(second)
        for routes in (same_handler, same_title):
            self.assertRaises(ValueError, document, "x", "", "", [routes])


class RoutesTests(SynchronousTestCase):
    """Route declarations."""

    def test_home(self) -> None:
        """Routes below a service's home are served there and at the root of the API; others only where they are."""
        routes = Routes("samples")
        for path in ("/samples", "/samples/<uuid:sample_id>", "/samplesheets", "/health"):
            routes.get(path, "")(lambda: None)
        self.assertEqual(
            [["/samples", "/"], ["/samples/<uuid:sample_id>", "/<uuid:sample_id>"], ["/samplesheets"], ["/health"]],
            [routes.paths(route) for route in routes],
        )

    def test_attachment(self) -> None:
        """A file name cannot break out of Content-Disposition, and keeps its letters in the extended form."""
        self.assertEqual(
            "attachment; filename=\"a_b__.csv\"; filename*=UTF-8''a%22b%0D%C3%A9.csv", attachment('a"b\ré.csv')
        )


class SamplesOverHttpTests(SandboxCase):
    """What the framework does with requests, seen at the samples service."""

    name = "samples"

    def test_root(self) -> None:
        """The root says that this is a sandbox, and links to its document."""
        sent = self.client.get("http://sandbox/")
        answer = self.read(self.successResultOf(sent))
        self.assertIn("sandbox", answer.body["message"])
        described = self.read(self.successResultOf(self.client.get("http://sandbox" + answer.body["links"]["openapi"])))
        self.assertEqual(self.service.openapi, described.body)
        below = self.read(self.successResultOf(self.client.get("http://sandbox/api/v1/openapi.json")))
        self.assertEqual(described.body, below.body)

    def test_health(self) -> None:
        """Health, readiness and metrics answer, and metrics count what was answered."""
        for path in ("/health", "/health/ready"):
            self.assertEqual("healthy", self.send("GET", path).body["status"])
        self.refused("GET", f"/samples/{UNKNOWN}", status=404)
        metrics = self.send("GET", "/health/metrics").content.decode()
        self.assertIn('sandbox_responses_total{service="samples",status="404"} 1\n', metrics)
        self.assertIn('sandbox_records{service="samples",collection="samples"} 36\n', metrics)

    def test_bothPaths(self) -> None:
        """What the gateway's prefix leads to and the service's own path give the same list, with a slash or without."""
        lists = [self.send("GET", path).content for path in ("/samples", "/samples/", "/", "")]
        self.assertEqual(1, len(set(lists)))

    def test_paging(self) -> None:
        """A page is as long and begins where it was asked for; bounds are enforced with the parameter's name."""
        everything = self.get("/samples?limit=200")
        answer = self.send("GET", "/samples?limit=3&offset=2&cache=off")
        self.assertEqual(everything[2:5], answer.data)
        self.assertEqual({"total": len(everything), "limit": 3, "offset": 2}, answer.body["pagination"])
        for query, message in (("limit=0", "at least 1"), ("limit=201", "at most 200"), ("limit=x", "integer")):
            self.assertIn(message, self.refused("GET", f"/samples?{query}", status=400)["fields"]["limit"])

    def test_unknownPath(self) -> None:
        """A path or id that does not exist is 404 in JSON; a method that a path does not take is 405 with Allow."""
        for path in (
            "/nothing",
            "/%ff",
            "/barcode/%00%2f",
            "/samples/not-an-id",
            f"/samples/{UNKNOWN}",
            "/samples//barcode",
        ):
            self.assertEqual("not_found", self.refused("GET", path, status=404)["code"])
        refused = self.send("PATCH", "/samples", status=405)
        self.assertEqual("GET, HEAD, POST", refused.headers["Allow"])

    def test_wrongType(self) -> None:
        """A body that is not announced as JSON is 415, and the answer says what to send."""
        for kind in (
            {},
            {"Content-Type": b"\xff"},
            {"Content-Type": "text/plain"},
            {"Content-Type": "application/x-www-form-urlencoded"},
        ):
            refused = self.send("POST", "/samples", content=b"{}", headers=kind, status=415)
            self.assertEqual("application/json", refused.headers["Accept"])

    def test_malformed(self) -> None:
        """What is announced as JSON and is not is 400, also what only Python would read."""
        broken = [
            b"",
            b"{",
            b"\xff",
            b'{"volume": NaN}',
            b'{"volume": 1e999}',
            b"[" * 100_000,
            b'{"a":' + b"1" * 5000,
            b'["\\ud800"]',
        ]
        for content in broken:
            kind = {"Content-Type": "application/json; charset=utf-8"}
            refused = self.refused("POST", "/samples", content=content, headers=kind, status=400)
            self.assertEqual("malformed_json", refused["code"])

    def test_tooLarge(self) -> None:
        """A JSON body of more than 1 MiB is 413."""
        content = b'{"name": "' + b"x" * 1024 * 1024 + b'"}'
        self.refused("POST", "/samples", content=content, headers={"Content-Type": "application/json"}, status=413)

    def test_createdBy(self) -> None:
        """The user whom the gateway states becomes the creator; without one there is none."""
        sample = {"name": "x", "sample_type": "DNA"}
        self.assertEqual("u-1", self.post("/samples", sample, headers={"X-User-Id": "u-1"})["created_by"])
        self.assertIsNone(self.post("/samples", sample)["created_by"])

    def test_failure(self) -> None:
        """A bug of the sandbox becomes a 500 in JSON that tells nothing, and a traceback in its log."""
        self.service.close()
        sent = self.client.get("http://sandbox/api/v1/samples")
        answer = self.read(self.successResultOf(sent))
        self.assertEqual((500, "internal_error"), (answer.status, answer.error["code"]))
        self.assertEqual(1, len(self.flushLoggedErrors()))


class EveryRouteTests(SandboxCase):
    """All routes of all services."""

    name = "auth"

    def test_listsAnswer(self) -> None:
        """Every GET route without parameters in its path answers as its document says."""
        for self.name in SERVICES:
            self.start()
            for method, path, _ in operations(self.service):
                if (
                    method == "GET"
                    and "{" not in path
                    and path not in ("/auth/me", "/me", "/auth/sessions", "/sessions")
                ):
                    self.send("GET", path, status=200)

    def test_unknownIds(self) -> None:
        """Every route for one record answers 404, or an empty list, when there is no such record."""
        for self.name in SERVICES:
            self.start()
            for method, path, operation in operations(self.service):
                if method in ("GET", "DELETE") and "_id}" in path and "401" not in operation["responses"]:
                    known = "/subscriptions/user/" in path
                    number = path.replace("{number}", "1").partition("{")
                    self.send(
                        method, f"{number[0]}{UNKNOWN}{number[2].partition('}')[2]}", status=200 if known else 404
                    )

    def test_hostileBodies(self) -> None:
        """Every route that takes JSON refuses a body of the wrong shape as documented."""
        for self.name in SERVICES:
            self.start()
            for method, path, operation in operations(self.service):
                if "application/json" in operation.get("requestBody", {}).get("content", {}):
                    for content in (b"[]", b'{"unknown": 1}', b'{"name": {"a": []}}', b"null", b'"text"', b"5"):
                        self.check_refused(method, path, content)

    def check_refused(self, method: str, path: str, content: bytes) -> None:
        parts = path.replace("{event_type}", "x").replace("{channel}", "email").replace("{number}", "1").split("/")
        filled = "/".join(UNKNOWN if part.startswith("{") else part for part in parts)
        kind = {"Content-Type": "application/json"}
        answer = self.send(method, filled, content=content, headers=kind, status=400)
        self.assertEqual("validation_failed", answer.error["code"], answer.content)
