"""The environment variables that deployments of the platform already have, laid over the tree of the file.

A double underscore nests, lists are JSON, and an empty variable is one that is not set. The names are those of the
platform's first gateway; what is new is configured in the file only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping

from attrs import frozen

from tracseq_gateway.config.addresses import SERVICE_VARIABLE, address_services
from tracseq_gateway.config.opentelemetry import OPENTELEMETRY, take_over
from tracseq_gateway.config.problem import Problem, Wrong, dotted, show
from tracseq_gateway.config.sources import ENVIRONMENT, Sources
from tracseq_gateway.config.tree import Tree, put
from tracseq_gateway.config.values import nearest

_OURS = re.compile(r"(?:SERVICES|LOAD_BALANCER|AUTHENTICATION|RATE_LIMITING|CORS|MONITORING)__")


def _switch(text: str) -> bool:
    words = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    if text.lower() not in words:
        raise Wrong(f"{show(text)} is neither true nor false", "true or false would be right")
    return words[text.lower()]


def _integer(text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise Wrong(f"{show(text)} is not an integer", "digits alone would be right")
    return int(text)


def _seconds(text: str) -> float:
    if not re.fullmatch(r"-?[0-9]{1,18}(?:\.[0-9]+)?", text):
        raise Wrong(f"{show(text)} is not a number of seconds", "a number such as 30 or 0.5 would be right")
    return float(text)


def _list(text: str) -> list[object]:
    wanted = 'a JSON list such as ["https://*.tracseq.com"] would be right'
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise Wrong(f"{show(text)} is not JSON", wanted) from None
    if not isinstance(value, list):
        raise Wrong(f"{show(text)} is not a list", wanted)
    return value


@frozen
class Variable:
    """An environment variable, the key that it sets and how its text is read."""

    name: str
    key: tuple[str, ...]
    read: Callable[[str], object]
    help: str = ""


VARIABLES = (
    Variable("HOST", ("gateway", "host"), str),
    Variable("PORT", ("gateway", "port"), _integer),
    Variable("ENVIRONMENT", ("gateway", "environment"), str),
    Variable("MAX_CONCURRENT_REQUESTS", ("gateway", "max_concurrent_requests"), _integer),
    Variable("REQUEST_TIMEOUT", ("defaults", "timeouts", "response"), _seconds, "A service's own value wins."),
    Variable("LOAD_BALANCER__ALGORITHM", ("defaults", "balance"), str, "A service's own value wins."),
    Variable("AUTHENTICATION__ENABLED", ("auth", "enabled"), _switch),
    Variable("RATE_LIMITING__ENABLED", ("rate_limit", "enabled"), _switch),
    Variable("RATE_LIMITING__DEFAULT_REQUESTS_PER_MINUTE", ("rate_limit", "default", "requests_per_minute"), _integer),
    Variable("REDIS_URL", ("redis", "url"), str),
    Variable("RATE_LIMITING__REDIS_URL", ("redis", "url"), str, "It wins over `REDIS_URL`."),
    Variable("CORS__ENABLED", ("cors", "enabled"), _switch),
    Variable("CORS__ALLOW_ORIGINS", ("cors", "allow_origins"), _list, "A JSON list."),
    Variable("MONITORING__METRICS_ENABLED", ("metrics", "enabled"), _switch),
)
"""Variables that stand for one key; the later of two for the same key wins."""

BALANCING = "LOAD_BALANCER__ENABLED"
LOG_REQUESTS = "MONITORING__LOG_REQUESTS"
JWT_SECRET = "AUTHENTICATION__JWT_SECRET_KEY"  # noqa: S105 the variable's name, not its value
IDENTITY_KEY = "TRACSEQ_IDENTITY_KEY"

OTHERS: Mapping[str, str] = {
    "SERVICES__<NAME>__HOST": "The host of that service's one instance; several instances become one.",
    "SERVICES__<NAME>__PORT": "The port of that service's one instance; several instances become one.",
    BALANCING: "`false`: only the first instance of each service is used.",
    LOG_REQUESTS: "`true`: `access_log.target` is `stdout` unless the file names another; `false`: it is `off`.",
    JWT_SECRET: "The shared secret of the HS algorithms. It stays where it is; see `auth.jwt.secret_env`.",
    IDENTITY_KEY: "The key that signs the identity headers, at least 32 bytes. See `auth.identity_key_env`.",
    **OPENTELEMETRY,
}
"""Variables that are more than another name of a key, and what they do."""


def lay_over(tree: Tree, environ: Mapping[str, str], sources: Sources) -> list[Problem]:
    """Set in the tree what the environment sets, and return what is wrong with the variables."""
    given = {name: text.strip() for name, text in environ.items() if text.strip()}
    problems = []
    for variable in VARIABLES:
        if variable.name in given:
            try:
                value = variable.read(given[variable.name])
            except Wrong as fault:
                problems.append(_problem(variable.name, fault))
            else:
                put(tree, variable.key, value)  # what is in the way instead of a table is reported as such
                sources.mark(variable.key, ENVIRONMENT, variable.name)
    problems += address_services(tree, given, sources)
    problems += take_over(tree, given, sources)
    for name, special in ((BALANCING, _balancing), (LOG_REQUESTS, _log_requests)):
        if name in given:
            try:
                problems += special(tree, _switch(given[name]), sources)
            except Wrong as fault:
                problems.append(_problem(name, fault))
    return problems + _unknown(given)


def _balancing(tree: Tree, enabled: bool, sources: Sources) -> list[Problem]:
    """Without balancing there is one instance of each service, the first; who listed more is told."""
    services = tree["services"]
    if enabled or not isinstance(services, dict):
        return []
    problems = []
    for name, table in services.items():
        instances = table.get("instances") if isinstance(table, dict) else None
        if isinstance(instances, list) and len(instances) > 1:
            put(tree, ("services", name, "instances"), instances[:1])
            wrong = f"uses only the first of the {len(instances)} instances of {dotted(('services', name))}"
            problems.append(Problem(ENVIRONMENT, 0, BALANCING, wrong, "unset it to use them all", level="warning"))
        if isinstance(table, dict) and "discovery" in table:
            wrong = f"does not hold for {dotted(('services', name))}, which uses all instances that discovery finds"
            problems.append(Problem(ENVIRONMENT, 0, BALANCING, wrong, "unset it", level="warning"))
    return problems


def _log_requests(tree: Tree, enabled: bool, sources: Sources) -> list[Problem]:
    """The variable says whether, the file may say where."""
    table = tree.get("access_log", {})
    target = table.get("target", "off") if isinstance(table, dict) else "off"
    if not enabled or target == "off":
        put(tree, ("access_log", "target"), "stdout" if enabled else "off")
        sources.mark(("access_log", "target"), ENVIRONMENT, LOG_REQUESTS)
    return []


def _unknown(given: Mapping[str, str]) -> list[Problem]:
    """Other variables of our namespaces mean something to somebody, so they are not passed over in silence."""
    known = [*(variable.name for variable in VARIABLES), *OTHERS]
    return [
        Problem(
            ENVIRONMENT, 0, name, "this version knows no such variable", nearest(name, known, "unset it"), "warning"
        )
        for name in given
        if _OURS.match(name) and name not in known and not SERVICE_VARIABLE.fullmatch(name)
    ]


def _problem(name: str, fault: Wrong) -> Problem:
    return Problem(ENVIRONMENT, 0, name, fault.wrong, fault.right)
