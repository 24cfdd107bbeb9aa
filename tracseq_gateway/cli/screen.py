"""A terminal that is drawn anew again and again, and given back as it was."""

from __future__ import annotations

import contextlib
import os
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
        self._listening = False

    def __enter__(self) -> Self:
        if self._keys.isatty():
            self._before = termios.tcgetattr(self._keys)
            tty.setcbreak(self._keys)
            self._listening = True
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

    def keys(self, seconds: float) -> bytes:
        """What is pressed, waiting for it so many seconds at most; empty if nothing is."""
        if not self._listening:
            time.sleep(seconds)
            return b""
        ready, _, _ = select.select([self._keys], [], [], seconds)
        if not ready:
            return b""
        # Not by the stream, which would keep what it has read beyond the first key.
        pressed = os.read(self._keys.fileno(), 64)
        self._listening = bool(pressed)  # nothing means that there will be no more
        return pressed

    def _write(self, text: str) -> None:
        self._output.write(text)
        self._output.flush()
