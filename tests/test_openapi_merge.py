"""The merged document: names that clash, what the gateway adds, and that it is valid whatever went into it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from attrs import evolve
from hypothesis import given, settings
from hypothesis.strategies import lists
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.openapi_kit import (
    DOCUMENTS,
    FRONT,
    OK,
    answer_of,
    demanding,
    document,
    getting,
    merged,
    part,
    taken,
)
from tracseq_gateway.openapi.merge import Part
from tracseq_gateway.sandbox import SERVICES
from tracseq_gateway.sandbox.catalogue import build
from tracseq_gateway.sandbox.kit.service import Context

ERROR = {"type": "object", "properties": {"code": {"type": "string"}}}


def referring(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


class ClashTests(SynchronousTestCase):
    def made(self, **schemas: dict[str, Any]) -> dict[str, Any]:
        """Merge services that each answer with ``Error``, given the schemas of each."""
        return merged(
            *[part(name, document({"/x": getting(referring("Error"))}, schemas=of)) for name, of in schemas.items()]
        )

    def test_alike(self) -> None:
        """What is the same everywhere is there once, by its own name."""
        made = self.made(auth={"Error": ERROR}, samples={"Error": ERROR})
        self.assertEqual(made["components"]["schemas"]["Error"], ERROR)
        for path in ("/auth/x", "/samples/x"):
            self.assertEqual(answer_of(made, path), referring("Error"))

    def test_different(self) -> None:
        """What differs gets its service's name before its own, for each of them."""
        made = self.made(auth={"Error": ERROR}, samples={"Error": {"type": "string"}}, storage={"Error": ERROR})
        self.assertEqual(answer_of(made, "/auth/x"), referring("auth.Error"))
        self.assertEqual(answer_of(made, "/samples/x"), referring("samples.Error"))
        self.assertEqual(made["components"]["schemas"]["samples.Error"], {"type": "string"})
        self.assertNotIn("Error", made["components"]["schemas"])

    def test_different_below(self) -> None:
        """Two that read alike differ if what they refer to does, however deep, and a circle is no matter."""

        def chain(end: str) -> dict[str, Any]:
            return {
                "Error": {"properties": {"one": referring("One"), "again": referring("Error")}},
                "One": {"properties": {"two": referring("Two")}},
                "Two": {"type": end},
            }

        made = self.made(auth=chain("string"), samples=chain("integer"))
        error = made["components"]["schemas"]["samples.Error"]
        self.assertEqual(error["properties"], {"one": referring("samples.One"), "again": referring("samples.Error")})
        made = self.made(auth=chain("string"), samples=chain("string"))
        self.assertEqual(answer_of(made, "/samples/x"), referring("Error"))

    def test_taken_names(self) -> None:
        """A name that is the gateway's own, or that another got by its service's name, is given to nobody else."""
        content = document({"/x": getting(referring("Problem")), "/y": getting(referring("samples.Problem"))})
        content["components"] = {"schemas": {"Problem": {"type": "string"}, "samples.Problem": {"type": "integer"}}}
        made = merged(part("samples", content))
        schemas = made["components"]["schemas"]
        self.assertEqual(schemas["Problem"]["title"], "Problem")
        found = {schemas[answer_of(made, f"/samples/{it}")["$ref"].rpartition("/")[2]]["type"] for it in "xy"}
        self.assertEqual(found, {"string", "integer"})

    def test_odd_names(self) -> None:
        """Names that OpenAPI does not allow are made to fit, and stay different."""
        content = document(
            {"/x": getting({"$ref": "#/components/schemas/List%C2%ABA%C2%BB"}), "/y": getting(referring("List~1A~1"))}
        )
        content["components"] = {"schemas": {"List«A»": {"type": "string"}, "List/A/": {"type": "integer"}}}
        made = merged(part("samples", content))
        self.assertNotEqual(answer_of(made, "/samples/x"), answer_of(made, "/samples/y"))

    def test_other_kinds(self) -> None:
        """Responses, bodies, headers and examples clash by themselves: one name may stand for each kind."""

        def content(text: str) -> dict[str, Any]:
            item: dict[str, Any] = {"responses": {"404": {"$ref": "#/components/responses/Error"}}}
            item["requestBody"] = {"$ref": "#/components/requestBodies/Error"}
            made = document({"/x": {"post": item}}, schemas={"Error": ERROR})
            made["components"]["responses"] = {
                "Error": {"description": text, "headers": {"X-A": {"$ref": "#/components/headers/Error"}}}
            }
            made["components"]["headers"] = {"Error": {"schema": referring("Error")}}
            made["components"]["requestBodies"] = {
                "Error": {"content": {"text/plain": {"examples": {"e": {"$ref": "#/components/examples/Error"}}}}}
            }
            made["components"]["examples"] = {"Error": {"value": text}}
            return made

        made = merged(part("auth", content("one")), part("samples", content("two")))["components"]
        self.assertEqual({"auth.Error", "samples.Error"}, {it for it in made["responses"] if "." in it})
        self.assertEqual({"auth.Error", "samples.Error"}, set(made["requestBodies"]))
        self.assertEqual({"auth.Error", "samples.Error"}, set(made["examples"]))
        self.assertEqual(({"Error"}, ERROR), (set(made["headers"]), made["schemas"]["Error"]))

    def test_discriminators(self) -> None:
        """What a value leads to is said outright, so that it survives new names; who inherits comes along."""
        schemas = {
            "Pet": {"discriminator": {"propertyName": "kind", "mapping": {"c": "Cat"}}, "type": "object"},
            "Cat": {"allOf": [referring("Pet"), {"type": "object"}]},
            "Dog": {"allOf": [referring("Pet")]},
            "Choice": {"oneOf": [referring("Cat"), referring("Dog")], "discriminator": {"propertyName": "kind"}},
        }
        one = part(
            "samples", document({"/x": getting(referring("Pet")), "/y": getting(referring("Choice"))}, schemas=schemas)
        )
        other = part("auth", document({"/x": getting(referring("Dog"))}, schemas={"Dog": {"type": "string"}}))
        found = merged(one, other)["components"]["schemas"]
        cat, dog = "#/components/schemas/Cat", "#/components/schemas/samples.Dog"
        self.assertEqual(found["Pet"]["discriminator"]["mapping"], {"c": cat, "Dog": dog})
        self.assertEqual(found["Choice"]["discriminator"]["mapping"], {"Cat": cat, "Dog": dog})

    def test_operation_ids(self) -> None:
        """An id that comes again gets its service's name, one that does not keeps its own."""
        made = merged(
            part("auth", document({"/x": getting(operationId="list"), "/y": getting(operationId="me")})),
            part("samples", document({"/x": getting(operationId="list"), "/y": getting(operationId="auth_list")})),
            part("gateway", document({"/x": getting(operationId="health"), "/y": getting(operationId="gateway_root")})),
        )
        ids = [item["get"]["operationId"] for path, item in made["paths"].items() if path[1:5] in ("auth", "samp")]
        self.assertEqual(ids, ["auth_list_2", "me", "samples_list", "auth_list"])
        self.assertEqual(made["paths"]["/gateway/y"]["get"]["operationId"], "gateway_gateway_root")

    def test_tags(self) -> None:
        """Tags are the services', each with its own below it; descriptions come along, and groups of tags."""
        content = document(
            {"/x": getting(tags=["Batches", "samples"]), "/y": getting(tags=["Batches"]), "/z": getting()},
            tags=[{"name": "Batches", "description": "Many at once."}],
        )
        made = merged(part("samples", content, remarks=("At most 5.",)))
        self.assertEqual(made["paths"]["/samples/x"]["get"]["tags"], ["samples: Batches", "samples"])
        self.assertEqual(made["paths"]["/samples/z"]["get"]["tags"], ["samples"])
        tags = {tag["name"]: tag.get("description") for tag in made["tags"]}
        self.assertEqual(tags["samples: Batches"], "Many at once.")
        self.assertEqual(tags["samples"], "Below `/samples`. At most 5.")
        self.assertIn({"name": "samples", "tags": ["samples", "samples: Batches"]}, made["x-tagGroups"])


