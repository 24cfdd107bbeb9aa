"""The key that signs the sandbox's tokens."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "AUTHENTICATION__JWT_SECRET_KEY"
"""The environment variable that the gateway reads the shared key from."""


def signing_secret(directory: Path, environment: Mapping[str, str]) -> str:
    """Return the key of the environment, else the one kept in ``auth.key``, which is made when it is missing."""
    given = environment.get(VARIABLE, "")
    return given or _kept_secret(directory / "auth.key")


def _kept_secret(path: Path) -> str:
    """Return the file's content. The file is made readable for its owner only, and never overwritten."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text(encoding="ascii").strip()
    with open(descriptor, "w", encoding="ascii") as file:
        made = secrets.token_urlsafe(48)
        file.write(made + "\n")
    return made
