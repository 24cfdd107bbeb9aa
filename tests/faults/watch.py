"""Looking at the gateway again and again while the load runs."""

from __future__ import annotations

import http.client
import re
import threading
from collections.abc import Callable
from typing import Any

from tests.faults.gateway import GatewayUnderTest


class Watch:
    """Calls something every so many seconds, in a thread, within a ``with`` block; an error there is raised at its
    end."""

    def __init__(self, seconds: float, look: Callable[[], object]) -> None:
        self._seconds = seconds
        self._look = look
        self._over = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._over.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while not self._over.wait(self._seconds):
            try:
                self._look()
            except Exception as error:
                self._error = error
                return


def health_states(gateway: GatewayUnderTest) -> dict[str, str] | None:
    """The state of each instance of ``samples`` by its URL, as the gateway says; None if it does not answer."""
    try:
        _status, document = gateway.ask("/health/services", 1.0)
    except (OSError, http.client.HTTPException):
        return None
    instances: list[dict[str, Any]] = document["services"]["samples"]["instances"]
    return {instance["url"]: instance["state"] for instance in instances}


def ejected(gateway: GatewayUnderTest) -> set[str]:
    """The URLs of the instances that were ejected so far for what requests told of them, as the log says."""
    return set(re.findall(r"instance (\S+) is ejected", gateway.log))
