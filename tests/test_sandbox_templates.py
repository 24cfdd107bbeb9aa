"""The stand-in templates service."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.sandbox_client import UNKNOWN, SandboxCase
from tracseq_gateway.sandbox.template_files import fields_of

NEW = {
    "name": "Pooling",
    "fields": [
        {"name": "name", "kind": "text", "required": True, "minimum": 2, "maximum": 5},
        {"name": "volume", "kind": "number", "minimum": 0.5, "unit": "µL"},
        {"name": "cycles", "kind": "integer", "maximum": 30},
        {"name": "on", "kind": "date"},
        {"name": "kit", "kind": "choice", "options": ["Nano", "PCR-free"]},
        {"name": "mail", "kind": "email"},
        {"name": "done", "kind": "boolean"},
    ],
}
GOOD_ROW = {
    "name": "Pool",
    "volume": 2,
    "cycles": 12,
    "on": "2026-03-01",
    "kit": "Nano",
    "mail": "a@example.org",
    "done": False,
}


class TemplatesCase(SandboxCase):
    """A test with one template."""

    name = "templates"

    def setUp(self) -> None:
        super().setUp()
        self.template = self.post("/templates", NEW, status=201)
        self.path = f"/templates/{self.template['id']}"

    def names(self) -> list[str]:
        return [field["name"] for field in self.get(self.path)["fields"]]


class CatalogueTests(TemplatesCase):
    """Templates and versions."""

    def test_create(self) -> None:
        """A new template is a draft of version 1, found at both paths."""
        self.assertEqual(("draft", 1, "Pooling"), tuple(self.template[name] for name in ("status", "version", "name")))
        self.assertEqual(self.template, self.get(f"/{self.template['id']}"))
        self.assertEqual(self.template, self.get("/?limit=1")[0])
        self.assertEqual({"published"}, {one["status"] for one in self.get("/templates?status=published")})

    def test_unsound(self) -> None:
        """Two fields of one name, and a choice without options, are refused."""
        field = {"name": "a", "kind": "text"}
        twice = self.refused("POST", "/templates", {"name": "x", "fields": [field, field]}, status=409)
        self.assertEqual(["a"], twice["names"])
        choice = {"name": "x", "fields": [{"name": "b", "kind": "choice"}]}
        self.assertEqual({"b": "needs options"}, self.refused("POST", "/templates", choice, status=400)["fields"])

    def test_versions(self) -> None:
        """Each change makes a version; an old one is restored as a new one, ids of fields included."""
        self.put(self.path, {"name": "Renamed", "fields": [], "rules": []})
        self.assertEqual([2, 1], [version["number"] for version in self.get(f"{self.path}/versions")])
        self.assertEqual("Pooling", self.get(f"{self.path}/versions/1")["content"]["name"])
        restored = self.post(f"{self.path}/versions/1/restore")
        self.assertEqual((3, self.template["fields"]), (restored["version"], restored["fields"]))
        self.refused("GET", f"{self.path}/versions/9", status=404)
        kept = self.send("GET", f"{self.path}/versions/1").headers.get("Cache-Control")
        self.assertEqual("public, max-age=60", kept)
        self.refused("GET", f"/templates/{UNKNOWN}/versions", status=404)

    def test_clone(self) -> None:
        """A copy has the same fields under other ids, and starts as a draft."""
        copy = self.post(f"{self.path}/clone", status=201)
        self.assertEqual(("Copy of Pooling", "draft", 1), (copy["name"], copy["status"], copy["version"]))
        self.assertEqual([field["name"] for field in copy["fields"]], self.names())
        self.assertNotEqual(copy["fields"][0]["id"], self.template["fields"][0]["id"])
        self.assertEqual("Mine", self.post(f"{self.path}/clone", {"name": "Mine"}, status=201)["name"])

    def test_delete(self) -> None:
        """A removed template is gone with its versions."""
        self.send("DELETE", self.path)
        self.refused("GET", self.path, status=404)
        self.refused("GET", f"{self.path}/versions/1", status=404)


class FieldsTests(TemplatesCase):
    """Fields and rules."""

    def test_fields(self) -> None:
        """A field is added at the end, changed and removed, each in a new version."""
        added = self.post(f"{self.path}/fields", {"name": "lane", "kind": "integer"}, status=201)
        self.assertEqual("lane", self.names()[-1])
        field = f"{self.path}/fields/{added['id']}"
        self.assertEqual("Lane", self.put(field, {"label": "Lane"})["label"])
        self.send("DELETE", field)
        self.assertNotIn("lane", self.names())
        self.assertEqual(4, self.get(self.path)["version"])
        self.refused("PUT", field, {"label": "Lane"}, status=404)
        self.refused("POST", f"{self.path}/fields", {"name": "volume", "kind": "text"}, status=409)

    def test_reorder(self) -> None:
        """Fields are put into an order that names each of them."""
        ids = [field["id"] for field in self.get(f"{self.path}/fields")]
        self.post(f"{self.path}/fields/reorder", {"field_ids": ids[::-1]})
        self.assertEqual([field["name"] for field in NEW["fields"]][::-1], self.names())  # type: ignore[index]
        self.refused("POST", f"{self.path}/fields/reorder", {"field_ids": ids[1:]}, status=400)

    def test_rules(self) -> None:
        """Rules are about fields that exist; they are added one by one or replaced as a whole."""
        rule = {"kind": "required_with", "field": "on", "other": "done"}
        self.post(f"{self.path}/validation", rule, status=201)
        self.assertEqual([{**rule, "message": None}], self.get(f"{self.path}/validation"))
        unknown = self.refused("POST", f"{self.path}/validation", {**rule, "other": "nothing"}, status=400)
        self.assertEqual({"rules[1].other": "there is no field nothing"}, unknown["fields"])
        self.assertEqual([], self.put(f"{self.path}/validation", {"rules": []}))


class DataTests(TemplatesCase):
    """Data against templates."""

    def problems(self, **values: Any) -> dict[str, str]:
        row = {name: value for name, value in {**GOOD_ROW, **values}.items() if value is not ...}
        checked = self.post(f"{self.path}/validate-data", {"rows": [row]})
        self.assertEqual(not checked["rows"][0]["problems"], checked["valid"])
        found: dict[str, str] = checked["rows"][0]["problems"]
        return found

    def test_kinds(self) -> None:
        """Each kind of field takes its values within its bounds and no others."""
        self.assertEqual({}, self.problems())
        for name, wrong in (
            ("name", "P"),
            ("name", "Pooled"),
            ("name", 5),
            ("volume", 0.4),
            ("volume", "2"),
            ("cycles", 1.5),
            ("cycles", 31),
            ("on", "1.3.2026"),
            ("kit", "Other"),
            ("mail", "nobody"),
            ("done", "yes"),
            ("unknown", 1),
        ):
            self.assertEqual([name], list(self.problems(**{name: wrong})), (name, wrong))

    def test_blanks(self) -> None:
        """An empty cell is an absent value: fine, unless the field is required."""
        self.assertEqual({}, self.problems(kit="", volume=None, mail=...))
        self.assertEqual({"name": "is required"}, self.problems(name=""))

    def test_rules(self) -> None:
        """Rules between two fields are checked, with their own words if they have some."""
        rules = [
            {"kind": "less_or_equal", "field": "volume", "other": "cycles"},
            {"kind": "required_with", "field": "mail", "other": "done", "message": "who did it?"},
            {"kind": "different", "field": "name", "other": "kit"},
        ]
        self.put(f"{self.path}/validation", {"rules": rules})
        self.assertEqual({}, self.problems())
        self.assertEqual({"volume": "less_or_equal cycles does not hold"}, self.problems(volume=13))
        self.assertEqual({"mail": "who did it?"}, self.problems(mail=...))
        self.assertEqual({"name": "different kit does not hold"}, self.problems(name="Nano"))
        self.assertIn("cycles", self.problems(cycles="many"))

    def test_rowNumbers(self) -> None:
        """Rows are numbered from one, and one bad row spoils the whole."""
        checked = self.post(f"{self.path}/validate-data", {"rows": [GOOD_ROW, {}]})
        self.assertFalse(checked["valid"])
        self.assertEqual([(1, True), (2, False)], [(row["row"], row["valid"]) for row in checked["rows"]])

    def test_samples(self) -> None:
        """Rows become the body for the samples service; what it does not know becomes metadata."""
        order = {"template_id": self.template["id"], "rows": [GOOD_ROW]}
        (sample,) = self.post("/integration/samples/create", order)["samples"]
        self.assertEqual(("Pool", 2, self.template["id"]), (sample["name"], sample["volume"], sample["template_id"]))
        self.assertEqual("Nano", sample["metadata"]["kit"])
        refused = self.refused("POST", "/integration/samples/create", {**order, "rows": [GOOD_ROW, {}]}, status=400)
        self.assertEqual({"rows[1].name": "is required"}, refused["fields"])

    def test_schemas(self) -> None:
        """A frontend can check rows by itself: each template has a JSON Schema."""
        entry = self.get(f"/schemas/{self.template['id']}")
        self.assertEqual(["name"], entry["schema"]["required"])
        self.assertIn(entry, self.get("/schemas"))


class FormsTests(TemplatesCase):
    """Forms."""

    def test_generate(self) -> None:
        """A form has the fields, their schema and no values; a preview has values that are valid."""
        path = f"/forms/{self.template['id']}"
        form = self.get(f"{path}/generate")
        self.assertEqual((self.template["fields"], {}), (form["fields"], form["values"]))
        preview = self.get(f"{path}/preview")
        self.assertEqual(set(GOOD_ROW), set(preview["values"]))

    def test_validate(self) -> None:
        """A form's values are checked; wrong values are a verdict, not an error."""
        path = f"/forms/{self.template['id']}/validate"
        self.assertEqual({"valid": True, "problems": {}}, self.post(path, {"values": GOOD_ROW}))
        self.assertFalse(self.post(path, {"values": {}})["valid"])

    def test_render(self) -> None:
        """A rendered form shows its values and escapes whatever is in them."""
        evil = '"><script>alert(1)</script>'
        self.put(self.path, {"name": evil})
        answer = self.send("POST", f"/forms/{self.template['id']}/render", {"values": {**GOOD_ROW, "mail": evil}})
        page = answer.content.decode()
        self.assertNotIn("<script>", page)
        self.assertIn('<option selected="selected">Nano</option>', page)
        self.assertIn('type="number"', page)
        self.assertEqual("text/html; charset=utf-8", answer.headers["Content-Type"])
        self.send("POST", f"/forms/{self.template['id']}/render")


