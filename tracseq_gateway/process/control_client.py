"""Asks a running gateway by its control socket, without a reactor."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

LONGEST_ANSWER: Final = 16 << 20
"""Bytes of an answer that are read."""


class NoGateway(Exception):
    """Nobody listens there, or not to this user; the text is for the operator."""


class NoAnswer(Exception):
    """Somebody listens there, and gives no answer that can be used; the text is for the operator."""


class ControlClient:
    """A connection to the gateway whose control socket is at ``path``.

    Raises :class:`NoGateway`. ``seconds`` is how long an answer may take.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        self._path = path
        self.connection = socket.socket(socket.AF_UNIX)
        try:
            self.connection.settimeout(seconds)
            self.connection.connect(os.fspath(path))
        except OSError as error:
            self.connection.close()
            raise NoGateway(f"no gateway can be reached in {path.parent}: {error.strerror or error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.connection.close()

    def ask(self, request: Mapping[str, object]) -> dict[str, Any]:
        """Send a request and return the answer; raises :class:`NoAnswer`, also for one that names an error."""
        try:
            self.connection.sendall(json.dumps(request).encode() + b"\n")
            with self.connection.makefile("rb") as answers:
                line = answers.readline(LONGEST_ANSWER)
        except OSError as error:
            raise NoAnswer(f"the gateway at {self._path} gives no answer: {error}") from error
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise NoAnswer(f"the gateway at {self._path} ended before it answered")
        if "error" in answer:
            raise NoAnswer(f"the gateway at {self._path} says: {answer['error']}")
        return answer
