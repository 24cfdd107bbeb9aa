"""What the supervisor's parts need of a reactor, in one name for the type checker."""

from __future__ import annotations

from twisted.internet.interfaces import (
    IReactorCore,
    IReactorFromThreads,
    IReactorProcess,
    IReactorSocket,
    IReactorTime,
    IReactorUNIX,
)


class IReactor(IReactorCore, IReactorFromThreads, IReactorProcess, IReactorSocket, IReactorTime, IReactorUNIX):
    """Time, processes, adopted sockets, unix sockets, and being stopped from a signal handler."""
