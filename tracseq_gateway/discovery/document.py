"""A list of instances in JSON or TOML, as files and endpoints give it.

A list of URLs, or of tables with ``url`` and ``weight``; or a table that has such a list as ``instances``, whatever
else is in it. The rules are those of the configuration, and a list with one wrong entry is wrong.
"""

from __future__ import annotations

import json
import tomllib
from typing import Any, Final, Literal

from tracseq_gateway.config import Instance
from tracseq_gateway.config.problem import dotted
from tracseq_gateway.config.structure import make_converter, structure
from tracseq_gateway.discovery.source import MOST_INSTANCES, NotFound

LARGEST: Final = 1 << 20
"""Bytes of a document."""

Form = Literal["JSON", "TOML"]


def parse(data: bytes, form: Form) -> tuple[Instance, ...]:
    """The instances that a document lists.

    Takes some milliseconds for some hundred instances, and longer for the worst that a megabyte can hold: call it aside
    of the reactor.

    :raises NotFound: if it is no such document; says what is wrong, and where.
    """
    try:
        text = data.decode()
        value: Any = json.loads(text) if form == "JSON" else tomllib.loads(text)
    except RecursionError:
        raise NotFound(f"not {form}: nested too deeply") from None
    except ValueError as error:
        raise NotFound(f"not {form}: {error}") from None
    listed = value.get("instances") if isinstance(value, dict) else value
    if not isinstance(listed, list):
        raise NotFound('neither a list of instances nor a table with such a list as "instances"')
    if len(listed) > MOST_INSTANCES:
        raise NotFound(f"{len(listed)} instances, more than {MOST_INSTANCES}")
    converter = make_converter()
    found = [structure(converter, Instance, entry, ("instances", index)) for index, entry in enumerate(listed)]
    for _, faults in found:
        for path, wrong in faults:
            raise NotFound(f"{dotted(path)}: {wrong}")
    return tuple(instance for instance, _ in found if instance is not None)
