"""Compose files as ``docker compose config`` would show them: merged, with variables put in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parent.parent / "deploy"
_VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)(?:(:[-?])([^}]*))?\})")


class MissingVariable(Exception):
    """A variable must be set and is not; the text is what the file says about it."""


def compose(*names: str, environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The files of ``deploy/``, each on top of the ones before, with the variables of ``environ``."""
    merged: dict[str, Any] = {}
    for name in names:
        merged = _merged(merged, yaml.safe_load((DEPLOY / name).read_text()))
    parts = {name: part for name, part in merged.items() if not name.startswith("x-")}
    found: dict[str, Any] = _filled(parts, environ or {})
    return found


def _merged(below: Any, above: Any) -> Any:
    if isinstance(below, dict) and isinstance(above, dict):
        return {**below, **{key: _merged(below.get(key), value) for key, value in above.items()}}
    return above


def _filled(part: Any, environ: Mapping[str, str]) -> Any:
    """The same with variables put in. Raises :class:`MissingVariable`."""
    if isinstance(part, dict):
        return {key: _filled(value, environ) for key, value in part.items()}
    if isinstance(part, list):
        return [_filled(value, environ) for value in part]
    if not isinstance(part, str):
        return part

    def value(match: re.Match[str]) -> str:
        dollar, name, kind, rest = match.groups()
        if dollar:
            return "$"
        if kind == ":?" and not environ.get(name):
            raise MissingVariable(rest)
        return environ.get(name) or (rest if kind == ":-" else "")

    return _VARIABLE.sub(value, part)
