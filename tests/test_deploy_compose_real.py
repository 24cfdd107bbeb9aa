"""The complete stack, run without an engine: its own commands, variables, names and health checks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.process_kit import freePort
from tests.test_deploy_compose import StackCase
from tests.test_deploy_image import ROOT, stage

NAMESPACES = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")


class StandInTests(StackCase):
    """The sandbox's services as the stack runs them."""

    def serve(self, host: str) -> tuple[int, dict[str, str]]:
        """Run what a service's container runs, on a free port; return that and the environment."""
        image = {**dict(pair.split("=", 1) for _, words in stage("sandbox") if _ == "ENV" for pair in words.split())}
        port = freePort()
        told = {**image, **self.services[host]["environment"], "PORT": str(port), "SANDBOX_DATA": self.mktemp()}
        # The tests' interpreter goes by the name that the image has for its own.
        environ = {"PATH": f"{Path(sys.executable).parent}:{os.defpath}", "PYTHONPATH": str(ROOT), **told}
        process = subprocess.Popen(json.loads(dict(stage("sandbox"))["CMD"]), env=environ)
        self.addCleanup(process.wait, 10)
        self.addCleanup(process.terminate)
        return port, environ

    def healthy(self, host: str, environ: dict[str, str]) -> bool:
        """Run the health check of a service once."""
        kind, command = self.services[host]["healthcheck"]["test"]
        self.assertEqual("CMD-SHELL", kind)
        words = ["/bin/sh", "-c", command]
        done = subprocess.run(words, env=environ, timeout=20, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return done.returncode == 0

    def test_serve(self) -> None:
        """By the image's command and the stack's variables a service runs, and passes its health check."""
        host = self.hosts["samples"]
        _, environ = self.serve(host)
        self.assertFalse(self.healthy(host, {**environ, "PORT": str(freePort())}))
        deadline = time.monotonic() + 20
        while not self.healthy(host, environ):
            self.assertLess(time.monotonic(), deadline, "it is not healthy")
            time.sleep(0.1)

    def test_healthPath(self) -> None:
        """What is checked in the stack is what the gateway probes."""
        path = self.config(self.stack).services["samples"].health.path
        for host in self.hosts.values():
            self.assertIn(f"127.0.0.1:$PORT{path};", self.services[host]["healthcheck"]["test"][1])


class RunTests(StackCase):
    """The stack, run without an engine."""

    def test_run(self) -> None:
        """By its own commands, variables, names and ports the stack comes up healthy, and a demo user can log in."""
        # For the gateway's sockets, too: the path of a test's own directory is too long for them.
        temporary = tempfile.TemporaryDirectory(prefix="stack-")
        self.addCleanup(temporary.cleanup)
        directory = Path(temporary.name)
        words = [*NAMESPACES, sys.executable, "-m", "tests.compose_stack", str(directory)]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=100)
        said = f"{done.stderr}\n{(directory / 'log').read_text() if (directory / 'log').exists() else ''}"
        self.assertEqual(0, done.returncode, said)
        seen = json.loads(done.stdout)
        self.assertTrue(seen["healthy"], said)
        self.assertEqual(("shared", "shared"), (seen["health"]["rate_limits"], seen["health"]["sessions"]), said)
        self.assertEqual(("development", 2), (seen["name"], seen["samples"]))
        self.assertEqual(sorted((*self.hosts.values(), "gateway-redis")), seen["waited_for"])

    if shutil.which("redis-server") is None:
        test_run.skip = "redis-server is not installed: deploy/debian-packages.txt"  # type: ignore[attr-defined]
    elif subprocess.run([*NAMESPACES, "true"], capture_output=True).returncode != 0:
        test_run.skip = "only root may make namespaces"  # type: ignore[attr-defined]
