"""The targets by name, and the inputs that are kept for them."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
NAMES = (
    "answer_head",
    "api_document",
    "chunked",
    "client_stream",
    "config_file",
    "cross_origin",
    "digest_fields",
    "origin",
    "path",
    "proxy_header",
    "redis_replies",
    "request_head",
    "service_stream",
    "token",
)


def one_input(name: str) -> Callable[[bytes], None]:
    """The function of a target, which raises for an input that breaks a promise; imports the target."""
    function: Callable[[bytes], None] = import_module(f"tests.fuzz.{name}").one_input
    return function


def kept(name: str) -> dict[str, bytes]:
    """The inputs that are kept for a target, by file name."""
    return {file.name: file.read_bytes() for file in sorted((CORPUS / name).glob("*"))}
