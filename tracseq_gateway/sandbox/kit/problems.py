"""What a service says when it refuses: one exception, and the few ways to make it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Fields = Mapping[str, str]
"""What is wrong, by the path of the field (``samples[3].name``)."""


class Problem(Exception):
    """A refusal: an HTTP status, a code for programs, a sentence for people, and what is wrong with which field."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        fields: Fields | None = None,
        headers: Mapping[str, str] | None = None,
        **details: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.fields = dict(fields or {})
        self.headers = dict(headers or {})
        self.details = details

    def as_json(self) -> dict[str, Any]:
        """Return the body that the client gets."""
        error: dict[str, Any] = {"code": self.code, "message": self.message, **self.details}
        if self.fields:
            error["fields"] = self.fields
        return {"success": False, "error": error}


def bad_request(code: str, message: str, fields: Fields | None = None) -> Problem:
    """Return a 400: the request itself is wrong."""
    return Problem(400, code, message, fields=fields)


def invalid(fields: Fields) -> Problem:
    """Return a 400 that names each wrong field."""
    return bad_request("validation_failed", f"{len(fields)} field(s) are not valid", fields)


def unauthorized(code: str, message: str) -> Problem:
    """Return a 401 with the challenge that RFC 9110 section 11.6.1 asks for."""
    return Problem(401, code, message, headers={"WWW-Authenticate": "Bearer"})


def not_found(what: str, identity: object) -> Problem:
    """Return a 404: there is no such ``what``."""
    return Problem(404, "not_found", f"there is no {what} {identity}")


def conflict(code: str, message: str, **details: Any) -> Problem:
    """Return a 409: well formed, but not in this state. ``details`` are added to the error."""
    return Problem(409, code, message, **details)
