"""The sandbox's process: takes over listening sockets, serves on them, and leaves when its parent does.

In a container there is no parent: one service alone opens a socket of its own, as the environment says.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import (
    FilteringLogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
    textFileLogObserver,
)
from twisted.python.failure import Failure
from twisted.python.usage import Options, UsageError
from twisted.web.server import Site
from zope.interface import implementer

from . import SERVICES
from .catalogue import build
from .kit.service import Context, Service
from .secret import signing_secret

IDLE_SECONDS = 60
"""How long a client's idle connection stays open."""


class SandboxOptions(Options):
    """The command line. Where it says nothing, ``environ`` does."""

    synopsis = (
        "python -m tracseq_gateway.sandbox --data DIR --socket NAME=FD [--socket NAME=FD ...] [--lifetime FD]\n"
        "python -m tracseq_gateway.sandbox --data DIR --service NAME [--host ADDRESS] [--port PORT]"
    )
    optParameters = [
        ["data", "d", None, "Directory that keeps the data; made when it is missing. Else SANDBOX_DATA."],
        ["lifetime", "l", None, "Descriptor of a pipe or socket; its end means that the parent is gone.", int],
        ["service", "s", None, "Serve this one alone, on a socket of its own. Else SANDBOX_SERVICE."],
        ["host", None, None, "Address of that socket. Else HOST, else 127.0.0.1."],
        ["port", "p", None, "Its port. Else PORT, else the service's own."],
    ]

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__()
        self.sockets: dict[str, int] = {}
        self._environ = environ

    def opt_socket(self, pair: str) -> None:
        """NAME=FD: serve NAME on the listening socket FD, which was inherited."""
        name, _, descriptor = pair.partition("=")
        _check_service("--socket", pair, name)
        if not descriptor.isdecimal():
            raise UsageError(f"--socket {pair}: {descriptor!r} is not the number of a descriptor")
        self.sockets[name] = int(descriptor)

    def postOptions(self) -> None:
        """Check that nothing is missing, and open the socket of a service that is served alone."""
        if not self.sockets:
            self._default("service", "SANDBOX_SERVICE", None)
        self._default("data", "SANDBOX_DATA", None)
        if self["data"] is None:
            raise UsageError("--data is missing: where is the sandbox to keep its data?")
        if self["service"] is not None:
            self._open(self["service"])
        if not self.sockets:
            raise UsageError("--socket is missing: which service is to be served on which descriptor?")

    def _open(self, name: str) -> None:
        if self.sockets:
            raise UsageError(f"--service {name}: it is served alone, without --socket")
        _check_service("--service", name, name)
        self._default("host", "HOST", "127.0.0.1")
        self._default("port", "PORT", str(SERVICES[name]))
        host, port = self["host"], self["port"]
        if not (port.isdecimal() and int(port) < 65536):
            raise UsageError(f"--port {port}: a number up to 65535 would be right")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self.sockets[name] = socket.create_server((host, int(port)), family=family, backlog=1024).detach()
        except OSError as error:
            raise UsageError(f"--host {host} --port {port}: {error.strerror}") from None

    def _default(self, option: str, variable: str, otherwise: str | None) -> None:
        if self[option] is None:
            self[option] = self._environ.get(variable) or otherwise


def _check_service(option: str, given: str, name: str) -> None:
    if name not in SERVICES:
        raise UsageError(f"{option} {given}: there is no service {name!r}; known are {', '.join(SERVICES)}")


def run(reactor: Any, arguments: Sequence[str]) -> None:
    """Serve until SIGTERM or the end of the lifetime descriptor; exit with 2 and a sentence on a wrong command line."""
    options = SandboxOptions(os.environ)
    try:
        options.parseOptions(list(arguments))
    except UsageError as error:
        print(f"{options.synopsis}\n{error}", file=sys.stderr)
        sys.exit(2)
    if options["service"] is None:
        # Ctrl-C reaches the whole foreground group; the parent decides when this child ends. Twisted leaves it alone.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    _log_to_stderr()
    directory = Path(options["data"])
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    context = Context(directory, reactor, signing_secret(directory, os.environ))
    for name, descriptor in options.sockets.items():
        service = build(name, context)
        listen(reactor, service, descriptor)
        reactor.addSystemEventTrigger("after", "shutdown", service.close)
    if options["lifetime"] is not None:
        lifetime = Lifetime(options["lifetime"], reactor.stop)
        reactor.addReader(lifetime)
        # At its end the reactor disconnects whatever it still watches, and that would ask it to stop again.
        reactor.addSystemEventTrigger("before", "shutdown", reactor.removeReader, lifetime)
    reactor.run()


def _log_to_stderr() -> None:
    """Log warnings and worse to standard error: requests are for the gateway to log."""
    only = LogLevelFilterPredicate(defaultLogLevel=LogLevel.warn)
    observer = FilteringLogObserver(textFileLogObserver(sys.stderr), [only])
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)


def listen(reactor: Any, service: Service, descriptor: int) -> None:
    """Serve on an inherited listening socket; the descriptor itself is closed, as the reactor works on a copy."""
    inherited = socket.socket(fileno=descriptor)
    inherited.setblocking(False)
    # Forms stay unparsed: twisted.web would read a whole upload into memory.
    site = Site(service.resource(), parsePOSTFormSubmission=False, reactor=reactor, timeout=IDLE_SECONDS)
    reactor.adoptStreamPort(inherited.fileno(), inherited.family, site)
    inherited.close()


@implementer(IReadDescriptor)
class Lifetime:
    """Watches a descriptor whose other end the parent holds, and calls ``ended`` when that end closes."""

    def __init__(self, descriptor: int, ended: Callable[[], object]) -> None:
        self._descriptor = descriptor
        self._ended = ended
        os.set_blocking(descriptor, False)

    def fileno(self) -> int:
        """Return the descriptor for the reactor to poll."""
        return self._descriptor

    def doRead(self) -> Failure | None:
        """Drop what the parent writes; at the end of file tell the reactor that the connection is lost."""
        try:
            return None if os.read(self._descriptor, 4096) else Failure(ConnectionDone())
        except BlockingIOError:
            return None
        except OSError:
            return Failure()

    def connectionLost(self, reason: Failure) -> None:
        """Say that the parent is gone."""
        self._ended()

    def logPrefix(self) -> str:
        """Return a name for log lines."""
        return "sandbox lifetime"
