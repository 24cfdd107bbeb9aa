"""JSON Schemas as Python values: the schema that validates a body is the one that the OpenAPI document shows.

House rules:

1. A schema is a plain dict in the 2020-12 dialect, which is the one that OpenAPI 3.1 speaks.
2. A record has a title; the OpenAPI document makes a component of it.
3. An optional property may be absent or null, and one with a default only absent; stored records have every property.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker, ValidationError

Schema = dict[str, Any]
Json = dict[str, Any]

FORMATS = FormatChecker(("email", "uuid"))
MOST_PROBLEMS = 100
"""Of one value: as many as the schema of refusals allows."""
_YEARS = range(1900, 9000)  # Far enough from both ends of the calendar to calculate with.


@FORMATS.checks("date-time", raises=ValueError)
def _is_moment(value: object) -> bool:
    """Say whether a text is a moment of RFC 3339, which always has an offset."""
    if not isinstance(value, str):
        return True
    moment = datetime.fromisoformat(value)
    return "T" in value and moment.tzinfo is not None and moment.year in _YEARS


@FORMATS.checks("date", raises=ValueError)
def _is_date(value: object) -> bool:
    """Say whether a text is a day in the long form, ``YYYY-MM-DD``."""
    if not isinstance(value, str):
        return True
    day = datetime.fromisoformat(value).date()
    return day.isoformat() == value and day.year in _YEARS


def text(minimum: int = 0, maximum: int = 500, **rest: Any) -> Schema:
    """Return the schema of a string of so many characters."""
    return {"type": "string", "minLength": minimum, "maxLength": maximum, **rest}


def email() -> Schema:
    """Return the schema of an e-mail address."""
    return text(3, 254, format="email", pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")


def choice(*values: str, **rest: Any) -> Schema:
    """Return the schema of one of some strings."""
    return {"type": "string", "enum": list(values), **rest}


def number(minimum: float | None = None, maximum: float | None = None, **rest: Any) -> Schema:
    """Return the schema of a number within bounds, both included."""
    return {"type": "number", **_bounds(minimum, maximum), **rest}


def integer(minimum: int | None = None, maximum: int | None = None, **rest: Any) -> Schema:
    """Return the schema of a whole number within bounds, both included."""
    return {"type": "integer", **_bounds(minimum, maximum), **rest}


def _bounds(minimum: float | None, maximum: float | None) -> Schema:
    return {name: bound for name, bound in (("minimum", minimum), ("maximum", maximum)) if bound is not None}


def boolean(**rest: Any) -> Schema:
    """Return the schema of true or false."""
    return {"type": "boolean", **rest}


def moment() -> Schema:
    """Return the schema of an RFC 3339 date and time with an offset."""
    return {"type": "string", "format": "date-time"}


def date() -> Schema:
    """Return the schema of a day, ``YYYY-MM-DD``."""
    return {"type": "string", "format": "date"}


def identifier() -> Schema:
    """Return the schema of a UUID."""
    return {"type": "string", "format": "uuid"}


def array(items: Schema, minimum: int = 0, maximum: int = 1000, **rest: Any) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": items, "minItems": minimum, "maxItems": maximum, **rest}


def mapping(values: Schema | bool = True) -> Schema:
    """Return the schema of an object with names of the caller's choice, at most a hundred."""
    return {"type": "object", "additionalProperties": values, "maxProperties": 100}


def nullable(schema: Schema) -> Schema:
    """Return the schema that also allows null."""
    if not isinstance(schema.get("type"), str) or "title" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    widened = {**schema, "type": [schema["type"], "null"]}
    return widened | {"enum": [*schema["enum"], None]} if "enum" in schema else widened


def record(title: str, required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    """Return the schema of an object with exactly these properties."""
    voluntary = {name: schema if "default" in schema else nullable(schema) for name, schema in (optional or {}).items()}
    return {
        "title": title,
        "type": "object",
        "properties": {**required, **voluntary},
        "required": list(required),
        "additionalProperties": False,
    }


def changes(title: str, new: Schema) -> Schema:
    """Return the schema of a partial update: any property of ``new``, at least one."""
    without_defaults = {
        name: {key: value for key, value in schema.items() if key != "default"}
        for name, schema in new["properties"].items()
    }
    return {**new, "title": title, "properties": without_defaults, "required": [], "minProperties": 1}


def stored(title: str, new: Schema, computed: Mapping[str, Schema] | None = None) -> Schema:
    """Return the schema of a stored record: what ``new`` has, what the service adds, and the record's own history."""
    history = {
        "id": identifier(),
        "created_at": moment(),
        "updated_at": moment(),
        "created_by": nullable(text()),
        "updated_by": nullable(text()),
    }
    return record(title, {**history, **new["properties"], **(computed or {})})


def complete(schema: Schema, body: Mapping[str, Any]) -> Json:
    """Return a valid body with its absent properties filled in: the schema's default, or None."""
    return {name: body.get(name, prop.get("default")) for name, prop in schema["properties"].items()}


class Validator:
    """Checks values against one schema and says in plain words what is wrong where.

    The schema itself is taken as sound: those of routes are checked by the tests, with the whole OpenAPI document.
    """

    def __init__(self, schema: Schema) -> None:
        self._validator = Draft202012Validator(schema, format_checker=FORMATS)

    def problems(self, value: object) -> dict[str, str]:
        """Return what is wrong by the path of the field, at most :data:`MOST_PROBLEMS`; empty when it is valid."""
        found: dict[str, str] = {}
        for error in self._validator.iter_errors(value):
            for path, message in _explain(error):
                found.setdefault(path, message)
                if len(found) == MOST_PROBLEMS:
                    return found
        return found


_PHRASES = {
    "enum": "must be one of {}",
    "minLength": "must have at least {} character(s)",
    "maxLength": "must have at most {} characters",
    "minimum": "must be at least {}",
    "maximum": "must be at most {}",
    "minItems": "must have at least {} item(s)",
    "maxItems": "must have at most {} items",
    "uniqueItems": "must not repeat an item",
    "minProperties": "must have at least {} property",
    "maxProperties": "must have at most {} properties",
    "format": "must be a valid {}",
    "pattern": "must match {}",
}


def _explain(error: ValidationError) -> Iterator[tuple[str, str]]:
    """Yield (path, message) of an error; a missing or unknown property is reported at its own path."""
    where = error.json_path[2:] if error.json_path.startswith("$.") else error.json_path[1:]
    prefix = f"{where}." if where else ""
    keyword: str = str(error.validator)
    limit: Any = error.validator_value
    schema: Any = error.schema
    instance: Any = error.instance
    if keyword == "required":
        for name in limit:
            if name not in instance:
                yield prefix + name, "is required"
    elif keyword == "additionalProperties" and limit is False:
        for name in instance:
            if name not in schema["properties"]:
                yield prefix + name[:100], "is not a known field"
    elif keyword == "type":
        kinds = [limit] if isinstance(limit, str) else limit
        yield where or "body", f"must be {' or '.join(kinds)}"
    elif keyword in _PHRASES:
        shown = ", ".join(str(value) for value in limit if value is not None) if isinstance(limit, list) else limit
        yield where or "body", _PHRASES[keyword].format(shown)
    else:
        yield where or "body", f"does not satisfy {keyword}"
