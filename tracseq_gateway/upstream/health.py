"""Active health: each instance of each service is asked now and then whether it is well.

House rules:

1. What an outcome means for an instance's state is decided by :func:`judge`, which is pure; the rest is I/O.
2. An instance has at most one probe in flight, and every probe ends: in an answer, in an error, or at its timeout.
3. A probe opens a connection of its own, for whether one can connect is part of the question.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from random import Random
from typing import Final, NoReturn

from attrs import evolve, field, frozen
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import Agent, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IResponse

from tracseq_gateway.config.model import Service
from tracseq_gateway.config.service_tls import ServiceTls
from tracseq_gateway.config.upstream import Health
from tracseq_gateway.interfaces import InstanceHealth, State
from tracseq_gateway.net.failures import describe
from tracseq_gateway.net.jitter import jittered
from tracseq_gateway.net.quiet import PeerOf, QuietEndpoints
from tracseq_gateway.net.tls_peer import Peers

LARGEST_BODY: Final = 64 * 1024
"""Bytes of an answer that are read. What follows is not waited for: the status has been given."""

_log = Logger()


@frozen
class Outcome:
    """How one probe ended."""

    seconds: float
    error: str | None = None
    """In a few words; None for a success."""


@frozen
class Standing:
    """What is known of an instance, and what speaks against it."""

    health: InstanceHealth
    contrary: int = 0
    """Outcomes in a row that contradict the state."""


def judge(standing: Standing, outcome: Outcome, policy: Health, now: float) -> Standing:
    """What is known after ``outcome``, which came at ``now`` (seconds since the epoch).

    The first outcome decides alone; later ones change the state when as many in a row as ``policy`` asks for
    contradict it.
    """
    health = evolve(standing.health, checked=now, error=outcome.error)
    if outcome.error is None:
        health = evolve(health, latency=outcome.seconds)
    seen: State = "healthy" if outcome.error is None else "unhealthy"
    if seen == health.state:
        return Standing(health)
    contrary = standing.contrary + 1
    needed = {"unknown": 1, "healthy": policy.unhealthy_after, "unhealthy": policy.healthy_after}[health.state]
    if contrary < needed:
        return Standing(health, contrary)
    return Standing(evolve(health, state=seen, since=now))


@frozen
class Tools:
    """What the probes work with."""

    reactor: IReactorTime
    agent: IAgent
    """Without a persistent pool: see rule 3. Asks the instances that are spoken to in clear."""
    report: Callable[[InstanceHealth], None]
    """Told after each probe."""
    random: Random
    now: Callable[[], float] = time.time
    """Seconds since the epoch; the reactor's clock need not be that."""
    peers: Peers = field(factory=lambda: Peers(resume=False))
    """Whose certificates are verified with each probe of an instance that is spoken to over TLS."""


class HealthMonitor:
    """Probes all instances of all services, each at its service's interval."""

    def __init__(self, services: Iterable[Service], tools: Tools) -> None:
        self._tools = tools
        self._running = False
        self._services = {service.name: service for service in services}
        self._probers = {
            name: {instance.url: Prober(service, instance.url, tools) for instance in service.instances}
            for name, service in self._services.items()
        }

    def snapshot(self) -> tuple[InstanceHealth, ...]:
        """What is known now of every instance, in the order of the configuration."""
        return tuple(prober.health for prober in self._all())

    def start(self) -> Deferred[None]:
        """Probe all instances at once and go on; fires when each that is probed has been probed once, or is gone."""
        self._running = True
        return gatherResults([prober.start() for prober in self._all()]).addCallback(lambda _: None)

    def list_instances(self, service: str, urls: Iterable[str]) -> None:
        """Probe these instances of a service from now on: new ones at once, those that stay as before, no others."""
        before = self._probers[service]
        self._probers[service] = {url: before.pop(url) if url in before else self._begin(service, url) for url in urls}
        for gone in before.values():
            gone.stop()

    def stop(self) -> None:
        """Probe no more; probes in flight are broken off and not reported."""
        self._running = False
        for prober in self._all():
            prober.stop()

    def change(self, services: Iterable[Service]) -> None:
        """From now on probe these services, in a monitor that was started.

        What is known of an instance that stays is kept, and its next probe comes when it would have come, or if it is
        probed in another way now, within an interval. New instances are probed at once.
        """
        before = {prober.place: prober for prober in self._all()}
        self._tools = evolve(self._tools, peers=Peers(resume=False))  # the files may be others
        self._services = {service.name: service for service in services}
        self._probers = {
            name: {instance.url: self._follow(before, service, instance.url) for instance in service.instances}
            for name, service in self._services.items()
        }
        for gone in before.values():
            gone.stop()

    def _follow(self, before: dict[tuple[str, str], Prober], service: Service, url: str) -> Prober:
        """The prober of an instance from now on: the one from ``before``, which is taken out, or a new one."""
        old = before.get((service.name, url))
        if old is not None and old.probes_like(service):
            return before.pop(old.place)
        prober = Prober(service, url, self._tools, old)
        prober.start()
        return prober

    def _all(self) -> list[Prober]:
        return [prober for probers in self._probers.values() for prober in probers.values()]

    def _begin(self, service: str, url: str) -> Prober:
        prober = Prober(self._services[service], url, self._tools)
        if self._running:
            prober.start()
        return prober


