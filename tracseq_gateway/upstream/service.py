"""One service as a worker sees it: its instances, which of them may take requests, and who is next.

Four things keep an instance from requests: an operator who drains it, active probes (from the supervisor) that failed,
an ejection for requests that failed, and, in part, the slow start after these. A circuit that is open keeps requests
from all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from random import Random
from typing import Protocol
from urllib.parse import urlsplit

from tracseq_gateway.config import upstream
from tracseq_gateway.config.model import Service
from tracseq_gateway.config.service_tls import ServiceTls
from tracseq_gateway.config.url import parse_url
from tracseq_gateway.errors import CIRCUIT_OPEN, NO_INSTANCE, GatewayError
from tracseq_gateway.http.cookies import cookie
from tracseq_gateway.http.cors import OriginRules
from tracseq_gateway.http.fields import KnownLines
from tracseq_gateway.interfaces import InstanceHealth, Request
from tracseq_gateway.net.deadlines import Deadlines
from tracseq_gateway.net.tls_peer import Peer, Peers
from tracseq_gateway.upstream.admission import AdmissionControl
from tracseq_gateway.upstream.balance import (
    Ewma,
    LeastConnections,
    Policy,
    PowerOfTwo,
    RoundRobin,
    SmoothWeighted,
    copied,
    measure,
)
from tracseq_gateway.upstream.hashing import ConsistentHash, key_of
from tracseq_gateway.upstream.instance import Instance
from tracseq_gateway.upstream.passive import PassiveHealth
from tracseq_gateway.upstream.pool import Connect, ConnectEnded, Pool
from tracseq_gateway.upstream.retry import RetryPolicy
from tracseq_gateway.upstream.secure import SecureConnect


class Lasts(Protocol):
    """Who sees that what a request has opened ends when its caller may no longer."""

    def __call__(self, request: Request, end: Callable[[str], None], *, until_expiry: bool) -> None:
        """Have ``end`` called then, with the reason, unless the request is over before; ``until_expiry``: with its
        token or API key, too."""


def _for_ever(request: Request, end: Callable[[str], None], *, until_expiry: bool) -> None:
    """Where nobody is asked who he is, nobody may no longer."""


LEAST_WARMTH = 0.1
"""The share of its requests that an instance gets at least when it comes back."""


class UpstreamService:
    """A service's instances and the policies that choose among them."""

    def __init__(
        self,
        settings: Service,
        deadlines: Deadlines,
        connect: Connect,
        known: KnownLines,
        random: Random | None = None,
        peers: Peers | None = None,
    ) -> None:
        """``random`` is where all that is drawn comes from, ``peers`` what is common to services behind TLS."""
        self.settings = settings
        self.name = settings.name
        self.instances: list[Instance] = []
        self.tunnels = 0
        """Connections that speak another protocol by now."""
        self.origins: OriginRules | None = None
        """The pages that may open a WebSocket; None: any. Set by who knows what the whole gateway allows."""
        self.lasts: Lasts = _for_ever
        """Told of each request that goes on for long; set by who knows when its caller may no longer."""
        self._deadlines = deadlines
        self._connect = connect
        self._known = known
        self._random = random or Random()  # noqa: S311
        self._peers = peers or Peers()
        self._policy = self._policy_of(settings)
        # Second choices are not the policy's turn: they would make it pass over the same instance again and again.
        self._second_choice: Policy = LeastConnections()
        self.connect_ended: ConnectEnded = lambda seconds, error: None
        """Told how each attempt to connect to an instance ended; set by who counts them."""
        self.sticky = settings.sticky_cookie.encode("ascii")
        self.timed = settings.balance == "ewma"
        """Whether it is to be told how long answers take."""
        self.passive = PassiveHealth(settings, self.instances, deadlines, self._refresh, self._restored)
        self.breaker = self.passive.breaker
        self.retries = RetryPolicy(settings.retries, self._in_flight, self._random.random)
        self.admission = (
            AdmissionControl(settings.admission, deadlines.now, self._random.random)
            if settings.admission.enabled
            else None
        )
        self._warming = False
        self._eligible: list[Instance] = []
        for instance in settings.instances:
            self._add(instance)
        self._refresh()

    def __repr__(self) -> str:
        states = ", ".join(f"{instance.url} {instance.state}" for instance in self.instances)
        return f"<UpstreamService {self.name}: {states}, {self.breaker!r}>"

    def _policy_of(self, settings: Service) -> Policy:
        random, now = self._random.random, self._deadlines.now
        makers: dict[upstream.Balance, Callable[[], Policy]] = {
            "round_robin": RoundRobin,
            "weighted_round_robin": SmoothWeighted,
            "least_connections": LeastConnections,
            "p2c": lambda: PowerOfTwo(random),
            "ewma": lambda: Ewma(random, now),
            "consistent_hash": lambda: ConsistentHash(key_of(settings.hash_by), settings.hash_bound),
        }
        return makers[settings.balance]()

    def rehearsal(self, pool_of: Callable[[Instance], Pool]) -> UpstreamService:
        """One that lets in, chooses and passes on as this one would now, and changes nothing here.

        ``pool_of`` gives what stands for the pool of an instance.
        """
        twin = copy(self)
        twin._random = Random()  # noqa: S311
        twin._random.setstate(self._random.getstate())
        random = twin._random.random
        twin._policy, twin._second_choice = copied(self._policy, random), copied(self._second_choice, random)
        copies = {instance.url: copy(instance) for instance in self.instances}
        for instance in copies.values():
            instance.pool = pool_of(instance)
        twin.instances = list(copies.values())
        twin._eligible = [copies[instance.url] for instance in self._eligible]
        twin.passive, twin.retries = self.passive.rehearsal(), copy(self.retries)
        twin.breaker = twin.passive.breaker
        twin.admission = self.admission.rehearsal(random) if self.admission is not None else None
        return twin

    def may_take(self, instance: Instance) -> bool:
        """Whether requests may go to an instance now."""
        return instance in self._eligible

    def _add(self, settings: upstream.Instance) -> None:
        place = parse_url(settings.url)
        if self.settings.secure and not place.tls:
            raise ValueError(f"{settings.url}: {self.name} is configured with TLS and is never spoken to in clear")
        peer = self.peer(place.host) if place.tls else None
        clear = self._connect
        pool = Pool(
            place.host,
            place.port,
            self.settings.connections,
            self.settings.timeouts,
            self._deadlines,
            clear if peer is None else SecureConnect(self.name, settings.url, clear, peer, self._deadlines.clock),
            self._known,
            self._connect_ended,
        )
        host = urlsplit(settings.url).netloc.encode("ascii")
        self.instances.append(Instance(settings.url, settings.weight, host, pool, peer))

    def peer(self, host: str) -> Peer:
        """Who should be at an instance at ``host`` that is spoken to over TLS."""
        return self._peers.peer(self.settings.tls or ServiceTls(), host)

    def _connect_ended(self, seconds: float, error: str) -> None:
        self.connect_ended(seconds, error)

    @property
    def certificate_expires(self) -> float:
        """When the first certificate of those expires that its instances showed, in seconds since the epoch.

        0 while none has been verified here.
        """
        return min((one.peer.expires for one in self.instances if one.peer and one.peer.expires), default=0.0)

    def _in_flight(self) -> int:
        return sum(instance.in_flight for instance in self.instances)

    # Who is next.

    def choose(self, request: Request | None = None, tried: Iterable[Instance] = ()) -> Instance | None:
        """Return the instance for a request, none of ``tried``; None when no instance may take one."""
        candidates = self._eligible
        policy = self._policy
        if self.sticky and request is not None and not tried:
            kept = cookie(request.head.get(b"cookie"), self.sticky)
            for instance in candidates:
                if instance.token == kept:
                    return instance
        if tried:
            candidates = [instance for instance in candidates if instance not in tried]
            policy = self._second_choice
        if len(candidates) < 2:
            return candidates[0] if candidates else None
        chosen = candidates[policy.choose(candidates, request)]
        if self._warming and self._is_too_cold(chosen):
            others = [instance for instance in candidates if instance is not chosen]
            return others[self._second_choice.choose(others)]
        return chosen

    def stick(self, request: Request, instance: Instance) -> None:
        """Have the client come back to the instance that answers it."""
        if cookie(request.head.get(b"cookie"), self.sticky) != instance.token:
            path = self.settings.prefix.encode("ascii")
            request.answer_lines += b"set-cookie: %b=%b; Path=%b; HttpOnly; SameSite=Lax\r\n" % (
                self.sticky,
                instance.token,
                path,
            )

    def refusal(self) -> GatewayError:
        """Why there is no instance."""
        return GatewayError(NO_INSTANCE, "no healthy instance", retry_after=self.retry_after)

    def circuit_open(self) -> GatewayError:
        """Why a request is not let through."""
        seconds = max(1, round(self.breaker.seconds_left))
        return GatewayError(CIRCUIT_OPEN, "the service has failed too often", retry_after=seconds)

    @property
    def retry_after(self) -> int:
        """Seconds after which an instance may be healthy again: as many probes as that takes."""
        health = self.settings.health
        return max(1, round(health.interval * health.healthy_after))

    def _is_too_cold(self, instance: Instance) -> bool:
        """Whether an instance that is warming up leaves a request to others: all but a growing share of them."""
        if not instance.warm_from:
            return False
        share = (self._deadlines.now() - instance.warm_from) / self.settings.slow_start
        if share < 1:
            return self._random.random() >= max(share, LEAST_WARMTH)
        instance.warm_from = 0.0
        self._warming = any(other.warm_from for other in self.instances)
        return False

    def answered_after(self, instance: Instance, seconds: float) -> None:
        """Take into account how long an answer took."""
        measure(instance, seconds, self._deadlines.now())

    def _restored(self, instance: Instance) -> None:
        """An instance serves again: by and by, if that is wanted."""
        if self.settings.slow_start:
            instance.warm_from = self._deadlines.now()
            self._warming = True

    # What the supervisor says.

    def set_instances(self, instances: Sequence[upstream.Instance]) -> None:
        """Have these instances from now on, no two with the same URL, and at least one.

        Those that stay keep their connections and what is known of them; new ones are unknown, and may take requests.
        Those that are gone take none: what they have under way, requests that wait for one of their connections among
        it, goes on, and their connections close.
        """
        listed = {instance.url: instance for instance in instances}
        present = {instance.url: instance for instance in self.instances}
        for url, settings in listed.items():
            if url not in present:
                self._add(settings)
            elif present[url].weight != settings.weight:
                present[url].weight = settings.weight
                self._policy = self._policy_of(self.settings)  # it may have laid something out by weight
        gone = [instance for url, instance in present.items() if url not in listed]
        for instance in gone:
            self.instances.remove(instance)
        self._refresh()
        for instance in gone:  # not before: whoever has to try elsewhere now must find the others
            instance.retire()

    def update(self, health: InstanceHealth) -> None:
        """Take over what a probe said, and whether it is drained."""
        for instance in self.instances:
            if instance.url == health.url:
                self._probed(instance, health)
        self._refresh()

    def _probed(self, instance: Instance, health: InstanceHealth) -> None:
        comes_back = instance.drained or instance.state == "unhealthy"
        if comes_back and health.state != "unhealthy" and not health.drained:
            self._restored(instance)
        instance.state = health.state
        instance.drained = health.drained
        if health.checked > instance.checked:
            instance.checked = health.checked
            self.passive.probed(instance, passed=health.error is None)

    def _refresh(self) -> None:
        """Find out anew who may take requests. Ejections are ignored when they would leave nobody, drains never."""
        wanted = [instance for instance in self.instances if not instance.drained]
        healthy = [instance for instance in wanted if instance.state != "unhealthy"]
        if not healthy and self.settings.when_all_unhealthy == "use_all":
            healthy = wanted
        self._eligible = [instance for instance in healthy if not instance.record.ejected] or healthy

    def close(self) -> None:
        """Close the idle connections."""
        for instance in self.instances:
            instance.close()
