"""``SERVICES__<NAME>__HOST`` and ``SERVICES__<NAME>__PORT``: where a service is, in the words of a compose file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from attrs import evolve

from tracseq_gateway.config.builtin import PORTS, builtin_service
from tracseq_gateway.config.problem import Problem, Wrong, dotted, show
from tracseq_gateway.config.sources import ENVIRONMENT, Sources
from tracseq_gateway.config.tree import Tree, put
from tracseq_gateway.config.url import Authority, is_host, is_port, parse_url
from tracseq_gateway.config.values import nearest, string

SERVICE_VARIABLE = re.compile(r"SERVICES__(?P<service>.+)__(?P<part>HOST|PORT)")


def address_services(tree: Tree, given: Mapping[str, str], sources: Sources) -> list[Problem]:
    """Move the services that the environment names, and return what is wrong with the variables.

    A service that the file does not have is added when it is one of the platform's seven.
    """
    services = tree["services"]
    if not isinstance(services, dict):
        return []
    names = {_as_variable(name): name for name in (*PORTS, *services)}
    problems = []
    moves: dict[str, dict[str, str]] = {}
    for variable in sorted(given):
        match = SERVICE_VARIABLE.fullmatch(variable)
        if match is None:
            continue
        if match["service"] in names:
            moves.setdefault(names[match["service"]], {})[match["part"]] = variable
        else:
            known = f"the services are {', '.join(dotted((name,)) for name in sorted(names.values()))}"
            wrong = f"there is no service {show(match['service'].lower())}"
            problems.append(Problem(ENVIRONMENT, 0, variable, wrong, nearest(match["service"], names.values(), known)))
    for service, variables in moves.items():
        problems += _move(tree, service, variables, given, sources)
    return problems


def _as_variable(service: str) -> str:
    """Spell a service's name as variables do: a hyphen cannot stand in one."""
    return service.upper().replace("-", "_")


def _move(
    tree: Tree, service: str, variables: Mapping[str, str], given: Mapping[str, str], sources: Sources
) -> list[Problem]:
    """Lay host and port over the service's instance; ``variables`` names the variable of each part that is given."""
    problems = _malformed(variables, given)
    if problems:
        return problems
    variable = next(iter(variables.values()))
    if service not in tree["services"]:
        put(tree, ("services", service), builtin_service(service, tree))
        sources.mark(("services", service), ENVIRONMENT, variable)
    table = tree["services"][service]
    instances: Any = table.get("instances", []) if isinstance(table, dict) else None
    places = _places(instances)
    if places is None:
        return []  # wrong as it stands, and reported as such
    place = places[0] if places else Authority("127.0.0.1", PORTS.get(service, 80), "tls" in table)
    if "HOST" in variables:
        place = evolve(place, host=given[variables["HOST"]])
    if "PORT" in variables:
        place = evolve(place, port=int(given[variables["PORT"]]))
    instance = instances[0] if len(instances) == 1 and isinstance(instances[0], dict) else {}
    put(tree, ("services", service, "instances"), [{**instance, "url": place.url()}])
    sources.mark(("services", service, "instances", 0, "url"), ENVIRONMENT, variable)
    if "discovery" in table:
        wrong = f"holds for {dotted(('services', service))} only until discovery has found instances"
        return [Problem(ENVIRONMENT, 0, variable, wrong, "unset it", "warning")]
    if len(instances) > 1:
        wrong = f"replaces the {len(instances)} instances of {dotted(('services', service))} by {place.url()}"
        return [Problem(ENVIRONMENT, 0, variable, wrong, "unset it to use them all", "warning")]
    return []


def _malformed(variables: Mapping[str, str], given: Mapping[str, str]) -> list[Problem]:
    """Return what is wrong with the variables' own text."""
    problems = []
    host, port = variables.get("HOST"), variables.get("PORT")
    if host is not None and not is_host(given[host]):
        problems.append(
            Problem(ENVIRONMENT, 0, host, f"{show(given[host])} is not a host", "a name or an address would be right")
        )
    if port is not None and not is_port(given[port]):
        problems.append(
            Problem(ENVIRONMENT, 0, port, f"{show(given[port])} is not a port", "a port from 1 to 65535 would be right")
        )
    return problems


def _places(instances: Any) -> list[Authority] | None:
    """Return where the instances are, or None when one of them is not right."""
    if not isinstance(instances, list):
        return None
    urls = [instance.get("url") if isinstance(instance, dict) else instance for instance in instances]
    try:
        return [parse_url(string(url)) for url in urls]
    except Wrong:
        return None
