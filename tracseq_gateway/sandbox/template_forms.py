"""Forms made of templates, and data checked against them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.template import Tag, flattenString, tags

from .kit.problems import Problem
from .kit.routes import Call, Download, Part, Routes
from .kit.schema import Json, array, boolean, identifier, integer, mapping, record, text
from .template_model import FIELD, Templates, check_rows, row_schema

FORM = record(
    "Form",
    {
        "template_id": identifier(),
        "title": text(),
        "version": integer(),
        "fields": array(FIELD),
        "schema": {"type": "object"},
        "values": mapping(),
    },
)
VALUES = record("FormValues", {"values": mapping()})
OPTIONAL_VALUES = record("OptionalFormValues", {}, {"values": mapping()})
VERDICT = record("Verdict", {"valid": boolean(), "problems": mapping(text())})
ROWS = record("Rows", {"rows": array(mapping(), 1, 1000)})
ROW_VERDICT = record("RowVerdict", {"row": integer(1), "valid": boolean(), "problems": mapping(text())})
ROWS_VERDICT = record("RowsVerdict", {"valid": boolean(), "rows": array(ROW_VERDICT)})
SCHEMA_ENTRY = record("TemplateSchema", {"template_id": identifier(), "name": text(), "schema": {"type": "object"}})
SAMPLES_ORDER = record("SamplesFromTemplate", {"template_id": identifier(), "rows": array(mapping(), 1, 500)})
SAMPLES_BODY = record("SamplesToCreate", {"samples": array(mapping(), 0, 500)})

_INPUT_TYPES = {"number": "number", "integer": "number", "date": "date", "boolean": "checkbox", "email": "email"}
_EXAMPLES = {"text": "Example", "date": "2026-01-31", "boolean": True, "email": "someone@example.org"}
# Properties of a sample that a template's field of the same name fills; other fields become metadata.
_SAMPLE_PROPERTIES = frozenset(
    {
        "name",
        "barcode",
        "sample_type",
        "source_type",
        "source_identifier",
        "collection_date",
        "collection_location",
        "collector",
        "concentration",
        "volume",
        "unit",
        "quality_score",
        "notes",
    }
)


class Forms(Part):
    """What a frontend needs to show a template as a form and to check what was typed."""

    routes = Routes("templates")

    def __init__(self, templates: Templates) -> None:
        self._templates = templates

    @routes.get("/forms/<uuid:template_id>/generate", "Make a form", answer=FORM)
    def generate_form(self, call: Call, template_id: str) -> Json:
        """Return the form's fields and the JSON Schema of its values, with no values."""
        return _form(self._templates.templates.get(template_id), {})

    @routes.get("/forms/<uuid:template_id>/preview", "Make a form with examples", answer=FORM)
    def preview_form(self, call: Call, template_id: str) -> Json:
        """Return the form with an example value in each field."""
        template = self._templates.templates.get(template_id)
        return _form(template, {field["name"]: _example(field) for field in template["fields"]})

    @routes.post("/forms/<uuid:template_id>/validate", "Check a form", body=VALUES, answer=VERDICT)
    def validate_form(self, call: Call, template_id: str) -> Json:
        """Say what is wrong with the values; 200 in either case."""
        verdict = check_rows(self._templates.templates.get(template_id), [call.body["values"]])[0]
        return {"valid": verdict["valid"], "problems": verdict["problems"]}

    @routes.post(
        "/forms/<uuid:template_id>/render", "Render a form as HTML", body=OPTIONAL_VALUES, produces="text/html"
    )
    def render_form(self, call: Call, template_id: str) -> Deferred[Download]:
        """Return an HTML form element with the given values, safe to insert into a page."""
        form = _form_element(self._templates.templates.get(template_id), call.body.get("values") or {})
        return flattenString(None, form).addCallback(Download, "text/html; charset=utf-8")

    @routes.post("/templates/<uuid:template_id>/validate-data", "Check rows of data", body=ROWS, answer=ROWS_VERDICT)
    def validate_data(self, call: Call, template_id: str) -> Json:
        """Say what is wrong with each row; 200 in either case."""
        verdicts = check_rows(self._templates.templates.get(template_id), call.body["rows"])
        return {"valid": all(verdict["valid"] for verdict in verdicts), "rows": verdicts}

    @routes.get("/schemas", "List the JSON Schemas of all templates", answer=array(SCHEMA_ENTRY))
    def list_schemas(self, call: Call) -> list[Json]:
        """List what a row of each template must be."""
        return [_schema_entry(template) for template in self._templates.templates.all()]

    @routes.get("/schemas/<uuid:template_id>", "Show the JSON Schema of a template", answer=SCHEMA_ENTRY)
    def get_schema(self, call: Call, template_id: str) -> Json:
        """Show what a row of the template must be."""
        return _schema_entry(self._templates.templates.get(template_id))

    @routes.post(
        "/integration/samples/create", "Turn rows into samples", body=SAMPLES_ORDER, answer=SAMPLES_BODY, errors=(404,)
    )
    def create_samples_from_template(self, call: Call) -> Json:
        """Check the rows and return the body for `POST /samples/batch`; the sandbox does not send it by itself."""
        template = self._templates.templates.get(call.body["template_id"])
        wrong = {
            f"rows[{verdict['row'] - 1}].{field}": message
            for verdict in check_rows(template, call.body["rows"])
            for field, message in verdict["problems"].items()
        }
        if wrong:
            raise Problem(400, "rows_not_valid", "some rows do not fit the template", fields=wrong)
        return {"samples": [_sample(template, row) for row in call.body["rows"]]}


