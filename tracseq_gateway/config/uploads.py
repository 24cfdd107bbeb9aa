"""The configuration of resumable uploads: what the gateway keeps of them, and at which paths of a service."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from tracseq_gateway.config.keys import MOMENT, Seconds, Size, key


@frozen
class Uploads:
    """Resumable uploads (tus 1.0.0): where their parts are kept, how many and for how long."""

    directory: str = key(
        "",
        "Private directory (mode 0700) that keeps the parts, for all workers of this host. Its parent must be there. "
        "Empty: no uploads, and requests of tus clients are passed on like others.",
    )
    max_bytes: Size = key(
        Size(100 << 30),
        "Most bytes of all uploads together, each counted with its whole length from the start; beyond it 507.",
        least=1,
    )
    max_uploads: int = key(
        1000,
        "Most uploads that are kept; beyond it 507. Delivered ones count as long as there is room for them.",
        least=1,
        most=100_000,
    )
    max_per_client: int = key(
        20, "Most uploads of one client that are not delivered yet; beyond it 429. 0: no limit.", most=100_000
    )
    max_bytes_per_client: Size = key(
        Size(40 << 30), "The same of their bytes, each with its whole length; beyond it 429. 0: no limit."
    )
    expire_seconds: Seconds = key(
        Seconds(86400.0), "How long an upload is kept after its last byte came; then it is gone.", least=1
    )
    result_seconds: Seconds = key(
        Seconds(3600.0), "How long the service's answer to an upload is kept for its client.", least=MOMENT
    )


@frozen
class ServiceUploads:
    """What of a service takes resumable uploads, once ``uploads.directory`` is set."""

    paths: tuple[str, ...] = key(
        (),
        "Paths below the prefix at which a POST with ``Tus-Resumable`` begins an upload; the whole is sent to the same "
        "path in one POST. Empty: none.",
    )
    max_size: Size = key(
        Size(20 << 30), "Largest upload; beyond it 413. It holds for these in place of ``max_body``.", least=1
    )
    form: str = key(
        "",
        "The field of a form (``multipart/form-data``) that the service wants the file in. Empty: the body is the "
        "file itself.",
    )
    deliver: Literal["once", "again"] = key(
        "once",
        "What becomes of an upload when nobody knows whether the service has acted on it, since the connection broke: "
        "``once``, it is not sent again; ``again``, it is when its client asks. The latter is for services that know a "
        "request by its ``Idempotency-Key``.",
    )
