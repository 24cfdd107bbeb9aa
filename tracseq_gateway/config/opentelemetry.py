"""The environment variables that OpenTelemetry has for all programs.

They stand in the environment of many a process that means nothing by them, so they hold only once ``tracing.enabled``
is true, and what the file says wins over them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from tracseq_gateway.config.problem import Problem, Wrong, show
from tracseq_gateway.config.sources import ENVIRONMENT, Sources
from tracseq_gateway.config.tracing import HEADERS_VARIABLE
from tracseq_gateway.config.tree import Tree, put

TRACES_ENDPOINT = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
SERVICE_NAME = "OTEL_SERVICE_NAME"
SAMPLER_ARGUMENT = "OTEL_TRACES_SAMPLER_ARG"

_WHEN = "Used while `tracing.enabled` is true and the file does not say."
OPENTELEMETRY: Mapping[str, str] = {
    TRACES_ENDPOINT: f"`tracing.endpoint`. {_WHEN}",
    ENDPOINT: f"`tracing.endpoint` without its `/v1/traces`. {_WHEN}",
    SERVICE_NAME: f"`tracing.service_name`. {_WHEN}",
    SAMPLER_ARGUMENT: f"`tracing.ratio`. {_WHEN}",
    HEADERS_VARIABLE: "Fields for the collector, such as a key. It stays where it is; see `tracing.headers_env`.",
}
"""What the variables do."""

_RATIO = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,18})?")


def take_over(tree: Tree, given: Mapping[str, str], sources: Sources) -> list[Problem]:
    """Set in the tree what the variables say, and return what is wrong with them."""
    tracing = tree.get("tracing")
    if not isinstance(tracing, dict) or tracing.get("enabled") is not True:
        return []
    said = set(tracing)
    problems = []
    for variable, key in (
        (ENDPOINT, "endpoint"),
        (TRACES_ENDPOINT, "endpoint"),  # the later wins
        (SERVICE_NAME, "service_name"),
        (SAMPLER_ARGUMENT, "ratio"),
    ):
        if variable not in given or key in said:
            continue
        try:
            put(tree, ("tracing", key), _read(variable, given[variable]))
            sources.mark(("tracing", key), ENVIRONMENT, variable)
        except Wrong as fault:
            problems.append(Problem(ENVIRONMENT, 0, variable, fault.wrong, fault.right))
    return problems


def _read(variable: str, text: str) -> object:
    if variable == ENDPOINT:
        return text.rstrip("/") + "/v1/traces"
    if variable != SAMPLER_ARGUMENT:
        return text
    if not _RATIO.fullmatch(text):
        raise Wrong(f"{show(text)} is not a number", "a number from 0 to 1 would be right")
    return float(text)
