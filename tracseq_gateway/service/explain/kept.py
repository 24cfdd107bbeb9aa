"""What the cache of a service would do with a request."""

from __future__ import annotations

from tracseq_gateway.service.explain.before import OFFLINE
from tracseq_gateway.service.explain.parts import Parts
from tracseq_gateway.service.explain.report import Step
from tracseq_gateway.service.explain.request import RehearsedRequest
from tracseq_gateway.service.way import Way


def cache(parts: Parts, request: RehearsedRequest, way: Way) -> Step:
    """Whether the request would be answered by what is kept; the next steps are those of one that is not."""
    if way.cache is None:
        return Step("cache", "skipped", "no answers of the service are kept (services.NAME.cache.enabled)")
    if not parts.live:
        return Step("cache", "skipped", f"not known: {OFFLINE}")
    outlook = way.cache.outlook(request)
    return Step("cache", "ok", outlook)
