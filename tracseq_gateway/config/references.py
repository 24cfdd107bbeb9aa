"""Names in one table of what stands in another: services that policies are about, paths that somebody else has.

This looks at the tables that are right in themselves, so that one table's mistake does not hide another's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from tracseq_gateway.config.cache import Cache
from tracseq_gateway.config.log_line import field_of_header, template_parts
from tracseq_gateway.config.logs import AccessLog
from tracseq_gateway.config.model import OWN_PATHS, Gateway, Service
from tracseq_gateway.config.policies import Authentication, FailedLogins, Metrics, RateLimiting, Redis
from tracseq_gateway.config.prefixes import is_within
from tracseq_gateway.config.problem import KeyPath, Wrong, dotted, show
from tracseq_gateway.config.structure import Fault
from tracseq_gateway.config.tls import Tls
from tracseq_gateway.config.values import nearest


def check_references(tables: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield what names of services are wrong; a table that is None has been reported."""
    services: dict[str, Service | None] = tables["services"]
    if tables["auth"] is not None:
        yield from _authentication(tables["auth"], services)
        if tables["tls"] is not None:
            yield from _client_certificates(tables["auth"], tables["tls"])
    if tables["gateway"] is not None and tables["tls"] is not None:
        yield from _ports(tables["gateway"], tables["tls"])
    if tables["rate_limit"] is not None:
        yield from _rate_limiting(tables["rate_limit"], services)
    if tables["metrics"] is not None:
        yield from _metrics(tables["metrics"], services)
    if tables["cache"] is not None and tables["redis"] is not None:
        yield from _cache(tables["cache"], tables["redis"])
    if tables["auth"] is not None and tables["access_log"] is not None:
        yield from _access_log(tables["access_log"], tables["auth"].api_key_header)


def _access_log(log: AccessLog, api_key_header: str) -> Iterator[Fault]:
    """An API key's header field may have any name, and must be written down by none of them."""
    secret = field_of_header(api_key_header)
    for index, name in enumerate(log.headers):
        if field_of_header(name) == secret:
            wrong = f"{show(name)} carries API keys (auth.api_key_header)"
            yield ("access_log", "headers", index), Wrong(wrong, "a field without secrets would be right")
    if any(name == secret for _, name in template_parts(log.template)):
        wrong = f"${secret} carries API keys (auth.api_key_header)"
        yield ("access_log", "template"), Wrong(wrong, "a field without secrets would be right")


def _cache(cache: Cache, redis: Redis) -> Iterator[Fault]:
    """What the rates and the revocations need of an embedded Redis must be left to them."""
    if cache.store == "redis" and redis.url == "embedded" and cache.size > redis.max_memory // 2:
        wrong = f"{cache.size} bytes are more than half of redis.max_memory ({redis.max_memory})"
        yield ("cache", "size"), Wrong(wrong, f"at most {redis.max_memory // 2} would be right")


def _authentication(auth: Authentication, services: Mapping[str, object]) -> Iterator[Fault]:
    # The default may be missing as long as nobody is asked.
    if auth.service and (auth.enabled or auth.service != attrs.fields(Authentication).service.default):
        local = 'the name of a service, or "" to verify tokens locally only, would be right'
        yield from _unknown(("auth", "service"), auth.service, services, local)
    for name, key in auth.api_keys.items():
        yield from unknown_services(("auth", "api_keys", name, "services"), key.services, services)
    for name, certificate in auth.client_certificates.items():
        yield from unknown_services(("auth", "client_certificates", name, "services"), certificate.services, services)


def _client_certificates(auth: Authentication, tls: Tls) -> Iterator[Fault]:
    if auth.client_certificates and tls.client_certificates == "off":
        right = 'tls.client_certificates = "optional" or "required" would be right'
        yield ("auth", "client_certificates"), Wrong("is about what no client is asked for", right)


def _ports(gateway: Gateway, tls: Tls) -> Iterator[Fault]:
    if tls.redirect_port == gateway.port:
        wrong = Wrong("is gateway.port, which tells TLS from clear HTTP itself", "0 would be right")
        yield ("tls", "redirect_port"), wrong


def _rate_limiting(limits: RateLimiting, services: Mapping[str, object]) -> Iterator[Fault]:
    for name, limit in limits.limits.items():
        yield from unknown_services(("rate_limit", "limits", name, "services"), limit.services, services)
    logins = limits.failed_logins
    if logins.service != attrs.fields(FailedLogins).service.default:
        off = "the name of the service that logs users in would be right"
        yield from _unknown(("rate_limit", "failed_logins", "service"), logins.service, services, off)


def unknown_services(path: KeyPath, names: tuple[str, ...], services: Mapping[str, object]) -> Iterator[Fault]:
    """Yield a fault for each name in the list at ``path`` that no service has."""
    known = f"the services are {', '.join(dotted((name,)) for name in services)}"
    for index, name in enumerate(names):
        yield from _unknown((*path, index), name, services, known)


def _unknown(path: KeyPath, name: str, services: Mapping[str, object], right: str) -> Iterator[Fault]:
    if name not in services:
        yield path, Wrong(f"there is no service {show(name)}", nearest(name, services, right))


def _metrics(metrics: Metrics, services: Mapping[str, Service | None]) -> Iterator[Fault]:
    default = attrs.fields(Metrics).path.default
    if metrics.path == default:
        return  # which no service's prefix can be
    path: KeyPath = ("metrics", "path")
    if metrics.path == "/" or any(is_within(metrics.path, own) for own in OWN_PATHS if own != default):
        yield path, Wrong(f"{show(metrics.path)} is another page of the gateway", f"{show(default)} would be right")
    for service in services.values():
        if service is not None and service.prefix not in ("", "/") and is_within(metrics.path, service.prefix):
            where = f"{show(service.prefix)} of {dotted(('services', service.name))}"
            yield path, Wrong(f"{show(metrics.path)} lies within {where}", "a path outside of it would be right")
