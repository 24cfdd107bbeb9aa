"""What differs between two configurations, key by key, in words that may be shown to anybody.

A key that holds a secret (``repr=False``) is only said to have changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs
from attrs import evolve, frozen

from tracseq_gateway.config.model import Config
from tracseq_gateway.config.problem import KeyPath, dotted, show

START_ONLY: Final = ("host", "port", "workers", "run_directory")
"""Keys of ``[gateway]`` that name what is opened at the start and kept to the end."""


@frozen
class Change:
    """One key, or one named table, that differs."""

    path: KeyPath
    words: str
    """``OLD -> NEW`` as they would stand in a file, ``added``, ``removed``, or of a secret ``changed``."""

    def __str__(self) -> str:
        return f"{dotted(self.path)}: {self.words}"


def changes(old: Config, new: Config) -> tuple[Change, ...]:
    """Return what has changed from ``old`` to ``new``, in the order of the model; nothing when they are equal."""
    return tuple(_between((), old, new))


def settled(old: Config, new: Config) -> Config:
    """Return ``new`` as a gateway can take it over that runs with ``old``: the rest waits for the next start.

    Beside :data:`START_ONLY`, and ``tls.redirect_port`` which is of their kind, that is where state is shared, while
    some is: what was counted and revoked in an embedded Redis would be lost by a move away from it, and the other way
    round. And it is the memory of an embedded Redis.
    """
    kept = {name: getattr(old.gateway, name) for name in START_ONLY}
    tls = evolve(new.tls, redirect_port=old.tls.redirect_port)
    redis = new.redis
    embedded = old.redis.url == "embedded"
    if shares_state(old) and embedded != (redis.url == "embedded"):
        redis = evolve(redis, url=old.redis.url)
    if shares_state(old) and embedded:
        redis = evolve(redis, max_memory=old.redis.max_memory)
    return evolve(new, gateway=evolve(new.gateway, **kept), tls=tls, redis=redis)


def shares_state(config: Config) -> bool:
    """Tell whether workers have anything to share, which they do in Redis."""
    caches = config.cache.store == "redis" and any(service.cache.enabled for service in config.services.values())
    return config.auth.enabled or config.rate_limit.enabled or caches


def _between(path: KeyPath, old: Any, new: Any, secret: bool = False) -> Iterator[Change]:
    if old == new:
        return
    if secret:
        yield Change(path, "changed")
    elif attrs.has(type(old)) and type(old) is type(new):
        for field in attrs.fields(type(old)):
            yield from _between((*path, field.name), getattr(old, field.name), getattr(new, field.name), not field.repr)
    else:
        before, after = _by_name(old), _by_name(new)
        if before is None or after is None:
            yield Change(path, f"{_written(old)} -> {_written(new)}")
        else:
            yield from _between_tables(path, before, after)


def _between_tables(path: KeyPath, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for name in [*old, *(name for name in new if name not in old)]:
        if name not in new:
            yield Change((*path, name), "removed")
        elif name not in old:
            yield Change((*path, name), "added")
        else:
            yield from _between((*path, name), old[name], new[name])


def _by_name(value: Any) -> Mapping[str, Any] | None:
    """The tables of a value by name, if that is what it holds; those of an array by their first key, such as a URL."""
    if isinstance(value, dict):
        return value if all(attrs.has(type(table)) for table in value.values()) else None
    if not isinstance(value, tuple) or not all(attrs.has(type(element)) for element in value):
        return None
    named = {str(getattr(element, attrs.fields(type(element))[0].name)): element for element in value}
    return named if len(named) == len(value) else None


def _written(value: Any) -> str:
    """Write a value about as it would stand in a file."""
    if value is None:
        return "not set"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, dict):
        return _table(value)
    if attrs.has(type(value)):
        return _table({field.name: getattr(value, field.name) for field in attrs.fields(type(value)) if field.repr})
    if isinstance(value, float):
        return f"{value:.15g}"
    return show(value) if isinstance(value, str | bool | int) else show(str(value))  # a network


def _table(pairs: Mapping[str, Any]) -> str:
    return f"{{ {', '.join(f'{name} = {_written(value)}' for name, value in pairs.items())} }}" if pairs else "{}"
