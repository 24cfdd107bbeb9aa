"""The chunked coding: one verdict in every split, and what is decoded is what a plain reading gives."""

from __future__ import annotations

from tests.fuzz.plain_http import NotWellFormed, read_chunks
from tests.fuzz.splits import splits
from tests.test_http_chunked import decode


def one_input(data: bytes) -> None:
    """Decode a body in several splits."""
    verdict, *others = map(decode, splits(data))
    assert others == [verdict] * 2, (verdict, others)
    if not isinstance(verdict, str):
        try:
            assert verdict == read_chunks(data), verdict
        except NotWellFormed:
            raise AssertionError(f"decoded to {verdict}, and is malformed") from None
