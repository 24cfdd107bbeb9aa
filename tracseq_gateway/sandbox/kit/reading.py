"""From a request to checked values: the JSON body and the query."""

from __future__ import annotations

import json
import math
import os
from typing import IO, Any

from twisted.web.server import Request

from .problems import Problem, bad_request, invalid
from .schema import Json, Schema, Validator

JSON_LIMIT = 1024 * 1024
"""Largest JSON body, in bytes."""


def field_of(request: Request, name: str) -> str | None:
    """Return the value of a request field, or None when it is absent; bytes that are no UTF-8 are replaced."""
    value: bytes | None = request.getHeader(name.encode("ascii"))
    return None if value is None else value.decode("utf-8", "replace")


def content_of(request: Request) -> IO[bytes]:
    """Return the body as a file, which it is from 100 kB on; twisted.web has received all of it."""
    content: IO[bytes] | None = request.content
    assert content is not None, "a request that is being answered has its content"
    return content


def body_size(request: Request) -> int:
    """Return how many bytes of body the request has."""
    content = content_of(request)
    content.seek(0, os.SEEK_END)
    size = content.tell()
    content.seek(0)
    return size


def media_type(request: Request) -> str:
    """Return the body's media type in lower case without parameters, or an empty string."""
    return (field_of(request, "Content-Type") or "").partition(";")[0].strip().lower()


def require_media_type(request: Request, *wanted: str) -> None:
    """Refuse a body of another kind.

    :raises Problem: 415, naming what is wanted.
    """
    if media_type(request) not in wanted:
        message = f"send {' or '.join(wanted)}, not {media_type(request) or 'an unnamed type'}"
        raise Problem(415, "unsupported_media_type", message, headers={"Accept": ", ".join(wanted)})


def require_size(request: Request, limit: int) -> int:
    """Return the size of the body if it is within the limit.

    A larger one has cost a temporary file, but no memory.

    :raises Problem: 413.
    """
    size = body_size(request)
    if size > limit:
        raise Problem(413, "body_too_large", f"the body has {size} bytes, at most {limit} are taken")
    return size


def read_json(request: Request, validator: Validator, *, optional: bool) -> Json:
    """Return the body, checked against the schema. An absent body stands for ``{}`` where that is allowed.

    :raises Problem: 413 too large, 415 not JSON by its media type, 400 malformed or against the schema.
    """
    size = require_size(request, JSON_LIMIT)
    if optional and not size:
        return {}
    require_media_type(request, "application/json")
    try:
        content = content_of(request).read()
        value = json.loads(content, parse_constant=_refuse_constant, parse_float=_finite)
        if b"\\u" in content:
            # An escaped half of a surrogate pair is JSON, but no text that can be written down (RFC 8259 section 8.2).
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise bad_request("malformed_json", f"the body is not JSON: {error}") from error
    fields = validator.problems(value)
    if fields:
        raise invalid(fields)
    assert isinstance(value, dict), "every body schema is an object"
    return value


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits[:20]} is out of range")
    return value


def read_query(request: Request, schemas: dict[str, Schema], validator: Validator) -> Json:
    """Return the declared query parameters: converted, checked, and with defaults for absent ones.

    Parameters that are not declared are ignored, as frontends add their own to get around caches.

    :raises Problem: 400 that names each wrong parameter.
    """
    given: Json = {}
    for name, schema in schemas.items():
        values = request.args.get(name.encode())
        if values:
            given[name] = _convert(values[-1].decode("utf-8", "replace"), schema["type"])
    fields = validator.problems(given)
    if fields:
        raise invalid(fields)
    return {name: given.get(name, schema.get("default")) for name, schema in schemas.items()}


def _convert(text: str, kind: str) -> Any:
    """Return the value of a parameter; text that is no number stays text, for the validator to refuse."""
    try:
        match kind:
            case "integer":
                return int(text)
            case "number":
                return _finite(text)
            case "boolean":
                return {"true": True, "false": False}.get(text, text)
    except ValueError:
        pass
    return text
