"""The configuration of compression: which answers are encoded, and how."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib.util import find_spec

from attrs import frozen

from tracseq_gateway.config.keys import Size, key
from tracseq_gateway.config.problem import Wrong, show

ZSTD_MODULE = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
"""Python's own from 3.14 on; before that, the same code as a package."""

_MODULES = {"zstd": ZSTD_MODULE, "br": "brotli", "gzip": "zlib"}
_PART = "[a-z0-9][a-z0-9!#$&^_.-]*"
_TYPE = re.compile(rf"\+{_PART}|{_PART}/(?:\*|{_PART}(?:\+{_PART})*)")


@frozen
class Compression:
    """Compression of answers. Requests are passed on as they are."""

    enabled: bool = key(
        False,
        "Whether answers of services are compressed for clients that ask for it by Accept-Encoding. Read first about "
        "[secrets in answers](compression.md#secrets-in-answers).",
    )
    encodings: tuple[str, ...] = key(
        ("zstd", "br", "gzip"),
        "Content codings, the first one preferred where a client wants several alike. ``zstd`` and ``br`` need "
        "``pip install 'tracseq-gateway[compression]'``.",
    )
    types: tuple[str, ...] = key(
        (
            "text/*",
            "+json",
            "+xml",
            "application/json",
            "application/xml",
            "application/javascript",
            "application/x-ndjson",
            "application/x-yaml",
            "application/yaml",
            "application/wasm",
            "image/svg+xml",
        ),
        "Media types of answers that are compressed: exact, ``text/*``, or by a suffix such as ``+json``. What is "
        "compressed by its nature, as images and archives are, does not belong here. ``text/event-stream`` must be "
        "named itself.",
    )
    least_bytes: Size = key(
        Size(1024), "The shortest answer that is compressed. One whose length is not known counts as long enough."
    )
    gzip_level: int = key(5, "How hard gzip tries: 1 is the fastest, 9 the smallest.", least=1, most=9)
    brotli_quality: int = key(4, "How hard Brotli tries: 0 is the fastest.", least=0, most=6)
    zstd_level: int = key(3, "How hard Zstandard tries: 1 is the fastest.", least=1, most=6)
    most_streams: int = key(
        128,
        "Answers in pieces that one worker compresses at a time, for each takes about a megabyte; beyond it, further "
        "ones go as they are.",
        least=1,
        most=100_000,
    )


def encodings(names: tuple[str, ...]) -> tuple[str, ...]:
    """Content codings that are known here, each once."""
    if not names:
        raise Wrong("names no coding", '["gzip"], or enabled = false, would be right')
    for index, name in enumerate(names):
        if name not in _MODULES:
            raise Wrong(f"{show(name)} is not known", '"zstd", "br" or "gzip" would be right', (index,))
        if name in names[:index]:
            raise Wrong(f"{show(name)} stands there twice", "each once would be right", (index,))
    return names


def media_type(text: str) -> str:
    """A media type, all of one kind, or a structured syntax suffix (RFC 6839); case makes no difference."""
    if not _TYPE.fullmatch(text.lower()):
        raise Wrong(f"{show(text)} is not a media type", '"application/json", "text/*" or "+json" would be right')
    return text.lower()


def missing_libraries(table: Compression) -> Iterator[Wrong]:
    """Say which codings cannot be had here, for want of a package."""
    for index, name in enumerate(table.encodings if table.enabled else ()):
        if not _is_installed(_MODULES[name]):
            yield Wrong(
                f"{show(name)} needs a package that is not installed ({_MODULES[name]})",
                "pip install 'tracseq-gateway[compression]', or encodings without it, would be right",
                ("encodings", index),
            )


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the package around it is not there
        return False
