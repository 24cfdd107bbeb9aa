"""One question to name servers, as twisted.names writes it, on a socket of its own.

Not by the resolver of twisted.names: it writes lines to the log for each question, keeps a connection that has gone
dead, and leaves timers behind when it is told to stop. Here a question that is cancelled leaves nothing.
"""

from __future__ import annotations

import secrets
import socket
import struct
from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address
from typing import Any, Final, NoReturn

from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, connectProtocol
from twisted.internet.error import ConnectError
from twisted.internet.protocol import connectionDone
from twisted.names import dns
from twisted.protocols.basic import Int16StringReceiver
from twisted.python.failure import Failure

from tracseq_gateway.discovery.source import NotFound

Server = tuple[str, int]
"""Address and port."""

SHARES: Final = (0.25, 0.5)
"""The shares of a question's time that the first and the second round of all servers take."""


class NoSuchName(NotFound):
    """The answer is that there is no such name."""


async def ask(reactor: Any, servers: Sequence[Server], query: dns.Query, seconds: float) -> dns.Message:
    """The first good answer of a server: each is asked in turn, and then each once more, for ``seconds`` in all.

    :raises NotFound: if there is none; :exc:`NoSuchName` if that is the answer.
    """
    reason = NotFound("there is no name server to ask")
    for share in SHARES:
        for server in servers:
            try:
                message = await _ask_one(reactor, server, query, seconds * share / len(servers))
            except (OSError, ConnectError) as error:
                reason = NotFound(f"name server {server[0]}: {error}")
            except _Silence:
                reason = NotFound("no answer from a name server")
            else:
                if message.rCode == dns.OK:
                    return message
                if message.rCode == dns.ENAME:
                    raise NoSuchName("no such name")
                reason = NotFound(_CODES.get(message.rCode, "the name server answered with an error"))
    raise reason


_CODES: Final = {dns.ESERVER: "the name server failed", dns.EREFUSED: "the name server refused to answer"}


class _Silence(Exception):
    """A server has not answered in time."""


def _silent(result: object, timeout: float) -> NoReturn:
    raise _Silence


async def _ask_one(reactor: Any, server: Server, query: dns.Query, seconds: float) -> dns.Message:
    """The answer of one server, by a datagram or, if it does not fit into one, by a connection."""
    question = dns.Message(secrets.randbelow(1 << 16), recDes=1)
    question.queries = [query]
    answer = await _Datagram(reactor, server, question).answer.addTimeout(seconds, reactor, _silent)
    if not answer.trunc:
        return answer
    endpoint = TCP6ClientEndpoint if isinstance(ip_address(server[0]), IPv6Address) else TCP4ClientEndpoint
    connected = connectProtocol(endpoint(reactor, *server), _Stream(question))
    stream: _Stream = await connected.addTimeout(seconds, reactor, _silent)
    answer = await stream.answer.addTimeout(seconds, reactor, _silent)
    if answer.trunc:  # what is missing would count as gone
        raise ConnectError(string="half an answer")
    return answer


def answer_to(question: dns.Message, data: bytes) -> dns.Message | None:
    """The message in ``data`` if it is an answer to the question: anybody may send us anything."""
    message = dns.Message()
    try:
        message.fromStr(data)
    except (EOFError, ValueError, struct.error):
        return None
    fits = message.answer and message.id == question.id and message.queries == question.queries
    return message if fits else None


class _Datagram(FileDescriptor):
    """A question on a connected socket: it hears that one server only, and of there being none."""

    def __init__(self, reactor: Any, server: Server, question: dns.Message) -> None:
        super().__init__(reactor)
        self.answer: Deferred[dns.Message] = Deferred(lambda _: self._close())
        self._question = question
        family = socket.AF_INET6 if isinstance(ip_address(server[0]), IPv6Address) else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._socket.connect(server)
            self._socket.send(question.toStr())
        except OSError:
            self._socket.close()
            raise
        self.connected = 1
        self.startReading()

    def fileno(self) -> int:
        """See ``IFileDescriptor``."""
        return self._socket.fileno()

    def doRead(self) -> None:
        """A datagram has come, or word that nobody is there."""
        try:
            data = self._socket.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError as error:
            self.connectionLost(Failure(error))
            return
        message = answer_to(self._question, data)
        if message is not None:
            self._close()
            self.answer.callback(message)

    def connectionLost(self, reason: Failure) -> None:
        """Nobody is there, or the reactor ends."""
        self._close()
        if not self.answer.called:
            self.answer.errback(ConnectError(string="nobody is there"))

    def _close(self) -> None:
        self.stopReading()
        self._socket.close()


class _Stream(Int16StringReceiver):
    """A question on a connection."""

    def __init__(self, question: dns.Message) -> None:
        self.answer: Deferred[dns.Message] = Deferred(lambda _: self._end())
        self._question = question

    def connectionMade(self) -> None:
        self.sendString(self._question.toStr())

    def stringReceived(self, data: bytes) -> None:
        message = answer_to(self._question, data)
        if message is not None and not self.answer.called:
            self._end()
            self.answer.callback(message)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.answer.called:
            self.answer.errback(ConnectError(string="closed before it answered"))

    def _end(self) -> None:
        assert self.transport is not None
        self.transport.abortConnection()  # type: ignore[attr-defined]
