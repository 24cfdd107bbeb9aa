"""What the configuration asks of who calls a service, operation by operation, as the API page tells it."""

from __future__ import annotations

from collections.abc import Callable

from tracseq_gateway.config.model import Config, Service
from tracseq_gateway.config.policies import Limit, RateLimit
from tracseq_gateway.http.paths import PathPatterns
from tracseq_gateway.identity.access import Need
from tracseq_gateway.interfaces import ROLES
from tracseq_gateway.openapi.demands import Demand

_OPEN = Need.of("none", {})
_SHARED_BY = {
    "client": "each client",
    "address": "each address",
    "service": "all clients of a service together",
    "everyone": "all clients together",
}


class ServiceRules:
    """The rules of one service."""

    def __init__(self, settings: Service, config: Config, need: Callable[[bytes], Need] = lambda path: _OPEN) -> None:
        """``need`` gives what a public path demands of its callers; by default nobody is asked."""
        self._settings = settings
        self._need = need
        self._prefix = len(settings.prefix.rstrip("/"))
        self._has_keys = bool(config.auth.api_keys or config.auth.api_keys_file)
        self._limited = config.rate_limit.enabled
        paths = settings.paths.items()
        self._rates = PathPatterns({path: rule.rate_limit for path, rule in paths if rule.rate_limit})
        self._sizes = PathPatterns({path: (rule.max_body,) for path, rule in paths if rule.max_body is not None})
        self._types = PathPatterns(
            {path: (rule.content_types,) for path, rule in paths if rule.content_types is not None}
        )
        self._further = [
            (limit, PathPatterns(dict.fromkeys(limit.paths, True)))
            for limit in config.rate_limit.limits.values()
            if self._limited and (not limit.services or settings.name in limit.services)
        ]
        rate = settings.rate_limit or config.rate_limit.default
        self.remarks = tuple(
            [f"{_rate(rate)}."] * self._limited
            + [f"Bodies of up to {_size(settings.max_body)}."] * bool(settings.max_body)
        )
        """What holds for all of the service, in sentences."""

    def demand(self, method: str, path: str) -> Demand:
        """What is asked of a method, in lower case, and a public path, which may be a template."""
        whole, name = path.encode("ascii"), method.upper()
        below = whole[self._prefix :]
        need = self._need(whole)
        rank = need.ranks.get(name.encode("ascii"))
        size = self._sizes.find(below) or (self._settings.max_body,)
        kinds = self._types.find(below) or (self._settings.content_types,)
        return Demand(
            need.auth,
            ROLES[rank] if rank is not None and need.auth != "none" else "",
            self._has_keys,
            self._limited or bool(self._settings.max_concurrent_per_client),
            size[0],
            kinds[0],
            tuple(self._remarks(name, below, size[0])),
        )

    def _remarks(self, method: str, below: bytes, size: int) -> list[str]:
        said = []
        rate = self._rates.find(below) if self._limited else None
        if rate is not None:
            said.append(f"{_rate(rate)} for this path.")
        for limit, paths in self._further:
            if (not limit.methods or method in limit.methods) and (not limit.paths or paths.find(below)):
                said.append(_limit(limit))
        if size != self._settings.max_body:
            said.append(f"Takes bodies of up to {_size(size)}." if size else "Takes bodies of any size.")
        return said


def _rate(rate: RateLimit) -> str:
    return f"At most {rate.requests_per_minute} requests a minute for each client, {rate.burst} at once"


def _limit(limit: Limit) -> str:
    what = "bytes of request bodies" if limit.unit == "bytes" else "requests"
    return f"At most {limit.per_minute} {what} a minute for {_SHARED_BY[limit.per]}, {limit.burst} at once."


def _size(size: int) -> str:
    for power, unit in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if size >= 1024**power and size % 1024**power == 0:
            return f"{size // 1024**power} {unit}"
    return f"{size} bytes"
