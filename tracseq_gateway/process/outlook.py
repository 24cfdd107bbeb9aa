"""The overview of the whole gateway: made in the supervisor from what it knows and what the workers tell it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from attrs import frozen
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from tracseq_gateway import __version__
from tracseq_gateway.config import Config
from tracseq_gateway.interfaces import InstanceHealth
from tracseq_gateway.overview.digest import Digest
from tracseq_gateway.overview.facts import Facts, ServiceFacts, WorkerFacts
from tracseq_gateway.overview.overview import Document, Overview
from tracseq_gateway.process.control_socket import Answer, Command
from tracseq_gateway.process.worker_process import WorkerProcess
from tracseq_gateway.process.workforce import Workforce

TICK_SECONDS: Final = 1.0


@frozen
class Known:
    """What the supervisor can be asked at any time."""

    config: Callable[[], Config]
    instances: Callable[[], Sequence[InstanceHealth]]
    """All instances of all services, as they are now."""
    stopping: Callable[[], bool]
    """Whether the gateway stops, or another one takes its place."""


class Outlook:
    """Collects the workers' digests, and shows the overview to the workers that have watchers and to who asks."""

    def __init__(
        self, reactor: IReactorTime, workforce: Workforce, known: Known, now: Callable[[], float] = time.time
    ) -> None:
        """``now`` gives seconds since the epoch; the reactor's clock need not be that."""
        self._reactor = reactor
        self._workforce = workforce
        self._known = known
        self._now = now
        self._started = now()
        self._overview = Overview()
        self._digests: dict[WorkerProcess, int] = {}
        """How many digests came from each living worker."""
        self._ticking = LoopingCall(self._tick)
        self._ticking.clock = reactor
        self._log = Logger()
        workforce.digested = self._take

    @property
    def commands(self) -> Mapping[str, Command]:
        """What can be asked for at the control socket."""
        return {"overview": self._answer}

    def start(self) -> None:
        """Begin to take down how the gateway is."""
        self._ticking.start(TICK_SECONDS).addErrback(self._broken)

    def stop(self) -> None:
        """Take down no more."""
        if self._ticking.running:
            self._ticking.stop()

    def document(self) -> Document:
        """The overview as it is now."""
        return self._overview.document(self._facts())

    def at_work(self, service: str, url: str) -> int:
        """How many requests are under way at an instance, as the workers last said."""
        return self._overview.in_flight()[service, url]

    def digests(self) -> dict[WorkerProcess, int]:
        """How many digests have come from each living worker."""
        return {worker: self._digests.get(worker, 0) for worker in self._workforce.workers}

    def _take(self, worker: WorkerProcess, digest: Digest) -> None:
        if worker.pid is not None:
            self._digests[worker] = self._digests.get(worker, 0) + 1
            self._overview.take(worker.pid, digest, self._reactor.seconds())

    def _tick(self) -> None:
        self._digests = self.digests()
        facts = self._facts()
        self._overview.observe(facts)
        watching = [worker for worker in self._workforce.workers if worker.watching]
        if watching:
            overview = _as_json(self._overview.document(facts))
            for worker in watching:
                worker.show(overview)

    def _facts(self) -> Facts:
        config, health = self._known.config(), self._workforce.health
        moment, now = self._reactor.seconds(), self._now()
        by_service: dict[str, list[InstanceHealth]] = {name: [] for name in config.services}
        for instance in self._known.instances():
            by_service.setdefault(instance.service, []).append(instance)
        workers = [
            WorkerFacts(worker.index, worker.pid, worker.state, now - (moment - worker.since))
            for worker in self._workforce.workers
            if worker.pid is not None
        ]
        return Facts(
            time=now,
            moment=moment,
            version=__version__,
            environment=config.gateway.environment,
            started=self._started,
            stopping=self._known.stopping(),
            configured=health.configured,
            running=health.running,
            restarts=health.restarts,
            services=[
                ServiceFacts(name, service.prefix, by_service[name]) for name, service in config.services.items()
            ],
            workers=sorted(workers, key=lambda worker: (worker.index, worker.since)),
            counted=config.dashboard.enabled,
        )

    def _answer(self, request: Mapping[str, Any], client: object) -> Deferred[Answer]:
        return succeed(self.document())

    def _broken(self, failure: Failure) -> None:
        self._log.failure("the overview is not made any more", failure)


def _as_json(document: Document) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
