"""The workers' reactor, each promise in a process of its own: only one reactor can live in each."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parent.parent
PROLOGUE = """
import json, os, signal, sys, time
from tracseq_gateway.net.reactor import GatewayReactor, install
reactor = install()
from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ClientFactory, Factory, ProcessProtocol, Protocol, connectionDone
from twisted.logger import globalLogBeginner
assert installed is reactor and isinstance(reactor, GatewayReactor)
logged = []
saw = {}

def observe(event):
    failure = event.get("log_failure") or event.get("failure")  # the latter from Twisted's older log
    if failure:
        logged.append(failure.type.__name__)

globalLogBeginner.beginLoggingTo([observe], discardBuffer=True, redirectStandardIO=False)

def stop_after(seconds):
    reactor.callLater(seconds, reactor.stop)

def serve(protocol):
    factory = Factory.forProtocol(protocol)
    factory.noisy = False
    return reactor.listenTCP(0, factory, interface="127.0.0.1").getHost().port

def connect(port, protocol):
    factory = ClientFactory()
    factory.protocol, factory.noisy = protocol, False
    reactor.connectTCP("127.0.0.1", port, factory)
"""


class ReactorTests(SynchronousTestCase):
    def run_child(self, script: str) -> dict[str, Any]:
        """Run a script on the reactor in a process; return what it put into ``saw``."""
        whole = PROLOGUE + dedent(script) + "\nreactor.run()\nsaw['logged'] = logged\nprint(json.dumps(saw))\n"
        command = [sys.executable, "-W", "error", "-c", whole]
        child = subprocess.run(command, capture_output=True, timeout=20, cwd=ROOT)
        self.assertEqual((child.returncode, child.stderr), (0, b""))
        seen: dict[str, Any] = json.loads(child.stdout)
        return seen

    def test_time(self) -> None:
        """Its seconds are monotonic; calls come in the order of their times, not early, and can be cancelled."""
        saw = self.run_child("""
            start = reactor.seconds()
            saw["monotonic"] = abs(start - time.monotonic()) < 1
            time.time = lambda: 0.0  # a step of the wall clock
            order = saw["order"] = []
            def call(name, due):
                order.append(name)
                assert reactor.seconds() >= due
            for name, delay in (("c", 0.06), ("a", 0.02), ("b", 0.04), ("now", 0)):
                reactor.callLater(delay, call, name, start + delay)
            reactor.callLater(0.03, call, "cancelled", 0).cancel()
            reactor.callFromThread(call, "thread", 0)
            stop_after(0.1)
        """)
        self.assertTrue(saw["monotonic"])
        self.assertEqual(sorted(saw["order"][:2]), ["now", "thread"])
        self.assertEqual((saw["order"][2:], saw["logged"]), (["a", "b", "c"], []))

    def test_tcp(self) -> None:
        """Many connections at once echo a megabyte each, and end in an orderly way."""
        saw = self.run_child("""
            data, left, saw["ends"] = bytes(range(256)) * 4096, [20], []
            class Echo(Protocol):
                def dataReceived(self, data):
                    self.transport.write(data)
            class Client(Protocol):
                def connectionMade(self):
                    self.got = bytearray()
                    self.transport.write(data)
                def dataReceived(self, more):
                    self.got += more
                    if len(self.got) == len(data):
                        self.transport.loseConnection()
                def connectionLost(self, reason=connectionDone):
                    saw["ends"].append([self.got == data, reason.type.__name__])
                    left[0] -= 1
                    if not left[0]:
                        reactor.stop()
            port = serve(Echo)
            for _ in range(20):
                connect(port, Client)
        """)
        self.assertEqual((saw["ends"], saw["logged"]), ([[True, "ConnectionDone"]] * 20, []))

    def test_exceptions(self) -> None:
        """A protocol that raises is logged and loses its own connection; the others, and the reactor, go on."""
        saw = self.run_child("""
            saw["lost"], saw["heard"] = [], []
            class Server(Protocol):
                def dataReceived(self, data):
                    if data == b"bad":
                        raise ValueError("in a protocol")
                    self.transport.write(data)
                def connectionLost(self, reason=connectionDone):
                    saw["lost"].append(reason.type.__name__)
            class Client(Protocol):
                def connectionMade(self):
                    clients.append(self)
                    if len(clients) == 2:
                        clients[0].transport.write(b"bad")
                        reactor.callLater(0.05, clients[1].transport.write, b"good")
                def dataReceived(self, data):
                    saw["heard"].append([clients.index(self), data.decode()])
                    self.transport.loseConnection()
                    stop_after(0.05)
            clients = []
            port = serve(Server)
            connect(port, Client)
            connect(port, Client)
        """)
        self.assertEqual(saw["heard"], [[1, "good"]])
        self.assertEqual(sorted(saw["lost"]), ["ConnectionDone", "ValueError"])
        self.assertEqual(saw["logged"], ["ValueError"])

    def test_one_event_may_close_another(self) -> None:
        """A connection that is closed by an earlier event of the same turn is not served any more."""
        saw = self.run_child("""
            servers, saw["heard"] = [], []
            class Server(Protocol):
                def connectionMade(self):
                    servers.append(self)
                def dataReceived(self, data):
                    saw["heard"].append(data.decode())
                    for other in servers:
                        other.transport.connectionLost(connectionDone)
            class Client(Protocol):
                def connectionMade(self):
                    self.transport.write(b"x")
            port = serve(Server)
            for _ in range(5):
                connect(port, Client)
            # Let all bytes arrive before the reactor looks: one turn then has an event for each server.
            reactor.callLater(0.05, time.sleep, 0.05)
            stop_after(0.2)
        """)
        self.assertGreaterEqual(len(saw["heard"]), 1)
        self.assertEqual(saw["logged"], [])

    def test_processes_and_signals(self) -> None:
        """Children are started, heard, and reaped; a signal stops the reactor."""
        saw = self.run_child("""
            class Child(ProcessProtocol):
                def outReceived(self, data):
                    saw["out"] = data.decode()
                def processEnded(self, reason):
                    saw["code"] = reason.value.exitCode
                    os.kill(os.getpid(), signal.SIGTERM)
            reactor.addSystemEventTrigger("before", "shutdown", lambda: saw.update(stopped=True))
            reactor.spawnProcess(Child(), sys.executable, [sys.executable, "-c", "print('hello'); exit(3)"])
            reactor.callLater(10, os._exit, 1)
        """)
        self.assertEqual(saw, {"out": "hello\n", "code": 3, "stopped": True, "logged": []})
