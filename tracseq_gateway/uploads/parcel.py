"""An upload as one request body: the file itself, or a form with the file in it; and what is said of that body."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from urllib.parse import quote

from attrs import frozen

from tracseq_gateway.uploads import tus
from tracseq_gateway.uploads.held import HeldUpload

_IN_QUOTES = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})
"""What stands for marks that cannot stand in a form's names, as browsers write it (HTML, "multipart form data")."""


@frozen(eq=False)
class Parcel:
    """See the module. Reading it blocks."""

    upload: HeldUpload
    media_type: bytes
    disposition: bytes
    """Content-Disposition (RFC 6266) of a body that is the file itself; empty for a form, which says it inside."""
    before: bytes = b""
    after: bytes = b""

    @property
    def length(self) -> int:
        """Bytes of the body."""
        return len(self.before) + self.upload.record.length + len(self.after)

    def read(self, offset: int, size: int) -> bytes:
        """The body's bytes from ``offset`` on, at most ``size`` of them; fewer only at its end, or at its seams."""
        if offset < len(self.before):
            return self.before[offset : offset + size]
        offset -= len(self.before)
        length = self.upload.record.length
        if offset < length:
            return self.upload.read(offset, min(size, length - offset))
        return self.after[offset - length : offset - length + size]


def pack(upload: HeldUpload, form: str) -> Parcel:
    """Pack an upload; ``form`` is the name of the form's field, or empty."""
    pairs = tus.metadata(upload.record.metadata.encode("latin-1"))
    return _form(upload, form, pairs) if form else _file(upload, pairs)


def _file(upload: HeldUpload, pairs: Mapping[bytes, bytes]) -> Parcel:
    name = tus.file_name(pairs)
    disposition = f"attachment; filename*=UTF-8''{quote(name, safe='')}" if name else ""
    return Parcel(upload, tus.media_type(pairs).encode("ascii"), disposition.encode("ascii"))


def _form(upload: HeldUpload, field: str, pairs: Mapping[bytes, bytes]) -> Parcel:
    """RFC 7578. The boundary is drawn anew each time, so that no file can have it in it on purpose."""
    boundary = f"gateway-{secrets.token_hex(16)}"
    name = (tus.file_name(pairs) or "unnamed").translate(_IN_QUOTES)
    before = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n'
        f"Content-Type: {tus.media_type(pairs)}\r\n\r\n"
    )
    return Parcel(
        upload,
        f"multipart/form-data; boundary={boundary}".encode("ascii"),
        b"",
        before.encode("utf-8"),
        f"\r\n--{boundary}--\r\n".encode("ascii"),
    )
