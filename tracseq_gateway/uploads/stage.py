"""The stage before a service's proxy at which resumable uploads end: tus 1.0.0.

At the paths that the service names, ``POST`` with ``Tus-Resumable`` makes an upload and answers its URL, which is the
path and one segment more; there, ``HEAD`` says how much has come, ``PATCH`` brings more, ``DELETE`` ends it, and
``GET`` shows what the service answered. All other requests go on. X-HTTP-Method-Override is not honoured: it would let
a request pass the doors as one thing and act as another.

An answer of HEAD with the whole length says that the service has the upload: clients take it for that. While it has
not, HEAD is answered with 423, upon which clients wait and ask again; upon other errors they would begin anew, and send
a second time what may have acted.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from email.utils import formatdate
from typing import Any, Final

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from tracseq_gateway.config.model import Service
from tracseq_gateway.errors import (
    BODY_TOO_LARGE,
    CHECKSUM_MISMATCH,
    METHOD_NOT_ALLOWED,
    UPLOAD_LOCKED,
    UPLOAD_NOT_DELIVERED,
    UPLOAD_OFFSET,
    UPLOAD_UNKNOWN,
    GatewayError,
)
from tracseq_gateway.http.fields import Fields
from tracseq_gateway.http.outgoing import OutgoingHead
from tracseq_gateway.http.request_head import RequestHead
from tracseq_gateway.interfaces import Request, Stage
from tracseq_gateway.uploads import tus
from tracseq_gateway.uploads.delivery import Outcome, Send, deliver
from tracseq_gateway.uploads.held import HeldUpload
from tracseq_gateway.uploads.receipt import Receipt
from tracseq_gateway.uploads.record import IDENTIFIER, Record, new_identifier
from tracseq_gateway.uploads.refused import Refused
from tracseq_gateway.uploads.uploads import Uploads

METHODS: Final = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH")
"""What can be done with an upload."""
UNKNOWN: Final = (
    "the connection to the service broke while it got the upload, so nobody knows whether it took it; look there, "
    "delete this upload, and begin another one if it is missing"
)

Work = Callable[[Request, str], Coroutine[Deferred[Any], Any, None]]
Check = Callable[[Request, str], GatewayError | None]
"""What stands against a body of a media type that a request would send to its path."""


class UploadStage:
    """The uploads of one service."""

    log = Logger()

    def __init__(
        self,
        service: Service,
        prefix: int,
        uploads: Uploads,
        owner: Callable[[Request], bytes],
        send: Send,
        check: Check,
        following: Stage,
    ) -> None:
        """``prefix``: how many bytes of a path are the service's public prefix; ``owner`` names a request's client."""
        self._service = service
        self._settings = service.uploads
        self._prefix = prefix
        self._paths = frozenset(path.encode("ascii") for path in service.uploads.paths)
        self._uploads = uploads
        self._owner = owner
        self._send = send
        self._check = check
        self._following = following
        self._options = tus.options(service.uploads.max_size)
        self._work: Mapping[bytes, Work] = {
            b"HEAD": self._show,
            b"PATCH": self._append,
            b"DELETE": self._remove,
            b"GET": self._result,
        }

    def concerns(self, head: RequestHead) -> bool:
        """Whether a request is one for an upload, or makes one, rather than for the service."""
        path = head.path[self._prefix :]
        if path.rstrip(b"/") in self._paths:
            return head.method == b"POST" and head.get(b"tus-resumable") is not None
        return self._identifier(path) is not None

    def target(self, head: RequestHead) -> str:
        """The public path that an upload goes to when it is whole; asked about what :meth:`concerns` uploads."""
        path = head.path.rstrip(b"/")
        return (path if path[self._prefix :] in self._paths else path.rpartition(b"/")[0]).decode("ascii")

    def _identifier(self, path: bytes) -> str | None:
        above, _, last = path.rpartition(b"/")
        return last.decode("ascii") if above in self._paths and IDENTIFIER.fullmatch(last) else None

    def __call__(self, request: Request) -> None:
        """See :class:`tracseq_gateway.interfaces.Stage`."""
        head = request.head
        path = head.path[self._prefix :]
        identifier = self._identifier(path)
        if identifier is None and path.rstrip(b"/") not in self._paths:
            self._following(request)
        elif head.method == b"OPTIONS" and head.get(b"access-control-request-method") is None:
            request.begin(self._options, b"", True)
        elif identifier is not None:
            self._handle(request, identifier)
        elif self.concerns(head):
            self._begin(request)
            self._uploads.handle(request, self._create(request))
        else:
            self._following(request)

    def _begin(self, request: Request) -> None:
        request.answer_lines += b"tus-resumable: 1.0.0\r\n"
        if request.head.get(b"tus-resumable") != tus.VERSION:
            request.answer_lines += b"tus-version: 1.0.0\r\n"

    def _handle(self, request: Request, identifier: str) -> None:
        work = self._work.get(request.head.method)
        self._begin(request)
        if work is None:
            request.refuse(GatewayError(METHOD_NOT_ALLOWED, "an upload knows no such method", allow=METHODS))
        else:
            self._uploads.handle(request, work(request, identifier))

    async def _claim(self, request: Request, identifier: str, *, to_remove: bool = False) -> HeldUpload:
        """Have the upload, if it is the caller's, and of this path."""
        owner, path = self._owner(request).decode("utf-8", "replace"), self.target(request.head)

        def wanted(record: Record) -> bool:
            return (record.owner, record.service, record.path) == (owner, self._service.name, path)

        return await self._uploads.claim(request, identifier, wanted, to_remove=to_remove)

    # What clients ask for.

    async def _create(self, request: Request) -> None:
        head = request.head
        tus.check_version(head)
        length = tus.new_length(head)
        if length > self._settings.max_size:
            request.answer_lines += b"tus-max-size: %d\r\n" % self._settings.max_size
            raise Refused(BODY_TOO_LARGE, f"an upload of more than {self._settings.max_size} bytes")
        said = head.get(b"upload-metadata") or b""
        pairs = tus.metadata(said)
        tus.file_name(pairs)
        media_type = tus.media_type(pairs)
        against = self._check(request, "multipart/form-data" if self._settings.form else media_type)
        if against is not None:
            request.refuse(against)
            return
        brings, path = bool(head.fields.length), self.target(head)
        if brings:
            tus.check_part(head)
        record = Record(
            new_identifier(),
            self._owner(request).decode("utf-8", "replace"),
            self._service.name,
            path,
            head.query.decode("latin-1"),
            length,
            said.decode("latin-1"),
            self._settings.deliver == "again",
        )
        upload = await self._uploads.threads(self._uploads.store.create, record)
        stays = False
        try:
            if brings and not await self._receive(request, upload):
                return
            outcome = await self._deliver(request, upload) if upload.offset == length else None
            if outcome is not None and outcome.acted != "taken":
                stays = upload.record.state == "unknown"  # for the operator
                self._pass_on(request, outcome)
                return
            stays = True
            pairs_out = [(b"location", f"{path}/{record.identifier}".encode("ascii"))]
            request.begin(OutgoingHead(201, b"Created", pairs_out + self._progress(upload), 0), b"", True)
        finally:
            try:
                if not stays:  # nobody has heard its URL
                    await self._uploads.threads(upload.remove)
            finally:
                upload.close()

    async def _show(self, request: Request, identifier: str) -> None:
        tus.check_version(request.head)
        upload = await self._claim(request, identifier)
        try:
            self._refuse_unknown(upload)
            if upload.record.state == "receiving" and upload.offset == upload.record.length:
                outcome = await self._deliver(request, upload)
                if outcome.acted != "taken":
                    raise Refused(UPLOAD_LOCKED, "the service has not taken the upload yet", retry_after=1)
            pairs = [(b"upload-length", b"%d" % upload.record.length), (b"cache-control", b"no-store")]
            if upload.record.metadata:
                pairs.append((b"upload-metadata", upload.record.metadata.encode("latin-1")))
            request.begin(OutgoingHead(200, b"OK", pairs + self._progress(upload), 0), b"", True)
        finally:
            upload.close()

    async def _append(self, request: Request, identifier: str) -> None:
        head = request.head
        tus.check_version(head)
        tus.check_part(head)
        offset = tus.number(head, "Upload-Offset")
        upload = await self._claim(request, identifier)
        try:
            self._refuse_unknown(upload)
            if offset != upload.offset:
                raise Refused(UPLOAD_OFFSET, f"the upload has {upload.offset} bytes, not {offset}")
            if head.fields.length > upload.record.length - offset:
                raise Refused(BODY_TOO_LARGE, "more bytes than Upload-Length says")
            if head.fields.length and not await self._receive(request, upload):
                return
            if upload.record.state == "receiving" and upload.offset == upload.record.length:
                outcome = await self._deliver(request, upload)
                if outcome.acted != "taken":
                    self._pass_on(request, outcome)
                    return
            request.begin(OutgoingHead(204, b"No Content", self._progress(upload)), b"", True)
        finally:
            upload.close()

    async def _remove(self, request: Request, identifier: str) -> None:
        tus.check_version(request.head)
        upload = await self._claim(request, identifier, to_remove=True)
        try:
            await self._uploads.threads(upload.remove)
            request.begin(OutgoingHead(204, b"No Content", []), b"", True)
        finally:
            upload.close()

    async def _result(self, request: Request, identifier: str) -> None:
        """The service's answer. This is not tus, so nobody need say that he speaks it."""
        upload = await self._claim(request, identifier)
        try:
            self._refuse_unknown(upload)
            record = upload.record
            if record.state != "delivered":
                raise Refused(UPLOAD_NOT_DELIVERED, "the service has not got this upload yet")
            body = await self._uploads.threads(upload.answer)
            pairs: Fields = [(b"cache-control", b"no-store")]
            if record.media_type:
                pairs.append((b"content-type", record.media_type.encode("latin-1")))
            request.begin(OutgoingHead(200, b"OK", pairs, len(body)), body, True)
        finally:
            upload.close()

    # What they have in common.

    def _progress(self, upload: HeldUpload) -> Fields:
        """The fields that say how far an upload is, and how long it is kept."""
        expires = formatdate(self._uploads.expires(upload), usegmt=True).encode("ascii")
        return [(b"upload-offset", b"%d" % upload.offset), (b"upload-expires", expires)]

    @staticmethod
    def _refuse_unknown(upload: HeldUpload) -> None:
        if upload.record.state == "unknown":
            raise Refused(UPLOAD_UNKNOWN, UNKNOWN)

    async def _receive(self, request: Request, upload: HeldUpload) -> bool:
        """Take a part; return False when the request is over before all of it came. Raises Refused.

        Of a part that brings a checksum nothing stays unless all of it came, and is right.
        """
        uploads, offset = self._uploads, upload.offset
        checksum = tus.checksum(request.head)
        checked = checksum is not None or request.head.get(b"content-digest") is not None
        if checked:
            await uploads.threads(upload.save, evolve(upload.record, unchecked=offset))
        hasher = checksum.hasher() if checksum is not None else None
        ending = await Receipt(request, upload, uploads.threads, uploads.clock, hasher).take()
        wrong = hasher is not None and checksum is not None and hasher.digest() != checksum.digest
        if checked:
            if ending == "broken" or wrong:
                await uploads.threads(upload.truncate, offset)
            await uploads.threads(upload.save, evolve(upload.record, unchecked=None))
        if ending == "broken":
            return False
        if wrong:
            raise Refused(CHECKSUM_MISMATCH, "the bytes are not those that Upload-Checksum is of; none were kept")
        await uploads.threads(upload.sync)
        return True

    async def _deliver(self, request: Request, upload: HeldUpload) -> Outcome:
        uploads = self._uploads
        outcome = await deliver(request, upload, self._settings.form, uploads.threads, self._send, uploads.now)
        if upload.record.state == "unknown":
            name = self._service.name
            self.log.warn("nobody knows whether {service} took {upload}", service=name, upload=upload.record.identifier)
        return outcome

    @staticmethod
    def _pass_on(request: Request, outcome: Outcome) -> None:
        """Answer with what the service, or the gateway in its place, said."""
        if outcome.error is not None:
            request.refuse(outcome.error)
            return
        pairs: Fields = [(b"cache-control", b"no-store")]
        if outcome.media_type:
            pairs.append((b"content-type", outcome.media_type))
        if outcome.retry_after:
            pairs.append((b"retry-after", outcome.retry_after))
        head = OutgoingHead(outcome.status, outcome.reason, pairs, len(outcome.body))
        request.begin(head, outcome.body, True)
