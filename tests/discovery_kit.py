"""A name server for tests: real datagrams and connections on a loopback port, and answers that the test writes."""

from __future__ import annotations

from typing import Any, Literal

from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import DatagramProtocol, ServerFactory
from twisted.names import dns

Mood = Literal["answers", "silent", "refuses", "fails", "babbles"]


class NameServer(DatagramProtocol):
    """Knows ``records``; a name that has none does not exist."""

    noisy = False

    def __init__(self, reactor: Any) -> None:
        self.records: dict[str, list[Any]] = {}
        """Payloads by name."""
        self.additional: dict[str, list[Any]] = {}
        """Payloads by name, that go with every answer."""
        self.mood: Mood = "answers"
        self.silent_about: set[int] = set()
        """Types of records that no question is answered about."""
        self.largest = 0
        """Bytes of an answer by TCP, beyond which it is cut off; 0: no limit. By datagram they are 512."""
        self.asked: list[tuple[str, int]] = []
        """Names and types."""
        self.by_tcp = 0
        factory = ServerFactory()
        factory.noisy = False
        factory.buildProtocol = lambda addr: dns.DNSProtocol(self)  # type: ignore[method-assign]
        while True:
            self._tcp = reactor.listenTCP(0, factory, interface="127.0.0.1")
            self.port: int = self._tcp.getHost().port
            try:
                self._udp = reactor.listenUDP(self.port, self, interface="127.0.0.1")
                break
            except CannotListenError:  # the port is free for one of both only
                self._tcp.stopListening()
        self._connections: list[Any] = []

    def stop(self) -> Deferred[Any]:
        """Close everything."""
        for connection in self._connections:
            connection.transport.abortConnection()
        return gatherResults([maybeDeferred(port.stopListening) for port in (self._udp, self._tcp)])

    def datagramReceived(self, data: bytes, addr: Any) -> None:
        if self.mood == "babbles":
            self._udp.write(b"\0\1 no message of DNS", addr)
            return
        question = dns.Message()
        question.fromStr(data)
        answer = self._answer(question)
        if answer is not None:
            self._udp.write(answer.toStr(), addr)

    # What twisted.names calls for a connection.

    def connectionMade(self, protocol: Any) -> None:
        self._connections.append(protocol)

    def connectionLost(self, protocol: Any) -> None:
        self._connections.remove(protocol)

    def messageReceived(self, question: dns.Message, protocol: Any, address: object = None) -> None:
        self.by_tcp += 1
        answer = self._answer(question)
        if answer is not None:
            answer.maxSize = self.largest
            protocol.writeMessage(answer)

    def _answer(self, question: dns.Message) -> dns.Message | None:
        (query,) = question.queries
        name = query.name.name.decode().lower()
        self.asked.append((name, query.type))
        if self.mood == "silent" or query.type in self.silent_about:
            return None
        answer = dns.Message(question.id, answer=1, recDes=1, recAv=1)
        answer.queries = question.queries
        payloads = self.records.get(name)
        if self.mood != "answers":
            answer.rCode = {"refuses": dns.EREFUSED, "fails": dns.ESERVER}[self.mood]
        elif payloads is None:
            answer.rCode = dns.ENAME
        else:
            answer.answers = [_record(name, one) for one in payloads if query.type == one.TYPE]
            answer.additional = [_record(name, one) for name, ones in self.additional.items() for one in ones]
        return answer


def _record(name: str, payload: Any) -> dns.RRHeader:
    return dns.RRHeader(name, payload.TYPE, ttl=1, payload=payload)
