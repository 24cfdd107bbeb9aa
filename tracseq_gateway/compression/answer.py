"""One answer on its way to a client, encoded if the client wants it and the answer allows it.

Rules:

1. A piece that came is a piece that goes: encoders are flushed behind each, so that nothing waits for what may never
   come.
2. A large piece is encoded in a thread. Until it is done what comes behind it waits, and who answers is held.
3. An answer that breaks off gets no end from its encoder, so that it cannot look whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from attrs import define, field
from twisted.logger import Logger
from twisted.python.failure import Failure

from tracseq_gateway.compression.encoders import Encoder
from tracseq_gateway.compression.heads import encoded, forbids_transforming, is_encodable, not_modified, varied
from tracseq_gateway.compression.media_types import MediaTypes
from tracseq_gateway.compression.off_loop import OffLoop
from tracseq_gateway.errors import INTERNAL, GatewayError
from tracseq_gateway.http.accept_encoding import CodingChoice
from tracseq_gateway.http.outgoing import OutgoingHead
from tracseq_gateway.interfaces import AnswerSink, Request

OFF_LOOP_BYTES = 32768
"""From this length on a piece is encoded in a thread: below it, going there costs about as much as it spares."""

_log = Logger()


@define(eq=False)
class Compressor:
    """What the answers of one worker have in common."""

    makers: Mapping[bytes, Callable[[], Encoder]]
    """Make an encoder for each coding, the preferred one first."""
    types: MediaTypes
    least_bytes: int
    most_streams: int
    """Answers in pieces that are encoded at a time."""
    off_loop: OffLoop
    choose: CodingChoice = field(init=False)
    streams: int = 0
    """How many are under way."""

    def __attrs_post_init__(self) -> None:
        self.choose = CodingChoice(tuple(self.makers))


class CompressedAnswer:
    """A :class:`tracseq_gateway.interfaces.AnswerFilter`."""

    __slots__ = (
        "_compressor",
        "_counts",
        "_done",
        "_encoder",
        "_head",
        "_holding",
        "_request",
        "_sink",
        "_streaming",
        "_waiting",
        "_working",
    )

    def __init__(self, compressor: Compressor, counts: Counter[str], request: Request, sink: AnswerSink) -> None:
        """``counts`` gets the bytes that went ``in`` and came ``out`` of encoders."""
        self._compressor = compressor
        self._counts = counts
        self._request = request
        self._sink = sink
        self._encoder: Encoder | None = None
        """None: pieces are handed on as they are."""
        self._head: OutgoingHead | None = None
        """Until it is handed on."""
        self._streaming = False
        self._working = False
        """Whether a thread has a piece."""
        self._waiting: list[bytes] = []
        self._done = False
        """Whether the end came."""
        self._holding = False

    # Who answers calls.

    def begin(self, head: OutgoingHead, data: bytes, done: bool) -> None:
        """See :class:`tracseq_gateway.interfaces.AnswerSink`."""
        compressor, asked = self._compressor, self._request.head
        bodiless = asked.method == b"HEAD"
        length = len(data) if done and not bodiless else head.length
        if head.status == 304:
            head = not_modified(head, asked.get(b"if-none-match") or b"")
        elif (length is None or length >= compressor.least_bytes) and is_encodable(head, compressor.types):
            coding = self._coding(done)
            if coding is None:
                head = varied(head)
            elif bodiless:
                head = encoded(head, coding, None)
            else:
                self._begin_encoded(head, coding, data, done)
                return
        self._sink.begin(head, data, done)

    def send(self, data: bytes, done: bool) -> None:
        """See :class:`tracseq_gateway.interfaces.AnswerSink`."""
        if self._encoder is None:
            self._sink.send(data, done)
        else:
            self._take(data, done)

    def abort(self) -> None:
        """See :class:`tracseq_gateway.interfaces.AnswerSink`."""
        self.gone()
        self._sink.abort()

    def gone(self) -> None:
        """See :class:`tracseq_gateway.interfaces.AnswerFilter`. What a thread is at work on is thrown away later."""
        self._encoder = self._head = None
        self._waiting.clear()
        if self._streaming:
            self._streaming = False
            self._compressor.streams -= 1

    # Encoding.

    def _coding(self, done: bool) -> bytes | None:
        """The coding for this client; None: it gets the answer as it is."""
        compressor, asked = self._compressor, self._request.head
        if not done and compressor.streams >= compressor.most_streams:
            return None
        coding = compressor.choose(asked.fields.accept_encoding)
        if coding is not None and forbids_transforming(asked.get(b"cache-control") or b""):
            return None
        return coding

    def _begin_encoded(self, head: OutgoingHead, coding: bytes, data: bytes, done: bool) -> None:
        compressor = self._compressor
        self._encoder = compressor.makers[coding]()
        self._head = encoded(head, coding, None)
        if not done:
            self._streaming = True
            compressor.streams += 1
        self._take(data, done)

    def _take(self, data: bytes, done: bool) -> None:
        """Encode a piece, or keep it until those before it are encoded."""
        self._done = done
        if self._working:
            self._waiting.append(data)
            if not self._holding and not done:
                self._holding = True
                self._request.hold_answer()
            return
        self._counts["in"] += len(data)
        if len(data) < OFF_LOOP_BYTES:
            try:
                piece = self._encode(data, done)
            except Exception:
                self._failed(Failure())
            else:
                self._hand_on(piece, done)
        else:
            self._working = True
            self._compressor.off_loop.run(lambda: self._encode(data, done), lambda outcome: self._worked(outcome, done))

    def _encode(self, data: bytes, done: bool) -> bytes:
        """Called in a thread for large pieces, perhaps when nobody wants the result any more."""
        encoder = self._encoder
        if encoder is None:
            return b""
        return encoder.encode(data, done)

    def _worked(self, outcome: bytes | Failure, done: bool) -> None:
        """A thread has ended its work."""
        if self._encoder is None:
            return
        if isinstance(outcome, Failure):
            self._failed(outcome)
            return
        self._hand_on(outcome, done)
        self._working = False  # not before: what the client's side lets come meanwhile belongs behind what waits
        if self._waiting:
            data = b"".join(self._waiting)
            self._waiting.clear()
            self._take(data, self._done)
        if self._holding and not self._working:
            self._holding = False
            self._request.release_answer()

    def _hand_on(self, piece: bytes, done: bool) -> None:
        """Pass on what came out of the encoder."""
        self._counts["out"] += len(piece)
        head, self._head = self._head, None
        if done:
            self.gone()
        if head is None:
            self._sink.send(piece, done)
        else:
            if done:
                head.length = len(piece)
            self._sink.begin(head, piece, done)

    def _failed(self, failure: Failure) -> None:
        """The encoder failed, say for want of memory: the answer cannot be completed."""
        request = self._request
        _log.failure("an answer could not be compressed: {path!r}", failure, path=request.head.path)
        error = GatewayError(INTERNAL, "the answer could not be compressed")
        if request.finished:
            request.error = error
            self.abort()
        else:
            request.break_off(error)
