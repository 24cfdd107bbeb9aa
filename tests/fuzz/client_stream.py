"""What a client sends: the same outcome however it is split, and nothing upstream that is not a whole good request.

The two promises that cover most ways to smuggle: what goes upstream is written anew, with one Host and one framing
field, so that another strict parser reads the same request; and there is no more of it than of complete well-formed
requests in the stream, each answered by its own answer.
"""

from __future__ import annotations

import re

from tests.fuzz.echo import MARK, EchoGateway, finals, said_of
from tests.fuzz.plain_http import PlainRequest, read_requests
from tests.fuzz.splits import splits
from tests.kit import MemoryClient, Received
from tests.test_http_target import remove_dot_segments, spelled

_AUTHORITY = re.compile(rb"https?://[^/?]*", re.IGNORECASE).match
_NEVER_UPSTREAM = re.compile(
    rb"x[^0-9a-z]user[^0-9a-z].*|x.real.ip|proxy|proxy.connection|keep.alive|te|trailer|upgrade|http2.settings|"
    rb"connection|expect"
).fullmatch


def one_input(data: bytes) -> None:
    """Play a stream in several splits."""
    outcomes = [play(data, pieces) for pieces in splits(data)]
    assert outcomes[0] == outcomes[1], outcomes[:2]
    assert outcomes[0] == outcomes[2], outcomes[::2]


def play(data: bytes, pieces: list[bytes]) -> object:
    """Play a stream in pieces, see that the promises hold, and return all that must not depend on the pieces."""
    gateway = EchoGateway()
    client = gateway.client()
    gateway.send(client, pieces)
    plain = read_requests(data)
    _check_upstream(gateway.service.requests, plain)
    answers = _check_answers(client, plain)
    seen = [(one.method, one.target, _without_id(one.fields), one.body) for one in gateway.service.requests]
    return answers, seen, client.closed


def _without_id(fields: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [field for field in fields if field[0] != b"x-request-id"]


def _check_upstream(seen: list[Received], plain: list[PlainRequest]) -> None:
    """Every request upstream is well formed, and one of the client's, in their order."""
    asked = iter(plain)
    for received in seen:
        assert len(received.values(b"host")) == 1, received.fields
        assert len(received.values(b"content-length") + received.values(b"transfer-encoding")) <= 1, received.fields
        for name, _ in received.fields:
            assert not _NEVER_UPSTREAM(name.lower()), name
        own = (received.method, received.target, received.body)
        assert any(own == (one.method, resolved(one.target), one.body) for one in asked), (own, plain)


def _check_answers(client: MemoryClient, plain: list[PlainRequest]) -> list[tuple[int, bytes]]:
    """Every answer of the service is that to the request which stands at its place."""
    answers = finals(client, *(one.method for one in plain))
    assert len(answers) <= len(plain) + 1, "more answers than requests"
    for asked, answer in zip(plain, answers, strict=False):
        if answer.values(MARK):
            expected = said_of(asked.method, resolved(asked.target), asked.body)
            assert answer.complete and answer.body == (b"" if asked.method == b"HEAD" else expected), answer
    if len(answers) > len(plain):
        assert not answers[-1].values(MARK), "an answer of the service to what is no request"
    return [(answer.status, answer.body if answer.values(MARK) else b"") for answer in answers]


def resolved(target: bytes) -> bytes:
    """The target as it must reach the service: its path resolved as RFC 3986 has it, its query as it was."""
    authority = _AUTHORITY(target)
    path, mark, query = target[authority.end() if authority else 0 :].partition(b"?")
    return remove_dot_segments(re.sub(rb"/+", b"/", spelled(path or b"/"))) + mark + query
