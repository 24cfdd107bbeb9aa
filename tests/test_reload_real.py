"""Reloads of a whole gateway: what clients see of them (nothing), and what the operator does."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial

from twisted.trial.unittest import SynchronousTestCase

from tests.running_kit import RunningGateway, SlowService
from tracseq_gateway.cli.reload import UNCHANGED
from tracseq_gateway.identity.api_keys import new_key

SERVICE = '[services.samples]\nprefix = "/samples"\ninstances = ["@UPSTREAM@"]\n'
"""A gateway with one service."""

RAG = '[services.rag]\nprefix = "/rag"\ninstances = ["@UPSTREAM@"]\n'


def numbered(number: int) -> str:
    """A configuration whose number is seen in two places of whatever it passes on."""
    return (
        f'[gateway]\nvia = "gateway-{number}"\ndrain_seconds = 5\n'
        f'[services.samples]\nprefix = "/samples"\nrewrite = "/v{number}"\ninstances = ["@UPSTREAM@"]\n'
    )


class KeptClient(threading.Thread):
    """Asks on one connection as fast as it is answered, and opens another only when it is told that one closes."""

    def __init__(self, gateway: RunningGateway) -> None:
        super().__init__(daemon=True)
        self.configurations: Counter[str] = Counter()
        self.errors: list[str] = []
        self._gateway = gateway
        self._connection = gateway.connect()
        self._stopped = threading.Event()
        self.start()

    def run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._ask()
            except (OSError, http.client.HTTPException) as error:
                self.errors.append(repr(error))
                self._connection.close()
        self._connection.close()

    def _ask(self) -> None:
        self._connection.request("GET", "/samples/any")
        answer = self._connection.getresponse()
        seen = json.loads(answer.read())
        by_path, by_via = seen["path"].split("/")[1], seen["fields"]["via"].partition("gateway-")[2]
        self.configurations[by_via] += 1
        if (answer.status, by_path) != (200, f"v{by_via}"):
            self.errors.append(f"status {answer.status}, path by {by_path}, Via by {by_via}")
        if answer.getheader("connection") == "close":
            self._connection.close()  # the next request opens another

    def stop(self) -> None:
        self._stopped.set()
        self.join(10)


class ReloadTests(SynchronousTestCase):
    """``tracseq-gateway reload``, SIGHUP and ``gateway.watch``."""

    def start(self, configuration: str, workers: int = 1, **environ: str) -> RunningGateway:
        gateway = RunningGateway(configuration, environ, workers)
        self.addCleanup(gateway.stop)
        return gateway

    def reload(self, gateway: RunningGateway, *configuration: str) -> str:
        """Reload, and return what was printed."""
        for text in configuration:
            gateway.configure(text)
        status, printed, complained = gateway.command("reload")
        self.assertEqual((0, ""), (status, complained), gateway.log.read_text())
        return printed

    def refusal(self, gateway: RunningGateway, configuration: str) -> str:
        """Reload what is refused, and return what is said about it."""
        gateway.configure(configuration)
        status, printed, complained = gateway.command("reload")
        self.assertEqual((1, ""), (status, printed))
        return complained

    def allSee(self, clients: Sequence[KeptClient], configuration: str, times: int) -> bool:
        """Whether all clients have seen a configuration so many times."""
        return all(client.configurations[configuration] >= times for client in clients)

    def logged(self, gateway: RunningGateway, text: str, times: int) -> bool:
        """Whether the log has a text so many times."""
        return gateway.log.read_text().count(text) == times

    def test_underLoad(self) -> None:
        """Clients that keep their connections see no error in three reloads, and no mixture of two configurations."""
        gateway = self.start(numbered(0), workers=2)
        clients = [KeptClient(gateway) for _ in range(4)]
        for number in (1, 2, 3):
            self.reload(gateway, numbered(number))
            gateway.until(partial(self.allSee, clients, str(number), 10))
        for client in clients:
            client.stop()
        self.assertEqual([[]] * 4, [client.errors for client in clients])
        self.assertEqual([{"0", "1", "2", "3"}] * 4, [set(client.configurations) for client in clients])

    def test_idle(self) -> None:
        """A connection that is idle during a reload can be used afterwards, and is told to close by the answer."""
        gateway = self.start(numbered(0))
        connection = gateway.connect()
        self.addCleanup(connection.close)
        connection.request("GET", "/health/ready")
        connection.getresponse().read()
        kept = connection.sock
        self.reload(gateway, numbered(1))
        time.sleep(0.5)  # an idle connection would be closed by now, were this a stop
        connection.request("GET", "/health/ready")
        self.assertIs(kept, connection.sock)
        answer = connection.getresponse()
        self.assertEqual((200, "close"), (answer.status, answer.getheader("connection")))

    def test_changes(self) -> None:
        """A route that was added answers, one that was removed does not, and what has changed is printed and logged."""
        gateway = self.start(SERVICE)
        self.assertEqual(404, gateway.get("/rag/any")[0])
        printed = self.reload(gateway, RAG + "[gateway]\ndrain_seconds = 7\n")
        changes = ["gateway.drain_seconds: 30 -> 7", "services.samples: removed", "services.rag: added"]
        self.assertEqual([*changes, "reloaded: 3 changes"], printed.splitlines())
        gateway.until(lambda: gateway.get("/rag/any")[0] == 200)  # an old worker may accept for a moment more
        self.assertEqual(404, gateway.get("/samples/any")[0])
        self.assertEqual(["rag"], list(gateway.get("/health/services")[1]["services"]))
        for change in changes:
            self.assertIn(f"reload: {change}", gateway.log.read_text())

    def test_wrong(self) -> None:
        """A wrong file changes nothing: the command names the line and fails, and the old configuration serves on."""
        gateway = self.start(SERVICE)
        workers = gateway.worker_pids()
        complained = self.refusal(gateway, SERVICE + '[gateway]\nworkerz = 3\ndrain_seconds = "x"\n')
        self.assertIn(f"{gateway.file}:5: gateway.workerz: ", complained)
        self.assertIn(f"{gateway.file}:6: gateway.drain_seconds: ", complained)
        self.assertIn("refused; the gateway serves on as before", complained)
        self.assertIn(f"{gateway.file}:1: TOML: ", self.refusal(gateway, "[[["))
        self.assertEqual((200, workers), (gateway.get("/samples/any")[0], gateway.worker_pids()))
        self.assertIn(f"reload: {gateway.file}:5: gateway.workerz: ", gateway.log.read_text())

    def test_nextStart(self) -> None:
        """What only a new start can change is named, and stays as it is."""
        gateway = self.start(SERVICE)
        gateway.configure(SERVICE + f'[gateway]\nrun_directory = "{gateway.directory}/run"\n')
        gateway.environ["XDG_RUNTIME_DIR"] = "/nowhere"
        (gateway.directory / "run").symlink_to(f"tracseq-gateway-{gateway.port}")
        status, printed, complained = gateway.command("reload")
        self.assertEqual((0, f"reloaded: {UNCHANGED}\n"), (status, printed))
        self.assertIn('gateway.run_directory: "" -> "', complained)
        self.assertIn("(waits for the next start)", complained)

    def test_keys(self) -> None:
        """An API key that was removed from its file is refused after a reload; a file that is broken is refused."""
        keys = [new_key(), new_key()]
        tables = [f'[robot-{n}]\nhash = "{key.hash}"\nowner = "lab"\nrole = "guest"\n' for n, key in enumerate(keys)]
        gateway = self.start(
            '[gateway]\nrun_directory = "@DIRECTORY@/run"\n' + SERVICE, AUTHENTICATION__JWT_SECRET_KEY="s" * 32
        )
        file = gateway.directory / "keys.toml"

        def write(text: str) -> None:
            file.write_text(text)
            file.chmod(0o600)

        write("".join(tables))
        enabled = f'{SERVICE}[auth]\nenabled = true\nservice = ""\napi_keys_file = "{file}"\n'
        enabled = '[gateway]\nrun_directory = "@DIRECTORY@/run"\n' + enabled
        # The embedded Redis, which nothing needed before, is started with the reload.
        self.assertIn("auth.enabled: false -> true\n", self.reload(gateway, enabled))
        gateway.until(lambda: gateway.get("/samples/any")[0] == 401)
        self.assertEqual([200, 200], [gateway.get("/samples/any", X_API_Key=key.key)[0] for key in keys])
        gateway.until(lambda: gateway.get("/health")[1]["sessions"] == "shared")
        write(tables[1])
        self.assertEqual(f"reloaded: {UNCHANGED}\n", self.reload(gateway))
        gateway.until(lambda: gateway.get("/samples/any", X_API_Key=keys[0].key)[0] == 401)
        self.assertEqual([401, 200], [gateway.get("/samples/any", X_API_Key=key.key)[0] for key in keys])
        write("[robot]\nhash = 3\n")
        self.assertIn(f"{file}:2: robot.hash: ", self.refusal(gateway, enabled))
        self.assertEqual([401, 200], [gateway.get("/samples/any", X_API_Key=key.key)[0] for key in keys])

    def test_download(self) -> None:
        """A download that began before a reload goes on and ends well."""
        service = SlowService()
        slow = SERVICE.replace("@UPSTREAM@", f"http://127.0.0.1:{service.port}")
        gateway = self.start(slow + "health = { interval = 0 }\n")
        connection = gateway.connect()
        self.addCleanup(connection.close)
        connection.request("GET", "/samples/file")
        answer = connection.getresponse()
        self.assertEqual(b"begun", answer.read(5))
        self.reload(gateway, SERVICE)
        self.assertEqual(200, gateway.get("/samples/any")[0])
        service.finish.set()
        self.assertEqual(b"done", answer.read())

    def test_watch(self) -> None:
        """With ``gateway.watch`` a change of the file is enough; a wrong one is refused once, and its mending taken."""
        watching = "[gateway]\nwatch = true\n"
        gateway = self.start(watching + SERVICE)
        gateway.configure(watching + SERVICE + "[nonsense]\n")
        gateway.until(lambda: "the reload is refused" in gateway.log.read_text())
        gateway.configure(watching + SERVICE + RAG)
        gateway.until(lambda: gateway.get("/rag/any")[0] == 200)
        self.assertEqual(1, gateway.log.read_text().count("the reload is refused"))

    def test_nothingIsLeft(self) -> None:
        """SIGHUP reloads, and ten in a row leave no process and no open file behind."""
        gateway = self.start("[gateway]\nrun_directory = '@DIRECTORY@/run'\n[rate_limit]\nenabled = true\n" + SERVICE)
        processes = len(gateway.processes())
        files = len(os.listdir(f"/proc/{gateway.process.pid}/fd"))
        for count in range(1, 11):
            os.kill(gateway.process.pid, signal.SIGHUP)
            gateway.until(partial(self.logged, gateway, "reloaded: 0 changes", count))
        gateway.until(lambda: len(gateway.processes()) == processes)
        gateway.until(lambda: len(os.listdir(f"/proc/{gateway.process.pid}/fd")) == files)
        self.assertEqual(11, len(gateway.worker_pids()))
