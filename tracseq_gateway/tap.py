"""``twistd tracseq-gateway``: its options, and the service that they make.

Sockets are opened and the run directory is locked in :func:`makeService`, before twistd goes to the background and
gives up its privileges.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Final, cast

from attrs import evolve
from twisted.application.service import IService, MultiService
from twisted.logger import Logger, globalLogPublisher
from twisted.python import usage

from tracseq_gateway import __version__
from tracseq_gateway.config import Config, Loaded, load, missing_secrets
from tracseq_gateway.interfaces import InstanceHealth
from tracseq_gateway.own_log.own_log import OwnLog
from tracseq_gateway.process.activation import activated, first_environment, shared_out
from tracseq_gateway.process.banner import banner
from tracseq_gateway.process.clock import MonotonicClock
from tracseq_gateway.process.configured import ConfigurationRefused, Configured, Source
from tracseq_gateway.process.notify import manager_of
from tracseq_gateway.process.predecessor import Predecessor, TakeoverError
from tracseq_gateway.process.reactor import IReactor
from tracseq_gateway.process.redis_process import RedisProcess, needs_embedded
from tracseq_gateway.process.redis_program import EmbeddedRedisError, find_server
from tracseq_gateway.process.run_directory import RunDirectory, RunDirectoryError, run_directory
from tracseq_gateway.process.sandbox_process import SandboxProcess, openSockets, standIn
from tracseq_gateway.process.signals import Signals
from tracseq_gateway.process.sockets import ListenError, openListeners
from tracseq_gateway.process.supervisor import Supervisor
from tracseq_gateway.sandbox.secret import signing_secret
from tracseq_gateway.server.tls_contexts import check_certificates
from tracseq_gateway.service.callers import check_keys
from tracseq_gateway.upstream.health import probing_agent

StandIn = Callable[[Config], Config]
"""Puts what stands in for services into a configuration."""

SANDBOX_NEEDS: Final = ("klein", "multipart", "jsonschema")
"""Modules that come with the extra ``sandbox``."""

SANDBOX_DOORS: Final[Mapping[str, object]] = MappingProxyType(
    {
        "rate_limit.enabled": True,
        "cors.enabled": True,
        "cors.allow_origins": ["http://localhost:3000", "http://127.0.0.1:3000"],
        "security.headers": True,
        "metrics.enabled": True,
    }
)
"""What the sandbox shows unless the configuration says otherwise."""
SANDBOX_IDENTITY: Final[Mapping[str, object]] = MappingProxyType(
    {
        "auth.enabled": True,
        "auth.service_key": "service_gateway",
        "auth.jwt.issuer": "tracseq-auth",
        "auth.jwt.audience": "tracseq",
    }
)
"""The same, when there is an Auth Service to log in at."""

SANDBOX_CACHED: Final = "templates"
"""The service whose answers the sandbox has kept: versions of templates never change."""


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
    optFlags = [
        ["takeover", None, "Take over the sockets of the gateway that runs, and let it leave."],
        ["sandbox", None, "Serve stand-in services with demo data. Not for production."],
    ]
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

    try:
        configured = _configuration(options)
        for warning in configured.warnings:
            Logger().warn("{problem}", problem=warning)
        return _assemble(cast(IReactor, reactor), configured, options)
    except ConfigurationRefused as refused:
        raise SystemExit(str(refused)) from None
    except (ListenError, RunDirectoryError, EmbeddedRedisError, TakeoverError) as error:
        raise SystemExit(f"tracseq-gateway: {error}") from None


def _configuration(options: Options) -> Configured:
    """Load and check the configuration; raises ``ConfigurationRefused``."""
    loaded = _load(options, os.environ)
    variables: dict[str, str] = {}
    if options["sandbox"]:
        config = _accepted(loaded)
        _allowSandbox(config)
        folder = _sandboxFolder(options)
        variables = _sandboxSecret(config, folder)
        loaded = _load(options, {**os.environ, **variables}, _sandboxDefaults(config, folder))
    config = _accepted(loaded)
    environ = {**os.environ, **variables}
    missing = missing_secrets(config, environ)
    if missing:
        raise ConfigurationRefused(missing)
    try:
        check_keys(config, environ)
        check_certificates(config.tls)
    except ValueError as error:
        raise ConfigurationRefused(f"tracseq-gateway: {error}".splitlines()) from None
    return Configured(config, variables, tuple(map(str, loaded.problems)))


def _source(reactor: IReactor, options: Options, directory: RunDirectory, stand_in: StandIn) -> Source:
    """Where a reload gets the configuration from: what the same options say then."""
    for option in ("config", "sandbox-data"):
        if options[option] is not None:
            options[option] = os.path.abspath(options[option])  # before twistd goes to its --rundir

    def load() -> Configured:
        configured = _configuration(options)
        return evolve(configured, config=stand_in(configured.config))

    def embed(config: Config) -> RedisProcess:
        return RedisProcess(reactor, directory, config.redis, find_server(os.environ))

    return Source(load, embed, options["config"])


def _load(options: Options, environ: Mapping[str, str], defaults: Mapping[str, object] | None = None) -> Loaded:
    overrides = {f"gateway.{name}": options[name] for name in ("host", "port", "workers")}
    return load(options["config"], environ, overrides, defaults)


def _accepted(loaded: Loaded) -> Config:
    if loaded.config is None:
        raise ConfigurationRefused(loaded.problems)
    return loaded.config


def _allowSandbox(config: Config) -> None:
    if config.gateway.environment == "production":
        raise ConfigurationRefused(["tracseq-gateway: --sandbox is refused, for gateway.environment is production"])
    missing = [name for name in SANDBOX_NEEDS if find_spec(name) is None]
    if missing:
        right = "pip install 'tracseq-gateway[sandbox]'"
        raise ConfigurationRefused([f"tracseq-gateway: --sandbox needs {missing[0]}: {right}"])


def _sandboxDefaults(config: Config, folder: Path) -> Mapping[str, object]:
    """What the sandbox shows of itself with the services of a configuration."""
    service = config.auth.service
    identity = SANDBOX_IDENTITY if not service or service in config.services else {}
    cached = {f"services.{SANDBOX_CACHED}.cache.enabled": True} if SANDBOX_CACHED in config.services else {}
    return {**SANDBOX_DOORS, **identity, **cached, "uploads.directory": str(folder / "gateway-uploads")}


def _sandboxFolder(options: Options) -> Path:
    """Have the sandbox's data folder now, while it can still be said what is wrong with it."""
    folder = Path(options["sandbox-data"]).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _badFolder(f"{folder} cannot be a folder: {error.strerror}") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _badFolder(f"{folder} cannot be written to")
    return folder


