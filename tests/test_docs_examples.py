"""Every configuration that the documentation shows can be served."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.tls_kit import Authority
from tracseq_gateway.config import load

ROOT = Path(__file__).parent.parent
EXAMPLE = re.compile(r"^```toml\n(.*?)^```", re.DOTALL | re.MULTILINE)


NAMED = re.compile(r'"(?:/etc/tracseq/)?([a-z-]+\.(?:pem|key|crl))"')


def certificates(directory: Path) -> Path:
    """The files that examples name, in a directory: the gateway's certificate, and what others are held against."""
    authority = Authority(directory)
    authority.issue("gw.test", file="gateway")
    (directory / "laboratory-ca.pem").write_bytes(authority.file.read_bytes())
    authority.file.rename(directory / "instruments-ca.pem")
    Path(authority.revoke()).rename(directory / "instruments.crl")
    return directory


class ExampleTests(SynchronousTestCase):
    """The examples in TOML, in the README and the pages."""

    def test_examples(self) -> None:
        """Each passes the check as it stands, without the rest of a file."""
        found, directory = 0, certificates(Path(self.mktemp()))
        for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
            for example in EXAMPLE.findall(page.read_text()):
                found += 1
                file = Path(self.mktemp())
                file.write_text(NAMED.sub(lambda name: f'"{directory / name[1]}"', example))
                loaded = load(str(file), {}, {})
                problems = [str(problem) for problem in loaded.problems if problem.level == "error"]
                self.assertEqual([], problems, f"{page.name}:\n{example}")
        self.assertGreater(found, 10)