class FilesTests(TemplatesCase):
    """Spreadsheets and exports."""

    CSV = (
        b"Sample Name,Volume (uL),Taken on,Kit\r\n"
        b"A1,5.5,2026-01-01,x\r\nA2,7,2026-01-02,x\r\nA3,,2026-01-03,y\r\nA4,1,2026-01-04,y\r\n"
    )

    def form(self, content: bytes, name: str = "plate.csv") -> dict[str, Any]:
        body = (
            b'--b\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="' + name.encode() + b'"\r\n'
            b"Content-Type: text/csv\r\n\r\n" + content + b"\r\n--b--\r\n"
        )
        return {"content": body, "headers": {"Content-Type": "multipart/form-data; boundary=b"}}

    def test_upload(self) -> None:
        """A spreadsheet, in a form or as it is, becomes a template with the kinds of its columns."""
        in_form = self.post("/templates/upload", **self.form(self.CSV, "C:\\labs\\plate.csv"), status=201)
        plain = self.post("/upload", content=self.CSV, headers={"Content-Type": "text/csv"}, status=201)
        self.assertEqual("plate", in_form["name"])
        for template in (in_form, plain):
            self.assertEqual(
                [
                    ("sample_name", "text", True),
                    ("volume_ul", "number", False),
                    ("taken_on", "date", True),
                    ("kit", "choice", True),
                ],
                [(field["name"], field["kind"], field["required"]) for field in template["fields"]],
            )

    def test_unreadable(self) -> None:
        """What is no spreadsheet, no form, or too large is refused with the reason."""
        csv = {"Content-Type": "text/csv"}
        for content, code in ((b"\xff\xfe", "unreadable_spreadsheet"), (b"", "no_heading"), (b",,\n", "no_heading")):
            self.assertEqual(code, self.refused("POST", "/upload", content=content, headers=csv, status=400)["code"])
        form = {"Content-Type": "multipart/form-data; boundary=b"}
        for content, code in (
            (b"--b\r\n", "malformed_form"),
            (b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--b--\r\n', "no_file"),
        ):
            self.assertEqual(code, self.refused("POST", "/upload", content=content, headers=form, status=400)["code"])
        self.refused("POST", "/upload", content=b"{}", headers={"Content-Type": "application/json"}, status=415)
        self.refused("POST", "/upload", content=b"a" * (1024 * 1024 + 1), headers=csv, status=413)

    def test_download(self) -> None:
        """An empty spreadsheet has the names of the fields, and is saved under the template's name."""
        answer = self.send("GET", f"{self.path}/download")
        self.assertEqual(b"name,volume,cycles,on,kit,mail,done\r\n", answer.content)
        self.assertIn('filename="Pooling.csv"', answer.headers["Content-Disposition"])

    def test_export(self) -> None:
        """What was exported can be imported, and is the same but for its ids."""
        exported = self.send("GET", f"{self.path}/export").body
        imported = self.post("/templates/import", exported, status=201)
        self.assertNotEqual(self.template["id"], imported["id"])
        self.assertEqual(exported, self.send("GET", f"/templates/{imported['id']}/export").body)


class GuessTests(SynchronousTestCase):
    """Fields out of spreadsheets."""

    def test_kinds(self) -> None:
        """The strictest kind that takes every value of a column is chosen."""
        columns = {
            "integer": ["1", "-2"],
            "number": ["1", "2.5"],
            "date": ["2026-01-01", "2026-02-01"],
            "boolean": ["true", "False"],
            "text": ["a", "b"],
        }
        rows = [list(columns), *([values[row] for values in columns.values()] for row in range(2))]
        self.assertEqual(list(columns), [field["kind"] for field in fields_of(rows)])

    def test_names(self) -> None:
        """Names are made of titles; columns without one are left out, and short rows have empty cells."""
        fields = fields_of([["2nd reading", "", "Größe"], ["1"]])
        self.assertEqual(["column_2nd_reading", "gr_e"], [field["name"] for field in fields])
        self.assertEqual([True, False], [field["required"] for field in fields])
