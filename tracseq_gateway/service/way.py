"""What stands before one service, with its parts by their names: for who explains what becomes of a request."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from tracseq_gateway.cache.stage import CacheStage
from tracseq_gateway.config.model import Service
from tracseq_gateway.config.upstream import Priority
from tracseq_gateway.middleware.chain import Link
from tracseq_gateway.uploads.stage import UploadStage
from tracseq_gateway.upstream.proxy import Proxy

Place = Literal["hops", "load", "body", "identity", "at once"]
"""Where on a request's way: loops and last hops; the worker's own load; the body; who calls; requests at once."""


@frozen
class Door:
    """One link, and what it is about."""

    place: Place
    link: Link


@frozen(eq=False)
class Way:
    """From a service's route to its instances."""

    settings: Service
    prefix: int
    """How many bytes of a path are the service's public prefix."""
    rewrite: bytes
    """What stands for the prefix upstream, without a trailing slash."""
    priority: Priority
    doors: tuple[Door, ...]
    """In their order. Behind them come the limits, uploads if there are any, and then the proxy."""
    proxy: Proxy
    cache: CacheStage | None = None
    """What stands between the limits and the proxy, if the service's answers are kept."""
    uploads: UploadStage | None = None
