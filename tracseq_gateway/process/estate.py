"""What a gateway hands to another one that takes over from it, and when it leaves: the side of the one that runs.

1. The other asks for it (``takeover``) on the control socket, and gets the listening sockets and the lock of the run
   directory as descriptors (unix(7), SCM_RIGHTS).
2. It starts its workers on these sockets, beside ours, and when all of them serve says ``leave``.
3. We drain, gently. If it hangs up before that, nothing has changed.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from tracseq_gateway.process.control_socket import Answer, Command, ControlConnection
from tracseq_gateway.process.run_directory import RunDirectory

HANDOVER_SECONDS: Final = 60.0
"""How long the other may take to start."""


class Estate:
    """Handed to one heir at a time."""

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        further: Sequence[socket.socket],
        directory: RunDirectory,
        free: Callable[[], bool],
        leave: Callable[[], None],
    ) -> None:
        """``further`` are sockets that have no worker of their own.

        ``free`` tells whether there may be an heir now; ``leave`` is called when it has taken over.
        """
        self.left = False
        """Whether another gateway has taken over."""
        self.heir_pid = 0
        """The process id of its supervisor, if it has and says so."""
        self._listeners = [*listeners, *further]
        self._further = len(further)
        self._directory = directory
        self._free = free
        self._leave = leave
        self._heir: ControlConnection | None = None
        self._log = Logger()

    @property
    def claimed(self) -> bool:
        """Whether another gateway is about to take over, or has done so."""
        return self._heir is not None

    @property
    def commands(self) -> Mapping[str, Command]:
        """What can be asked for at the control socket."""
        return {"takeover": self._hand, "leave": self._depart}

    def _hand(self, request: Mapping[str, Any], client: ControlConnection) -> Deferred[Answer]:
        if self.claimed or not self._free():
            return succeed({"error": "it stops, reloads or is being taken over: try again"})
        self._log.info("another gateway prepares to take over")
        self._heir = client
        self._directory.shared = True
        client.patience = HANDOVER_SECONDS
        client.gone.addCallback(self._heir_gone)
        for listener in self._listeners:
            client.send_descriptor(listener.fileno())
        client.send_descriptor(self._directory.lock)
        directory = self._directory
        counts = {"sockets": len(self._listeners), "further": self._further}
        return succeed({**counts, "side": directory.side, "made": directory.made})

    def _depart(self, request: Mapping[str, Any], client: ControlConnection) -> Deferred[Answer]:
        if client is not self._heir:
            return succeed({"error": "only who takes over may say so"})
        self._log.info("another gateway has taken over: leaving")
        self.left = True
        pid = request.get("pid")
        self.heir_pid = pid if isinstance(pid, int) else 0
        self._leave()
        return succeed({"left": True})

    def _heir_gone(self, _: None) -> None:
        if not self.left:
            self._heir = None
            self._directory.shared = False
            self._log.warn("the gateway that was to take over is gone; this one serves on")
