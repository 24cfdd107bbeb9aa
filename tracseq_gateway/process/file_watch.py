"""Notices that files have changed, by looking at them once a second."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from tracseq_gateway.config import Config

LOOK_SECONDS: Final = 1.0
"""Between two looks. A change counts when the next look finds the same: then nobody is writing any more."""

Stamp = tuple[int, int, int] | None
"""Modification time in nanoseconds, size and inode; None for a file that cannot be looked at."""


class FileWatch:
    """Calls ``changed`` when one of the files is another than it was."""

    def __init__(self, reactor: IReactorTime, changed: Callable[[], object]) -> None:
        self._changed = changed
        self._known: dict[str, Stamp] = {}
        self._unsure: dict[str, Stamp] | None = None
        self._loop = LoopingCall(self._look)
        self._loop.clock = reactor

    def follow(self, files: Iterable[str]) -> None:
        """Look at these files, and no others; with none, do not look at all.

        A file that was followed before is compared with what it was at the last look, so that no change is missed.
        """
        self._known = {file: self._known[file] if file in self._known else _stamp(file) for file in files}
        if self._known and not self._loop.running:
            self._loop.start(LOOK_SECONDS, now=False)
        elif not self._known and self._loop.running:
            self._loop.stop()

    def refresh(self) -> None:
        """The files are about to be read as they are now: that they have changed is no news any more."""
        self._known = {file: _stamp(file) for file in self._known}

    def _look(self) -> None:
        seen = {file: _stamp(file) for file in self._known}
        if seen == self._known:
            self._unsure = None
        elif seen != self._unsure:
            self._unsure = seen
        else:
            self._known, self._unsure = seen, None
            self._changed()


def files_of(config: Config) -> list[str]:
    """The files that a configuration names and that are read when workers start: keys and certificates."""
    jwt = config.auth.jwt
    tls = config.tls
    named = [config.auth.api_keys_file, config.redis.ca, *(key.file for key in jwt.keys)]
    named += [file for pair in tls.certificates for file in (pair.file, pair.key_file)]
    named += [tls.client_ca, tls.client_crl]
    for service in config.services.values():
        if service.tls is not None:
            named += [service.tls.ca, service.tls.certificate, service.tls.certificate_key]
    return list(dict.fromkeys(file for file in named if file))


def _stamp(file: str) -> Stamp:
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
