"""One service's document: which paths a client gets to, what is taken over, and what a hostile one can do."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.openapi_kit import OK, answer_of, document, getting, merged, part, taken
from tracseq_gateway.openapi.addresses import Address, bases
from tracseq_gateway.openapi.reading import Unusable
from tracseq_gateway.openapi.walk import LARGEST


class AddressTests(SynchronousTestCase):
    def test_rewrites(self) -> None:
        """A path of the service is found where the gateway makes it from, or nowhere."""
        for prefix, rewrite, upstream, public in (
            ("/samples", "/api/v1", "/api/v1/batch", "/samples/batch"),
            ("/samples", "/api/v1", "/api/v1", "/samples"),
            ("/samples", "/api/v1", "/api/v1/", "/samples"),
            ("/samples", "/api/v1", "/api/v1/x/", "/samples/x/"),
            ("/samples", "/api/v1", "/api/v12/x", None),
            ("/samples", "/api/v1", "/metrics", None),
            ("/samples", "", "/batch", "/samples/batch"),
            ("/samples", "", "/", "/samples"),
            ("/samples", "/samples", "/samples/{id}", "/samples/{id}"),
            ("/", "/api/v1", "/api/v1/x", "/x"),
            ("/", "/api/v1", "/api/v1/", "/"),
            ("/", "", "/", "/"),
            ("/a/b/", "/c/", "/c/d", "/a/b/d"),
        ):
            self.assertEqual(Address(prefix, rewrite).public(upstream), public, (prefix, rewrite, upstream))

    def test_odd_paths(self) -> None:
        """What no request's path can be, or no template, is not there."""
        address = Address("/samples", "")
        for path in (
            "//x",
            "/x//y",
            "/../x",
            "/x/./y",
            "/x y",
            "/{",
            "/}",
            "/{}",
            "/{a{b}}",
            "/{a b}",
            "/?x",
            "/é",
            "x",
        ):
            self.assertIsNone(address.public(path), path)
        self.assertEqual(address.public("/a:b/{x-y.z}/%41"), "/samples/a:b/{x-y.z}/%41")

    def test_servers(self) -> None:
        """Where a document says that its paths begin: relative to itself, with the defaults of variables."""
        for servers, expected in (
            (None, [""]),
            ([{"url": "/"}], [""]),
            ([{"url": "/api/v1/"}, {"url": "/api/v1"}], ["/api/v1"]),
            ([{"url": "https://service.test:9000/api/v1"}], ["/api/v1"]),
            ([{"url": "v1"}], ["/api/v1"]),
            ([{"url": "../v2"}], ["/v2"]),
            ([{"url": "/{base}", "variables": {"base": {"default": "api"}}}], ["/api"]),
            ([{"url": "/{base}"}], ["/-"]),
            ([{"url": "http://[broken/x"}, {"url": 7}, 8], [""]),
        ):
            self.assertEqual(bases(servers, "/api/openapi.json"), expected, servers)

    def test_bases(self) -> None:
        """Of several servers the one counts by which the most can be reached; one within the public prefix says that
        the document was written for clients of the gateway."""
        for prefix, rewrite, servers, paths, public in (
            ("/samples", "/api/v1", ["/samples", "/api/v1"], ["/batch", "/"], ["/samples", "/samples/batch"]),
            ("/samples", "/api/v1", ["/api/v1"], ["/batch"], ["/samples/batch"]),
            ("/samples", "/api/v1", ["/"], ["/api/v1/batch", "/metrics"], ["/samples/batch"]),
            ("/samples", "/api/v1", ["/other", "/api"], ["/v1/batch"], ["/samples/batch"]),
            ("/samples", "", ["/samples"], ["/batch"], ["/samples/batch"]),
            ("/samples", "/samples", ["/samples"], ["/batch"], ["/samples/batch"]),
            ("/samples", "/samples", ["/"], ["/samples/batch"], ["/samples/batch"]),
            ("/samples", "/api/v1", ["/"], ["/batch"], []),
        ):
            content = document({path: getting() for path in paths}, servers=[{"url": url} for url in servers])
            found = sorted(operation.path for operation in taken(content, prefix, rewrite).operations)
            self.assertEqual(found, public, (prefix, rewrite, servers))

    def test_others(self) -> None:
        """A path that the gateway sends elsewhere, or answers itself, is not this service's."""
        content = document({"/mine": getting(), "/health": getting()})
        found = taken(content, "/", "", is_ours=lambda path: path != "/health")
        self.assertEqual([operation.path for operation in found.operations], ["/mine"])
        self.assertEqual(
            list(found.notes), ["paths that no client gets to through the gateway were left out, at /health get"]
        )


