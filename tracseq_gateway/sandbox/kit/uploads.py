"""Reading an uploaded file out of a multipart form (RFC 7578) in small pieces, so that its size costs no memory."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen
from multipart import (  # type: ignore[import-untyped]
    MultipartError,
    MultipartSegment,
    PushMultipartParser,
    parse_options_header,
)
from twisted.web.server import Request

from .problems import bad_request
from .reading import content_of, field_of

PIECE = 65536
FORM = "multipart/form-data"


@frozen
class FileHead:
    """What a form says of its file."""

    file_name: str
    """The last part of the name that the client gave; never a path."""
    media_type: str


def file_pieces(request: Request) -> Iterator[FileHead | bytes]:
    """Yield the head of a form's only file, then its content in pieces of at most 128 KiB.

    Other fields of the form are passed over; for these an empty piece is yielded, so that the caller can pause.

    :raises Problem: 400 for a form that is malformed, cut short, or has not exactly one file.
    """
    _, options = parse_options_header(field_of(request, "Content-Type") or "")
    content = content_of(request)
    in_file = seen_file = False
    try:
        with PushMultipartParser(options.get("boundary", ""), max_segment_count=100) as parser:
            while not parser.closed:
                for event in parser.parse(content.read(PIECE)):
                    if isinstance(event, MultipartSegment):
                        in_file = event.filename is not None
                        if in_file and seen_file:
                            raise bad_request("several_files", "send one file at a time")
                        if in_file:
                            seen_file = True
                            yield FileHead(_base_name(event.filename), event.content_type or "application/octet-stream")
                    elif event is not None:
                        yield bytes(event) if in_file else b""
    except MultipartError as error:
        raise bad_request("malformed_form", f"the form cannot be read: {error}") from error
    if not seen_file:
        raise bad_request("no_file", "the form has no file", {"file": "is required"})


def _base_name(name: str) -> str:
    """Return the last part of a path in either notation, without control characters and quotes."""
    base = name.replace("\\", "/").rpartition("/")[2]
    return "".join(letter for letter in base if letter.isprintable() and letter != '"')[:200] or "unnamed"
