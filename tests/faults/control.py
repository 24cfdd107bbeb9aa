"""How the harness talks to the processes it starts: a line of JSON each way, on standard input and output.

A process ends when its standard input does, so none outlives the harness, however that ended.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
ANSWER_SECONDS = 30.0
LONGEST_LINE = 1 << 28

Handler = Callable[..., Awaitable[Any]]
"""Does one command; its arguments are the members of the JSON object, its result goes back."""


class ChildError(Exception):
    """A process of the kit did not do what it was told; the message says which, what and why."""


class Child:
    """A process of the kit, as the harness sees it; to be used in a ``with`` block, from one thread at a time."""

    def __init__(self, module: str, *arguments: str) -> None:
        """Start ``python -m tests.faults.MODULE``."""
        self.name = f"{module} {' '.join(arguments)}".strip()
        command = [sys.executable, "-m", f"tests.faults.{module}", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        # A session of its own: a Ctrl-C is for the harness, which then ends its children in order.
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, start_new_session=True
        )
        self._received = bytearray()

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def signal(self, number: int) -> None:
        """Send a signal, such as SIGSTOP."""
        self._process.send_signal(number)

    def tell(self, command: str, /, **arguments: Any) -> Any:
        """Have a command done, and return what it returns; raises :exc:`ChildError` if it fails."""
        return self.ask(command, ANSWER_SECONDS, **arguments)

    def ask(self, command: str, seconds: float, /, **arguments: Any) -> Any:
        """Like :meth:`tell`, for a command that may take up to ``seconds``."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"command": command, **arguments}).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise ChildError(f"{self.name} has ended with {self._process.wait()}") from None
        answer = json.loads(self._line(command, seconds))
        if "error" in answer:
            raise ChildError(f"{self.name}, told to {command}: {answer['error']}")
        return answer["value"]

    def _line(self, command: str, seconds: float) -> bytes:
        assert self._process.stdout is not None
        descriptor, deadline = self._process.stdout.fileno(), time.monotonic() + seconds
        while not self._received.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                raise ChildError(f"{self.name} did not {command} within {seconds:g} s")
            data = os.read(descriptor, 65536)
            if not data:
                raise ChildError(f"{self.name} ended with {self._process.wait()} when told to {command}")
            self._received += data
        line = bytes(self._received)
        self._received.clear()
        return line

    def stop(self) -> None:
        """End the process."""
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        process.kill()  # there is nothing in it that would have to be saved, and it may be stopped
        process.wait()
        process.stdout.close()
        try:
            process.stdin.close()
        except BrokenPipeError:
            pass  # what was still in the buffer is for nobody


async def obey(handlers: Mapping[str, Handler]) -> None:
    """In a child: do what the lines of standard input say, until they end."""
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader(limit=LONGEST_LINE)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        told = json.loads(line)
        try:
            answer = {"value": await handlers[told.pop("command")](**told)}
        except Exception as error:  # whatever it is, the harness raises it
            answer = {"error": f"{type(error).__name__}: {error}"}
        # In one piece and blocking: nothing else is to be done before the harness has it.
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
