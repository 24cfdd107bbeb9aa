"""What a load cost, for one request."""

from __future__ import annotations


class PerRequest:
    """What samples with a number of requests and the CPU seconds of the workers have in common."""

    __slots__ = ()

    requests: int
    worker_cpu: float

    @property
    def microseconds(self) -> float:
        """CPU microseconds of the workers for one request."""
        return self.worker_cpu / self.requests * 1e6

    @property
    def per_cpu_second(self) -> float:
        """Requests for each second of the workers' CPU."""
        return self.requests / self.worker_cpu
