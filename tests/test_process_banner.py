"""The banner of the sandbox."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tracseq_gateway.interfaces import InstanceHealth
from tracseq_gateway.process.banner import banner
from tracseq_gateway.sandbox import DEMO_PASSWORD, SERVICES

ADDRESS = "http://127.0.0.1:8000"


class BannerTests(SynchronousTestCase):
    """``banner``."""

    def text(self, ports: dict[str, int] | None = None, *health: InstanceHealth) -> str:
        return banner(ADDRESS, "/data", ports or dict(SERVICES), health)

    def test_facts(self) -> None:
        """It says where the gateway is, that this is a sandbox, where the data is, and who may log in."""
        text = self.text()
        users = "lab_technician@sandbox.tracseq.test", "lab_administrator@sandbox.tracseq.test"
        for fact in (ADDRESS, "SANDBOX", "/data", "/dashboard", "/docs", *users, DEMO_PASSWORD, "Ctrl-C"):
            self.assertIn(fact, text)

    def test_services(self) -> None:
        """It names all services with their state and port, and a port that is not the usual one."""
        health = [
            InstanceHealth("auth", "http://127.0.0.1:8080", "healthy"),
            InstanceHealth("rag", "http://127.0.0.1:9", "unknown"),
        ]
        lines = self.text({"auth": 8080, "samples": 8081, "rag": 9}, *health).splitlines()
        self.assertIn("  auth           healthy    port 8080", lines)
        self.assertIn("  samples        not routed port 8081", lines)
        self.assertIn("  rag            starting   port 9  (port 8086 is taken)", lines)

    def test_commands(self) -> None:
        """The commands can be pasted into a shell: they call curl as they should, and keep the token."""
        text = self.text()
        script = text[text.index("  TOKEN=") : text.index("Ctrl-C")]
        folder = Path(self.mktemp())
        folder.mkdir()
        curl = folder / "curl"
        # It writes its arguments to a file and answers as the login does.
        curl.write_text(
            '#!/bin/sh\nfor argument in "$@"; do printf "[%s]\\n" "$argument"; done >> calls\n'
            'echo \'{"success": true, "data": {"access_token": "a.b.c"}}\'\n'
        )
        curl.chmod(0o755)
        python = Path(shutil.which("python3") or "/usr/bin/python3").parent
        environment = {"PATH": f"{folder.absolute()}:{python}:/usr/bin:/bin"}
        subprocess.run(["sh", "-euc", script], cwd=folder, env=environment, check=True, capture_output=True)
        calls = (folder / "calls").read_text().split("\n")
        self.assertEqual(
            [
                "[-s]",
                f"[{ADDRESS}/auth/login]",
                "[-H]",
                "[Content-Type: application/json]",
                "[-d]",
                f'[{{"email": "lab_technician@sandbox.tracseq.test", "password": "{DEMO_PASSWORD}"}}]',
                "[-s]",
                f"[{ADDRESS}/samples]",
                "[-H]",
                "[Authorization: Bearer a.b.c]",
                "[-s]",
                "[-o]",
                "[/dev/null]",
                "[-w]",
                "[%{http_code}\\n]",
                f"[{ADDRESS}/rag/submissions?[1-200]]",
                "[-H]",
                "[Authorization: Bearer a.b.c]",
                "[-s]",
                "[-X]",
                "[POST]",
                f"[{ADDRESS}/auth/logout]",
                "[-H]",
                "[Authorization: Bearer a.b.c]",
                "[-s]",
                f"[{ADDRESS}/health/services]",
                "",
            ],
            calls,
        )
