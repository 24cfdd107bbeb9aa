"""The Dockerfile: linted, and what of it can be tried without an engine, tried."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import tracseq_gateway
from tests.process_kit import freePort
from tests.running_kit import RunningGateway

ROOT = Path(__file__).parent.parent
HADOLINT = Path(sys.executable).with_name("hadolint")


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions in their order, each with its words; lines that go on are joined."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found = [line.partition(" ") for line in joined.splitlines() if line]
    return [(name, words) for name, _, words in found]


def stage(name: str) -> list[tuple[str, str]]:
    """The instructions of one stage."""
    stages = re.split(r"(?m)^FROM ", "\n".join(" ".join(one) for one in instructions()))
    (found,) = [text for text in stages if text.partition("\n")[0].endswith(f" AS {name}")]
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in found.splitlines()[1:]]


class DockerfileTests(SynchronousTestCase):
    """``Dockerfile`` and ``.dockerignore``."""

    def test_linted(self) -> None:
        """hadolint finds nothing, also nothing that it would only advise."""
        words = [str(HADOLINT), "--no-color", "--failure-threshold", "style", str(ROOT / "Dockerfile")]
        done = subprocess.run(words, capture_output=True, text=True)
        self.assertEqual((0, ""), (done.returncode, done.stdout + done.stderr))

    if not HADOLINT.exists():
        test_linted.skip = "hadolint is not installed: pip install .[test]"  # type: ignore[attr-defined]

    def test_bases(self) -> None:
        """Every stage stands on one interpreter, whose tag names the patch release, or on another stage."""
        bases = [words.split()[0] for name, words in instructions() if name == "FROM"]
        stages = [words.split()[-1] for name, words in instructions() if name == "FROM"]
        self.assertEqual(set(), set(bases) - {*stages, "${PYTHON_IMAGE}"})
        ((_, pinned), *_) = [one for one in instructions() if one[0] == "ARG"]
        self.assertRegex(pinned, r"^PYTHON_IMAGE=python:3\.\d+\.\d+-slim-\w+$")
        self.assertEqual("gateway", stages[-1])

    def test_version(self) -> None:
        """The label says the package's version."""
        self.assertIn(("ARG", f"VERSION={tracseq_gateway.__version__}"), stage("gateway"))

    def test_user(self) -> None:
        """What runs belongs to a user with a number, so that Kubernetes can see that it is not root."""
        for name in ("gateway", "sandbox"):
            self.assertIn(("USER", "10001:10001"), stage(name))

    def test_built(self) -> None:
        """What is copied is there, is let through by .dockerignore, and is all that the wheel needs."""
        allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
        copied = [words.split()[:-1] for name, words in stage("build") if name == "COPY"]
        sources = {source for words in copied for source in words}
        self.assertEqual(allowed, sources)
        context = Path(self.mktemp())
        context.mkdir()
        for source in sources:
            path = ROOT / source
            if path.is_dir():
                shutil.copytree(path, context / source, ignore=shutil.ignore_patterns("__pycache__", "dropin.cache"))
            else:
                shutil.copy(path, context)
        build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "out"]
        subprocess.run(build, cwd=context, capture_output=True, check=True)
        (wheel,) = (context / "out").glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            packed = set(archive.namelist())
        modules = {str(path.relative_to(ROOT)) for path in (ROOT / "tracseq_gateway").rglob("*.py")}
        self.assertEqual(set(), modules - packed)
        self.assertIn("twisted/plugins/tracseq_gateway_plugin.py", packed)

    def test_healthCheck(self) -> None:
        """The health check succeeds on a gateway that serves, and fails where none does."""
        (check,) = [words for name, words in stage("gateway") if name == "HEALTHCHECK"]
        command = json.loads(check.partition("CMD ")[2])
        gateway = RunningGateway("", workers=1)
        self.addCleanup(gateway.stop)

        def status(port: int) -> int:
            environ = {"PATH": f"{Path(sys.executable).parent}:{os.defpath}", "PORT": str(port)}
            return subprocess.run(command, env=environ, stderr=subprocess.DEVNULL, timeout=20).returncode

        self.assertEqual((0, 1), (status(gateway.port), status(freePort())))

    def test_commands(self) -> None:
        """What the images run is there."""
        commands = {name: json.loads(dict(stage(name))["CMD"]) for name in ("gateway", "sandbox")}
        self.assertEqual(["twistd", "--nodaemon", "--pidfile=", "tracseq-gateway"], commands["gateway"])
        self.assertEqual(["python", "-m", "tracseq_gateway.sandbox"], commands["sandbox"])
