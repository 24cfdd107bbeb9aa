"""A terminal that is drawn anew again and again, and given back as it was."""

from __future__ import annotations

import contextlib
import select
import termios
import time
import tty
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, Self, TextIO

ENTER: Final = "\x1b[?1049h\x1b[?25l\x1b[?7l"
"""The other screen, no cursor, and what is too long for a line is cut off (DEC private modes 1049, 25 and 7)."""
LEAVE: Final = "\x1b[?7h\x1b[?25h\x1b[?1049l"
HOME: Final = "\x1b[H"
CLEAR_LINE: Final = "\x1b[K"
CLEAR_BELOW: Final = "\x1b[J"


class Screen:
    """To be used in a ``with`` block."""

    def __init__(self, keys: TextIO, output: TextIO) -> None:
        """Keys are heard only if ``keys`` is a terminal; ``output`` is one."""
        self._keys = keys
        self._output = output
        self._before: Any = None

    def __enter__(self) -> Self:
        if self._keys.isatty():
            self._before = termios.tcgetattr(self._keys)
            tty.setcbreak(self._keys)
        self._write(ENTER)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with contextlib.suppress(OSError):  # the terminal may be gone, and nobody looks any more
            self._write(LEAVE)
            if self._before is not None:
                termios.tcsetattr(self._keys, termios.TCSADRAIN, self._before)

    def draw(self, lines: Sequence[str], height: int) -> None:
        """Show these lines, as many as there is room for."""
        shown = [line + CLEAR_LINE for line in lines[:height]]
        self._write(HOME + "\r\n".join(shown) + CLEAR_BELOW)

    def key(self, seconds: float) -> str:
        """The key that is pressed within so many seconds; empty if none is."""
        if self._before is None:
            time.sleep(seconds)
            return ""
        ready, _, _ = select.select([self._keys], [], [], seconds)
        return self._keys.read(1) if ready else ""

    def _write(self, text: str) -> None:
        self._output.write(text)
        self._output.flush()
