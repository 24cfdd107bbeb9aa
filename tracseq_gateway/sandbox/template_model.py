"""Templates as they are stored, and what they demand of data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from twisted.internet.interfaces import IReactorTime

from .kit.problems import conflict, invalid, not_found
from .kit.records import Database
from .kit.schema import (
    Json,
    Schema,
    Validator,
    array,
    boolean,
    changes,
    choice,
    complete,
    date,
    email,
    identifier,
    integer,
    number,
    record,
    stored,
    text,
)

KINDS = ("text", "number", "integer", "date", "boolean", "choice", "email")
STATES = ("draft", "published", "archived")
NEW_FIELD = record(
    "NewField",
    {"name": text(1, 60, pattern=r"^[A-Za-z][A-Za-z0-9_]*$"), "kind": choice(*KINDS)},
    {
        "label": text(0, 120),
        "required": boolean(default=False),
        "options": array(text(1, 120), 0, 100),
        "minimum": number(description="Least value, or least length of a text."),
        "maximum": number(description="Greatest value, or greatest length of a text."),
        "unit": text(0, 20),
        "help": text(0, 500),
    },
)
FIELD = record("Field", {"id": identifier(), **NEW_FIELD["properties"]})
FIELD_CHANGES = changes("FieldChanges", NEW_FIELD)
RULE = record(
    "Rule",
    {"kind": choice("required_with", "less_or_equal", "different"), "field": text(1, 60), "other": text(1, 60)},
    {"message": text(0, 200)},
)
RULES = array(RULE, 0, 50)
NEW_TEMPLATE = record(
    "NewTemplate",
    {"name": text(1, 120)},
    {
        "description": text(0, 1000),
        "category": text(0, 60),
        "status": choice(*STATES, default="draft"),
        "fields": array(NEW_FIELD, 0, 200, default=[]),
        "rules": {**RULES, "default": []},
    },
)
TEMPLATE = stored(
    "Template", NEW_TEMPLATE, {"fields": array(FIELD), "rules": RULES, "status": choice(*STATES), "version": integer(1)}
)
TEMPLATE_CHANGES = changes("TemplateChanges", NEW_TEMPLATE)

_CONTENT = ("name", "description", "category", "status", "fields", "rules")
_BLANK = ("", None)


class Templates:
    """The stored templates: every change makes a new version and keeps the old one."""

    def __init__(self, database: Database, clock: IReactorTime) -> None:
        self.templates = database.collection("templates", "template", clock)
        self.versions = database.collection("versions", "version", clock)
        self._database = database

    def create(self, body: Mapping[str, Any], user: str | None, identity: str | None = None) -> Json:
        """Store version 1 of a template. The body must be valid by ``NEW_TEMPLATE``.

        :raises Problem: 409 when two fields have one name, 400 for a choice without options.
        """
        content = complete(NEW_TEMPLATE, body)
        content["fields"] = [new_field(field) for field in content["fields"] or ()]
        content["rules"] = [complete(RULE, rule) for rule in content["rules"] or ()]
        content["status"] = content["status"] or "draft"
        _require_sound(content["fields"])
        with self._database.transaction():
            template = self.templates.create({**content, "version": 1}, user, identity)
            self._keep(template, user)
        return template

    def change(self, identity: str, content: Mapping[str, Any], user: str | None) -> Json:
        """Store the next version of a template; its fields must be complete already.

        :raises Problem: 404, or 409 when two fields have one name.
        """
        version = self.templates.get(identity)["version"] + 1
        _require_sound(content.get("fields", ()))
        with self._database.transaction():
            template = self.templates.change(identity, {**content, "version": version}, user)
            self._keep(template, user)
        return template

    def remove(self, identity: str) -> Json:
        """Remove a template with its versions and return it."""
        with self._database.transaction():
            template = self.templates.remove(identity)
            for version in self.versions.all(template_id=identity):
                self.versions.remove(version["id"])
        return template

    def exported(self, identity: str) -> Json:
        """Return a template's content without any ids, as :meth:`create` takes it.

        :raises Problem: 404 when there is none.
        """
        template = self.templates.get(identity)
        fields = [{name: field[name] for name in NEW_FIELD["properties"]} for field in template["fields"]]
        return {**{name: template[name] for name in _CONTENT}, "fields": fields}

    def version(self, identity: str, number: int) -> Json:
        """Return a kept version.

        :raises Problem: 404 when the template, or that version, does not exist.
        """
        self.templates.get(identity)
        found = self.versions.first(template_id=identity, number=number)
        if found is None:
            raise not_found(f"version of template {identity} with number", number)
        return found

    def _keep(self, template: Json, user: str | None) -> None:
        content = {name: template[name] for name in _CONTENT}
        self.versions.create({"template_id": template["id"], "number": template["version"], "content": content}, user)


def new_field(body: Mapping[str, Any]) -> Json:
    """Return a complete field with an id of its own."""
    return {"id": str(uuid4()), **complete(NEW_FIELD, body)}


def _require_sound(fields: Sequence[Json]) -> None:
    """Check that fields can be told apart, and that a choice has something to choose from."""
    names = [field["name"] for field in fields]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise conflict("field_names_repeat", f"two fields are called {', '.join(repeated)}", names=repeated)
    empty = {field["name"]: "needs options" for field in fields if field["kind"] == "choice" and not field["options"]}
    if empty:
        raise invalid(empty)


def field_schema(field: Json) -> Schema:
    """Return what a value of the field must be."""
    low, high = field["minimum"], field["maximum"]
    match field["kind"]:
        case "number":
            return number(low, high)
        case "integer":
            return {**number(low, high), "type": "integer"}
        case "date":
            return date()
        case "boolean":
            return boolean()
        case "choice":
            return choice(*(field["options"] or ()))
        case "email":
            return email()
    return text(max(0, int(low or 0)), max(0, int(high if high is not None else 5000)))


def row_schema(template: Json) -> Schema:
    """Return the JSON Schema of one row of data, titled after the template."""
    properties = {
        field["name"]: field_schema(field) | {"description": field["label"] or field["name"]}
        for field in template["fields"]
    }
    required = {field["name"]: properties[field["name"]] for field in template["fields"] if field["required"]}
    optional = {name: schema for name, schema in properties.items() if name not in required}
    return record(template["name"], required, optional)


def check_rows(template: Json, rows: Sequence[Mapping[str, Any]]) -> list[Json]:
    """Return the verdict on each row: its number from 1, whether it is valid, and what is wrong by field."""
    validator = Validator(row_schema(template))
    verdicts = []
    for position, row in enumerate(rows, 1):
        filled = {name: value for name, value in row.items() if value not in _BLANK}
        problems = validator.problems(filled) | _broken_rules(template, filled)
        verdicts.append({"row": position, "valid": not problems, "problems": problems})
    return verdicts


def _broken_rules(template: Json, row: Mapping[str, Any]) -> dict[str, str]:
    """Return the rules between two fields that a row breaks. A rule about an absent field holds."""
    broken: dict[str, str] = {}
    for rule in template["rules"]:
        field, other = row.get(rule["field"]), row.get(rule["other"])
        if not _holds(rule["kind"], field, other):
            broken[rule["field"]] = rule["message"] or f"{rule['kind']} {rule['other']} does not hold"
    return broken


def _holds(kind: str, field: Any, other: Any) -> bool:
    match kind:
        case "required_with":
            return field is not None or other is None
        case "less_or_equal":
            # Values of different types cannot be compared; the schema has said so already.
            return type(field) is not type(other) or field is None or field <= other
    return field is None or field != other
