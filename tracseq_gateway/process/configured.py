"""A configuration as the supervisor is given it: checked, at the start and at each reload."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import BinaryIO

from attrs import Factory, frozen
from twisted.internet.defer import Deferred

from tracseq_gateway.config import Config, dumps
from tracseq_gateway.process.reactor import IReactor
from tracseq_gateway.process.redis_process import RedisProcess
from tracseq_gateway.process.worker_process import Launch


class ConfigurationRefused(Exception):
    """A configuration cannot be served; ``problems`` says all that is wrong, a line each."""

    def __init__(self, problems: Iterable[object]) -> None:
        self.problems = tuple(str(problem) for problem in problems)
        super().__init__("\n".join(self.problems))


@frozen
class Configured:
    """A configuration that can be served."""

    config: Config
    variables: Mapping[str, str] = Factory(dict)
    """What workers have in their environment beside, or instead of, what is in ours."""
    warnings: tuple[str, ...] = ()
    """What is of no effect or of doubtful sense, a line each."""


@frozen
class Source:
    """Where the supervisor gets a configuration from when it is to reload."""

    load: Callable[[], Configured]
    """Loads it as at the start; raises :class:`ConfigurationRefused`."""
    embed: Callable[[Config], RedisProcess]
    """Makes an embedded Redis that is to be started; raises ``EmbeddedRedisError`` when there is none to be had."""
    file: str | None = None
    """The configuration file, if there is one."""


class Handover:
    """A configuration on its way to the workers that are started with it."""

    def __init__(self, config: Config, variables: Mapping[str, str], scrape: Callable[[bool], Deferred[str]]) -> None:
        """``scrape`` makes a page of metrics for a worker; see ``metrics_pages``."""
        self._scrape = scrape
        self._file = _memoryFile(dumps(config))
        self._drain_seconds = float(config.gateway.drain_seconds)
        self._watchdog_seconds = float(config.gateway.watchdog_seconds)
        self._variables = variables

    def launch(self, reactor: IReactor, command: Sequence[str]) -> Launch:
        """How such workers are started, as long as this is not closed."""
        file, variables = self._file.fileno(), self._variables
        return Launch(reactor, command, file, self._drain_seconds, variables, self._watchdog_seconds, self._scrape)

    def close(self) -> None:
        """No worker is started with it any more."""
        self._file.close()


def _memoryFile(data: bytes) -> BinaryIO:
    """A file without a name, for the configuration holds secrets: in memory where the system can do that."""
    if sys.platform == "linux":
        file: BinaryIO = os.fdopen(os.memfd_create("tracseq-gateway"), "w+b")
    else:
        file = tempfile.TemporaryFile()  # noqa: SIM115
    file.write(data)
    file.flush()
    return file
