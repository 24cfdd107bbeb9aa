"""Everything that a scenario runs in: the gateway, services behind injectors, Redis, a load; all ends with it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.certificate_kit import Authority
from tests.faults import proc
from tests.faults.asked import Told
from tests.faults.control import Child
from tests.faults.gateway import GatewayUnderTest
from tests.faults.scenario import EJECTED, Sample
from tests.faults.setup import Setup, configuration
from tests.faults.watch import Watch, ejected, health_states
from tests.redis_kit import RealRedis

SAMPLE_SECONDS = 0.25
HEALTH_SECONDS = 0.1


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Laboratory:
    """To be used in a ``with`` block: from its begin the gateway serves, at its end nothing is left."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.notes: dict[str, Any] = {}
        """What steps write down for the judge."""
        self.marks: list[tuple[float, str]] = []
        self.instances: list[Child] = []
        self.urls: list[str] = []
        self.samples: list[Sample] = []
        self.health: list[tuple[float, dict[str, str]]] = []
        self.crowds: dict[str, Child] = {}
        self._stack = ExitStack()
        self._authority = Authority("Harness")
        self._asides: list[threading.Thread] = []
        self._failures: list[Exception] = []
        self._others: dict[str, Child] = {}

    def __enter__(self) -> Laboratory:
        try:
            self._build()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stack.close()

    def _build(self) -> None:
        setup = self.setup
        self.directory = Path(tempfile.mkdtemp(prefix="faults-"))
        self._stack.callback(shutil.rmtree, self.directory, ignore_errors=True)
        (self.directory / "ca.pem").write_bytes(self._authority.certificate_pem)
        self.injector = self._stack.enter_context(Child("injector"))
        for number in range(setup.instances):
            instance = self._stack.enter_context(Child("instance", str(number)))
            if setup.tls:
                instance.tell("show", **self.certificate(expired=False))
            port = instance.tell("start")
            if not setup.direct:
                port = self.injector.tell("open", name=str(number), target=port)
            self.instances.append(instance)
            self.urls.append(f"{'https' if setup.tls else 'http'}://127.0.0.1:{port}")
        self.load = self._stack.enter_context(Child("load"))
        self._redis_url = self._redis()
        text = configuration(setup, self.urls, self._redis_url, str(self.directory))
        (self.directory / "logs").mkdir()
        environ = {name: value.replace("@DIRECTORY@", str(self.directory)) for name, value in setup.environ.items()}
        self.gateway = GatewayUnderTest(self.directory, text, free_port(), setup.workers, environ, setup.before)
        self._stack.callback(self.gateway.end)
        self.gateway.start()
        self._stack.enter_context(Watch(SAMPLE_SECONDS, self._sample))
        if setup.watch_health:
            self._stack.enter_context(Watch(HEALTH_SECONDS, self._read_health))

    def _redis(self) -> str:
        if self.setup.redis == "embedded":
            return "embedded"
        self.redis = RealRedis(port=free_port(), arguments=("--appendonly", "no"))
        self._stack.callback(self.redis.stop)
        self.redis.start()
        self.until(self.redis.accepts, 10)
        return f"redis://127.0.0.1:{self.injector.tell('open', name='redis', target=self.redis.port)}"

    def _sample(self) -> None:
        supervisor = self.gateway.pid
        workers = [held for pid in self.gateway.worker_pids() if (held := proc.holding(pid)) is not None]
        zombies = proc.zombies(supervisor)
        self.samples.append(Sample(time.monotonic(), tuple(workers), proc.holding(supervisor), zombies))

    def _read_health(self) -> None:
        states = health_states(self.gateway)
        if states is not None:
            states |= dict.fromkeys(ejected(self.gateway), EJECTED)
            self.health.append((time.monotonic(), states))

    # For steps.

    def until(self, condition: Callable[[], object], seconds: float) -> float:
        """Wait until something is true; return the seconds that took, NaN if it did not become so in time."""
        begun = time.monotonic()
        while not condition():
            if time.monotonic() - begun > seconds:
                return float("nan")
            time.sleep(0.01)
        return time.monotonic() - begun

    def note(self, name: str, value: Any) -> None:
        """Write something down for the judge; several under one name make a list."""
        self.notes.setdefault(name, []).append(value)

    def certificate(self, *, expired: bool) -> dict[str, str]:
        """A certificate of the instances, as :meth:`tests.faults.instance.Instance.show` takes it."""
        issued = self._authority.issue(["127.0.0.1"], expired=expired)
        certificate, key = issued.write_to(self.directory, "expired" if expired else "valid")
        return {"certificate": certificate, "key": key}

    def crowd(self, name: str) -> Child:
        """A new crowd of clients, see :class:`tests.faults.crowd.Crowd`, kept by its name."""
        crowd = self.crowds[name] = self._stack.enter_context(Child("crowd"))
        return crowd

    def also(self, name: str, **plan: Any) -> None:
        """Put a second load beside the first, of another process; see :class:`tests.faults.load.Plan`."""
        load = self._others[name] = self._stack.enter_context(Child("load"))
        load.tell("start", port=self.gateway.port, name=name, **plan)

    def others(self) -> dict[str, Told]:
        """Wait for the end of all second loads, and return what they have to tell."""
        return {name: Told.unpacked(load.ask("finish", 60)) for name, load in self._others.items()}

    def cleanup(self, end: Callable[[], object]) -> None:
        """Have something done at the end, however that comes."""
        self._stack.callback(end)

    def aside(self, work: Callable[[], object]) -> None:
        """Do something that takes time beside the other steps; the run waits for its end."""

        def run() -> None:
            try:
                work()
            except Exception as error:
                self._failures.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self._asides.append(thread)

    def join(self, seconds: float) -> None:
        """Wait for what is done aside; raises what went wrong there."""
        deadline = time.monotonic() + seconds
        for thread in self._asides:
            thread.join(max(deadline - time.monotonic(), 0))
        if self._failures:
            raise self._failures[0]

    def door(self, number: int | str, mode: str, existing: str = "keep") -> None:
        """Set the mode of the door before an instance, or of ``redis``."""
        self.injector.tell("mode", name=str(number), mode=mode, existing=existing)

    def write(self, setup: Setup) -> None:
        """Write the gateway's file anew, for these services and this Redis; the gateway is not told."""
        text = configuration(setup, self.urls, self._redis_url, str(self.directory))
        fresh = self.gateway.file.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(self.gateway.file)

    def tamper(self, number: int | str, direction: str, **faults: Any) -> None:
        """Do something to the bytes of one direction at a door."""
        self.injector.tell("tamper", name=str(number), direction=direction, **faults)

    def behave(self, numbers: int | Sequence[int], **manners: Any) -> None:
        """Have instances behave like this."""
        for number in [numbers] if isinstance(numbers, int) else numbers:
            self.instances[number].tell("behave", **manners)

    def kill_worker(self, number: int = 0, sent: int = signal.SIGKILL) -> int:
        """Send the worker of a place a signal; note how many seconds later another serves, and return its process.

        Raises :exc:`StopIteration` if nobody works there.
        """
        pid = next(pid for pid in self.gateway.worker_pids() if self.gateway.place(pid) == number)
        served = len(self.gateway.served())
        os.kill(pid, sent)
        self.aside(lambda: self.note("replaced", self.until(lambda: len(self.gateway.served()) > served, 30)))
        return pid
