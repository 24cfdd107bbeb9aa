"""Instances that an operator has drained: they get no new requests until he undoes it.

The supervisor remembers it, over reloads and over the ends of workers, but not over its own: a gateway that is started
anew uses all instances. What is no instance any more is forgotten, so that another one that comes to have the same URL
is not drained without anybody knowing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from attrs import evolve, field, frozen, validators
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from tracseq_gateway.interfaces import InstanceHealth
from tracseq_gateway.process.control_socket import Answer, Command
from tracseq_gateway.process.outlook import Outlook

LONGEST_WAIT: Final = 3600.0
"""Seconds that a command may wait until nothing is under way."""
LOOK_SECONDS: Final = 0.2
FRESH: Final = 2
"""Digests after which a worker's word counts: the first of them may have been on its way before the drain."""
MOST_NAMED: Final = 20

T = TypeVar("T")
Place = tuple[str, str]
"""A service's name and the URL of an instance."""


@frozen
class _Request:
    """What is asked for; raises ValueError or TypeError for what cannot be meant."""

    instance: str = field(validator=validators.instance_of(str))
    service: str = field(default="", validator=validators.instance_of(str))
    undo: bool = field(default=False, validator=validators.instance_of(bool))
    force: bool = field(default=False, validator=validators.instance_of(bool))
    wait: float = field(
        default=0.0,
        validator=[validators.instance_of((int, float)), validators.ge(0), validators.le(LONGEST_WAIT)],
    )


class Drains:
    """Knows what is drained, and takes the command."""

    def __init__(
        self,
        reactor: IReactorTime,
        instances: Callable[[], Sequence[InstanceHealth]],
        publish: Callable[[Iterable[InstanceHealth]], None],
    ) -> None:
        """``instances`` gives all instances as the probes see them; ``publish`` tells the workers of some."""
        self._reactor = reactor
        self._probed = instances
        self._publish = publish
        self._drained: set[Place] = set()
        self._waiting: set[Deferred[bool]] = set()
        self._log = Logger()

    def commands(self, outlook: Outlook) -> Mapping[str, Command]:
        """What can be asked for at the control socket; ``outlook`` knows what is under way."""
        return {"drain": lambda request, client: self._answer(request, outlook)}

    def marked(self, instances: Iterable[InstanceHealth]) -> list[InstanceHealth]:
        """The instances with whether each is drained."""
        return [
            evolve(instance, drained=True) if (instance.service, instance.url) in self._drained else instance
            for instance in instances
        ]

    def instances(self) -> list[InstanceHealth]:
        """All instances as they are now."""
        return self.marked(self._probed())

    def revise(self) -> None:
        """There may be other instances now: forget those that are gone."""
        gone = self._drained - {(instance.service, instance.url) for instance in self._probed()}
        self._drained -= gone
        for service, url in gone:
            self._log.info("{service}: {url}, which was drained, is no instance any more", service=service, url=url)

    def stop(self) -> None:
        """Let nobody wait any longer."""
        for waiting in list(self._waiting):
            waiting.cancel()

    def _answer(self, request: Mapping[str, Any], outlook: Outlook) -> Deferred[Answer]:
        try:
            wanted = _Request(**{name: value for name, value in request.items() if name != "command"})
        except (TypeError, ValueError) as error:
            return succeed({"error": f"this cannot be drained: {error.args[0]}"})
        places = self._meant(wanted)
        problem = self._problem(wanted, places)
        if problem:
            return succeed({"error": problem})
        self._change(places, drained=not wanted.undo)
        if not wanted.wait or wanted.undo:
            return succeed(self._report(places, outlook, None))
        return self._empty(places, outlook, float(wanted.wait)).addCallback(
            lambda empty: self._report(places, outlook, empty)
        )

    def _meant(self, wanted: _Request) -> set[Place]:
        """The instances that are meant: by URL, or by host and port, of all services or of one."""
        name = wanted.instance.rstrip("/")
        names = {name, f"http://{name}", f"https://{name}"}
        return {
            (instance.service, instance.url)
            for instance in self._probed()
            if instance.url.rstrip("/") in names and wanted.service in ("", instance.service)
        }

    def _problem(self, wanted: _Request, places: set[Place]) -> str | None:
        """Why it is not done; None if it is."""
        every = self.instances()
        if not places:
            known = [one.url for one in every if wanted.service in ("", one.service)]
            named = ", ".join(dict.fromkeys(known[:MOST_NAMED])) or "none"
            whose = f"the service {wanted.service!r}" if wanted.service else "any service"
            return f"{wanted.instance!r} is no instance of {whose}; there are: {named}"
        usable = {(one.service, one.url) for one in every if not one.drained and one.state != "unhealthy"}
        last = {service for service, _ in places} - {service for service, _ in usable - places}
        if last and not wanted.undo and not wanted.force and not places <= self._drained:
            return (
                f"{wanted.instance} is the last instance of {', '.join(sorted(last))} that can take requests, which "
                "would all be refused with 503; --force drains it all the same"
            )
        return None

    def _change(self, places: set[Place], *, drained: bool) -> None:
        changed = places - self._drained if drained else places & self._drained
        self._drained = self._drained | places if drained else self._drained - places
        how = "is drained" if drained else "is drained no more"
        for service, url in sorted(changed):
            self._log.info("{service}: instance {url} {how}", service=service, url=url, how=how)
        self._publish(one for one in self.instances() if (one.service, one.url) in changed)

    def _report(self, places: set[Place], outlook: Outlook, empty: bool | None) -> Answer:
        return {
            "instances": [
                {
                    "service": service,
                    "url": url,
                    "drained": (service, url) in self._drained,
                    "in_flight": outlook.at_work(service, url),
                }
                for service, url in sorted(places)
            ],
            "empty": empty,
        }

    def _empty(self, places: set[Place], outlook: Outlook, seconds: float) -> Deferred[bool]:
        """Fires when nothing is under way at these instances, with True, or with False after so many seconds."""
        waiting = Deferred.fromCoroutine(self._wait(places, outlook, self._reactor.seconds() + seconds))
        self._waiting.add(waiting)
        return waiting.addErrback(_stopped).addBoth(self._waited, waiting)

    def _waited(self, result: T, waiting: Deferred[bool]) -> T:
        self._waiting.discard(waiting)
        return result

    async def _wait(self, places: set[Place], outlook: Outlook, until: float) -> bool:
        before = outlook.digests()
        while self._reactor.seconds() < until:
            await deferLater(self._reactor, LOOK_SECONDS)
            heard = outlook.digests()
            # A worker that does not serve yet, or was started since, knows of the drain.
            fresh = all(
                heard[worker] >= before[worker] + FRESH
                for worker in heard
                if worker in before and worker.state != "starting"
            )
            if fresh and not any(outlook.at_work(*place) for place in places):
                return True
        return False


def _stopped(failure: Failure) -> bool:
    """The gateway stops: nobody waits for it to be empty."""
    failure.trap(CancelledError)
    return False
