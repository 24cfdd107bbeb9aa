"""A gateway in memory before a service that says which request it answers, so that no answer can be mistaken."""

from __future__ import annotations

from tests.kit import Answer, MemoryClient, MemoryGateway, Received

MARK = b"x-echo"
"""The field by which an answer of the service is known."""


def said_of(method: bytes, target: bytes, body: bytes) -> bytes:
    """What the service says of a request."""
    return b"%b %b %d %b" % (method, target, len(body), body[:16].hex().encode("ascii"))


def answer_to(request: Received) -> bytes:
    """The service's answer to a request."""
    said = said_of(request.method, request.target, request.body)
    head = b"HTTP/1.1 200 OK\r\n%b: yes\r\nContent-Length: %d\r\n\r\n" % (MARK, len(said))
    return head if request.method == b"HEAD" else head + said


class EchoGateway(MemoryGateway):
    """Answers what reaches the service when :meth:`run` is called."""

    def __init__(self) -> None:
        super().__init__(answer=None)
        self._answered: dict[int, int] = {}

    def run(self) -> None:
        """Let the service answer, and carry out closes, until nothing moves."""
        moved = True
        while moved:
            moved = False
            for number, connection in enumerate(self.service.connections):
                answered = self._answered.get(number, 0)
                if answered < len(connection.requests):
                    self._answered[number] = answered + 1
                    connection.answer(answer_to(connection.requests[answered]))
                    moved = True
            self.service.run()

    def ignore(self) -> None:
        """Count what has come so far as answered: the test did that itself."""
        self._answered = {number: len(each.requests) for number, each in enumerate(self.service.connections)}

    def send(self, client: MemoryClient, pieces: list[bytes]) -> None:
        """Send pieces, and let the service answer after each."""
        for piece in pieces:
            client.send(piece)
            self.run()


def finals(client: MemoryClient, *methods: bytes) -> list[Answer]:
    """The final answers that a client received, read strictly."""
    return [answer for answer in client.answers(*methods) if answer.status >= 200]
