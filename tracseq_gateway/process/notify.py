"""What the supervisor tells the service manager that started it, by the protocol of sd_notify(3).

The manager names a datagram socket in ``NOTIFY_SOCKET``; without it nothing is sent, and nothing costs anything.
systemd's rules, which this file keeps:

1. ``READY=1`` when the gateway serves, and again after each reload, also a refused one, which ``RELOADING=1`` began.
2. ``STATUS=`` is for people: one line, sent when it has changed, once a second at most.
3. ``WATCHDOG=1`` is sent twice within ``WATCHDOG_USEC`` while all is well; when it stays away we are killed.
4. ``STOPPING=1`` ends it, with the time that the end may take, so that we are not killed before it is over. A gateway
   that another one has followed says who that is instead: its end is not the service's.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable, MutableMapping
from typing import Final, Literal

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

TURN_SECONDS: Final = 1.0
"""How often it is looked at whether there is something to say."""
MOST_OWED: Final = 8
"""Messages that are kept while the manager takes none."""

VARIABLES: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class Manager:
    """The service manager, or nobody, when ``address`` is empty.

    ``address`` is the path of a socket, or the name of an abstract one behind ``@``. ``watchdog_seconds`` is how long
    it waits for a sign of life; 0: it waits for none.
    """

    def __init__(self, reactor: IReactorTime, address: str = "", watchdog_seconds: float = 0.0) -> None:
        self._reactor = reactor
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = _datagrams() if address else None
        self._watchdog_seconds = watchdog_seconds
        self._owed: deque[bytes] = deque(maxlen=MOST_OWED)
        self._silent = False
        self._told = ""
        self._phase: Literal["starting", "serving", "stopping"] = "starting"
        self._line: Callable[[], str] = str
        self._loops: list[LoopingCall] = []
        self._log = Logger()

    def begin(self, line: Callable[[], str], well: Callable[[], bool]) -> None:
        """Tell from now on what ``line`` returns, and while ``well`` is true, that all is well."""
        if self._socket is None:
            return
        self._line = line
        self._repeat(TURN_SECONDS, self._turn)
        if self._watchdog_seconds:
            self._repeat(self._watchdog_seconds / 2, lambda: self._send("WATCHDOG=1") if well() else None)

    def ready(self, *, follows: bool = False) -> None:
        """The gateway serves. ``follows``: it does so in the place of another one, which was the service before."""
        self._phase = "serving"
        self._send("READY=1", *([f"MAINPID={os.getpid()}"] if follows else []), self._status())

    def reloading(self) -> None:
        """A reload begins."""
        if self._phase == "serving":
            # systemd compares it with its own CLOCK_MONOTONIC, by which the supervisor's reactor goes: see ``clock``.
            self._send("RELOADING=1", f"MONOTONIC_USEC={int(self._reactor.seconds() * 1e6)}")

    def reloaded(self) -> None:
        """A reload is over, whatever came of it."""
        if self._phase == "serving":
            self._send("READY=1", self._status())

    def stopping(self, seconds: float) -> None:
        """The gateway stops, which takes so many seconds at most."""
        self._phase = "stopping"
        self._send("STOPPING=1", f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}", self._status())

    def followed(self, pid: int) -> None:
        """The process ``pid``, if it is known (not 0), is the service from now on, and this one leaves."""
        self._phase = "stopping"
        if pid:
            self._send(f"MAINPID={pid}")

    def end(self) -> None:
        """Say nothing more."""
        for loop in self._loops:
            if loop.running:
                loop.stop()
        self._flush()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _repeat(self, seconds: float, call: Callable[[], None]) -> None:
        loop = LoopingCall(call)
        loop.clock = self._reactor
        self._loops.append(loop)
        loop.start(seconds).addErrback(lambda failure: self._log.failure("nothing is told any more", failure))

    def _turn(self) -> None:
        self._flush()
        if self._line() != self._told:
            self._send(self._status())

    def _status(self) -> str:
        self._told = self._line()
        return f"STATUS={self._told}"

    def _send(self, *lines: str) -> None:
        if self._socket is not None:
            self._owed.append("\n".join(lines).encode())
            self._flush()

    def _flush(self) -> None:
        """Send what is owed, in its order; what the manager does not take now it gets with a later turn."""
        while self._owed and self._socket is not None:
            try:
                self._socket.sendto(self._owed[0], self._address)
            except OSError as error:
                if not self._silent:
                    self._silent = True
                    self._log.warn("the service manager cannot be told how we are: {error}", error=error)
                return
            self._owed.popleft()
            self._silent = False


def manager_of(reactor: IReactorTime, environ: MutableMapping[str, str], pid: int) -> Manager:
    """The service manager that started process ``pid``, by the variables of ``environ``, which are taken out of it.

    They are for that process alone: no child of it shall speak in its name.
    """
    address, limit, watched = (environ.pop(name, "") for name in VARIABLES)
    if address and address[0] not in "/@":
        Logger().warn("NOTIFY_SOCKET={address} is neither a path nor an abstract name: unused", address=address)
        address = ""
    # Without WATCHDOG_PID the limit is for whoever reads it (sd_watchdog_enabled(3)).
    meant = limit.isdecimal() and watched in ("", str(pid))
    return Manager(reactor, address, int(limit) / 1e6 if meant else 0.0)


def _datagrams() -> socket.socket:
    found = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    found.setblocking(False)
    return found
