"""Which module makes which service."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from . import auth, notifications, rag, samples, sequencing, storage, templates
from .kit.service import Context, Service

BUILDERS: Mapping[str, Callable[[Context], Service]] = {
    "auth": auth.service,
    "samples": samples.service,
    "storage": storage.service,
    "templates": templates.service,
    "sequencing": sequencing.service,
    "notifications": notifications.service,
    "rag": rag.service,
}
"""What builds each service of :data:`tracseq_gateway.sandbox.SERVICES`."""


def build(name: str, context: Context) -> Service:
    """Return a service, its database opened and filled with demo data if it is new.

    :raises KeyError: when there is no such service.
    """
    return BUILDERS[name](context)
