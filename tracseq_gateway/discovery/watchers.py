"""The watchers of all services whose instances are discovered, and their sources by the configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.internet.threads import deferToThreadPool
from twisted.web.iweb import IAgent

from tracseq_gateway.config import Discovery, Instance, Service
from tracseq_gateway.discovery.addresses import AddressSource
from tracseq_gateway.discovery.endpoint import EndpointSource
from tracseq_gateway.discovery.file import FileSource
from tracseq_gateway.discovery.locations import LocationSource
from tracseq_gateway.discovery.names import Names
from tracseq_gateway.discovery.source import Source
from tracseq_gateway.discovery.watcher import Tools, Watcher

MakeSource = Callable[[Discovery], Source]


class Watchers:
    """Watches all services that have a ``discovery``."""

    def __init__(self, services: Iterable[Service], make: MakeSource, tools: Tools) -> None:
        self._watchers = [
            Watcher(service.name, make(service.discovery), service.discovery, tools)
            for service in services
            if service.discovery is not None
        ]

    def start(self) -> None:
        """Look for instances at once, and go on."""
        for watcher in self._watchers:
            watcher.start()

    def stop(self) -> None:
        """Look no more."""
        for watcher in self._watchers:
            watcher.stop()


def watch(
    services: Iterable[Service],
    reactor: Any,
    agent: IAgent,
    report: Callable[[str, tuple[Instance, ...]], None],
) -> Watchers:
    """The watchers of a gateway, not yet started.

    ``report`` is told a service's name and its instances, at least one, each time that they have changed. ``agent`` has
    no persistent pool.
    """
    time: IReactorTime = reactor
    return Watchers(services, sources(reactor, agent), Tools(time, report, Random()))  # noqa: S311


def sources(reactor: Any, agent: IAgent, names: Names | None = None) -> MakeSource:
    """How the source is made that a configuration names; by default names are asked for as the host is set up."""
    names = names or Names(reactor)

    def aside(work: Callable[[], tuple[Instance, ...]]) -> Any:
        return deferToThreadPool(reactor, reactor.getThreadPool(), work)

    def make(settings: Discovery) -> Source:
        if settings.dns:
            assert settings.port is not None, "the configuration demands a port"
            return AddressSource(settings.dns, settings.port, names, settings.timeout)
        if settings.srv:
            return LocationSource(settings.srv, names, settings.timeout)
        if settings.file:
            return FileSource(settings.file, aside)
        return EndpointSource(settings.url, agent, aside)

    return make
