"""Filters on the way of an answer, and checks on the way of a body."""

from __future__ import annotations

from attrs import define, field
from twisted.trial.unittest import SynchronousTestCase

from tests.kit_client import MemoryServer, Visitor, request
from tracseq_gateway.errors import BAD_REQUEST, GatewayError
from tracseq_gateway.http.outgoing import OutgoingHead
from tracseq_gateway.interfaces import AnswerSink
from tracseq_gateway.server.request import GatewayRequest


@define(eq=False)
class Louder:
    """A filter that puts its mark behind every piece, at once or when it is told to; notes what it hears."""

    sink: AnswerSink
    mark: bytes
    later: bool = False
    waiting: list[tuple[bytes, bool]] = field(factory=list)
    heard: list[str] = field(factory=list)

    def begin(self, head: OutgoingHead, data: bytes, done: bool) -> None:
        self.sink.begin(OutgoingHead(head.status, head.reason, head.pairs), b"", False)
        self.send(data, done)

    def send(self, data: bytes, done: bool) -> None:
        self.waiting.append((data + self.mark, done))
        if not self.later:
            self.go_on()

    def go_on(self) -> None:
        """Hand on what waits."""
        while self.waiting:
            self.sink.send(*self.waiting.pop(0))

    def abort(self) -> None:
        self.heard.append("abort")
        self.sink.abort()

    def gone(self) -> None:
        self.heard.append("gone")


class Working:
    """Attends requests; notes what it hears."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def body_received(self, data: bytes) -> None:
        self.heard.append(data)

    def body_ended(self) -> None:
        self.heard.append("whole")

    def client_gone(self) -> None:
        self.heard.append("gone")

    def pause(self) -> None:
        self.heard.append("pause")

    def resume(self) -> None:
        self.heard.append("resume")

    def leave(self) -> None:
        """Nothing is switched here."""


HEAD = OutgoingHead(200, b"OK", [])


class FilterTests(SynchronousTestCase):
    def filtered(self, *marks: bytes, later: bool = False) -> tuple[GatewayRequest, Visitor, list[Louder], Working]:
        """A request whose answer passes filters, the first mark nearest to the client."""
        requests: list[GatewayRequest] = []
        working = Working()

        def take(request: GatewayRequest) -> None:
            requests.append(request)
            request.attend(working)

        visitor = MemoryServer(take).visit(request(b"/"))
        filters: list[Louder] = []

        def make(sink: AnswerSink, mark: bytes) -> Louder:
            filters.append(Louder(sink, mark, later))
            return filters[-1]

        for mark in marks:
            requests[0].filter_answer(lambda sink, mark=mark: make(sink, mark))  # type: ignore[misc]
        return requests[0], visitor, filters, working

    def test_changed(self) -> None:
        """What goes to the client, and what is counted, is what the filter makes of the answer."""
        answered, visitor, _, _ = self.filtered(b"!")
        answered.begin(HEAD, b"one", False)
        answered.send(b"two", True)
        self.assertEqual([answer.body for answer in visitor.answers()], [b"one!two!"])
        self.assertEqual((answered.sent, answered.status), (8, 200))

    def test_nested(self) -> None:
        """The filter that was put in last gets the answer first."""
        answered, visitor, _, _ = self.filtered(b"outer", b"inner ")
        answered.begin(HEAD, b"told ", True)
        self.assertEqual(visitor.answers()[0].body, b"outertold inner outer")

    def test_later(self) -> None:
        """A filter may hand on later: until then the request is not over for its connection."""
        answered, visitor, (louder,), _ = self.filtered(b"!", later=True)
        answered.begin(HEAD, b"one", True)
        self.assertTrue(answered.finished)
        visitor.send(request(b"/"))
        self.assertEqual(visitor.channel._request, answered)
        louder.go_on()
        self.assertEqual(visitor.answers()[0].body, b"one!")
        self.assertIsNot(visitor.channel._request, answered)

    def test_client_gone(self) -> None:
        """When the client leaves, every filter hears of it once, and what it still sends goes nowhere."""
        answered, visitor, filters, _ = self.filtered(b"a", b"b", later=True)
        answered.begin(HEAD, b"one", True)
        visitor.leave()
        self.assertEqual([louder.heard for louder in filters], [["gone"], ["gone"]])
        filters[0].go_on()
        self.assertEqual(answered.status, 200)

    def test_abort(self) -> None:
        """An answer that breaks off passes the filters, and the client sees that it is not whole."""
        answered, visitor, (louder,), _ = self.filtered(b"!")
        answered.begin(HEAD, b"one", False)
        answered.abort()
        self.assertEqual(louder.heard, ["abort"])
        self.assertTrue(visitor.closed)
        self.assertTrue(visitor.received.endswith(b"4\r\none!\r\n"), visitor.received)

    def test_refusal(self) -> None:
        """A refusal before the answer has begun is an answer like others."""
        answered, visitor, _, _ = self.filtered(b" ")
        answered.refuse(GatewayError(BAD_REQUEST, "no"))
        self.assertEqual(visitor.statuses(), [400])

    def test_full_again(self) -> None:
        """A client's side that says more than once that it is full need say only once that it has room."""
        answered, _, _, working = self.filtered()
        answered.begin(HEAD, b"", False)
        for _ in range(3):
            answered.pause_answer()
        answered.hold_answer()
        answered.resume_answer()
        self.assertNotIn("resume", working.heard)
        answered.release_answer()
        self.assertEqual(working.heard[-1], "resume")

    def test_hold(self) -> None:
        """Who answers pauses while the client is slow or a filter is, and resumes when neither is any more."""
        answered, _, _, working = self.filtered(b"!")
        answered.hold_answer()
        answered.pause_answer()
        answered.release_answer()
        self.assertEqual(working.heard, ["pause"])
        answered.resume_answer()
        answered.resume_answer()
        self.assertEqual(working.heard, ["pause", "resume"])


