"""What ``pip install`` delivers: the wheel and the sdist, each installed into an environment of its own.

The environments see this one's packages behind their own (a ``.pth`` file), so nothing is downloaded; the project
itself must come from what was built, never from the checkout.
"""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

import tracseq_gateway

ROOT = Path(__file__).parent.parent
HIDDEN = (".git", ".venv", ".hypothesis", ".*_cache", ".tracseq-sandbox")
GENERATED = (*HIDDEN, "__pycache__", "_build", "_trial_temp*", "build", "dist", "results", "*.egg-info", "dropin.cache")


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command to its end and give what it printed; AssertionError with all of that when it fails."""
    done = subprocess.run(command, cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))} exited with {done.returncode}:\n{done.stdout}")
    return done.stdout


@frozen
class Environment:
    """A virtual environment into which a distribution was installed."""

    directory: Path
    elsewhere: Path
    """An empty working directory, so that nothing is found by lying there."""

    @classmethod
    def of(cls, distribution: Path, directory: Path) -> Environment:
        """Make an environment in ``directory`` and install the wheel or sdist into it."""
        run(sys.executable, "-m", "venv", "--without-pip", directory, cwd=directory.parent)
        elsewhere = directory / "elsewhere"
        elsewhere.mkdir()
        made = cls(directory, elsewhere)
        (made.packages / "around.pth").write_text(sysconfig.get_path("purelib"))
        options = ("--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--ignore-installed", "--no-compile")
        pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", made.bin / "python")
        run(*pip, "install", *options, distribution, cwd=elsewhere)
        return made

    @property
    def bin(self) -> Path:
        """Where its scripts are."""
        return self.directory / "bin"

    @property
    def packages(self) -> Path:
        """Its site-packages."""
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        return self.directory / "lib" / version / "site-packages"

    def python(self, code: str, *arguments: str) -> str:
        """Run Python code from the working directory elsewhere."""
        return run(self.bin / "python", "-P", "-c", code, *arguments, cwd=self.elsewhere)


@functools.cache
def build() -> tuple[Path, Path]:
    """Build the sdist from a copy of the checkout, and the wheel from the sdist; once for all tests."""
    work = Path("packaging").absolute()
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(ROOT, work / "source", ignore=shutil.ignore_patterns(*GENERATED))
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", work, work / "source", cwd=work)
    (sdist,) = work.glob("*.tar.gz")
    (wheel,) = work.glob("*.whl")
    return sdist, wheel


class PackagingTests(SynchronousTestCase):
    """The wheel and the sdist."""

    def setUp(self) -> None:
        """Have both."""
        self.sdist, self.wheel = build()

    def check(self, distribution: Path) -> None:
        """Install a distribution and use it from a foreign directory, on the example configuration too."""
        installed = Environment.of(distribution, distribution.parent / f"installed-{distribution.suffix[1:]}")

        place = installed.python("import tracseq_gateway; print(tracseq_gateway.__file__)")
        self.assertTrue(place.startswith(str(installed.packages)), place)

        listed = installed.python("from twisted.scripts.twistd import run; run()", "--help")
        self.assertRegex(listed, r"\n +tracseq-gateway +\w.+\n")

        version = run(installed.bin / "tracseq-gateway", "--version", cwd=installed.elsewhere)
        self.assertIn(tracseq_gateway.__version__, version)

        run(installed.bin / "tracseq-gateway", "check", ROOT / "deploy" / "gateway.toml", cwd=installed.elsewhere)

    def test_wheel(self) -> None:
        """From an installed wheel, twistd lists the gateway with its description and the command line answers."""
        self.check(self.wheel)

    def test_sdist(self) -> None:
        """An installed sdist does the same."""
        self.check(self.sdist)

    def test_wheelContents(self) -> None:
        """The wheel holds the package, its type marker and the one plugin; no tests, no tools, nothing of Twisted."""
        with zipfile.ZipFile(self.wheel) as archive:
            names = archive.namelist()
        self.assertIn("tracseq_gateway/py.typed", names)
        self.assertIn("tracseq_gateway/admin/swagger_ui/swagger-ui-bundle.js", names)
        self.assertIn("tracseq_gateway/admin/api_page/start.js", names)
        self.assertIn("tracseq_gateway/limits/gcra.lua", names)
        for file in (ROOT / "tracseq_gateway" / "admin" / "static").iterdir():
            self.assertIn(f"tracseq_gateway/admin/static/{file.name}", names)
        self.assertEqual(
            ["twisted/plugins/tracseq_gateway_plugin.py"], [name for name in names if name.startswith("twisted/")]
        )
        top = {name.partition("/")[0] for name in names}
        self.assertEqual({"tracseq_gateway", "twisted"}, {name for name in top if not name.endswith(".dist-info")})

    def test_sdistContents(self) -> None:
        """The sdist holds what a distributor needs: the tests, the unit, the tac file; and no cache."""
        with tarfile.open(self.sdist) as archive:
            names = {name.partition("/")[2] for name in archive.getnames()}
        for needed in (
            "Makefile",
            "SECURITY.md",
            "tests/test_packaging.py",
            "Dockerfile",
            "deploy/.env.example",
            "deploy/kubernetes/deployment.yaml",
            "deploy/tracseq-gateway.service",
            "tac/gateway.tac",
        ):
            self.assertIn(needed, names)
        self.assertEqual([], [name for name in names if re.search(r"\.pyc$|dropin\.cache|docs/_build", name)])