class GatewayTests(SynchronousTestCase):
    def operation(self, content: dict[str, Any] | None = None, method: str = "get", **facts: Any) -> dict[str, Any]:
        content = content or document({"/x": getting()})
        made = merged(part("samples", content, demand=demanding(**facts)))
        found: dict[str, Any] = made["paths"]["/samples/x"][method]
        return found

    def test_security(self) -> None:
        """Each operation says what the gateway asks of its caller, and the services' own schemes are gone."""
        self.assertEqual(self.operation(need="none")["security"], [])
        self.assertEqual(self.operation(need="required")["security"], [{"bearer": []}])
        self.assertEqual(self.operation(need="optional")["security"], [{}, {"bearer": []}])
        found = self.operation(need="required", role="lab_technician")
        self.assertEqual(found["security"], [{"bearer": ["lab_technician"]}])
        self.assertEqual(found["x-required-role"], "lab_technician")
        self.assertIn("`lab_technician`", found["description"])
        content = document(
            {"/x": getting()}, components={"securitySchemes": {"theirs": {"type": "http", "scheme": "basic"}}}
        )
        made = merged(part("samples", content), front=evolve(FRONT, schemes={}))
        self.assertNotIn("securitySchemes", made["components"])

    def test_answers(self) -> None:
        """Beside what the service answers stands what the gateway may, by reference; a body is asked for first."""
        found = self.operation(need="none")["responses"]
        self.assertEqual(set(found), {"200", "502", "503", "504"})
        everything: dict[str, Any] = {
            "need": "required",
            "role": "guest",
            "limited": True,
            "max_body": 9,
            "content_types": ("a/b",),
        }
        found = self.operation(**everything)["responses"]
        self.assertEqual(set(found), {"200", "401", "403", "429", "502", "503", "504"})
        posting = document({"/x": {"post": {"responses": OK, "requestBody": {"content": {"a/b": {}}}}}})
        found = self.operation(posting, "post", **everything)["responses"]
        self.assertEqual(set(found), {"200", "401", "403", "413", "415", "429", "502", "503", "504"})
        self.assertEqual(found["401"], {"$ref": "#/components/responses/Unauthenticated"})
        made = merged(part("samples", document({"/x/{id}": getting()})))
        self.assertIn("400", made["paths"]["/samples/x/{id}"]["get"]["responses"])

    def test_both_answer(self) -> None:
        """Where the service answers with the same status, its answer stays, and the gateway's is another media type."""
        content = document(
            {"/x": {"get": {"responses": {"401": {"description": "d", "content": {"application/json": {}}}}}}}
        )
        found = self.operation(content, need="required")["responses"]["401"]
        self.assertEqual(
            (found["description"], set(found["content"])), ("d", {"application/json", "application/problem+json"})
        )

    def test_without_document(self) -> None:
        """A service without a document is listed by its routes, with the reason."""
        made = merged(Part("rag", "/rag", None, "none", "There is none: status 404.", (), demanding(need="required")))
        self.assertEqual(set(made["paths"]["/rag/{path}"]), {"get", "post", "put", "patch", "delete"})
        self.assertEqual(made["paths"]["/rag"]["get"]["security"], [{"bearer": []}])
        self.assertIn("status 404", made["info"]["description"])
        self.assertEqual(made["x-services"][0]["document"], "none")

    def test_stale(self) -> None:
        """A document that is kept on is marked, and still shown."""
        old = evolve(part("rag", document({"/x": getting()})), state="stale", note="As of yesterday.")
        made = merged(old)
        self.assertIn("/rag/x", made["paths"])
        self.assertEqual(
            (made["x-services"][0]["document"], made["x-services"][0]["notes"]), ("stale", ["As of yesterday."])
        )

    def test_servers(self) -> None:
        """There is one server: where the document came from."""
        made = merged(part("samples", document({"/x": getting()}, servers=[{"url": "http://internal.test/"}])))
        self.assertEqual(made["servers"], [{"url": "/"}])
        self.assertNotIn("internal.test", json.dumps(made))


