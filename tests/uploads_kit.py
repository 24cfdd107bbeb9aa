"""Resumable uploads in memory: a gateway that takes them, in a directory of its own, and a client that speaks tus."""

from __future__ import annotations

import os
from base64 import b64encode
from pathlib import Path
from typing import Any

from tests.kit import OK, Answer, MemoryClient, MemoryGateway
from tests.kit_client import request
from tracseq_gateway.config import Cors, Instance, Service, ServiceUploads, Uploads
from tracseq_gateway.uploads.record import Record

TUS = b"Tus-Resumable: 1.0.0"
PART = b"Content-Type: application/offset+octet-stream"
TAKES = b"/files"


def metadata(**pairs: str) -> bytes:
    """The line of Upload-Metadata."""
    said = b",".join(b"%b %b" % (name.encode(), b64encode(value.encode())) for name, value in pairs.items())
    return b"Upload-Metadata: " + said


class UploadGateway(MemoryGateway):
    """Takes uploads at ``/files``."""

    def __init__(
        self,
        directory: str,
        answer: bytes | None = OK,
        *,
        uploads: dict[str, Any] | None = None,
        tables: dict[str, Any] | None = None,
        of_service: dict[str, Any] | None = None,
        environ: dict[str, str] | None = None,
        **takes: Any,
    ) -> None:
        """``uploads`` are keys of that table, ``takes`` of the service's, ``of_service`` the service's other ones."""
        self.directory = Path(directory)
        service = Service(
            "rag",
            **{
                "prefix": "/",
                "rewrite": "",
                "instances": (Instance("http://127.0.0.1:9001"),),
                "uploads": ServiceUploads(paths=("/files",), **takes),
                **(of_service or {}),
            },
        )
        kept = Uploads(directory=directory, **(uploads or {}))
        super().__init__(
            services={"rag": service}, answer=answer, tables={"uploads": kept, **(tables or {})}, environ=environ
        )
        assert self.worker.uploads is not None, "it takes uploads"
        self.uploads = self.worker.uploads
        self.uploads.start()
        self.settle()

    def ask(self, method: bytes, path: bytes, *fields: bytes, body: bytes = b"", peer: str = "192.0.2.7") -> Answer:
        """Make one request on a connection of its own, as far as it is answered at once."""
        client = self.begin(method, path, *fields, body=body, peer=peer)
        (answer,) = client.answers(method)
        self.leave(client)
        return answer

    def begin(
        self, method: bytes, path: bytes, *fields: bytes, body: bytes = b"", peer: str = "192.0.2.7"
    ) -> MemoryClient:
        """Make one request, and let the service answer."""
        client = self.client(peer)
        client.send(request(path, *fields, method=method, body=body))
        self.settle()
        return client

    def leave(self, client: MemoryClient) -> None:
        """A client leaves."""
        client.leave()
        self.settle()

    def pass_time(self, seconds: float, step: float = 0.1) -> None:
        """See the kit."""
        for _ in range(round(seconds / step)):
            super().pass_time(step, step)
            self.settle()

    def create(self, length: int, *fields: bytes, path: bytes = TAKES, **rest: Any) -> bytes:
        """Begin an upload, and return its URL."""
        answer = self.ask(b"POST", path, TUS, b"Upload-Length: %d" % length, *fields, **rest)
        assert answer.status == 201, answer
        (url,) = answer.values(b"location")
        return url

    def append(self, url: bytes, offset: int, body: bytes, *fields: bytes, **rest: Any) -> Answer:
        """Bring a part."""
        said = () if body else (b"Content-Length: 0",)
        return self.ask(b"PATCH", url, TUS, PART, b"Upload-Offset: %d" % offset, *said, *fields, body=body, **rest)

    def show(self, url: bytes, **rest: Any) -> Answer:
        """Ask how far it is."""
        return self.ask(b"HEAD", url, TUS, **rest)

    def offset(self, url: bytes) -> int:
        """How far it says that it is."""
        (value,) = self.show(url).values(b"upload-offset")
        return int(value)

    def part(self, url: bytes, offset: int, length: int, sent: bytes, *fields: bytes) -> MemoryClient:
        """Begin to bring a part of ``length`` bytes."""
        client = self.client()
        lines = (TUS, PART, b"Upload-Offset: %d" % offset, b"Content-Length: %d" % length, *fields)
        client.send(request(url, *lines, method=b"PATCH") + sent)
        self.settle()
        return client

    def record(self, url: bytes) -> Record:
        """What is on disk of an upload."""
        return Record.read(self.file(url, "json").read_bytes())

    def file(self, url: bytes, suffix: str) -> Path:
        """One of an upload's files."""
        return self.directory / f"{url.rpartition(b'/')[2].decode()}.{suffix}"

    def age(self, url: bytes, seconds: float) -> None:
        """Let an upload's last byte have come so long ago."""
        moment = self.now() - seconds
        os.utime(self.file(url, "data"), (moment, moment))


CORS = Cors(enabled=True, allow_origins=("https://lims.example",))
