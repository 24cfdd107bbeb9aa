"""By which levels a running gateway logs: those of the configuration, and what an operator has changed since."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, get_args

from attrs import evolve
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from tracseq_gateway.config.logs import MOST_NAMESPACES, Level, Log
from tracseq_gateway.config.problem import Wrong, show
from tracseq_gateway.config.texts import namespace
from tracseq_gateway.own_log.own_log import OwnLog
from tracseq_gateway.process.control_socket import Answer

LEVELS: Final[tuple[Level, ...]] = get_args(Level)
RESET: Final = "reset"
"""In the place of a level: what the configuration says holds again."""


class LogLevels:
    """Holds for this process and for its workers, which ``tell`` tells. The next reload forgets all changes."""

    def __init__(self, own_log: OwnLog, configured: Log, tell: Callable[[Log], None]) -> None:
        self._own_log = own_log
        self._configured = configured
        self._current = configured
        self._tell = tell
        self._log = Logger()

    def begin(self) -> None:
        """Log by the configuration from now on; the workers do so by themselves."""
        self._own_log.begin(self._current)

    def adopt(self, configured: Log) -> None:
        """Go by another configuration."""
        self._configured = configured
        self._apply(configured)

    def end(self) -> None:
        """Leave the log as it was found."""
        self._own_log.end()

    def answer(self, request: Mapping[str, Any], client: object) -> Deferred[Answer]:
        """Do what a command says: set ``level``, of ``namespace`` if there is one; without a level only tell."""
        level, name = request.get("level"), request.get("namespace", "")
        if level is not None:
            try:
                changed = self._changed(name, level)
            except Wrong as wrong:
                return succeed({"error": str(wrong)})
            self._apply(changed)
            parts = "".join(f", {part} {one}" for part, one in changed.levels.items())
            self._log.info("what is logged: {all}{parts}", all=changed.level, parts=parts)
        return succeed({"level": self._current.level, "levels": dict(self._current.levels)})

    def _changed(self, name: object, level: object) -> Log:
        """The levels with one changed; raises ``Wrong``."""
        if level == RESET and not name:
            return self._configured
        known = next((one for one in LEVELS if one == level), None)
        if known is None:
            raise Wrong(f"{show(level)} is no level", f"{', '.join(LEVELS)} or {RESET} would be right")
        if not name:
            return evolve(self._current, level=known)
        levels = {**self._current.levels, namespace(str(name)): known}
        if len(levels) > MOST_NAMESPACES:
            raise Wrong(f"{MOST_NAMESPACES} parts of the program have levels already", f"first {RESET} would be right")
        return evolve(self._current, levels=levels)

    def _apply(self, levels: Log) -> None:
        self._current = levels
        self._own_log.apply(levels)
        self._tell(levels)
