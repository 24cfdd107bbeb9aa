from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout

from tests.config_files import FULL, MINIMAL, ROOT, SECRET, ConfigTestCase
from tracseq_gateway import __version__
from tracseq_gateway.cli import main
from tracseq_gateway.config.environment import OTHERS, VARIABLES


class CheckTests(ConfigTestCase):
    def setUp(self) -> None:
        """The files are what is tested, not the environment of the tests."""
        ours = {*(variable.name for variable in VARIABLES), *OTHERS}
        self.environ = {name: text for name, text in os.environ.items() if name not in ours}
        self.patch(os, "environ", self.environ)

    def run_main(self, *arguments: str) -> tuple[int, str]:
        """Return the exit status and what was printed."""
        printed = io.StringIO()
        with redirect_stdout(printed), redirect_stderr(printed):
            try:
                status = main(arguments)
            except SystemExit as stop:
                assert isinstance(stop.code, int)
                status = stop.code
        return status, printed.getvalue()

    def test_ok(self) -> None:
        """A good file is ok."""
        self.assertEqual(self.run_main("check", MINIMAL), (0, f"{MINIMAL}: ok\n"))

    def test_json(self) -> None:
        """For a program, each problem has its parts as members."""
        status, printed = self.run_main("check", self.written('[gateway]\nenvironment = "production"'), "--json")
        document = json.loads(printed)
        self.assertEqual((0, True, 1), (status, document["ok"], document["problems"][0]["line"]))
        self.assertEqual(["warning"], [problem["level"] for problem in document["problems"]])
        status, printed = self.run_main("check", self.written("[gateway]\nport = 7.5"), "--json")
        document = json.loads(printed)
        self.assertEqual((1, False), (status, document["ok"]))
        self.assertIn("gateway.port", [problem["key"] for problem in document["problems"]])

    def test_contract(self) -> None:
        """The full contract file is ok, and all of it is acted on."""
        self.environ.update(SECRET)
        self.assertEqual(self.run_main("check", FULL), (0, f"{FULL}: ok\n"))

    def test_warnings(self) -> None:
        """A file with warnings is ok too, and says how many."""
        file = self.written('[gateway]\nenvironment = "production"')
        status, printed = self.run_main("check", file)
        self.assertEqual((status, printed.splitlines()[-1]), (0, f"{file}: ok, 1 warning"))

    def test_without_the_secret(self) -> None:
        """A file is ok where its secret is not, for that may be another machine, and the variable is named."""
        status, printed = self.run_main("check", FULL)
        *warnings, last = printed.splitlines()
        self.assertEqual((status, last), (0, f"{FULL}: ok, 1 warning"))
        self.assertEqual(
            warnings[-1],
            "environment:0: AUTHENTICATION__JWT_SECRET_KEY: warning: is not set, "
            "the secret of the HS256 tokens, of at least 32 bytes, would be right",
        )

    def test_errors(self) -> None:
        """A file with errors is refused, with every problem on a line of its own."""
        file = self.written("[gateway]\nport = 0\nprot = 1")
        status, printed = self.run_main("check", file)
        self.assertEqual(status, 1)
        self.assertEqual(
            printed,
            f"{file}:2: gateway.port: 0 is out of range, an integer from 1 to 65535 would be right\n"
            f'{file}:3: gateway.prot: unknown key, did you mean "port"?\n',
        )

    def test_no_such_file(self) -> None:
        """A file that is not there is an error of the same form."""
        status, printed = self.run_main("check", "nowhere.toml")
        self.assertEqual(status, 1)
        self.assertTrue(printed.startswith("nowhere.toml:0: file: unreachable file (No such file or directory), "))

    def test_environment(self) -> None:
        """The file is checked with the environment over it, as the gateway would run here."""
        self.patch(os, "environ", {"PORT": "http"})
        status, printed = self.run_main("check", MINIMAL)
        self.assertEqual(status, 1)
        self.assertTrue(printed.startswith("environment:0: PORT: "))

    def test_usage(self) -> None:
        """A wrong usage has exit status 2 and names the commands."""
        for arguments in ([], ["check"], ["chek", "x"], ["check", "a", "b"]):
            self.assertEqual(self.run_main(*arguments)[0], 2)
        self.assertIn("check", self.run_main("--help")[1])

    def test_version(self) -> None:
        """The version is the package's."""
        self.assertEqual(self.run_main("--version"), (0, f"tracseq-gateway {__version__}\n"))

    def test_light(self) -> None:
        """A check does not load Twisted."""
        code = (
            "import sys; from tracseq_gateway.cli import main; status = main(sys.argv[1:]); "
            "sys.exit(status or 'twisted' in sys.modules)"
        )
        command = [sys.executable, "-c", code, "check", MINIMAL]
        done = subprocess.run(command, capture_output=True, text=True, env=self.environ, cwd=ROOT)
        self.assertEqual((done.returncode, done.stdout), (0, f"{MINIMAL}: ok\n"), done.stderr)