def _sandboxSecret(config: Config, folder: Path) -> dict[str, str]:
    """The variable by which the workers get the secret that the sandbox signs with."""
    try:
        return {config.auth.jwt.secret_env: signing_secret(folder, os.environ)}
    except OSError as error:
        raise _badFolder(f"{error.filename}: {error.strerror}") from None


def _badFolder(why: str) -> ConfigurationRefused:
    return ConfigurationRefused([f"tracseq-gateway: --sandbox-data: {why}"])


def _assemble(reactor: IReactor, configured: Configured, options: Options) -> IService:
    config, gateway = configured.config, configured.config.gateway
    program = find_server(os.environ) if needs_embedded(config) else None
    workers = len(os.sched_getaffinity(0)) if gateway.workers == "auto" else gateway.workers
    predecessor, listeners, further, directory = _openAll(config, options, workers)
    redis = None if program is None else RedisProcess(reactor, directory, config.redis, program)
    agent = probing_agent(reactor)
    manager = manager_of(reactor, os.environ, os.getpid())
    if not options["sandbox"]:
        source = _source(reactor, options, directory, lambda config: config)
        supervisor = Supervisor(
            reactor,
            config,
            listeners,
            agent,
            further=further,
            directory=directory,
            predecessor=predecessor,
            redis=redis,
            source=source,
            own_log=OwnLog(globalLogPublisher),
            manager=manager,
        )
        return _service(reactor, supervisor)
    data = str(_sandboxFolder(options))
    sockets = openSockets()
    address = _addressOf(listeners[0], "https" if config.tls.certificates else "http")
    ports = {name: listener.getsockname()[1] for name, listener in sockets.items()}

    def announce(health: Sequence[InstanceHealth]) -> None:
        if options.foreground:
            # Not to sys.stdout, which twistd makes part of the log.
            print(banner(address, data, ports, health), file=sys.__stdout__, flush=True)

    supervisor = Supervisor(
        reactor,
        standIn(config, sockets),
        listeners,
        agent,
        further=further,
        directory=directory,
        predecessor=predecessor,
        redis=redis,
        sandbox=SandboxProcess(reactor, data, sockets),
        source=_source(reactor, options, directory, lambda config: standIn(config, sockets)),
        announce=announce,
        variables=configured.variables,
        own_log=OwnLog(globalLogPublisher),
        manager=manager,
    )
    return _service(reactor, supervisor)


def _openAll(
    config: Config, options: Options, workers: int
) -> tuple[Predecessor | None, list[socket.socket], list[socket.socket], RunDirectory]:
    """The gateway that this one takes over from, if it does; a listening socket for each worker; those of a further
    port; the run directory."""
    gateway = config.gateway
    path = run_directory(config, os.environ, gateway.port)
    if options["takeover"]:
        predecessor = Predecessor(path)
        directory = RunDirectory(path, inheritance=predecessor.inheritance)
        return predecessor, shared_out(predecessor.listeners, workers), predecessor.further, directory
    passed = activated(first_environment(), os.getpid())
    listeners = shared_out(passed, workers) if passed else openListeners(gateway.host, gateway.port, workers)
    beside = config.tls.redirect_port
    # Whoever passes sockets passes all that there are to be: what is spoken is told apart on each of them.
    further = openListeners(gateway.host, beside, 1) if beside and not passed else []
    owner = options.parent["uid"] if options.parent is not None else None  # twistd --uid
    try:
        return None, listeners, further, RunDirectory(path, owner)
    except RunDirectoryError:
        for listener in [*listeners, *further]:
            listener.close()
        raise


def _addressOf(listener: socket.socket, scheme: str) -> str:
    """A URL by which somebody on this host reaches the listener."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"{scheme}://{host}:{port}"


def _service(reactor: IReactor, supervisor: Supervisor) -> IService:
    service = MultiService()
    MonotonicClock(reactor).setServiceParent(service)
    supervisor.setServiceParent(service)
    Signals(reactor, supervisor).setServiceParent(service)
    return service
