"""All workers of one gateway, addressed as one."""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TypeVar

from attrs import evolve, frozen
from twisted.internet.defer import Deferred

from tracseq_gateway.config import Instance, Log
from tracseq_gateway.interfaces import InstanceHealth, Observation, WorkerHealth
from tracseq_gateway.overview.digest import Digest
from tracseq_gateway.process.control import (
    InstancesChanged,
    InstancesListed,
    LevelsChanged,
    Observed,
    WorkersChanged,
    packInstances,
    packLevels,
    packList,
    packObservation,
    packWorkers,
)
from tracseq_gateway.process.covering import Covering
from tracseq_gateway.process.metrics_pages import Processes
from tracseq_gateway.process.relay import Relay
from tracseq_gateway.process.slot import Slot
from tracseq_gateway.process.succession import Succession
from tracseq_gateway.process.worker_process import GRACE_SECONDS, Ending, Launch, WorkerProcess

T = TypeVar("T")


@frozen
class Farewell:
    """What a drain of all workers came to."""

    cut: int = 0
    """Requests that were cut, as the workers counted."""
    crashed: int = 0
    """Workers that were killed or failed while they served; what they still had was cut too, and nobody counted it."""


class Workforce:
    """One slot for each listening socket. Every worker knows the last word on each instance and on the workers."""

    def __init__(
        self,
        launch: Launch,
        listeners: Sequence[socket.socket],
        buried: Callable[[int], None] = lambda pid: None,
        further: Sequence[socket.socket] = (),
    ) -> None:
        """``buried`` is told the process id of each worker that is gone.

        ``further`` sockets have no worker of their own: whoever can accepts from them, one worker from each at a time.
        """
        self.digested: Callable[[WorkerProcess, Digest], None] = lambda worker, digest: None
        """Told what each worker counted; set by who makes the overview."""
        self._buried = buried
        self._slots = [Slot(launch, index, listener, self) for index, listener in enumerate(listeners)]
        self._further = dict(enumerate(further, len(self._slots)))
        self._lists: dict[str, Sequence[Instance]] = {}
        self._instances: dict[tuple[str, str], InstanceHealth] = {}
        self._relay = Relay(launch.reactor.seconds, self._knows)
        self._covering = Covering(self._socket_name)
        self._levels: bytes | None = None
        self._told: WorkerHealth | None = None
        self._stopping = False
        self._complete: Deferred[None] = Deferred()
        self._succession: Succession | None = None
        self._listed: Collection[str] = ()
        self._farewell = Farewell()
        self._gone: Deferred[Farewell] | None = None

    def __repr__(self) -> str:
        return f"<workforce {self._slots!r}>"

    @property
    def health(self) -> WorkerHealth:
        """How many workers there should be, how many serve, and how many were replaced."""
        return WorkerHealth(
            configured=len(self._slots),
            running=sum(slot.serving for slot in self._slots),
            restarts=sum(slot.restarts for slot in self._slots),
            stopping=self._stopping,
        )

    @property
    def processes(self) -> Processes:
        """The worker processes that serve, for the metrics."""
        pids = {str(index): slot.pid for index, slot in enumerate(self._slots) if slot.pid is not None}
        return Processes(self.health.restarts, pids)

    @property
    def workers(self) -> list[WorkerProcess]:
        """All living processes, those that finish what they had among them."""
        return [worker for slot in self._slots for worker in slot.workers]

    def start(self) -> Deferred[None]:
        """Fill all slots; fires when for the first time all of them serve."""
        for slot in self._slots:
            slot.fill()
        return self._complete

    def list_instances(self, service: str, instances: Sequence[Instance]) -> None:
        """Tell all workers, also those to come, which instances a service has now."""
        self._lists[service] = instances
        urls = {instance.url for instance in instances}
        for place in [place for place in self._instances if place[0] == service and place[1] not in urls]:
            del self._instances[place]
        for instance in instances:
            self._instances.setdefault((service, instance.url), InstanceHealth(service, instance.url))
        for worker in self.workers:
            worker.tell(InstancesListed, service=service, instances=packList(instances))

    def publish(self, instances: Iterable[InstanceHealth]) -> None:
        """Tell all workers, also those to come, about these instances."""
        news = {(instance.service, instance.url): instance for instance in instances}
        self._instances |= news
        for worker in self.workers:
            self._tellInstances(worker, news.values())

    def relevel(self, log: Log) -> None:
        """Tell all workers, also those to come, by which levels to log."""
        self._levels = packLevels(log)
        for worker in self.workers:
            worker.tell(LevelsChanged, levels=self._levels)

    def restate(self, instances: Iterable[InstanceHealth]) -> None:
        """Tell all workers about these instances, and forget those that are not among them."""
        self._instances.clear()
        self.publish(instances)

    def retain(self, services: Collection[str]) -> Mapping[str, Sequence[Instance]]:
        """Forget the lists of all other services, whose instances are what the configuration says; return the rest."""
        self._lists = {name: instances for name, instances in self._lists.items() if name in services}
        return self._lists

    def replace(self, launch: Launch, listed: Collection[str] = ()) -> Deferred[None]:
        """Let all workers be followed by others that are started by ``launch``, all at once.

        Of the lists of instances, those of the services ``listed`` hold for these workers, too.
        Fires when these serve and the old ones have begun to finish what they have. Fails with ``SuccessionFailed``
        when that cannot be, and then all is as before. There is one such attempt at a time.
        """
        assert self._gone is None, "a workforce that leaves has no successors"
        succession = self._succession = Succession(self._slots, launch)
        self._listed = listed
        succession.begin()
        return succession.done.addBoth(self._settled)

    def give_notice(self) -> None:
        """Have all workers say that the gateway will stop, while they serve as before."""
        self._stopping = True
        self.changed()

    def drain(self, seconds: float, grace: float = GRACE_SECONDS, *, gentle: bool = False) -> Deferred[Farewell]:
        """Close the sockets and let all workers finish within ``seconds``; what is left ``grace`` later is killed.

        Fires when no process is left. To be called once; :meth:`hasten` moves the deadline. ``gentle``: others serve
        on the same sockets.
        """
        assert self._gone is None, "a workforce is drained once"
        gone = self._gone = Deferred()
        if self._succession is not None:
            self._succession.failed("the gateway stops")
        for slot in self._slots:
            slot.close()
        for listener in self._further.values():
            listener.close()
        self.hasten(seconds, grace, gentle=gentle)
        self._dismiss()
        return gone

    def hasten(self, seconds: float, grace: float, *, gentle: bool = False) -> None:
        """Give all living workers a new deadline."""
        for worker in self.workers:
            worker.drain(seconds, grace, gentle=gentle)

    def serving(self, index: int | None = None) -> WorkerProcess | None:
        """A worker that serves and answers: that of the slot ``index``, or the first; None when there is none."""
        slots = self._slots if index is None else self._slots[index : index + 1] if index >= 0 else []
        return next((slot.able for slot in slots if slot.able is not None), None)

    def condemn(self) -> None:
        """Kill all workers now."""
        for worker in self.workers:
            worker.condemn()

    def brief(self, worker: WorkerProcess) -> None:
        """See ``Employer``: all that is known, before it is asked to serve."""
        follows = any(worker is slot.successor for slot in self._slots)
        for service, instances in self._lists.items():
            if follows and service not in self._listed:
                continue
            worker.tell(InstancesListed, service=service, instances=packList(instances))
        self._tellInstances(worker, self._instances.values())
        if self._levels is not None:
            worker.tell(LevelsChanged, levels=self._levels)
        worker.tell(WorkersChanged, workers=packWorkers(self.health))
        for observation in self._relay.standing():
            worker.tell(Observed, observation=packObservation(observation))

    def observed(self, worker: WorkerProcess, observation: Observation) -> None:
        """See ``Employer``: tell the others."""
        if self._relay.heard(observation):
            news = packObservation(observation)
            for other in self.workers:
                if other is not worker:
                    other.tell(Observed, observation=news)

    def heard(self, worker: WorkerProcess, digest: Digest) -> None:
        """See ``Employer``."""
        self.digested(worker, digest)

    def changed(self) -> None:
        """See ``Employer``: tell all workers how many they are."""
        health = self.health
        if health != self._told:
            self._told = health
            news = packWorkers(health)
            for worker in self.workers:
                worker.tell(WorkersChanged, workers=news)
        if self._gone is None:
            self._cover()
        if health.running == health.configured and not self._complete.called:
            self._complete.callback(None)

    def _socket_name(self, index: int) -> str:
        further = self._further.get(index)
        return f"worker {index}" if further is None else f"port {further.getsockname()[1]}"

    def _cover(self) -> None:
        """Have a neighbour accept where a worker cannot, and where there is none."""
        sockets = {index: slot.abandoned for index, slot in enumerate(self._slots)}
        abandoned = {index: listener for index, listener in sockets.items() if listener is not None}
        abandoned |= self._further
        self._covering.arrange(abandoned, [slot.able for slot in self._slots if slot.able is not None])

    def ended(self, worker: WorkerProcess, ending: Ending) -> None:
        """See ``Employer``: once the last has gone, a drain is over."""
        if worker.pid is not None:
            self._buried(worker.pid)
        if self._gone is None:
            return
        farewell, crashed = self._farewell, ending.served is not None and not ending.clean
        self._farewell = evolve(farewell, cut=farewell.cut + (ending.cut or 0), crashed=farewell.crashed + crashed)
        self._dismiss()

    def successorServes(self) -> None:
        """See ``Employer``."""
        if self._succession is not None:
            self._succession.served()

    def successorFailed(self, why: str) -> None:
        """See ``Employer``."""
        if self._succession is not None:
            self._succession.failed(why)

    def _settled(self, result: T) -> T:
        self._succession = None
        return result

    def _dismiss(self) -> None:
        if self._gone is not None and not self.workers:
            self._gone.callback(self._farewell)

    def _knows(self, service: str, url: str) -> bool:
        """Whether there is such an instance, or, without ``url``, such a service."""
        return (service, url) in self._instances or (not url and any(name == service for name, _ in self._instances))

    def _tellInstances(self, worker: WorkerProcess, instances: Iterable[InstanceHealth]) -> None:
        for piece in packInstances(instances):
            worker.tell(InstancesChanged, instances=piece)
