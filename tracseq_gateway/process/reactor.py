"""What the supervisor's parts need of a reactor, in one name for the type checker."""

from __future__ import annotations

from twisted.internet.interfaces import (
    IReactorCore,
    IReactorProcess,
    IReactorSocket,
    IReactorThreads,
    IReactorTime,
    IReactorUNIX,
)


class IReactor(IReactorCore, IReactorProcess, IReactorSocket, IReactorThreads, IReactorTime, IReactorUNIX):
    """Time, processes, adopted sockets, unix sockets, threads, and being stopped from a signal handler."""
