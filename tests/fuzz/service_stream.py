"""What a service sends: one outcome however it is split, and no byte of it in an answer to another request.

The first byte of an input chooses who asks and whether the service closes; the rest is what it sends.
"""

from __future__ import annotations

from tests.fuzz.echo import EchoGateway, finals, said_of
from tests.fuzz.splits import splits

_OURS = (b"x-request-id", b"date", b"content-length", b"transfer-encoding")
"""What the gateway says anew; how an answer is framed may depend on what of it was known first."""
_ASKING = [(b"GET", 1), (b"HEAD", 1), (b"GET", 0), (b"POST", 1)]


def one_input(data: bytes) -> None:
    """Let a service send these bytes in several splits."""
    if not data:
        return
    (method, minor), closes = _ASKING[data[0] & 3], bool(data[0] & 4)
    outcomes = [play(method, minor, pieces, closes=closes) for pieces in splits(data[1:])]
    assert outcomes[0] == outcomes[1], outcomes[:2]
    assert outcomes[0] == outcomes[2], outcomes[::2]


def play(method: bytes, minor: int, pieces: list[bytes], *, closes: bool) -> object:
    """Let a service send these pieces; return what the client has in the end: a whole answer, or an error."""
    gateway = EchoGateway()
    client = gateway.client()
    client.send(b"%b /one HTTP/1.%d\r\nHost: a\r\n\r\n" % (method, minor))
    (connection,) = gateway.service.connections
    for piece in pieces:
        connection.answer(piece)
        connection.settle()
    if closes:
        connection.close()
    _check_next(gateway)
    answers = finals(client, method)
    assert len(answers) <= 1, "two answers to one request"
    if not answers:
        return "waiting"
    (answer,) = answers
    assert 200 <= answer.status <= 599
    if method == b"HEAD":
        assert not answer.body, answer
    if answer.values(b"proxy-status"):
        assert answer.complete and answer.status in (502, 504), answer
        return "error"
    if not answer.complete:
        return "error" if client.closed else ("waiting", answer.status, answer.body)
    return answer.status, answer.body, [field for field in answer.fields if field[0] not in _OURS]


def _check_next(gateway: EchoGateway) -> None:
    """Somebody else asks: he gets the answer to his own request, whatever the service has said before."""
    gateway.ignore()
    other = gateway.client()
    gateway.send(other, [b"GET /two HTTP/1.1\r\nHost: b\r\n\r\n"])
    (answer,) = finals(other)
    assert (answer.status, answer.body) == (200, said_of(b"GET", b"/two", b"")), answer
