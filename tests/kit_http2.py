"""The client's half of the kit for HTTP/2: a client made of h2, and frames by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import Factory, define
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    InformationalResponseReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.settings import SettingCodes, Settings

from tests.kit import MemoryGateway, MemoryTransport
from tests.kit_client import MemoryServer, Visitor
from tracseq_gateway.server.h2_channel import H2Channel

Fields = list[tuple[bytes, bytes]]
GOAWAY = 7


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """Write a frame."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def frames_of(data: bytes) -> list[tuple[int, int, int, bytes]]:
    """Read whole frames: kind, flags, stream, payload."""
    frames = []
    while data:
        end = 9 + int.from_bytes(data[:3], "big")
        assert len(data) >= end, "half a frame"
        frames.append((data[3], data[4], int.from_bytes(data[5:9], "big"), data[9:end]))
        data = data[end:]
    return frames


@define
class Http2Answer:
    """What a client got on one stream."""

    status: int = 0
    fields: Fields = Factory(list)
    body: bytes = b""
    ended: bool = False
    reset: ErrorCodes | None = None
    interim: list[int] = Factory(list)

    def values(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.fields if key == name]


class Http2Client:
    """Speaks HTTP/2 as clients do, strictly; bytes go through :meth:`sent` and :meth:`receive`."""

    def __init__(self, *, takes: bool = True, settings: dict[SettingCodes, int] | None = None) -> None:
        """``takes``: whether windows are opened again for all that comes."""
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        # Requests that no client should send are a matter of this kit.
        self.h2.config.validate_outbound_headers = False
        self.h2.config.normalize_outbound_headers = False
        if settings:
            self.h2.local_settings = Settings(client=True, initial_values=settings)
        self.h2.initiate_connection()
        self.takes = takes
        self.answers: dict[int, Http2Answer] = {}
        self.goaways: list[tuple[int, ErrorCodes]] = []
        """Last streams and codes."""
        self._rest = b""

    def request(
        self,
        *fields: tuple[bytes, bytes],
        method: bytes = b"GET",
        path: bytes = b"/",
        authority: bytes = b"gw.test",
        ended: bool = True,
    ) -> int:
        """Ask; return the stream's number."""
        number = self.h2.get_next_available_stream_id()
        pseudo = [(b":method", method), (b":scheme", b"http"), (b":authority", authority), (b":path", path)]
        return self.request_of([*pseudo, *fields], number, ended)

    def request_of(self, fields: Sequence[tuple[bytes, bytes]], number: int = 0, ended: bool = True) -> int:
        """Ask with these fields and no others."""
        number = number or self.h2.get_next_available_stream_id()
        self.answers[number] = Http2Answer()
        self.h2.send_headers(number, fields, end_stream=ended)
        return number

    def sent(self) -> bytes:
        """What is to be sent."""
        return self.h2.data_to_send()

    def receive(self, data: bytes) -> None:
        """Take what the gateway sends."""
        data = self._rest + data
        while len(data) >= 9 and len(data) >= (end := 9 + int.from_bytes(data[:3], "big")):
            self._take(data[:end])
            data = data[end:]
        self._rest = data

    def _take(self, raw: bytes) -> None:
        if raw[3] == GOAWAY:
            # After one, h2's client could not take the answers that are still on their way.
            self.goaways.append((int.from_bytes(raw[9:13], "big"), ErrorCodes(int.from_bytes(raw[13:17], "big"))))
            return
        for event in self.h2.receive_data(raw):
            self._heard(event)

    def _heard(self, event: Any) -> None:
        answer = self.answers.get(getattr(event, "stream_id", 0) or 0)
        if answer is None:
            return
        if isinstance(event, ResponseReceived):
            (_, status), *answer.fields = event.headers
            answer.status = int(status)
        elif isinstance(event, InformationalResponseReceived):
            answer.interim.append(int(event.headers[0][1]))
        elif isinstance(event, DataReceived):
            answer.body += event.data
            if self.takes and event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamEnded):
            answer.ended = True
        elif isinstance(event, StreamReset):
            answer.reset = ErrorCodes(event.error_code)


class Http2Conversation:
    """A client's connection to a :class:`MemoryGateway`, and thus to its service."""

    def __init__(self, gateway: MemoryGateway) -> None:
        self.gateway = gateway
        self.client = Http2Client()
        self.transport = MemoryTransport()
        self.channel = H2Channel(gateway.worker.site)
        self.channel.makeConnection(self.transport)
        self.exchange()

    def exchange(self) -> None:
        """Let bytes go both ways, and to the service and back, until there are none."""
        moved = True
        while moved:
            self.gateway.clock.advance(0)
            self.gateway.service.run()
            received, _ = self.transport.value(), self.transport.clear()
            self.client.receive(received)
            out = self.client.sent()
            if out and not self.transport.closed:
                self.channel.dataReceived(out)
            moved = bool(received or out)

    def answer(self, number: int) -> Http2Answer:
        """What has come on a stream."""
        self.exchange()
        return self.client.answers[number]


class Http2Visitor(Visitor):
    """A client's connection to a :class:`MemoryServer`, which has begun to speak HTTP/2."""

    def __init__(
        self,
        server: MemoryServer,
        peer: str = "192.0.2.7",
        window: float = float("inf"),
        *,
        takes: bool = True,
        begins: bool = True,
        settings: dict[SettingCodes, int] | None = None,
    ) -> None:
        super().__init__(server, peer, window)
        self.client = Http2Client(takes=takes, settings=settings)
        self._read = 0
        if begins:
            self.exchange()

    def first_protocol(self, server: MemoryServer) -> Any:
        return H2Channel(server.site)

    def exchange(self) -> None:
        """Let bytes go both ways until there are none."""
        while True:
            received = self.received
            data, self._read = received[self._read :], len(received)
            self.client.receive(data)
            out = self.client.sent()
            if out:
                self.send(out)
            elif not data and len(self.received) == self._read:
                return

    def ask(self, *fields: tuple[bytes, bytes], **kinds: Any) -> int:
        """Send a request, and take what is answered; return its stream."""
        number = self.client.request(*fields, **kinds)
        self.exchange()
        return number

    def give(self, number: int, data: bytes, ended: bool = False) -> None:
        """Send a piece of a body."""
        self.client.h2.send_data(number, data, end_stream=ended)
        self.exchange()

    def answer(self, number: int) -> Http2Answer:
        """What has come on a stream."""
        self.exchange()
        return self.client.answers[number]

    def windows(self, number: int) -> int:
        """How many bytes may be sent on a stream."""
        self.exchange()
        return self.client.h2.local_flow_control_window(number)
