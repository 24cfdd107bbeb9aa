"""What the supervisor's parts need of a reactor, in one name for the type checker."""

from __future__ import annotations

from twisted.internet.interfaces import (
    IReactorCore,
    IReactorFromThreads,
    IReactorProcess,
    IReactorSocket,
    IReactorTime,
)


class IReactor(IReactorCore, IReactorFromThreads, IReactorProcess, IReactorSocket, IReactorTime):
    """Time, processes, adopted sockets, and being stopped from a signal handler."""
