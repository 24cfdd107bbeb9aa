"""One entry of the journal in its wire form: bytes in a row of fields, each with its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

IDENTIFIER: Final = "tracseq-gateway"
"""``SYSLOG_IDENTIFIER`` of all our entries: ``journalctl -t tracseq-gateway`` shows them."""


def entry(fields: Sequence[tuple[str, object]]) -> bytes:
    """The entry with these fields.

    A name has at most 64 characters: capital letters, digits and underscores, and begins with a letter. A value may
    hold anything: one with a line feed is sent with its length, so that nothing in it is taken for a field.
    """
    plain = "".join([f"{name}={value}\n" for name, value in fields])
    if plain.count("\n") == len(fields):
        return plain.encode("utf-8", "replace")
    return b"".join([_field(name.encode("ascii"), str(value).encode("utf-8", "replace")) for name, value in fields])


def _field(name: bytes, value: bytes) -> bytes:
    if b"\n" in value:
        return b"%b\n%b%b\n" % (name, len(value).to_bytes(8, "little"), value)
    return b"%b=%b\n" % (name, value)