class Prober:
    """Probes one instance."""

    def __init__(self, service: Service, url: str, tools: Tools, before: Prober | None = None) -> None:
        """``before`` has probed the instance in another way: what it knows is taken over."""
        self.place = (service.name, url)
        self._policy = service.health
        self._target = (url.rstrip("/") + service.health.path).encode()
        self._tools = tools
        self._agent = tools.agent
        self._secure = url.startswith("https:")
        if self._secure:
            self._agent = probing_agent(tools.reactor, partial(tools.peers.peer, service.tls or ServiceTls()))
        self._standing = Standing(InstanceHealth(service.name, url))
        if before is not None and self._policy.interval:
            self._standing = before._standing
        self._known_before = self.health.state != "unknown"
        # A call takes one jittered interval, its pause included, so the loop itself adds none.
        self._loop = LoopingCall(self._begin_round)
        self._loop.clock = tools.reactor
        self._round: Deferred[None] | None = None
        self._first: Deferred[None] = Deferred()

    @property
    def health(self) -> InstanceHealth:
        """What is known now."""
        return self._standing.health

    def probes_like(self, service: Service) -> bool:
        """Whether a service is to be probed as this probes: of TLS, files count that may have changed."""
        return self._policy == service.health and not self._secure

    def start(self) -> Deferred[None]:
        """Begin; fires after the first probe, at :meth:`stop`, or at once when the interval is 0: nothing is probed.

        The first probe is sent at once, unless the instance is known already.
        """
        if self._policy.interval:
            self._loop.start(0).addErrback(self._broken)
        else:
            self._first.callback(None)
        return self._first

    def stop(self) -> None:
        """End, in the middle of a probe if need be."""
        if self._loop.running:
            self._loop.stop()
            if self._round is not None:
                self._round.cancel()
            if not self._first.called:
                self._first.callback(None)

    def _stopped(self) -> bool:
        return not self._loop.running

    def _begin_round(self) -> Deferred[None]:
        self._round = Deferred.fromCoroutine(self._probe_and_pause())
        return self._round

    async def _probe_and_pause(self) -> None:
        reactor = self._tools.reactor
        if self._known_before:
            # Many instances may have changed at once: they are not all probed in one moment.
            self._known_before = False
            await deferLater(reactor, self._policy.interval * self._tools.random.random())
        began = reactor.seconds()
        error = await self._probe()
        if self._stopped():
            return  # and the probe was broken off
        ended = reactor.seconds()
        before = self.health
        _log.debug(
            "{service} at {url} was probed in {seconds:.3f} s: {what}",
            service=before.service,
            url=before.url,
            seconds=ended - began,
            what=error or "healthy",
        )
        self._standing = judge(self._standing, Outcome(ended - began, error), self._policy, self._tools.now())
        self._note(before)
        self._tools.report(self.health)
        if not self._first.called:
            self._first.callback(None)
        if self._stopped():
            return  # by one of those who were told
        pause = jittered(self._policy.interval, self._tools.random)
        await deferLater(reactor, max(0.0, began + pause - ended))

    def _note(self, before: InstanceHealth) -> None:
        """Write a change of state to the log: it explains the 503s that follow, or their end."""
        health = self.health
        if health.state == before.state:
            return
        log = _log.warn if health.state == "unhealthy" else _log.info
        log(
            "{service} at {url} is {state}{why}",
            service=health.service,
            url=health.url,
            state=health.state,
            why=f": {health.error}" if health.error else "",
        )

    async def _probe(self) -> str | None:
        """Why the probe failed, in a few words; None if it did not."""
        timeout = self._policy.timeout
        asked = Deferred.fromCoroutine(fetch_status(self._agent, self._target))
        try:
            status = await asked.addTimeout(timeout, self._tools.reactor, onTimeoutCancel=_late)
        except Exception as error:
            return describe(error)
        return None if 200 <= status < 400 else f"status {status}"

    def _broken(self, failure: Failure) -> None:
        if failure.check(CancelledError) is None:
            _log.failure("the probes of {url} have ended", failure, url=self.health.url)


def probing_agent(reactor: IReactorTime, peer_of: PeerOf | None = None) -> IAgent:
    """An agent as the probes need it: a connection for each request, and no lines in the log about it.

    ``peer_of`` says who should be at the host of an ``https`` URL; by default, whom the system's authorities vouch for.
    """
    peer_of = peer_of or partial(Peers(resume=False).peer, ServiceTls())
    agent: IAgent = Agent.usingEndpointFactory(reactor, QuietEndpoints(reactor, peer_of))
    return agent


async def fetch_status(agent: IAgent, url: bytes) -> int:
    """The status of a GET, once the answer is complete or :data:`LARGEST_BODY` of it has come."""
    headers = Headers({"User-Agent": ["tracseq-gateway health probe"], "Accept": ["*/*"]})
    response: IResponse = await agent.request(b"GET", url, headers, None)
    sink = _Sink()
    response.deliverBody(sink)
    await sink.done
    status: int = response.code
    return status


class _Sink(Protocol):
    """Reads an answer's body and forgets it."""

    def __init__(self) -> None:
        self.done: Deferred[None] = Deferred(lambda _: self._hang_up())
        self._left = LARGEST_BODY

    def dataReceived(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0 and not self.done.called:
            self.done.callback(None)
            self._hang_up()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        if not self.done.called:
            if reason.check(ResponseDone, PotentialDataLoss):
                self.done.callback(None)
            else:
                self.done.errback(reason)

    def _hang_up(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()


def _late(result: object, timeout: float) -> NoReturn:
    raise TimeoutError(f"timed out after {timeout:g} s")