class OperationTests(SynchronousTestCase):
    def first(self, item: dict[str, Any], path: str = "/x/{id}", **rest: Any) -> dict[str, Any]:
        (operation,) = taken(document({path: item}, **rest)).operations
        return operation.body

    def test_parameters(self) -> None:
        """Those of the path and of the operation are one list; each in the path's template is there, and no other."""
        item = {
            "parameters": [
                {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}},
                {"name": "q", "in": "query", "schema": {"type": "string"}},
                {"name": "gone", "in": "path", "required": True, "schema": {}},
            ],
            **getting(
                parameters=[
                    {"name": "q", "in": "query", "schema": {"type": "boolean"}},
                    {"$ref": "#/components/parameters/Page"},
                ]
            ),
        }
        components = {"parameters": {"Page": {"name": "page", "in": "query", "content": {"text/plain": {}}}}}
        found = {it["name"]: it for it in self.first(item, "/x/{id}/{part}", components=components)["parameters"]}
        self.assertEqual(set(found), {"id", "part", "q", "page"})
        self.assertEqual(found["id"]["schema"], {"type": "integer"})
        self.assertEqual(found["part"], {"name": "part", "in": "path", "required": True, "schema": {"type": "string"}})
        self.assertEqual(found["q"]["schema"], {"type": "boolean"})

    def test_not_taken(self) -> None:
        """Services' security, servers, callbacks and webhooks stay behind, and fields that mean nothing."""
        item = getting(
            security=[{"theirs": []}],
            servers=[{"url": "/"}],
            callbacks={"done": {"http://x": {"post": {"responses": OK}}}},
            parameters=[{"name": "Authorization", "in": "header", "schema": {"type": "string"}}],
            **{"x-mine": 1, "unknown": 2},
        )
        found = taken(document({"/x": item}, webhooks={"w": {"post": {"responses": OK}}}))
        self.assertEqual(set(found.operations[0].body), {"responses", "x-mine"})
        self.assertEqual(len(found.notes), 2, found.notes)

    def test_own_servers(self) -> None:
        """An operation or a path that names servers of its own is where these say."""
        content = document(
            {"/a": getting(), "/b": {"servers": [{"url": "/api/v1/more"}], **getting()}}, servers=[{"url": "/api/v1"}]
        )
        paths = [operation.path for operation in taken(content, "/samples", "/api/v1").operations]
        self.assertEqual(paths, ["/samples/a", "/samples/more/b"])

    def test_twice(self) -> None:
        """Two templates that are the same but for their names are one path: the first operation stays."""
        found = taken(document({"/x/{id}": getting(summary="one"), "/x/{name}": getting(summary="two")}))
        self.assertEqual([operation.body["summary"] for operation in found.operations], ["one"])
        self.assertIn("there already", found.notes[0])

    def test_path_items(self) -> None:
        """A path may be described elsewhere in the document."""
        content = document({"/x": {"$ref": "#/components/pathItems/X"}, "/y": {"$ref": "other.json"}})
        content["components"] = {"pathItems": {"X": getting()}}
        found = taken(content)
        self.assertEqual([operation.path for operation in found.operations], ["/samples/x"])
        self.assertEqual(list(found.notes), ["references to other documents were left out, at /y"])