class WholeTests(SynchronousTestCase):
    def test_sandbox(self) -> None:
        """The sandbox's seven services together are valid, every operation among them, and nothing was left out."""
        clock = Clock()
        clock.advance(1_772_359_200.0)
        directory = Path(self.mktemp())
        parts = []
        for name in SERVICES:
            (directory / name).mkdir(parents=True)
            service = build(name, Context(directory / name, clock, "s" * 40))
            self.addCleanup(service.close)
            found = taken(service.openapi, f"/{name}", "/api/v1")
            self.assertEqual((found.notes, bool(found.operations)), ((), True), name)
            documented = sum(len(item) for item in service.openapi["paths"].values())
            self.assertGreaterEqual(len(found.operations), documented - 1, name)
            parts.append(Part(name, f"/{name}", found, "current"))
        made = merged(*parts)
        for path in ("/auth/login", "/samples/batch", "/storage/locations/{location_id}", "/rag/documents/upload"):
            self.assertIn(path, made["paths"])
        self.assertIn("Error", made["components"]["schemas"])

    @settings(max_examples=30, deadline=None)
    @given(lists(DOCUMENTS, min_size=1, max_size=3))
    def test_any(self, documents: list[dict[str, Any]]) -> None:
        """Whatever documents come together, the merged one is valid and no reference in it is loose."""
        demand = demanding(need="required", role="guest", limited=True, max_body=5, content_types=("a/b",))
        names = ("samples", "storage", "rag")
        merged(*[part(name, content, demand=demand) for name, content in zip(names, documents, strict=False)])
