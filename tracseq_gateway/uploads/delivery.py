"""What happens when the last byte of an upload is there: it goes to its service, once.

Rules:

1. That it is being delivered is on disk before a byte leaves; what came of it is on disk before the client hears.
2. It is sent again only when the service cannot have acted on it, or said that it did not: no connection, 3xx, 4xx,
   503. What is not known is not tried again, unless the configuration says that the service may be asked twice.
3. It is nobody's client's: who asked for it may leave, and it goes on.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Callable
from typing import Final, Literal

from attrs import evolve, frozen
from twisted.internet.defer import Deferred

from tracseq_gateway.errors import GatewayError
from tracseq_gateway.interfaces import Request
from tracseq_gateway.uploads.held import HeldUpload
from tracseq_gateway.uploads.parcel import Parcel, pack
from tracseq_gateway.uploads.receipt import Threads

SLICE: Final = 4 << 20
"""Bytes that a thread hashes before it does something else."""
LONGEST_ANSWER: Final = 65536
"""Bytes of a service's answer that are kept; what is beyond is cut off."""


@frozen
class Outcome:
    """What came of sending an upload to its service."""

    acted: Literal["taken", "refused", "unknown"]
    """Whether the service has taken it; refused: it cannot have acted, so it may be sent again."""
    status: int = 0
    """Of the service's answer; 0 when there was none, and ``error`` says why."""
    reason: bytes = b""
    media_type: bytes = b""
    retry_after: bytes = b""
    body: bytes = b""
    """The first :data:`LONGEST_ANSWER` bytes of it."""
    error: GatewayError | None = None


Send = Callable[[Request, Parcel, bytes], Deferred[Outcome]]
"""Sends a parcel to the service in the name of who makes a request; the third is the value of Repr-Digest."""


async def deliver(
    request: Request, upload: HeldUpload, form: str, threads: Threads, send: Send, now: Callable[[], float]
) -> Outcome:
    """Hand an upload, which is whole and locked, to its service; what is kept of it says afterwards what came of it."""
    parcel = pack(upload, form)
    digest = await _digest(parcel, threads)
    await threads(upload.save, evolve(upload.record, state="delivering"))
    outcome = await send(request, parcel, digest)
    if outcome.acted == "taken":
        delivered = evolve(
            upload.record,
            state="delivered",
            settled=now(),
            media_type=outcome.media_type.decode("latin-1"),
        )
        await threads(upload.settle, delivered, outcome.body)
    else:
        may_be_sent = outcome.acted == "refused" or upload.record.again
        await threads(upload.save, evolve(upload.record, state="receiving" if may_be_sent else "unknown"))
    return outcome


async def _digest(parcel: Parcel, threads: Threads) -> bytes:
    """Repr-Digest (RFC 9530) of a body."""
    hasher = hashlib.sha256()

    def take(offset: int) -> int:
        data = parcel.read(offset, SLICE)
        if not data:
            raise EOFError(f"{parcel.upload.record.identifier} is shorter than it was")
        hasher.update(data)
        return offset + len(data)

    offset = 0
    while offset < parcel.length:
        offset = await threads(take, offset)
    return b"sha-256=:%b:" % b64encode(hasher.digest())