class HostileTests(SynchronousTestCase):
    """Each document here is merged and held against the specification."""

    def schema(self, schema: Any, **schemas: Any) -> Any:
        made = merged(part("samples", document({"/x": getting(schema)}, schemas=schemas)))
        return answer_of(made, "/samples/x")

    def test_references(self) -> None:
        """References to other documents, to nothing and to each other alone leave a schema that allows everything."""
        for text in ("http://elsewhere.test/a.json", "other.json#/A", "//elsewhere.test", "#/components/schemas/None"):
            self.assertEqual(self.schema({"$ref": text, "title": "T"}), {"title": "T"}, text)
        odd: Any
        for odd in (7, None, ["#/x"], {}, "", "#"):
            self.assertEqual(self.schema({"$ref": odd}), {}, odd)
        circle = {"A": {"$ref": "#/components/schemas/B"}, "B": {"$ref": "#/components/schemas/A"}}
        self.assertEqual(self.schema({"$ref": "#/components/schemas/A"}, **circle), {})
        itself = {"A": {"type": "object", "properties": {"next": {"$ref": "#/components/schemas/A"}}}}
        self.assertEqual(self.schema({"$ref": "#/components/schemas/A"}, **itself), {"$ref": "#/components/schemas/A"})

    def test_inner_references(self) -> None:
        """A reference into another schema, or to somewhere else in the document, gets a component of its own."""
        inner = {"A": {"type": "object", "properties": {"b": {"type": "string"}}}}
        found = self.schema({"$ref": "#/components/schemas/A/properties/b"}, **inner)
        self.assertEqual(found, {"$ref": "#/components/schemas/A.properties.b"})
        found = self.schema({"$ref": "#/paths/~1x/get/responses/200/description"})
        self.assertEqual(found, {"$ref": "#/components/schemas/paths._x.get.responses.200.description"})

    def test_wrong_kinds(self) -> None:
        """What is not what it should be at its place is left out, and the rest stays."""
        for schema, left in (
            ({"type": "text", "title": "T"}, {"title": "T"}),
            ({"type": ["string", "nothing"]}, {"type": ["string"]}),
            ({"minLength": -1, "maxLength": 3.0, "minimum": "1"}, {"maxLength": 3}),
            ({"pattern": "(", "title": "T"}, {"title": "T"}),
            ({"pattern": r"^\p{L}$"}, {}),
            ({"pattern": "x" * 2000}, {}),
            ({"required": "a"}, {}),
            ({"allOf": [], "anyOf": [7]}, {}),
            ({"items": [{"type": "string"}]}, {"prefixItems": [{"type": "string"}]}),
            ({"$id": "http://x/", "$schema": "http://y/", "$anchor": "z", "$dynamicRef": "#q"}, {}),
            ({"type": "integer", "default": "seven"}, {"type": "integer"}),
            ({"example": {"$ref": "http://elsewhere.test"}}, {}),
            ({"properties": {"$ref": {"type": "string"}}}, {"properties": {}}),
            ({"externalDocs": {"url": "javascript:alert(1)"}}, {}),
        ):
            self.assertEqual(self.schema(schema), left, schema)

    def test_wholly_wrong(self) -> None:
        """However wrong a document is, the service is listed."""
        wrong: list[Any] = [None, [], 7, {"/x": None}, {"/x": {"get": 7}}, {"/x": {"get": {"responses": {"200": 7}}}}]
        for paths in wrong:
            content = document({}) | {
                "paths": paths,
                "components": paths,
                "tags": paths,
                "servers": paths,
                "info": paths,
            }
            made = merged(part("samples", content))
            self.assertTrue([path for path in made["paths"] if path.startswith("/samples")], paths)

    def test_growth(self) -> None:
        """A document that grows beyond measure when its references are followed is refused as a whole."""
        large = {"name": "q", "in": "query", "schema": {"type": "string"}, "example": ["x"] * 10_000}
        many = {f"/x{index}": getting(parameters=[{"$ref": "#/components/parameters/Q"}]) for index in range(100)}
        content = document(many, components={"parameters": {"Q": large}})
        self.assertLess(len(json.dumps(content)), LARGEST)
        self.assertIn("beyond measure", str(self.assertRaises(Unusable, taken, content)))

    def test_texts(self) -> None:
        """Texts that are very long are cut, and what a note quotes of a document is short and printable."""
        found = taken(document({"/x": getting(summary="s" * 100_000), "/\u202e\n" + "y" * 1000: getting()}))
        self.assertLess(len(found.operations[0].body["summary"]), 21_000)
        (note,) = found.notes
        self.assertTrue(note.isprintable() and len(note) < 250, note)

    def test_deep_schemas(self) -> None:
        """As deep as a document may be, it can be walked through."""
        schema: dict[str, Any] = {"type": "string"}
        for _ in range(48):
            schema = {"items": schema}
        self.assertEqual(self.schema(schema), schema)
