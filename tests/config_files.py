"""Configuration files for tests: the contract's, and those that a test writes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tracseq_gateway.config import Config, Loaded, load

ROOT = Path(__file__).parent.parent
CONTRACT = ROOT / "tests" / "contract"
MINIMAL = str(CONTRACT / "minimal.toml")
FULL = str(CONTRACT / "full.toml")

NOTHING: Mapping[str, str] = {}

SECRET: Mapping[str, str] = {"AUTHENTICATION__JWT_SECRET_KEY": "a secret of the tests, 32 bytes long"}
"""An environment with what the full file needs."""

SERVICE = '[services.samples]\nprefix = "/samples"\ninstances = ["http://127.0.0.1:8081"]\n'
"""Three lines that are a whole configuration; what a test is about follows from line 4."""


class ConfigTestCase(SynchronousTestCase):
    """A test that loads what it writes."""

    def written(self, text: str) -> str:
        """Write a file and return its name."""
        file: str = self.mktemp()
        Path(file).write_text(text)
        return file

    def loaded(
        self, text: str, environ: Mapping[str, str] = NOTHING, overrides: Mapping[str, object] | None = None
    ) -> Loaded:
        """Load a file with this text."""
        return load(self.written(text), environ, overrides or {})

    def config(
        self, text: str, environ: Mapping[str, str] = NOTHING, overrides: Mapping[str, object] | None = None
    ) -> Config:
        """Return the configuration of a file that has no error."""
        loaded = self.loaded(text, environ, overrides)
        assert loaded.config is not None, "\n".join(map(str, loaded.problems))
        return loaded.config

    def assertSaid(self, text: str, *problems: str) -> None:
        """Assert the problems of a file that is three good lines and then, from line 4, this text."""
        self.assertEqual(self.said(SERVICE + text), list(problems))

    def said(self, text: str, environ: Mapping[str, str] = NOTHING) -> list[str]:
        """Return the problems of a file as they are printed, without the file's name and the first colon."""
        file = self.written(text)
        return [str(problem).removeprefix(f"{file}:") for problem in load(file, environ, {}).problems]
