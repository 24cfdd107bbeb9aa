"""The head of a request: accepted is what a plain reading accepts, with the same meaning, also when written anew."""

from __future__ import annotations

from tests.fuzz.plain_http import NotWellFormed, PlainRequest, read_request
from tests.fuzz.splits import first_head, splits
from tests.test_http_memory import meaning_of_request
from tracseq_gateway.errors import RequestRefused
from tracseq_gateway.http.forwarding import known_request_lines, request_head
from tracseq_gateway.http.framing import CHUNKED
from tracseq_gateway.http.head_probe import HeadProbe
from tracseq_gateway.http.request_head import HeadLimits, RequestHead, RequestParser

_LARGE = 1 << 20


def one_input(data: bytes) -> None:
    """Read a head whole and in pieces."""
    head = first_head(data)
    parser = RequestParser(HeadLimits(), known_request_lines())
    _check_pieces(head, meaning_of_request(parser, head))
    try:
        read = parser.parse(head)
    except RequestRefused:
        return
    length = read.fields.length
    if length > _LARGE:
        return  # a body that is too large to be made up
    try:
        plain, rest = read_request(head + (b"0\r\n\r\n" if length == CHUNKED else bytes(length)))
    except NotWellFormed:
        raise AssertionError(f"accepted, and malformed: {read}") from None
    assert not rest
    assert plain.method == read.method and plain.fields == tuple(read.fields.pairs), (plain, read)
    _check_forwarded(read, plain)


def _check_pieces(head: bytes, whole: object) -> None:
    """A head that comes in pieces is refused as it is whole, or not before its end."""
    if head.startswith(b"\r"):
        return  # an empty line before it is the channel's to skip
    accepted = isinstance(whole, dict)
    for pieces in splits(head):
        probe = HeadProbe(HeadLimits())
        so_far = b""
        for piece in pieces[:-1]:
            so_far += piece
            try:
                probe.look(so_far)
            except RequestRefused as refusal:
                assert not accepted and refusal.error.kind == getattr(whole, "kind", None), (refusal.error, whole)
                break


def _check_forwarded(read: RequestHead, plain: PlainRequest) -> None:
    """Written for a service it is one request again, with the same meaning."""
    target = read.path + read.query
    written = request_head(read, target, b"up", b"via: 1.1 gw\r\n", b"id")
    again, rest = read_request(written + (b"0\r\n\r\n" if read.fields.length == CHUNKED else plain.body))
    assert not rest and (again.method, again.target, again.body) == (read.method, target, plain.body), again
    assert again.values(b"host") == [b"up"] and again.values(b"x-request-id") == [b"id"], again
    for name, value in again.fields:
        assert (name, value) in plain.fields or name in _OURS, name


_OURS = (b"host", b"via", b"x-request-id", b"content-length", b"transfer-encoding", b"max-forwards")
