"""Documents as bytes: what is read of them, and how schemas of OpenAPI 3.0 become those of 3.1."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tracseq_gateway.openapi.defaults import contradicts
from tracseq_gateway.openapi.reading import DEEPEST, MOST_VALUES, Unusable, read
from tracseq_gateway.openapi.upgrade import modern_schema


class ReadingTests(SynchronousTestCase):
    def refusal(self, data: bytes) -> str:
        return str(self.assertRaises(Unusable, read, data))

    def test_versions(self) -> None:
        """3.0 and 3.1 are read, a later 3.x as 3.1; Swagger 2.0 and what is none are refused by name."""
        for stated, version in {"3.0.0": "3.0", "3.0.4": "3.0", "3.1": "3.1", "3.1.1": "3.1", "3.2.0": "3.1"}.items():
            self.assertEqual(read(json.dumps({"openapi": stated}).encode()).version, version, stated)
        self.assertIn("Swagger 2.0", self.refusal(b'{"swagger": "2.0"}'))
        for text in (b"{}", b'{"openapi": 3.1}', b'{"openapi": "4.0.0"}', b'{"openapi": "3.1.0\\n"}'):
            self.assertIn("no OpenAPI 3 document", self.refusal(text))

    def test_not_json(self) -> None:
        """What is no JSON object is refused with a reason that names no content."""
        for data, reason in {
            b"<html>secret</html>": "not JSON (line 1, column 1)",
            b"openapi: 3.1.0": "not JSON",
            b"\xff\xfe": "not UTF-8",
            b"[]": "no JSON object",
            b'{"a": NaN}': "not JSON",
            b'{"a": 1e999}': "not JSON",
            b'{"a": ' + b"9" * 5000 + b"}": "not JSON",
        }.items():
            found = self.refusal(data)
            self.assertIn(reason, found)
            self.assertNotIn("secret", found)
        self.assertEqual(read(b'\xef\xbb\xbf{"openapi": "3.1.0"}').version, "3.1")

    def test_bounds(self) -> None:
        """A document that is too deep or has too many values is refused before anybody walks through it."""
        for depth in (DEEPEST + 1, 900, 500_000):
            nested = b'{"openapi": "3.1.0", "x": ' + b"[" * depth + b"]" * depth + b"}"
            self.assertIn("deeper", self.refusal(nested), depth)
        self.assertEqual(read(b'{"openapi": "3.1.0", "x": ' + b"[" * 50 + b"]" * 50 + b"}").version, "3.1")
        many = json.dumps({"openapi": "3.1.0", "x": [0] * MOST_VALUES}).encode()
        self.assertIn("more than", self.refusal(many))


class UpgradeTests(SynchronousTestCase):
    def test_schemas(self) -> None:
        """What 3.0 says in its own way is said in JSON Schema's."""
        reference = {"$ref": "#/components/schemas/A"}
        for old, new in (
            ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
            ({"type": "string", "nullable": False}, {"type": "string"}),
            (
                {"type": "string", "enum": ["a"], "nullable": True},
                {"type": ["string", "null"], "enum": ["a", None]},
            ),
            ({"nullable": True, "allOf": [reference]}, {"anyOf": [{"allOf": [reference]}, {"type": "null"}]}),
            (
                {"type": "object", "nullable": True, "allOf": [reference], "title": "T"},
                {"title": "T", "anyOf": [{"type": "object", "allOf": [reference]}, {"type": "null"}]},
            ),
            ({"nullable": True}, {}),
            ({"minimum": 1, "exclusiveMinimum": True}, {"exclusiveMinimum": 1}),
            ({"minimum": 1, "exclusiveMinimum": False}, {"minimum": 1}),
            ({"maximum": 9, "exclusiveMaximum": True}, {"exclusiveMaximum": 9}),
            ({"exclusiveMaximum": True}, {}),
            ({"type": "integer", "example": 7}, {"type": "integer", "examples": [7]}),
            ({**reference, "description": "ignored", "nullable": True}, reference),
            (
                {"type": "string", "format": "binary"},
                {"type": "string", "format": "binary", "contentMediaType": "application/octet-stream"},
            ),
            (
                {"type": "string", "format": "byte"},
                {"type": "string", "format": "byte", "contentEncoding": "base64"},
            ),
        ):
            before = json.dumps(old)
            self.assertEqual(modern_schema(old), new, old)
            self.assertEqual(json.dumps(old), before, "what is given is not changed")


class DefaultTests(SynchronousTestCase):
    def test_contradictions(self) -> None:
        """A default is found wrong only where it surely is."""
        wrong: list[tuple[Any, Any]] = [
            ("x", {"type": "integer"}),
            (True, {"type": "integer"}),
            (1.5, {"type": "integer"}),
            (None, {"type": "string"}),
            ("c", {"enum": ["a", "b"]}),
            (1, {"enum": [True]}),
            (0, {"type": "integer", "minimum": 1}),
            (1, {"exclusiveMinimum": 1}),
            ("", {"minLength": 1}),
            ([1, 2], {"maxItems": 1}),
            ("x", {"anyOf": [{"type": "null"}, {"type": "integer"}]}),
            (1, {"allOf": [{"type": "string"}]}),
            (1, False),
        ]
        for value, schema in wrong:
            self.assertTrue(contradicts(value, schema), (value, schema))
        fine: list[tuple[Any, Any]] = [
            (1.0, {"type": "integer"}),
            (1, {"type": "number", "maximum": 1}),
            (None, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
            (None, {"type": ["string", "null"]}),
            ("anything", {"format": "uuid", "pattern": "^x$"}),
            (1, True),
            ({}, {}),
        ]
        for value, schema in fine:
            self.assertFalse(contradicts(value, schema), (value, schema))