def _form(template: Json, values: Mapping[str, Any]) -> Json:
    return {
        "template_id": template["id"],
        "title": template["name"],
        "version": template["version"],
        "fields": template["fields"],
        "schema": row_schema(template),
        "values": dict(values),
    }


def _schema_entry(template: Json) -> Json:
    return {"template_id": template["id"], "name": template["name"], "schema": row_schema(template)}


def _example(field: Json) -> Any:
    """Return a value that is valid for the field, as far as its bounds allow one."""
    if field["kind"] == "choice":
        return (field["options"] or [None])[0]
    if field["kind"] in ("number", "integer"):
        bound = field["minimum"] if field["minimum"] is not None else field["maximum"]
        return int(bound or 1) if field["kind"] == "integer" else bound or 1
    return _EXAMPLES[field["kind"]]


def _sample(template: Json, row: Mapping[str, Any]) -> Json:
    known = {name: value for name, value in row.items() if name in _SAMPLE_PROPERTIES}
    other = {name: value for name, value in row.items() if name not in _SAMPLE_PROPERTIES}
    return {**known, "template_id": template["id"], "metadata": other}


def _form_element(template: Json, values: Mapping[str, Any]) -> Tag:
    """Return the form; the template engine escapes every text in it."""
    return tags.form(tags.h2(template["name"]), *_labels(template, values), id=f"template-{template['id']}")


def _labels(template: Json, values: Mapping[str, Any]) -> Iterator[Tag]:
    for field in template["fields"]:
        caption = field["label"] or field["name"]
        yield tags.label(f"{caption} ", _control(field, values.get(field["name"])))


def _control(field: Json, value: Any) -> Tag:
    attributes = {"name": field["name"]} | ({"required": "required"} if field["required"] else {})
    if field["kind"] == "choice":
        options = [
            tags.option(option, **({"selected": "selected"} if option == value else {}))
            for option in field["options"] or ()
        ]
        return tags.select(*options, **attributes)
    attributes["type"] = _INPUT_TYPES.get(field["kind"], "text")
    if field["kind"] == "boolean":
        return tags.input(**attributes, **({"checked": "checked"} if value is True else {}))
    return tags.input(**attributes, value="" if value is None else str(value))
