"""``tracseq-gateway reload``: how it finds the gateway, and what it says."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tracseq_gateway.cli import main
from tracseq_gateway.cli.reload import UNCHANGED, report
from tracseq_gateway.config.whereabouts import whereabouts


class WhereaboutsTests(SynchronousTestCase):
    """``whereabouts``."""

    def found(self, text: str, port: int | None = None, **environ: str) -> tuple[int, str]:
        """The port and the run directory that a file with this text leads to."""
        file = Path(self.mktemp())
        file.write_text(text)
        config, _ = whereabouts(str(file), environ, port)
        return config.gateway.port, config.gateway.run_directory

    def test_wrongFile(self) -> None:
        """They are found in a file whose rest is wrong."""
        text = '[gateway]\nport = 9000\nrun_directory = "/run/lab"\nworkerz = 2\n[services]\nx = 3\n'
        self.assertEqual((9000, "/run/lab"), self.found(text))

    def test_order(self) -> None:
        """The option wins over the environment, which wins over the file, which wins over the default."""
        text = "[gateway]\nport = 9000\n"
        self.assertEqual((7000, ""), self.found(text, 7000, PORT="8500"))
        self.assertEqual((8500, ""), self.found(text, PORT="8500"))
        self.assertEqual((8000, ""), self.found(""))

    def test_nonsense(self) -> None:
        """What cannot be used is passed over."""
        self.assertEqual((8000, ""), self.found('[gateway]\nport = "x"\nrun_directory = 3\n'))
        self.assertEqual((8000, ""), self.found("gateway = 3"))

    def test_unreadable(self) -> None:
        """Of a file that cannot be read it is said why."""
        config, problem = whereabouts("/nowhere.toml", {}, None)
        self.assertEqual(8000, config.gateway.port)
        self.assertIn("/nowhere.toml:0: file: unreachable file", str(problem))


class ReloadTests(SynchronousTestCase):
    """The command without a gateway."""

    def said(self, *arguments: str) -> tuple[int, str, str]:
        with redirect_stdout(io.StringIO()) as printed, redirect_stderr(io.StringIO()) as complained:
            status = main(["reload", *arguments])
        return status, printed.getvalue(), complained.getvalue()

    def test_nobody(self) -> None:
        """Where no gateway runs the status is 2, and it is said where one was looked for."""
        above = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, above)
        self.patch(os, "environ", {"XDG_RUNTIME_DIR": above})
        wanted = f"no gateway can be reached in {above}/tracseq-gateway-9000: No such file or directory"
        self.assertEqual((2, "", f"tracseq-gateway reload: {wanted}\n"), self.said("--port", "9000"))
        status, _, complained = self.said("--config", "/nowhere.toml")
        self.assertEqual((2, 2), (status, complained.count("\n")))
        self.assertIn("/nowhere.toml:0: file: unreachable file", complained)

    def answered(self, **answer: Any) -> tuple[int, str, str]:
        with redirect_stdout(io.StringIO()) as printed, redirect_stderr(io.StringIO()) as complained:
            status = report({"accepted": True, "changes": [], "problems": [], **answer})
        return status, printed.getvalue(), complained.getvalue()

    def test_report(self) -> None:
        """What has changed is printed, and what is wrong or waits is complained of."""
        self.assertEqual((0, f"reloaded: {UNCHANGED}\n", ""), self.answered())
        self.assertEqual((0, "a\nreloaded: 1 change\n", "b\n"), self.answered(changes=["a"], problems=["b"]))
        with redirect_stdout(io.StringIO()) as said:
            status = report({"accepted": False, "changes": [], "problems": ["b"]}, as_json=True)
        self.assertEqual((1, '{"accepted": false, "changes": [], "problems": ["b"]}\n'), (status, said.getvalue()))
        status, printed, complained = self.answered(accepted=False, problems=["b"])
        self.assertEqual((1, ""), (status, printed))
        self.assertTrue(complained.startswith("b\ntracseq-gateway reload: refused"), complained)
