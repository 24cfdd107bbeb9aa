"""A turn: one contestant, with all that it needs around it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from attrs import evolve, frozen

from benchmarks import contestants, proc
from benchmarks.contestants import Door, Stage
from benchmarks.duties import Duties, prove
from benchmarks.h2load import Talk, ask_once
from benchmarks.http_client import PATH
from benchmarks.nginx_lua import auth_service, nginx_lua
from benchmarks.processes import Cores, Launch, free_port, serving, started
from benchmarks.redis_server import Redis, redis

CONTESTANTS: dict[str, Callable[[Stage], Launch]] = {
    "nginx": contestants.nginx,
    "caddy": contestants.caddy,
    "treq": contestants.treq,
    "nginx_lua": nginx_lua,
    "gateway": contestants.gateway,
}


@frozen
class Running:
    """A server that answers. ``root`` is the process that was started; the others are there for its duties."""

    port: int
    root: int
    redis: Redis | None = None
    auth: int | None = None
    """The port of the Auth Service's stand-in."""

    @property
    def workers(self) -> list[int]:
        """The processes that serve: those below the first one, or itself when there are none."""
        return proc.children(self.root) or [self.root]

    @property
    def overseers(self) -> list[int]:
        """The process that only watches over the workers, if there is one."""
        return [self.root] if proc.children(self.root) else []


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """A directory for the files of one turn."""
    with tempfile.TemporaryDirectory(prefix="tracseq-bench-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@contextmanager
def contest(
    name: str,
    cores: Cores,
    *,
    workers: int = 1,
    routes: int = 1,
    hosts: tuple[str, ...] = ("127.0.0.1",),
    scraped: bool = False,
    records: tuple[str, ...] | None = None,
    duties: Duties | None = None,
    door: Door | None = None,
    tokens: Iterable[str] = (),
) -> Iterator[Running]:
    """Run one contestant with the service behind it; ``direct`` is the service alone.

    With ``duties`` it has a Redis (and an Auth Service) of its own, on the core of the load, and has shown to do these
    duties and no others. ``tokens`` are those that it may take for verified. ``door`` is how its clients come.
    """
    with ExitStack() as stack:
        scratch = stack.enter_context(scratch_directory())
        upstream = free_port()
        service = contestants.service(scratch, upstream)
        pid = stack.enter_context(serving(service, cores.load, upstream, PATH, scratch))
        if name == "direct":
            yield Running(upstream, pid)
            return
        stage = Stage(scratch, free_port(), upstream, workers, routes, hosts, scraped, records, door=door)
        if door is not None:
            pid = stack.enter_context(_behind_door(CONTESTANTS[name](stage), cores, stage.port, door, scratch))
            yield Running(stage.port, pid)
            return
        store = None
        if duties is not None:
            store = stack.enter_context(redis(cores.load, scratch))
            auth = stack.enter_context(_auth_service(cores, scratch)) if duties.introspected else None
            stage = evolve(stage, duties=duties, tokens=(duties.probe, *tokens), auth=auth)
        probe = None if duties is None else duties.probe
        pid = stack.enter_context(serving(CONTESTANTS[name](stage), cores.proxy, stage.port, PATH, scratch, probe))
        if duties is not None:
            prove(name, stage.port, duties, scratch)
        yield Running(stage.port, pid, store, stage.auth)


@contextmanager
def _behind_door(launch: Launch, cores: Cores, port: int, door: Door, scratch: Path) -> Iterator[int]:
    talk = Talk(door.protocol, door.certificate is not None)
    probe = partial(ask_once, port, cores.load, talk)
    with started(launch, cores.proxy, scratch, probe, f"127.0.0.1:{port} by {door.protocol}") as pid:
        yield pid


@contextmanager
def _auth_service(cores: Cores, scratch: Path) -> Iterator[int]:
    port = free_port()
    with serving(auth_service(scratch, port), cores.load, port, PATH, scratch):
        yield port
