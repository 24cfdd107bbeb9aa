"""``twistd tracseq-gateway``: its options, and the service that they make.

Sockets are opened in :func:`makeService`, before twistd goes to the background and gives up its privileges.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final, cast

from twisted.application.service import IService, MultiService
from twisted.logger import Logger
from twisted.python import usage

from tracseq_gateway import __version__
from tracseq_gateway.config import Config, load
from tracseq_gateway.interfaces import InstanceHealth
from tracseq_gateway.process.banner import banner
from tracseq_gateway.process.reactor import IReactor
from tracseq_gateway.process.sandbox_process import SandboxProcess, openSockets, standIn
from tracseq_gateway.process.signals import StopSignals
from tracseq_gateway.process.sockets import ListenError, openListeners
from tracseq_gateway.process.supervisor import Supervisor
from tracseq_gateway.upstream.health import probing_agent

SANDBOX_NEEDS: Final = ("klein", "jwt", "multipart", "jsonschema")
"""Modules that come with the extra ``sandbox``."""


def _port(text: str) -> int:
    return _whole_number("--port", text, "8000 would be right")


def _workers(text: str) -> int | str:
    return text if text == "auto" else _whole_number("--workers", text, '"auto" or 2 would be right')


def _whole_number(option: str, text: str, right: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{option}: {text!r} is not a whole number, {right}")
    return int(text)


class Options(usage.Options):
    """The options. One that is given wins over the environment, which wins over the file."""

    synopsis = "[options]"
    longdesc = "Serves a sequencing laboratory's services through one address."
    optParameters = [
        ["config", "c", None, "Configuration file (TOML). Without it: the platform's services on this host."],
        ["port", "p", None, "TCP port to listen on.", _port],
        ["host", None, None, "Address to listen on."],
        ["workers", "w", None, "Worker processes; auto is one for each CPU.", _workers],
        ["sandbox-data", None, ".tracseq-sandbox", "Where the sandbox keeps its data."],
    ]
    optFlags = [["sandbox", None, "Serve stand-in services with demo data. Not for production."]]
    compData = usage.Completions(optActions={"config": usage.CompleteFiles("*.toml")})

    def opt_version(self) -> None:
        """
        Print the gateway's version and exit.
        """
        print(f"tracseq-gateway {__version__}")
        raise SystemExit(0)

    @property
    def foreground(self) -> bool:
        """Whether twistd stays in the foreground."""
        return self.parent is not None and bool(self.parent["nodaemon"])


def makeService(options: Options) -> IService:
    """Check the configuration, open the sockets and build the supervisor; nothing is started yet.

    What is wrong is written to standard error, one problem on each line, and ends in SystemExit with status 1.
    """
    from twisted.internet import reactor

    config = _configuration(options)
    try:
        return _assemble(cast(IReactor, reactor), config, options)
    except ListenError as error:
        raise SystemExit(f"tracseq-gateway: {error}") from None


def _configuration(options: Options) -> Config:
    overrides = {f"gateway.{name}": options[name] for name in ("host", "port", "workers")}
    loaded = load(options["config"], os.environ, overrides)
    if loaded.config is None:
        raise SystemExit("\n".join(str(problem) for problem in loaded.problems))
    log = Logger()
    for problem in loaded.problems:
        log.warn("{problem}", problem=str(problem))
    if options["sandbox"]:
        _allowSandbox(loaded.config)
    return loaded.config


def _allowSandbox(config: Config) -> None:
    if config.gateway.environment == "production":
        raise SystemExit("tracseq-gateway: --sandbox is refused, for gateway.environment is production")
    missing = [name for name in SANDBOX_NEEDS if find_spec(name) is None]
    if missing:
        raise SystemExit(f"tracseq-gateway: --sandbox needs {missing[0]}: pip install 'tracseq-gateway[sandbox]'")


def _assemble(reactor: IReactor, config: Config, options: Options) -> IService:
    gateway = config.gateway
    workers = len(os.sched_getaffinity(0)) if gateway.workers == "auto" else gateway.workers
    listeners = openListeners(gateway.host, gateway.port, workers)
    if not options["sandbox"]:
        return _service(reactor, Supervisor(reactor, config, listeners, probing_agent(reactor)))
    data = _sandboxFolder(options["sandbox-data"])
    sockets = openSockets()
    address = _addressOf(listeners[0])
    ports = {name: listener.getsockname()[1] for name, listener in sockets.items()}

    def announce(health: Sequence[InstanceHealth]) -> None:
        if options.foreground:
            # Not to sys.stdout, which twistd makes part of the log.
            print(banner(address, data, ports, health), file=sys.__stdout__, flush=True)

    supervisor = Supervisor(
        reactor,
        standIn(config, sockets),
        listeners,
        probing_agent(reactor),
        sandbox=SandboxProcess(reactor, data, sockets),
        announce=announce,
    )
    return _service(reactor, supervisor)


def _sandboxFolder(given: str) -> str:
    """Make the sandbox's data folder now, while it can still be said what is wrong with it."""
    folder = Path(given).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SystemExit(f"tracseq-gateway: --sandbox-data: {folder} cannot be a folder: {error.strerror}") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise SystemExit(f"tracseq-gateway: --sandbox-data: {folder} cannot be written to")
    return str(folder)


def _addressOf(listener: socket.socket) -> str:
    """A URL by which somebody on this host reaches the listener."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{host}:{port}"


def _service(reactor: IReactor, supervisor: Supervisor) -> IService:
    service = MultiService()
    supervisor.setServiceParent(service)
    StopSignals(reactor, supervisor).setServiceParent(service)
    return service
