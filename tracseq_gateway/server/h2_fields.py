"""Header blocks of HTTP/2 (HPACK, RFC 7541) at the price of what is new in them.

h2 takes its encoder and its decoder for as general as they are: every field of every block is looked up, coded and
checked one by one, several times. Most of a connection's blocks say what others said before. Here a block, or a field,
that comes again costs one look-up.

h2 itself sees hardly any fields. What it would check of requests is checked in ``h2_heads``, and h2 would end the whole
connection for what is wrong with one stream; those of answers were checked when they came from a service.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hpack import Decoder, Encoder
from hpack.exceptions import HPACKError
from hpack.hpack import decode_integer, encode_integer
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable, table_entry_size

from tracseq_gateway.http.fields import Fields

_MOST_BLOCKS = 32
_LONGEST_BLOCK = 2048
"""Blocks, and texts within them, that are kept beside their meaning, and how long they may be."""
_MOST_KEPT_FIELDS = 64
"""Fields of a block that is kept: in the block a byte may stand for one, but here each takes a hundred."""
_LONGEST_INTEGER = 8
_MOST_FIELDS = 256
_LONGEST_FIELD = 256
"""The same for fields of answers."""

_LARGEST_TABLE = 4096
"""Bytes of the table for answers: what every client has from the start (RFC 9113 section 6.5.2)."""

_SECRET = frozenset({b"set-cookie"})
"""Never indexed, here or by who passes them on (RFC 7541 section 7.1.3)."""
_CHANGING = _SECRET | {
    b"x-request-id",
    b"date",
    b"etag",
    b"last-modified",
    b"location",
    b"content-range",
    b"content-length",
    b"age",
}
"""Fields that would only push others out of the table."""
_OF_ONE_HOP = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"})
"""Fields that HTTP/2 does not have (RFC 9113 section 8.2.2)."""


class RequestBlocks(Decoder):
    """Decodes the header blocks of one client."""

    def __init__(self, most: int) -> None:
        """``most``: bytes of a decoded block, counted as RFC 9113 section 6.5.2 has it."""
        super().__init__(most)
        self._known: dict[bytes, Fields] = {}
        self._texts: dict[bytes, bytes] = {}
        self.fields: Fields = []
        """Those of the last block."""

    def decode(self, data: bytes, raw: bool = False) -> Iterable[Any]:
        """Decode a block into :attr:`fields`, and return none of them."""
        fields = self._known.get(data)
        self.fields = self._decode(data) if fields is None else fields
        return []

    def _decode(self, data: bytes) -> Fields:
        try:
            fields = self._decode_usual(data)
        except (HPACKError, IndexError):
            fields = None  # hpack says what is wrong
        return self._decode_any(data) if fields is None else fields

    def _decode_usual(self, data: bytes) -> Fields | None:
        """Decode a block that leaves the table as it is; None for any other.

        So are most blocks of a client that has sent a request before; hpack takes some four times as long for them.
        """
        fields: Fields = []
        table, at, end, size = self.header_table, 0, len(data), 0
        while at < end:
            first = data[at]
            if first & 0x80:
                index, at = _integer(data, at, 7)
                field = table.get_by_index(index)
            elif first & 0x60:
                return None
            else:
                index, at = _integer(data, at, 4)
                if index:
                    name = table.get_by_index(index)[0]
                else:
                    name, at = self._text(data, at)
                value, at = self._text(data, at)
                field = name, value
            fields.append(field)
            size += table_entry_size(*field)
        return fields if at == end and size <= self.max_header_list_size else None

    def _text(self, data: bytes, at: int) -> tuple[bytes, int]:
        """Read a string (RFC 7541 section 5.2); return it, and where it ends."""
        coded = data[at] & 0x80
        length, start = _integer(data, at, 7)
        end = start + length
        text = data[start:end]
        if not coded:
            return text, end
        known = self._texts.get(text)
        if known is None:
            known = decode_huffman(text)
            if len(text) <= _LONGEST_BLOCK:
                if len(self._texts) >= _MOST_BLOCKS:
                    self._texts.clear()
                self._texts[text] = known
        return known, end

    def _decode_any(self, data: bytes) -> Fields:
        table = self.header_table
        before = table.maxsize, len(table.dynamic_entries), _newest(table)
        fields: Fields = [(name, value) for name, value in super().decode(data, raw=True)]
        size, entries, newest = before
        if (size, entries) != (table.maxsize, len(table.dynamic_entries)) or newest is not _newest(table):
            # The table has changed, and with it what the same bytes mean.
            self._known.clear()
        elif len(data) <= _LONGEST_BLOCK and len(fields) <= _MOST_KEPT_FIELDS:
            if len(self._known) >= _MOST_BLOCKS:
                self._known.clear()
            self._known[data] = fields
        return fields


def _integer(data: bytes, at: int, bits: int) -> tuple[int, int]:
    """Read an integer with a prefix of so many bits (RFC 7541 section 5.1); return it, and where it ends."""
    most = (1 << bits) - 1
    number = data[at] & most
    if number < most:
        return number, at + 1
    number, used = decode_integer(data[at : at + _LONGEST_INTEGER], bits)
    return number, at + used


def _newest(table: HeaderTable) -> object:
    return table.dynamic_entries[0] if table.dynamic_entries else None


class AnswerFields(Encoder):
    """Encodes the heads of the answers to one client; leaves out fields that HTTP/2 does not have.

    A field gets into the table when it comes for the second time, so that what is said once pushes nothing out.
    """

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[tuple[bytes, bytes], bytes] = {}
        self._seen: set[tuple[bytes, bytes]] = set()
        self._names: dict[bytes, bytes] = {}
        self.further: Fields = []
        """What stands in the next block behind what h2 gives; then there is none again."""

    @property
    def header_table_size(self) -> int:
        """Bytes of the table (RFC 7541 section 4.1): at most what the client allows, and what is of use."""
        return self.header_table.maxsize

    @header_table_size.setter
    def header_table_size(self, size: int) -> None:
        size = min(size, _LARGEST_TABLE)
        # hpack would forget to say a size that is set twice.
        if size != self.header_table.maxsize:
            self.header_table.maxsize = size
            self.table_size_changes.append(size)

    def encode(self, headers: Iterable[Any], huffman: bool = True) -> bytes:
        """Encode pairs of bytes."""
        block = []
        if self.header_table.resized:
            self._known.clear()
            block.append(super().encode(()))
        known = self._known
        further, self.further = self.further, []
        for field in (*headers, *further):
            encoded = known.get(field)
            block.append(self._encode(*field) if encoded is None else encoded)
        return b"".join(block)

    def _encode(self, name: bytes, value: bytes) -> bytes:
        name = name.lower()
        if name in _OF_ONE_HOP:
            return b""
        if name in _CHANGING or len(name) + len(value) > _LONGEST_FIELD:
            return self._literal(name, value)
        field = name, value
        match = self.header_table.search(name, value)
        if match is not None and match[2] is not None:
            return self._keep(field, self.add(field, False))
        if field in self._seen:
            # It gets the first place in the table, and all others move on by one.
            self._known.clear()
            return self.add(field, False, True)
        if len(self._seen) >= _MOST_FIELDS:
            self._seen.clear()
        self._seen.add(field)
        return self._literal(name, value)

    def _keep(self, field: tuple[bytes, bytes], encoded: bytes) -> bytes:
        if len(self._known) >= _MOST_FIELDS:
            self._known.clear()
        self._known[field] = encoded
        return encoded

    def _literal(self, name: bytes, value: bytes) -> bytes:
        """A field that stays out of the table (RFC 7541 sections 6.2.2 and 6.2.3)."""
        prefix = self._names.get(name)
        if prefix is None:
            prefix = _name_prefix(name)
            if len(self._names) >= _MOST_FIELDS:
                self._names.clear()
            self._names[name] = prefix
        return prefix + encode_integer(len(value), 7) + value


def _name_prefix(name: bytes) -> bytes:
    """The beginning of a literal field, up to its value."""
    kind = 0x10 if name in _SECRET else 0
    static = HeaderTable.STATIC_TABLE_MAPPING.get(name)
    if static is None:
        return bytes((kind, *encode_integer(len(name), 7))) + name
    index = encode_integer(static[0], 4)
    index[0] |= kind
    return bytes(index)
