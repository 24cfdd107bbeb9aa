"""The configuration: any file loads, or every problem names its file, line and key and says what would be right."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tracseq_gateway.config import Loaded, dumps, load, loads

ENVIRONMENT = {"AUTHENTICATION__JWT_SECRET_KEY": "a secret of the tests, 32 bytes long"}


def one_input(data: bytes) -> None:
    """Load a file with these bytes."""
    with tempfile.NamedTemporaryFile(suffix=".toml") as file:
        Path(file.name).write_bytes(data)
        check(load(file.name, ENVIRONMENT, {}), file.name, data.count(b"\n") + 1)


def check(loaded: Loaded, file: str, lines: int) -> None:
    """See that loading said all that it must say, and that what it gave can be handed to a worker."""
    refused = any(problem.level == "error" for problem in loaded.problems)
    assert (loaded.config is None) == refused, loaded
    for problem in loaded.problems:
        assert problem.key and problem.wrong and problem.right, problem
        assert str(problem).isprintable(), problem
        assert problem.file in (file, "environment", "options", "defaults"), problem
        assert 0 <= problem.line <= lines and (problem.file == file or not problem.line), problem
    if loaded.config is not None:
        assert loads(dumps(loaded.config)) == loaded.config
