"""One service as a worker sees it: its instances, which of them may take requests, and who is next."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from attrs import define

from tracseq_gateway.config.model import Service
from tracseq_gateway.http.fields import KnownLines
from tracseq_gateway.interfaces import InstanceHealth, Observation, State
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
        self.instances: list[Instance] = []
        for instance in settings.instances:
            parts = urlsplit(instance.url)
            pool = Pool(
                parts.hostname or "",
                parts.port or 80,
                settings.connections,
                settings.timeouts,
                deadlines,
                connect,
                known,
            )
            self.instances.append(Instance(instance.url, instance.weight, parts.netloc.encode("ascii"), pool))
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
        healthy = [instance for instance in self.instances if instance.state != "unhealthy"]
        if not healthy and self.settings.when_all_unhealthy == "use_all":
            healthy = list(self.instances)
        self._eligible = healthy

    def take_observation(self, observation: Observation) -> None:
        """Take over what another worker found out; of no effect, as there is neither ejection nor circuit yet."""

    @property
    def retry_after(self) -> int:
        """Seconds after which an instance may be healthy again: as many probes as that takes."""
        health = self.settings.health
        return max(1, round(health.interval * health.healthy_after))

    def close(self) -> None:
        """Close the idle connections."""
        for instance in self.instances:
            instance.pool.close()
