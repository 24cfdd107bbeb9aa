"""TLS on a connection, for both sides: to the protocol above it a transport, to the one below it a protocol.

OpenSSL encrypts and decrypts in memory. Twisted's own ``TLSMemoryBIOProtocol`` does the same; rules in which this
differs from it:

1. A write leaves at once, encrypted as a whole: nothing waits for a turn of the reactor to be put together.
2. One read from the socket is at most one delivery, so who paused reading gets nothing more, as in clear.
3. ``loseConnection`` says close_notify behind what was written, and closes when that is sent. The peer's is not waited
   for (RFC 8446 section 6.1): who never says it would hold the connection for ever.
4. ``abortConnection`` says nothing: without a close_notify the peer can tell that something is missing.
5. ``loseWriteConnection`` says close_notify, too, and then reads and throws away; TLS in itself has no half of a close.
6. An end without the peer's close_notify is none: it is reported as ``ConnectionLost``, never as ``ConnectionDone``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from OpenSSL.SSL import Connection, Error, WantReadError, ZeroReturnError
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer, ITransport
from twisted.internet.main import CONNECTION_LOST
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress, IProtocol

    from tracseq_gateway.net.transport import EagerClient, EagerServer

RECORD = 16384
"""Most bytes of a record, before it is encrypted (RFC 8446 section 5.1)."""
OVERHEAD = 256
"""More bytes than a record grows by."""


@implementer(ITransport, IPushProducer)
class TLSTransport(Protocol):
    """One connection: the protocol of an eager transport, which gives what that gives to the protocol above it."""

    transport: EagerServer | EagerClient
    protocol: IProtocol

    def __init__(
        self,
        connection: Connection,
        established: Callable[[TLSTransport], IProtocol],
        failed: Callable[[Failure], None],
    ) -> None:
        """Prepare a handshake, which begins when there is a connection.

        :param connection: OpenSSL's, over memory, in the state of the side that this is. Renegotiation must be off.
        :param established: called when the handshake is complete; gives the protocol that speaks from now on, whose
            ``makeConnection`` is called then. What it raises as ValueError is why the connection is closed instead.
        :param failed: called instead when the connection is lost before that, with why: an ``OpenSSL.SSL.Error``, or
            what else ended it.
        """
        self.tls = connection
        self._established = established
        self._failed = failed
        self._fault: Failure | None = None
        self._open = False
        """Whether the handshake is complete, and the protocol above has not heard of the end."""
        self._closing = False
        """Whether our side has said its last byte."""
        self._deaf = False
        """Whether what comes is thrown away."""

    # The connection below calls.

    def connectionMade(self) -> None:
        """Begin the handshake: a client speaks first."""
        self._shake_hands()

    def dataReceived(self, data: bytes) -> None:
        """Take encrypted bytes."""
        if self._deaf:
            return
        self.tls.bio_write(data)
        if self._open or self._shake_hands():
            self._deliver()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        if not self._closing and reason.check(ConnectionDone):
            reason = Failure(CONNECTION_LOST)  # by who sits in between, as far as anybody can tell
        self._deaf = self._closing = True
        reason = self._fault or reason
        if self._open:
            self._open = False
            protocol = self.protocol
            del self.protocol  # each holds the other
            protocol.connectionLost(reason)
        else:
            self._failed(reason)

    def _shake_hands(self) -> bool:
        """Go on with the handshake; return whether it is complete, and the connection still wanted."""
        try:
            self.tls.do_handshake()
        except WantReadError:
            self._flush()
            return False
        except Error:
            self._give_up()
            return False
        try:
            self.protocol = self._established(self)
        except ValueError:
            self._give_up()
            return False
        self._open = True
        del self._established, self._failed  # nobody who opened the connection is kept as long as it lasts
        self.protocol.makeConnection(self)
        # What ends our side of the handshake goes with what is written first, if something is.
        self._flush()
        return not self._deaf

    def _deliver(self) -> None:
        """Hand up what can be decrypted."""
        pieces: list[bytes] = []
        over, receive = False, self.tls.recv
        try:
            while True:
                pieces.append(receive(RECORD))
        except WantReadError:
            pass
        except ZeroReturnError:
            over = True
        except Error:
            self._give_up()
        if pieces:
            self.protocol.dataReceived(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        else:
            # Not for us, but perhaps to be answered, as a client that wants to shake hands again: that is refused.
            self._flush()
        if over and not self._closing:
            self._peer_left()

    def _peer_left(self) -> None:
        """The peer said close_notify. As with a FIN in clear, it is gone, and what it has not taken is lost."""
        self._fault = connectionDone
        self._leave(self._say_goodbye)

    def _give_up(self) -> None:
        """The peer broke a rule of TLS, or did not like ours: send OpenSSL's alert, and close."""
        self._fault = Failure()
        self._leave(self._flush)

    def _leave(self, say: Callable[[], None]) -> None:
        """Close for a reason of the peer's."""
        self._deaf = self._closing = True
        if self._open and self.transport.unsent():
            # It has not taken what was said before either.
            self.transport.abortConnection()
            return
        say()
        if self._open:
            # A producer that is paused would keep the transport open.
            self.transport.unregisterProducer()
        self.transport.loseConnection()

    # The protocol above calls.

    def write(self, data: bytes) -> None:
        """Encrypt and send; what the kernel does not take now is queued below."""
        if self._closing or not data:
            return
        try:
            self.tls.sendall(data)
        except Error:
            self._give_up()
            return
        self._flush(len(data) + (len(data) // RECORD + 1) * OVERHEAD)

    def writeSequence(self, pieces: Iterable[bytes]) -> None:
        """Write the pieces as one."""
        self.write(b"".join(pieces))

    @property
    def disconnecting(self) -> bool:
        """Whether nothing that is written any more is sent."""
        return self._closing

    def unsent(self) -> int:
        """Encrypted bytes that wait in this process for the peer to take them."""
        return self.transport.unsent()

    def loseConnection(self) -> None:
        """Close when everything is sent; a producer must have been unregistered."""
        if not self._closing:
            self._say_goodbye()
        self.transport.loseConnection()

    def loseWriteConnection(self) -> None:
        """Send nothing more, and throw away what comes until the connection is closed."""
        if not self._closing:
            self._say_goodbye()
        self._deaf = True
        self.transport.loseWriteConnection()

    def abortConnection(self) -> None:
        """Close at once, and leave the peer in no doubt that something is missing."""
        self._deaf = self._closing = True
        self.transport.abortConnection()

    def pauseProducing(self) -> None:
        """Read nothing."""
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Read again."""
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """Read nothing any more: close."""
        self.loseConnection()

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        """Have ``producer`` paused while more waits to be sent than should."""
        self.transport.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """There is nothing left to pause."""
        self.transport.unregisterProducer()

    def setTcpNoDelay(self, enabled: bool) -> None:
        """As the connection below has it."""
        self.transport.setTcpNoDelay(enabled)

    def getHost(self) -> IAddress:
        """Our end."""
        host: IAddress = self.transport.getHost()
        return host

    def getPeer(self) -> IAddress:
        """The peer's end."""
        peer: IAddress = self.transport.getPeer()
        return peer

    # Both.

    def _say_goodbye(self) -> None:
        self._closing = True
        if self._open:
            try:
                self.tls.shutdown()
            except Error:
                return  # the peer has broken the protocol before: there is nobody to say it to
            self._flush()

    def _flush(self, most: int = 2 * RECORD) -> None:
        """Send what OpenSSL wants to have sent."""
        read = self.tls.bio_read
        try:
            data = read(most)
            while data:
                self.transport.write(data)
                data = read(most) if len(data) == most else b""
        except WantReadError:
            return
