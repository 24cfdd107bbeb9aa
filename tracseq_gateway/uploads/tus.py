"""The fields of the tus resumable upload protocol, version 1.0.0 (https://tus.io/protocols/resumable-upload), strictly.

Pure: bytes in, values out; what breaks a rule raises :class:`tracseq_gateway.uploads.refused.Refused`.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from base64 import b64decode
from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen

from tracseq_gateway.errors import BAD_REQUEST, TUS_VERSION, UNSUPPORTED_MEDIA_TYPE
from tracseq_gateway.http.outgoing import OutgoingHead
from tracseq_gateway.http.request_head import RequestHead
from tracseq_gateway.uploads.refused import Refused

VERSION: Final = b"1.0.0"
EXTENSIONS: Final = b"creation,creation-with-upload,checksum,expiration,termination"
PART: Final = b"application/offset+octet-stream"
"""The media type of a part."""
ALGORITHMS: Final[Mapping[bytes, str]] = {b"sha256": "sha256", b"sha1": "sha1", b"md5": "md5"}
"""What a part can be checked by. Against mistakes on the way, not against an attacker: he would send both."""
LONGEST_METADATA: Final = 4096
"""Bytes of Upload-Metadata."""
EXPOSED: Final = (
    "Location",
    "Tus-Resumable",
    "Tus-Version",
    "Tus-Extension",
    "Tus-Max-Size",
    "Tus-Checksum-Algorithm",
    "Upload-Offset",
    "Upload-Length",
    "Upload-Expires",
    "Upload-Metadata",
)
"""The fields of answers that a tus client in a browser must be able to read."""

_NUMBER = re.compile(rb"[0-9]{1,18}").fullmatch
_KEY = re.compile(rb"[!-+\--~]+").fullmatch
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*(?:;[ -~]*)?", re.IGNORECASE).fullmatch
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]").sub


def options(max_size: int) -> OutgoingHead:
    """The answer to OPTIONS: what is spoken here. The only one without Tus-Resumable."""
    pairs = [
        (b"tus-version", VERSION),
        (b"tus-extension", EXTENSIONS),
        (b"tus-max-size", b"%d" % max_size),
        (b"tus-checksum-algorithm", b",".join(sorted(ALGORITHMS))),
        (b"cache-control", b"no-store"),
    ]
    return OutgoingHead(204, b"No Content", pairs)


def check_version(head: RequestHead) -> None:
    """See that a request speaks this version; what refuses it must say which one is spoken."""
    if head.get(b"tus-resumable") != VERSION:
        raise Refused(TUS_VERSION, "Tus-Resumable must be 1.0.0")


def check_part(head: RequestHead) -> None:
    """See that a request's body is a part."""
    said = (head.get(b"content-type") or b"").partition(b";")[0].strip().lower()
    if said != PART:
        raise Refused(UNSUPPORTED_MEDIA_TYPE, f"the Content-Type must be {PART.decode('ascii')}")


def number(head: RequestHead, name: str) -> int:
    """The value of a field that must be there and be a number of bytes."""
    value = head.get(name.lower().encode("ascii"))
    if value is None or _NUMBER(value) is None:
        raise Refused(BAD_REQUEST, f"{name} must be a number of bytes")
    return int(value)


def new_length(head: RequestHead) -> int:
    """How long a new upload will be."""
    if head.get(b"upload-defer-length") is not None:
        raise Refused(BAD_REQUEST, "Upload-Defer-Length is not offered: say Upload-Length at once")
    return number(head, "Upload-Length")


@frozen
class Checksum:
    """What a part must have."""

    algorithm: str
    digest: bytes

    def hasher(self) -> Any:
        """A new hash of its kind."""
        return hashlib.new(self.algorithm, usedforsecurity=False)


def checksum(head: RequestHead) -> Checksum | None:
    """The checksum of a part; None if it has none."""
    value = head.get(b"upload-checksum")
    if value is None:
        return None
    name, _, encoded = value.partition(b" ")
    algorithm = ALGORITHMS.get(name)
    if algorithm is None:
        known = ", ".join(sorted(ALGORITHMS.values()))
        raise Refused(BAD_REQUEST, f"Upload-Checksum must be by one of: {known}")
    digest = _decoded(encoded, "Upload-Checksum")
    if len(digest) != hashlib.new(algorithm, usedforsecurity=False).digest_size:
        raise Refused(BAD_REQUEST, f"Upload-Checksum is not as long as {algorithm} is")
    return Checksum(algorithm, digest)


def metadata(value: bytes) -> dict[bytes, bytes]:
    """What Upload-Metadata says, by its keys."""
    if len(value) > LONGEST_METADATA:
        raise Refused(BAD_REQUEST, f"Upload-Metadata is longer than {LONGEST_METADATA} bytes")
    pairs: dict[bytes, bytes] = {}
    for part in value.split(b",") if value else ():
        key, _, encoded = part.strip(b" ").partition(b" ")
        if _KEY(key) is None:
            raise Refused(BAD_REQUEST, "Upload-Metadata has a key that is none")
        if key in pairs:
            raise Refused(BAD_REQUEST, "Upload-Metadata has a key twice")
        pairs[key] = _decoded(encoded, "Upload-Metadata")
    return pairs


def file_name(pairs: Mapping[bytes, bytes]) -> str:
    """What the client calls the file: the last part of a path in either notation, without control characters."""
    try:
        name = pairs.get(b"filename", b"").decode("utf-8")
    except UnicodeDecodeError:
        raise Refused(BAD_REQUEST, "the filename in Upload-Metadata is no UTF-8") from None
    return _UNPRINTABLE("", name.replace("\\", "/").rpartition("/")[2])[:255]


def media_type(pairs: Mapping[bytes, bytes]) -> str:
    """Which media type the client gives the file; bytes of no special kind if it gives none."""
    text = pairs.get(b"filetype", b"").decode("latin-1")
    if not text:
        return "application/octet-stream"
    if _MEDIA_TYPE(text) is None:
        raise Refused(BAD_REQUEST, "the filetype in Upload-Metadata is no media type")
    return text


def _decoded(value: bytes, field: str) -> bytes:
    try:
        return b64decode(value, validate=True)
    except binascii.Error:
        raise Refused(BAD_REQUEST, f"{field} has a value that is no Base64") from None
