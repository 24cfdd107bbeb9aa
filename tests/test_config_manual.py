from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

import attrs
from twisted.trial.unittest import SynchronousTestCase

from tests.config_files import ROOT
from tracseq_gateway.config import Config
from tracseq_gateway.config.environment import OTHERS, VARIABLES
from tracseq_gateway.config.manual import render


def tables(kind: type[Any]) -> Iterator[type[Any]]:
    """Yield a class of the model and all that hang from it."""
    yield kind
    for hint in get_type_hints(kind).values():
        for part in (hint, *get_args(hint)):
            if isinstance(part, type) and attrs.has(part):
                yield from tables(part)


class ManualTests(SynchronousTestCase):
    def test_every_key(self) -> None:
        """Each key of each table has a row with its help."""
        rows = [line for line in render().splitlines() if line.startswith("| `")]
        for kind in tables(Config):
            for field in attrs.fields(kind):
                if kind is Config or field.default is attrs.NOTHING:
                    continue
                meaning = field.metadata["help"].replace("``", "`")
                self.assertTrue(
                    any(row.startswith(f"| `{field.name}` |") and row.endswith(f"| {meaning} |") for row in rows),
                    f"{kind.__name__}.{field.name}",
                )

    def test_rows(self) -> None:
        """A row says what a key takes, in the words of the checker, and its default as it stands in a file."""
        text = render()
        for row in (
            "| `port` | an integer from 1 to 65535 | `8000` | TCP port to listen on. |",
            '| `max_body` | a number of bytes, or a size such as "64KiB", of at least 0 | `"50MiB"` |',
            '| `environment` | one of `"development"`, `"staging"`, `"production"` | `"development"` |',
            "| `trusted_proxies` | an array of networks | `[]` |",
            "| `response` | a number of seconds of at least 0 | `30` |",
            "## `[services.NAME.timeouts]`",
            "## `[[services.NAME.instances]]`",
            "| `rate_limit` | a table, see below: `services.NAME.rate_limit` |  | Rate for each client.",
        ):
            self.assertIn(row, text)

    def test_tables_by_name(self) -> None:
        """Tables that the operator names have a section each, and one that comes again refers to where it is shown."""
        text = render()
        for line in (
            '## `[services.NAME.paths."PATH"]`\n',
            "## `[auth.api_keys.NAME]`\n",
            "## `[[auth.jwt.keys]]`\n",
            "## `[rate_limit.limits.NAME]`\n",
            '| `paths` | tables, see below: `services.NAME.paths."PATH"` | `{}` |',
            "| `api_keys` | tables, see below: `auth.api_keys.NAME` | `{}` |",
            "| `keys` | an array of tables, see below: `auth.jwt.keys` | `[]` |",
            "| `rate_limit` | a table, as `services.NAME.rate_limit` |  | Its own rate",
            "| `per_account` | a table, as `services.NAME.rate_limit` | `{ requests_per_minute = 5, burst = 10 }` |",
        ):
            self.assertIn(line, text)
        self.assertEqual(text.count("| `requests_per_minute` |"), 1)

    def test_platform(self) -> None:
        """The platform's services have a row each, with what holds by their names."""
        text = render()
        self.assertIn("| `samples` | 8081 | 200, 400 |  |\n", text)
        self.assertIn("| `auth` | 8080 | 50, 100 | `/login`, `/register`,", text)

    def test_every_variable(self) -> None:
        """Each environment variable has a row."""
        text = render()
        for name in (*(variable.name for variable in VARIABLES), *OTHERS):
            self.assertIn(f"| `{name}` |", text)

    def test_tables_are_well_formed(self) -> None:
        """Every row of a table has as many cells as its head."""
        cells = 0
        for line in render().splitlines():
            if not line.startswith("|"):
                cells = 0
            elif cells:
                self.assertEqual(line.count("|"), cells, line)
            else:
                cells = line.count("|")

    def test_prints(self) -> None:
        """As a program it prints the reference and nothing else."""
        command = [sys.executable, "-W", "error", "-m", "tracseq_gateway.config.manual"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        self.assertEqual((done.stdout, done.stderr), (render(), ""))
