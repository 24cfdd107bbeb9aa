"""What the gateway itself asks of a request and may answer to it, as an operation says it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen

from tracseq_gateway.config.policies import TokenNeed

BEARER: Final = "bearer"
"""The names of the security schemes."""
API_KEY: Final = "api_key"

PROBLEM: Final = "#/components/schemas/Problem"


@frozen
class Demand:
    """What holds for one operation."""

    need: TokenNeed = "none"
    """Whether a token is needed."""
    role: str = ""
    """The lowest role that may call; empty: each."""
    keys_differ: bool = False
    """Whether a caller who is known may be refused all the same, because an API key is for some services only."""
    limited: bool = False
    """Whether the rate is limited."""
    max_body: int = 0
    """Bytes; 0: no limit."""
    content_types: tuple[str, ...] = ()
    """What a body may be; empty: anything."""
    remarks: tuple[str, ...] = ()
    """Further sentences for whoever calls."""


def security(demand: Demand, schemes: Mapping[str, Any]) -> list[dict[str, list[str]]]:
    """The security requirements of an operation: any one of the schemes, with the role if one is needed."""
    if demand.need == "none" or not schemes:
        return []
    roles = [demand.role] if demand.role else []
    required = [{scheme: list(roles)} for scheme in schemes]
    return [{}, *required] if demand.need == "optional" and not roles else required


def sentences(demand: Demand) -> list[str]:
    """What a caller has to know of an operation that its fields do not say."""
    found = []
    if demand.role:
        found.append(f"Needs the role `{demand.role}` or a higher one.")
    elif demand.need == "optional":
        found.append("Works with and without a token.")
    if demand.content_types:
        found.append(f"Takes bodies of {', '.join(f'`{kind}`' for kind in demand.content_types)}.")
    return [*found, *demand.remarks]


def answers(demand: Demand, takes_body: bool, has_parameters: bool) -> dict[str, str]:
    """By status, the names of the responses that the gateway itself may give instead of the service.

    ``has_parameters``: whether the path has some, which may be what no path can be.
    """
    found = {}
    if has_parameters:
        found["400"] = "BadRequest"
    if demand.need != "none":
        found["401"] = "Unauthenticated"
        if demand.role or demand.keys_differ:
            found["403"] = "Forbidden"
    if takes_body and demand.max_body:
        found["413"] = "ContentTooLarge"
    if takes_body and demand.content_types:
        found["415"] = "UnsupportedMediaType"
    if demand.limited:
        found["429"] = "TooManyRequests"
    return found | {"502": "BadGateway", "503": "ServiceUnavailable", "504": "GatewayTimeout"}


def complete(body: dict[str, Any], path: str, demand: Demand, schemes: Mapping[str, Any]) -> dict[str, Any]:
    """Return an operation with what the gateway adds to it; ``path`` is its public one."""
    made = dict(body)
    added = "\n\n".join(sentences(demand))
    if added:
        made["description"] = f"{made['description']}\n\n{added}" if made.get("description") else added
    if demand.role:
        made["x-required-role"] = demand.role
    made["security"] = security(demand, schemes)
    responses = dict(made["responses"])
    for status, name in answers(demand, "requestBody" in made, "{" in path).items():
        if status not in responses:
            responses[status] = {"$ref": f"#/components/responses/{name}"}
        elif "$ref" not in responses[status]:
            responses[status] = _or_ours(responses[status])
    made["responses"] = responses
    return made


def _or_ours(response: dict[str, Any]) -> dict[str, Any]:
    """The service answers with this status, too; its media type tells who it was."""
    content = {"application/problem+json": {"schema": {"$ref": PROBLEM}}}
    return {**response, "content": {**content, **response.get("content", {})}}


def _field(description: str, kind: str = "string", **rest: Any) -> dict[str, Any]:
    return {"description": description, "schema": {"type": kind, **rest}}


def _refusal(description: str, **headers: Any) -> dict[str, Any]:
    return {
        "description": description,
        "headers": {"X-Request-Id": _field("Names the request in the logs."), **headers},
        "content": {"application/problem+json": {"schema": {"$ref": PROBLEM}}},
    }


def common_responses(rate_fields: bool) -> dict[str, Any]:
    """The responses that operations refer to. ``rate_fields``: whether ``RateLimit`` comes with a 429."""
    retry = {"Retry-After": _field("Seconds to wait.", "integer", minimum=0)}
    who = {"Proxy-Status": _field("What went wrong, as RFC 9209 has it.")}
    rate: dict[str, Any] = dict(retry)
    if rate_fields:
        rate["RateLimit"] = _field("What is left, and for how long.")
        rate["RateLimit-Policy"] = _field("What may be used in which time.")
    return {
        "BadRequest": _refusal(
            "The request is not one that may be passed on, for example for a slash within a segment."
        ),
        "Unauthenticated": _refusal("There is no token, or none that holds.", **{"WWW-Authenticate": _field("How.")}),
        "Forbidden": _refusal("Who calls may not do this; `required_role` says who may."),
        "ContentTooLarge": _refusal("The body is larger than the gateway takes."),
        "UnsupportedMediaType": _refusal("The body is none of the kinds that are taken here."),
        "TooManyRequests": _refusal("The client called too often, or too often at once.", **rate),
        "BadGateway": _refusal("The service could not be reached, or gave no answer that holds.", **who),
        "ServiceUnavailable": _refusal("There is nobody who could answer now.", **retry, **who),
        "GatewayTimeout": _refusal("The service took too long.", **who),
    }


PROBLEM_SCHEMA: Final[Mapping[str, Any]] = {
    "title": "Problem",
    "description": "Why the gateway itself answers (RFC 9457).",
    "type": "object",
    "properties": {
        "type": {"type": "string", "description": "What kind of problem, as a URI."},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
        "required_role": {"type": "string", "description": "With 403: the lowest role that may."},
        "request_id": {"type": "string"},
    },
    "required": ["type", "title", "status", "request_id"],
}
