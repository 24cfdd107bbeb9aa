"""Sockets that systemd opens."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.supervisor_kit import ROOT
from tracseq_gateway.process.activation import activated, shared_out
from tracseq_gateway.process.sockets import ListenError

FIRST = 200
"""Where the descriptors of these tests begin; 3 is in use here."""


class ActivatedTests(SynchronousTestCase):
    """``activated``."""

    def passed(self, *sockets: socket.socket, pid: int = 7) -> list[socket.socket]:
        """What a process 7 takes of these sockets, which were passed to process ``pid``."""
        for number, one in enumerate(sockets, FIRST):
            self.addCleanup(one.close)
            os.dup2(one.fileno(), number)
        taken = activated({"LISTEN_PID": str(pid), "LISTEN_FDS": str(len(sockets))}, 7, FIRST)
        for one in taken:
            self.addCleanup(one.close)
        return taken

    def listener(self) -> socket.socket:
        return socket.create_server(("127.0.0.1", 0))

    def test_taken(self) -> None:
        """The sockets are taken as they are, and our children do not inherit them."""
        listeners = [self.listener(), self.listener()]
        taken = self.passed(*listeners)
        self.assertEqual([one.getsockname() for one in listeners], [one.getsockname() for one in taken])
        self.assertEqual([False, False], [one.get_inheritable() for one in taken])

    def test_none(self) -> None:
        """Without the variables, or with those of another process, there is none."""
        self.assertEqual([], activated({}, 7))
        self.assertEqual([], self.passed(self.listener(), pid=8))
        os.close(FIRST)

    def refusal(self, wrong: socket.socket) -> str:
        said = str(self.assertRaises(ListenError, self.passed, wrong))
        self.assertIn(f"LISTEN_FDS: descriptor {FIRST} ", said)
        self.assertIn("ListenStream= with a port", said)
        return said

    def test_environment(self) -> None:
        """The variables are found although Twisted takes them away."""
        asked = (
            "import twisted.internet.endpoints; from tracseq_gateway.process.activation import first_environment; "
            "print(first_environment()['LISTEN_FDS'])"
        )
        environ = {**os.environ, "LISTEN_FDS": "1", "PYTHONPATH": ROOT}
        said = subprocess.run([sys.executable, "-c", asked], env=environ, capture_output=True, text=True, check=True)
        self.assertEqual("1\n", said.stdout)

    def test_wrong(self) -> None:
        """What is no listening TCP socket is refused by its number, and by what it is."""
        self.assertIn("is no TCP socket", self.refusal(socket.socket(socket.AF_UNIX)))
        self.assertIn("is no TCP socket", self.refusal(socket.socket(type=socket.SOCK_DGRAM)))
        self.assertIn("does not listen", self.refusal(socket.socket()))
        number = {"LISTEN_PID": "7", "LISTEN_FDS": "1"}
        self.assertIn("is no socket", str(self.assertRaises(ListenError, activated, number, 7, FIRST)))
        number = {"LISTEN_PID": "7", "LISTEN_FDS": "x"}
        self.assertIn("LISTEN_FDS is 'x'", str(self.assertRaises(ListenError, activated, number, 7, FIRST)))

    def test_sharedOut(self) -> None:
        """Workers share sockets when there are too few, and there is a worker for each socket when there are more."""
        sockets = [self.listener(), self.listener()]
        for one in sockets:
            self.addCleanup(one.close)
        first, second = sockets
        self.assertEqual([first, second, first], shared_out(sockets, 3))
        self.assertEqual([first, second], shared_out(sockets, 1))