class Sum:
    """Finds a body wrong that is not what it should be."""

    def __init__(self, right: bytes) -> None:
        self.right, self.seen = right, b""

    def take(self, data: bytes) -> None:
        self.seen += data

    def end(self) -> GatewayError | None:
        return None if self.seen == self.right else GatewayError(BAD_REQUEST, "another body")


class BodyCheckTests(SynchronousTestCase):
    def checked(self, right: bytes, *pieces: bytes) -> tuple[list[object], Visitor]:
        """Post a body; return what who takes it hears."""
        working = Working()

        def take(request: GatewayRequest) -> None:
            error = request.check_body(Sum(right))
            if error is not None:
                request.refuse(error)
                return
            request.attend(working)
            data, whole = request.take_body()
            working.heard += [data] if data else []
            working.heard += ["whole"] if whole else []

        visitor = MemoryServer(take).visit()
        head = b"POST / HTTP/1.1\r\nHost: gw\r\nContent-Length: %d\r\n\r\n" % sum(map(len, pieces))
        visitor.send(head + pieces[0], *pieces[1:])
        return working.heard, visitor

    def test_right(self) -> None:
        """A body that is right arrives whole, one piece behind."""
        self.assertEqual(self.checked(b"abcdef", b"ab", b"cd", b"ef")[0], [b"ab", b"cd", b"ef", "whole"])
        self.assertEqual(self.checked(b"abcdef", b"abcdef")[0], [b"abcdef", "whole"])
        self.assertEqual(self.checked(b"abcdef", b"", b"abcdef")[0], [b"abcdef", "whole"])

    def test_wrong(self) -> None:
        """Of a body that is wrong the last piece never arrives, and the client gets the error."""
        heard, visitor = self.checked(b"abcdeX", b"ab", b"cd", b"ef")
        self.assertEqual(heard, [b"ab", b"cd", "gone"])
        self.assertEqual(visitor.statuses(), [400])
        heard, visitor = self.checked(b"abcdeX", b"abcdef")
        self.assertEqual((heard, visitor.statuses()), ([], [400]))
