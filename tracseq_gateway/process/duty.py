"""A worker's working life: take over the descriptors, build the gateway, run."""

from __future__ import annotations

import faulthandler
import gc
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType
from typing import Final

from attrs import evolve
from twisted.logger import Logger, globalLogBeginner

from tracseq_gateway.config import Config, loads
from tracseq_gateway.own_log.levels import Levels
from tracseq_gateway.process.attendant import Attendant, Serves
from tracseq_gateway.process.control import CONFIG_FD, CONTROL_FD, LISTEN_FD, STACK_SIGNAL, adopt
from tracseq_gateway.process.lines import lineObserver
from tracseq_gateway.process.reactor import IReactor

log = Logger()

SPARE_DESCRIPTORS: Final = 64
"""For the log, the control connection, the reactor, and files."""


def serve(reactor: IReactor, build: Callable[[Config, IReactor], Serves]) -> None:
    """Run the worker whose descriptors were passed to this process, with the gateway that ``build`` makes.

    Returns when it has drained.
    """
    faulthandler.enable()
    # Written by the signal's handler in C: it works while Python code, or a library's, never returns.
    faulthandler.register(STACK_SIGNAL)
    levels = Levels()
    globalLogBeginner.beginLoggingTo([lineObserver(sys.stderr, levels)], redirectStandardIO=False)
    config = loads(readWhole(CONFIG_FD))
    levels.apply(config.log)
    config = fitted(config, raiseDescriptorLimit())
    attendant = Attendant(
        reactor,
        build(config, reactor),
        adoptListener(LISTEN_FD),
        config.gateway.drain_seconds,
        discardStandardError,
        levels.apply,
    )
    adopt(reactor, CONTROL_FD, attendant)
    os.close(CONTROL_FD)

    def terminate(number: int, frame: FrameType | None) -> None:
        reactor.callFromThread(attendant.leave)

    reactor.callWhenRunning(signal.signal, signal.SIGTERM, terminate)
    # What exists by now lives as long as the process: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    reactor.run()


def readWhole(descriptor: int) -> bytes:
    """Read a file from its start, whatever the offset that others share, and close it."""
    size = os.fstat(descriptor).st_size
    data = b""
    while len(data) < size:
        data += os.pread(descriptor, size - len(data), len(data))
    os.close(descriptor)
    return data


def adoptListener(descriptor: int) -> socket.socket:
    """The socket of an inherited descriptor, which children of this process do not inherit in turn."""
    listener = socket.socket(fileno=descriptor)
    listener.setblocking(False)
    listener.set_inheritable(False)
    return listener


def raiseDescriptorLimit() -> int | None:
    """Allow as many open files as the system lets us; return how many that is, None for no limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return None if hard == resource.RLIM_INFINITY else hard


def fitted(config: Config, descriptors: int | None) -> Config:
    """Return the configuration with no more client connections than there are descriptors for.

    What the pools may take is kept for them, at most half of what there is: were all of it the clients', no service
    could be reached.
    """
    if descriptors is None:
        return config
    free = descriptors - SPARE_DESCRIPTORS
    # How many instances discovery will find nobody knows; for one at least there is always room.
    pools = sum(max(len(service.instances), 1) * service.connections.max for service in config.services.values())
    most = max(1, free - min(free // 2, pools))
    wanted = config.client.max_connections
    if 0 < wanted <= most:
        return config
    log.warn(
        "client.max_connections is {most} instead of {wanted}: only {descriptors} open files are allowed (ulimit -n)",
        most=most,
        wanted=wanted or "unlimited",
        descriptors=descriptors,
    )
    return evolve(config, client=evolve(config.client, max_connections=most))


def discardStandardError() -> None:
    """Let what is still logged go nowhere: the supervisor that read it is gone, and a write would fail."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stderr.fileno())
    os.close(nothing)
