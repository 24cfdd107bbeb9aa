"""What the gateway's own pages answer, as OpenAPI 3.1 says it; the tests hold the pages to it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

Json = dict[str, Any]

_TEXT: Json = {"type": "string"}
_MOMENT: Json = {"type": "string", "format": "date-time"}
_MAYBE_MOMENT: Json = {"type": ["string", "null"], "format": "date-time"}
_STATE: Json = {"enum": ["healthy", "degraded", "unhealthy", "unknown"]}


def _object(properties: Mapping[str, Json], optional: Mapping[str, Json] | None = None, **rest: Any) -> Json:
    return {
        "type": "object",
        "properties": {**properties, **(optional or {})},
        "required": list(properties),
        **rest,
    }


def _list(items: Json) -> Json:
    return {"type": "array", "items": items}


def _map(values: Json) -> Json:
    return {"type": "object", "additionalProperties": values}


SCHEMAS: Mapping[str, Json] = {
    "GatewayRoot": _object(
        {
            "name": _TEXT,
            "version": _TEXT,
            "status": {"enum": ["running", "draining"]},
            "environment": {"enum": ["development", "staging", "production"]},
            "services": {**_map(_TEXT), "description": "The prefix of each service, by its name."},
            "links": _map(_TEXT),
        }
    ),
    "GatewayHealth": _object(
        {
            "status": {"enum": ["healthy", "draining"]},
            "service": {"const": "tracseq-gateway"},
            "version": _TEXT,
            "timestamp": _MOMENT,
            "services": {"enum": ["healthy", "degraded", "unhealthy"]},
        },
        {
            "workers": _object({name: {"type": "integer"} for name in ("configured", "running", "restarts")}),
            "rate_limits": {"enum": ["shared", "local", "open", "closed"]},
            "sessions": {"enum": ["shared", "alone"]},
        },
        description="How the gateway itself is, and how its services are taken together.",
    ),
    "GatewayServicesHealth": _object(
        {
            "status": {"enum": ["healthy", "degraded", "unhealthy"]},
            "timestamp": _MOMENT,
            "services": _map({"$ref": "#/components/schemas/GatewayServiceHealth"}),
        }
    ),
    "GatewayServiceHealth": _object(
        {
            "status": _STATE,
            "circuit": {"enum": ["closed", "open", "half_open", "trying"]},
            "instances": _list(
                _object(
                    {
                        "url": _TEXT,
                        "state": {"enum": ["unknown", "healthy", "unhealthy"]},
                        "ejected": {"type": "boolean"},
                        "since": _MAYBE_MOMENT,
                        "checked": _MAYBE_MOMENT,
                        "latency_ms": {"type": ["number", "null"]},
                        "error": {"type": ["string", "null"]},
                    }
                )
            ),
        }
    ),
    "GatewayServices": _object(
        {
            "services": _list(
                _object(
                    {
                        "name": _TEXT,
                        "prefix": _TEXT,
                        "status": _STATE,
                        "instances": {"type": "integer"},
                        "balance": _TEXT,
                        "max_body": {"type": "integer", "description": "Bytes; 0: no limit."},
                    }
                )
            )
        }
    ),
}


def _page(identifier: str, summary: str, content: Mapping[str, Json], *, drains: bool = False) -> Json:
    responses: Json = {"200": {"description": "OK", "content": dict(content)}}
    if drains:
        responses["503"] = {"description": "The gateway drains: send nothing more.", "content": dict(content)}
    return {"get": {"operationId": identifier, "summary": summary, "responses": responses}}


def _json(name: str) -> Mapping[str, Json]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}


def _one_word(*words: str) -> Mapping[str, Json]:
    return {"application/json": {"schema": _object({"status": {"enum": list(words)}})}}


_HTML: Mapping[str, Json] = {"text/html": {"schema": _TEXT}}
_METRICS = {
    kind: {"schema": _TEXT}
    for kind in ("text/plain; version=0.0.4; charset=utf-8", "application/openmetrics-text; version=1.0.0")
}


def own_paths(own_root: bool, further: Collection[str], metrics: str) -> dict[str, Json]:
    """Describe the pages that there are.

    :param own_root: whether ``/`` is the gateway's, and no service's.
    :param further: the paths of those that only some configurations have.
    :param metrics: the path of the metrics.
    """
    always = {
        "/health": _page("gateway_health", "How the gateway is", _json("GatewayHealth"), drains=True),
        "/health/live": _page("gateway_live", "Whether the process lives", _one_word("alive")),
        "/health/ready": _page(
            "gateway_ready", "Whether requests may come", _one_word("ready", "draining"), drains=True
        ),
        "/health/services": _page(
            "gateway_services_health", "How each instance of each service is", _json("GatewayServicesHealth")
        ),
        "/services": _page("gateway_services", "What is behind the gateway", _json("GatewayServices")),
    }
    root = {"/": _page("gateway_root", "What this is, and where to go on", _json("GatewayRoot"))} if own_root else {}
    known = {
        metrics: _page("gateway_metrics", "Metrics for Prometheus", _METRICS),
        "/dashboard": _page("gateway_dashboard", "The dashboard, for people", _HTML),
        "/docs": _page("gateway_docs", "This page", _HTML),
        "/openapi.json": _page(
            "gateway_openapi", "This document", {"application/json": {"schema": {"type": "object"}}}
        ),
    }
    return root | always | {path: page for path, page in known.items() if path in further}
