"""The watchers of all services whose instances are discovered, and their sources by the configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.web.iweb import IAgent

from tracseq_gateway.config import Discovery, Instance, Service
from tracseq_gateway.discovery.addresses import AddressSource
from tracseq_gateway.discovery.endpoint import EndpointSource
from tracseq_gateway.discovery.file import FileSource
from tracseq_gateway.discovery.locations import LocationSource
from tracseq_gateway.discovery.names import Names
from tracseq_gateway.discovery.source import Source, all_secure
from tracseq_gateway.discovery.watcher import Tools, Watcher


@frozen
class SecureSource:
    """Another source, for a service that is configured with TLS: what it finds must be so as well."""

    source: Source

    def __str__(self) -> str:
        return str(self.source)

    def find(self) -> Deferred[tuple[Instance, ...]]:
        """See :class:`tracseq_gateway.discovery.source.Source`."""
        return self.source.find().addCallback(all_secure)


MakeSource = Callable[[Discovery, bool], Source]
"""Makes the source of a service; the second says whether that is configured to be spoken to over TLS."""


class Watchers:
    """Watches the services that have a ``discovery``."""

    def __init__(self, make: MakeSource, tools: Tools) -> None:
        self._make = make
        self._tools = tools
        self._watchers: dict[str, tuple[tuple[Discovery, bool], Watcher]] = {}

    def watch(self, services: Iterable[Service]) -> None:
        """Watch these services from now on, those of them that have a ``discovery``, and no others.

        One that is watched already, in the same way, goes on as it is; a new one is looked for at once.
        """
        wanted = {
            service.name: (service.discovery, service.secure) for service in services if service.discovery is not None
        }
        for name, (settings, watcher) in list(self._watchers.items()):
            if wanted.get(name) != settings:
                watcher.stop()
                del self._watchers[name]
        for name, settings in wanted.items():
            if name not in self._watchers:
                watcher = Watcher(name, self._make(*settings), settings[0], self._tools)
                self._watchers[name] = (settings, watcher)
                watcher.start()

    def stop(self) -> None:
        """Watch nothing."""
        self.watch([])


def sources(reactor: Any, agent: IAgent, names: Names | None = None) -> MakeSource:
    """How the source is made that a configuration names; by default names are asked for as the host is set up.

    ``agent`` has no persistent pool.
    """
    names = names or Names(reactor)

    def aside(work: Callable[[], tuple[Instance, ...]]) -> Any:
        return deferToThreadPool(reactor, reactor.getThreadPool(), work)

    def make(settings: Discovery, secure: bool) -> Source:
        if settings.dns:
            assert settings.port is not None, "the configuration demands a port"
            return AddressSource(settings.dns, settings.port, names, settings.timeout, secure)
        if settings.srv:
            return LocationSource(settings.srv, names, settings.timeout, secure)
        listed = FileSource(settings.file, aside) if settings.file else EndpointSource(settings.url, agent, aside)
        return SecureSource(listed) if secure else listed

    return make
