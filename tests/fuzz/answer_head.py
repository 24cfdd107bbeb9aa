"""The head of an answer: what is accepted goes on as a head that a strict client reads, without fields of one hop."""

from __future__ import annotations

from tests.fuzz.splits import first_head, splits
from tests.kit import read_answers
from tests.test_http_forwarding import HOP_BY_HOP
from tests.test_http_memory import meaning_of_answer
from tracseq_gateway.errors import AnswerRefused
from tracseq_gateway.http.answer_head import AnswerParser, check_answer_start
from tracseq_gateway.http.forwarding import known_answer_lines, outgoing_head
from tracseq_gateway.http.framing import CHUNKED, UNTIL_CLOSE


def one_input(data: bytes) -> None:
    """Read a head, as the answer to GET and to HEAD."""
    head = first_head(data)
    for method in (b"GET", b"HEAD"):
        parser = AnswerParser(known_answer_lines())
        meaning = meaning_of_answer(parser, head, method)
        assert meaning == meaning_of_answer(parser, head, method), "another meaning the second time"
        try:
            read = parser.parse(head, method)
        except AnswerRefused:
            continue
        assert read.length >= 0 or read.length in (CHUNKED, UNTIL_CLOSE)
        (answer,) = read_answers(outgoing_head(read, b"gw").lines() + b"\r\n", [b"HEAD"])
        assert answer.status == read.status != 101
        for name, _ in answer.fields:
            assert name not in HOP_BY_HOP and name not in read.connection - {b"via"}, name
        _check_beginnings(head)


def _check_beginnings(head: bytes) -> None:
    """No beginning of a good head is refused."""
    for pieces in splits(head):
        so_far = b""
        for piece in pieces[:-1]:
            so_far += piece
            check_answer_start(so_far)
