"""h2 as this gateway uses it: what is set otherwise than h2 has it, and why."""

from __future__ import annotations

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes, Settings

from tracseq_gateway.config.http2 import Http2
from tracseq_gateway.http.fields import Fields
from tracseq_gateway.server.h2_fields import AnswerFields, RequestBlocks

CONFIGURATION = H2Configuration(
    client_side=False,
    header_encoding=None,
    # Fields of requests are checked in h2_heads; those of answers were checked when they came from a service, and are
    # in lower case.
    validate_inbound_headers=False,
    normalize_inbound_headers=False,
    validate_outbound_headers=False,
    normalize_outbound_headers=False,
)
_NO_LIMIT = 2**31 - 1


class Session(H2Connection):
    """A connection that has sent its settings, as bytes that wait to be written."""

    MAX_CLOSED_STREAMS = 1024
    """How many streams are remembered that have ended; frames for one of them may still be on their way."""

    def __init__(self, settings: Http2, longest_head: int) -> None:
        """``longest_head``: bytes of a request's fields, as the client is told; twice of it ends the connection."""
        super().__init__(CONFIGURATION)
        self.blocks = RequestBlocks(2 * longest_head)
        self.decoder = self.blocks
        self.encoder = self._answers = AnswerFields()
        announced = {
            SettingCodes.MAX_CONCURRENT_STREAMS: settings.max_streams,
            SettingCodes.INITIAL_WINDOW_SIZE: settings.stream_window,
            SettingCodes.MAX_HEADER_LIST_SIZE: longest_head,
            SettingCodes.ENABLE_CONNECT_PROTOCOL: int(settings.websockets),
        }
        self.local_settings = Settings(client=False, initial_values=announced)
        self.initiate_connection()
        # h2 would end the connection for one stream too many; it is refused instead, so that others go on.
        self.local_settings = Settings(
            client=False, initial_values={**announced, SettingCodes.MAX_CONCURRENT_STREAMS: _NO_LIMIT}
        )
        more = settings.connection_window - self.inbound_flow_control_window
        if more > 0:
            self.increment_flow_control_window(more)

    def send_head(self, number: int, status: int, fields: Fields, ended: bool) -> None:
        """Send a HEADERS frame; ``fields`` are all behind :status."""
        self._answers.further = fields
        self.send_headers(number, [(b":status", b"%d" % status)], ended)
