"""The file of API keys: TOML tables by name, with the keys of ``ApiKey``. Read at the start, written by ``key new``."""

from __future__ import annotations

import fcntl
import os
import stat
import tomllib
from collections.abc import Iterable
from typing import Any, Final

from tracseq_gateway.config.locate import key_lines
from tracseq_gateway.config.policies import ApiKey, Authentication
from tracseq_gateway.config.problem import Problem, dotted
from tracseq_gateway.config.sources import Sources
from tracseq_gateway.config.structure import make_converter, structure

LARGEST_FILE: Final = 4 << 20
"""Bytes; a key has some 200."""


class BadApiKeys(ValueError):
    """Keys that cannot be used: every problem in them, a line each."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def read_keys(file: str) -> tuple[dict[str, ApiKey], Sources]:
    """Read a file of keys; the second value knows on which line each stands.

    :raises BadApiKeys: when it cannot be read, when others than its owner have any right to it, or for its content.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY)
        try:
            data = _private_content(file, descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _unreachable(file, error) from error
    return parse_keys(file, data)


def add_key(file: str, name: str, key: ApiKey) -> None:
    """Add a key at the end of a file of keys, which is made, for its owner alone, when it is not there.

    What is in it stays as it is, and when anything is wrong nothing is written.

    :raises BadApiKeys: as :func:`read_keys`, and when the file has a key of this name.
    """
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # two that add at the same moment must see each other's names
            before = _private_content(file, descriptor)
            keys, sources = parse_keys(file, before)
            if name in keys:
                wrong = "there is a key of this name", "another name would be right"
                raise BadApiKeys([sources.problem((name,), *wrong)])
            gap = b"" if not before else b"\n" if before.endswith(b"\n") else b"\n\n"
            addition = gap + as_toml(name, key).encode()
            parse_keys(file, before + addition)
            _write_all(descriptor, addition)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _unreachable(file, error) from error


def parse_keys(file: str, data: bytes) -> tuple[dict[str, ApiKey], Sources]:
    """Read the content of a file of keys, which is named in what is wrong with it.

    :raises BadApiKeys: when it is not TOML, or a table is not what the configuration takes for a key.
    """
    try:
        text = data.decode()
        tree: dict[str, Any] = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        said = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise BadApiKeys([Problem(file, 0, "TOML", said, "TOML (https://toml.io) would be right")]) from error
    sources = Sources(file, key_lines(text))
    # The same rules as for the table of the configuration, which the file stands for: hence the way through it.
    settings, faults = structure(make_converter(), Authentication, {"api_keys": tree}, ())
    if settings is None:
        raise BadApiKeys(sources.fault(path[1:], wrong) for path, wrong in faults)
    return settings.api_keys, sources


def as_toml(name: str, key: ApiKey, table: tuple[str, ...] = ()) -> str:
    """Write a new key as a TOML table below ``table``, without what is empty. All its texts must be printable."""
    lines = [f"[{dotted((*table, name))}]"]
    for field in ("hash", "owner", "role", "email", "services", "methods", "expires"):
        value = getattr(key, field)
        if value:
            lines.append(f"{field} = {_literal(value)}")
    return "\n".join(lines) + "\n"


def _literal(value: str | tuple[str, ...]) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_literal, value))}]"
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _private_content(file: str, descriptor: int) -> bytes:
    """The content of an open file that nobody else may read."""
    mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
    if mode & 0o077:
        right = f"mode 0600 would be right: chmod 600 {file}"
        raise BadApiKeys([Problem(file, 0, "file", f"mode {mode:04o} lets others at the keys", right)])
    with open(descriptor, "rb", closefd=False) as stream:
        data = stream.read(LARGEST_FILE + 1)
    if len(data) > LARGEST_FILE:
        raise BadApiKeys([Problem(file, 0, "file", f"more than {LARGEST_FILE} bytes", "fewer keys would be right")])
    return data


def _write_all(descriptor: int, data: bytes) -> None:
    with open(descriptor, "ab", closefd=False) as stream:
        stream.write(data)


def _unreachable(file: str, error: OSError) -> BadApiKeys:
    right = "a file that can be read would be right"
    return BadApiKeys([Problem(file, 0, "file", f"unreachable file ({error.strerror})", right)])
