"""One service as a worker sees it: its instances, which of them may take requests, and who is next."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from attrs import define

from tracseq_gateway.config import upstream as config
from tracseq_gateway.config.model import Service
from tracseq_gateway.http.fields import KnownLines
from tracseq_gateway.interfaces import InstanceHealth, State
from tracseq_gateway.net.deadlines import Deadlines
from tracseq_gateway.upstream.balance import POLICIES, LeastConnections, Policy
from tracseq_gateway.upstream.pool import Connect, Pool


@define(eq=False)
class Instance:
    """One server process of a service."""

    url: str
    weight: int
    authority: bytes
    """Host and port, as a Host field has them."""
    pool: Pool
    state: State = "unknown"
    in_flight: int = 0
    current_weight: int = 0


class UpstreamService:
    """A service's instances and the policy that chooses among them."""

    def __init__(self, settings: Service, deadlines: Deadlines, connect: Connect, known: KnownLines) -> None:
        self.settings = settings
        self.name = settings.name
        self._deadlines = deadlines
        self._connect = connect
        self._known = known
        self.instances = [self._make(instance) for instance in settings.instances]
        self._policy: Policy = POLICIES[settings.balance]()
        # Second choices are not the policy's turn: they would make it pass over the same instance again and again.
        self._second_choice: Policy = LeastConnections()
        self._eligible = list(self.instances)

    def __repr__(self) -> str:
        states = ", ".join(f"{instance.url} {instance.state}" for instance in self.instances)
        return f"<UpstreamService {self.name}: {states}>"

    def choose(self, tried: Iterable[Instance] = ()) -> Instance | None:
        """Return the instance for a request, none of ``tried``; None when no instance may take one."""
        candidates = self._eligible
        policy = self._policy
        if tried:
            candidates = [instance for instance in candidates if instance not in tried]
            policy = self._second_choice
        if len(candidates) > 1:
            return candidates[policy.choose(candidates)]
        return candidates[0] if candidates else None

    def update(self, health: InstanceHealth) -> None:
        """Take over what a probe said."""
        for instance in self.instances:
            if instance.url == health.url:
                instance.state = health.state
        self._elect()

    def _elect(self) -> None:
        healthy = [instance for instance in self.instances if instance.state != "unhealthy"]
        if not healthy and self.settings.when_all_unhealthy == "use_all":
            healthy = list(self.instances)
        self._eligible = healthy

    def set_instances(self, instances: Sequence[config.Instance]) -> None:
        """Have these instances from now on, no two with the same URL.

        Those that stay keep their connections and what is known of them; new ones are unknown, and may take requests.
        Those that are gone take none: what they have under way, requests that wait for one of their connections among
        it, goes on, and their connections close.
        """
        before = {instance.url: instance for instance in self.instances}
        self.instances = [before.pop(one.url) if one.url in before else self._make(one) for one in instances]
        for instance, one in zip(self.instances, instances, strict=True):
            instance.weight = one.weight
        self._elect()
        for gone in before.values():
            gone.pool.retire()

    def _make(self, settings: config.Instance) -> Instance:
        parts = urlsplit(settings.url)
        pool = Pool(
            parts.hostname or "",
            parts.port or 80,
            self.settings.connections,
            self.settings.timeouts,
            self._deadlines,
            self._connect,
            self._known,
        )
        return Instance(settings.url, settings.weight, parts.netloc.encode("ascii"), pool)

    @property
    def retry_after(self) -> int:
        """Seconds after which an instance may be healthy again: as many probes as that takes."""
        health = self.settings.health
        return max(1, round(health.interval * health.healthy_after))

    def close(self) -> None:
        """Close the idle connections."""
        for instance in self.instances:
            instance.pool.close()
