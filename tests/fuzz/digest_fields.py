"""Digest fields: what is read of one can be written again, and is taken for a claim by its algorithm alone.

An input is the value of a field.
"""

from __future__ import annotations

import base64

from tests.kit_client import request_parser
from tracseq_gateway.errors import RequestRefused
from tracseq_gateway.http.byte_sequences import byte_sequences
from tracseq_gateway.http.digest_fields import SIZES, DigestCheck, claims_of


def one_input(data: bytes) -> None:
    """Read a value, write what was read in its simplest form, and hold a body to it."""
    said: dict[bytes, bytes] | None = None
    try:
        said = byte_sequences(data)
    except ValueError:
        pass
    else:
        written = b", ".join(b"%b=:%b:" % (key, base64.b64encode(value)) for key, value in said.items())
        assert list(byte_sequences(written).items()) == list(said.items()), written
    try:
        head = request_parser().parse(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Digest: " + data + b"\r\n\r\n")
    except RequestRefused:
        return
    if len(head.fields.received) != 2:
        return  # it was more than a value
    try:
        claims = claims_of(head)
    except RequestRefused:
        assert said is None or any(len(said.get(name, b"")) != size for name, size in SIZES.items() if name in said)
        return
    assert said is not None or data != data.strip(b" \t"), "a claim of what is no dictionary"
    assert said is None or {claim.algorithm.encode() for claim in claims} == said.keys() & SIZES.keys()
    DigestCheck(claims).end()
