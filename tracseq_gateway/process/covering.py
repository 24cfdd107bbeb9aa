"""Neighbours that help out: whose worker cannot accept, his socket is served by another worker until he can again.

A socket that has no worker of its own, such as that of a port beside the main one, is always served so.

The kernel knows nothing of workers: it gives each listening socket its share of the new connections, also the one whose
worker crash-loops or hangs, and who came to that one would wait. One neighbour therefore accepts from its socket as
well. It is not done for a worker that is replaced at once: the neighbour would keep all clients of the dead one.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Mapping

from twisted.logger import Logger

from tracseq_gateway.process.worker_process import WorkerProcess


class Covering:
    """Who covers which socket."""

    def __init__(self, name: Callable[[int], str] = "worker {}".format) -> None:
        """``name`` says for the log whose socket has an index."""
        self._name = name
        self._workers: dict[int, WorkerProcess] = {}
        self._log = Logger()

    def __repr__(self) -> str:
        return f"<covering {self._workers!r}>"

    def arrange(self, abandoned: Mapping[int, socket.socket], able: Collection[WorkerProcess]) -> None:
        """Have every abandoned socket, by the index of its worker, covered by one that is ``able``; and no other."""
        for index, worker in list(self._workers.items()):
            if index not in abandoned or worker not in able:
                del self._workers[index]
                worker.uncover(index)
                what = self._name(index)
                self._log.info("worker {worker} no longer accepts for {what}", worker=worker.index, what=what)
        if not able:
            return
        for index in abandoned.keys() - self._workers.keys():
            worker = self._workers[index] = min(able, key=self._burden)
            worker.cover(index, abandoned[index])
            self._log.info("worker {worker} accepts for {what}", worker=worker.index, what=self._name(index))

    def _burden(self, worker: WorkerProcess) -> tuple[int, int]:
        return list(self._workers.values()).count(worker), worker.index
