"""HTTP/2 with real processes, sockets and clients: curl, nghttp, h2load and Chromium."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from h2.errors import ErrorCodes
from twisted.trial.unittest import SynchronousTestCase

from tests.browser_kit import MISSING, shared_browser
from tests.kit_http2 import Http2Client
from tests.process_kit import freePort
from tests.running_kit import ROOT, RunningGateway
from tests.tls_kit import Authority

CONFIGURATION = """
[http2]
clear = true
websockets = true
{more}

[client]
requests_per_connection = 50

[services.live]
prefix = "/live"
rewrite = ""
instances = ["http://127.0.0.1:{echo}"]
when_all_unhealthy = "use_all"

[services.all]
prefix = "/all"
rewrite = ""
instances = ["@UPSTREAM@"]
"""
TLS = """
[tls]
certificates = [{{ file = "{file}", key_file = "{key_file}" }}]
"""
FETCH = """
const done = arguments[arguments.length - 1];
const numbers = [...Array(30).keys()];
Promise.all(numbers.map((number) => fetch(`/all/${number}`).then((answer) => answer.json()))).then((answers) => {
  const spoken = performance.getEntries().map((entry) => entry.nextHopProtocol).filter((name) => name);
  done([answers.map((seen) => seen.path), [...new Set(spoken)]]);
});
"""
SPEAK = """
const done = arguments[arguments.length - 1];
const socket = new WebSocket(`wss://${location.host}/live`);
socket.onopen = () => socket.send("hello");
socket.onmessage = (event) => socket.close(1000, event.data);
socket.onclose = (event) => done([event.code, event.reason, event.wasClean]);
"""
NO_NGHTTP = None if shutil.which("h2load") and shutil.which("nghttp") else "nghttp2-client is not installed"


class Steady(threading.Thread):
    """Asks for many things, some at once; on the next connection for those that the last one did not take."""

    AT_ONCE = 7

    def __init__(self, port: int, requests: int) -> None:
        super().__init__()
        self._port = port
        self._wanted = list(range(requests))
        self.answered: list[int] = []
        self.connections = 0
        self.failure = ""

    def run(self) -> None:
        try:
            while self._wanted:
                self.connections += 1
                self._converse()
        except Exception as error:
            self.failure = repr(error)

    def _converse(self) -> None:
        """One connection, until it ends or all is answered."""
        client = Http2Client()
        asked: dict[int, int] = {}
        with socket.create_connection(("127.0.0.1", self._port), 10) as connection:
            while True:
                while self._wanted and len(asked) < self.AT_ONCE and not client.goaways:
                    number = self._wanted.pop()
                    asked[client.request(path=b"/all/%d" % number)] = number
                connection.sendall(client.sent())
                received = connection.recv(65536) if asked else b""
                client.receive(received)
                for stream, number in list(asked.items()):
                    answer = client.answers[stream]
                    if answer.ended and answer.status == 200:
                        self.answered.append(asked.pop(stream))
                    elif answer.reset is ErrorCodes.REFUSED_STREAM or self._too_late(client, stream):
                        self._wanted.append(asked.pop(stream))
                    elif answer.ended or answer.reset is not None or not received:
                        raise ValueError(f"{number}: {answer}, {client.goaways}")
                if not asked and (client.goaways or not self._wanted):
                    return

    def _too_late(self, client: Http2Client, stream: int) -> bool:
        """Whether the gateway has said that it did not take a request."""
        return bool(client.goaways) and stream > client.goaways[-1][0]


class ClientTests(SynchronousTestCase):
    def start(self, more: str = "", echo: int = 9) -> RunningGateway:
        """``echo``: the port of a service that takes WebSockets."""
        gateway = RunningGateway(CONFIGURATION.format(more=more, echo=echo), workers=1)
        self.addCleanup(self.stop, gateway)
        return gateway

    def stop(self, gateway: RunningGateway) -> None:
        """Stop it; whatever clients did, its log has no traceback."""
        self.assertNotIn("Traceback", gateway.stop())

    def run_client(self, *words: str) -> str:
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def certificate(self) -> tuple[str, str]:
        """A table of the configuration, and the file of who signed."""
        directory = Path(tempfile.mkdtemp(prefix="http2-"))
        self.addCleanup(shutil.rmtree, directory)
        authority = Authority(directory)
        pair = authority.issue("localhost", "127.0.0.1", file="server")
        return TLS.format(file=pair.file, key_file=pair.key_file), str(authority.file)

    def test_curl(self) -> None:
        """curl is served by prior knowledge, with bodies both ways, and by HTTP/1.1 on the same port."""
        gateway = self.start()
        url = f"http://127.0.0.1:{gateway.port}/all/x"
        file = gateway.directory / "body"
        file.write_bytes(b"x" * 3_000_000)
        for version, seen_as in (("--http2-prior-knowledge", "2"), ("--http1.1", "1.1")):
            said = self.run_client("curl", "-sS", version, "--data-binary", f"@{file}", "-w", "\n%{http_version}", url)
            answer, _, spoken = said.rpartition("\n")
            seen = json.loads(answer)
            self.assertEqual(
                (seen["size"], spoken, seen["fields"]["via"]), (3_000_000, seen_as, f"{seen_as} tracseq-gateway")
            )

    def test_curl_by_tls(self) -> None:
        """curl agrees on HTTP/2 by itself, in both versions of TLS."""
        table, authority = self.certificate()
        gateway = self.start(table)
        for version in ("--tls-max 1.2", "--tlsv1.3"):
            words = ("curl", "-sS", "--cacert", authority, *version.split(), "-w", "\n%{http_version}")
            answer, _, spoken = self.run_client(*words, f"https://127.0.0.1:{gateway.port}/all/x").rpartition("\n")
            self.assertEqual((json.loads(answer)["fields"]["x-forwarded-proto"], spoken), ("https", "2"))

    def test_nghttp(self) -> None:
        """nghttp and h2load, many streams at once on few connections, get all their answers."""
        gateway = self.start()
        url = f"http://127.0.0.1:{gateway.port}/all/x"
        self.assertEqual(self.run_client("nghttp", "-m", "20", url).count('"path": "/x"'), 20)
        said = self.run_client("h2load", "-n", "160", "-c", "4", "-m", "40", url)
        self.assertIn("160 succeeded, 0 failed, 0 errored", said)

    if NO_NGHTTP:
        test_nghttp.skip = NO_NGHTTP  # type: ignore[attr-defined]

    def test_reload(self) -> None:
        """A client that does what RFC 9113 says of an end loses no request to a reload, nor to the end of each."""
        gateway = self.start()
        client = Steady(gateway.port, 2000)
        client.start()
        for _ in range(3):
            self.assertEqual(gateway.command("reload")[0], 0)
        client.join(60)
        self.assertEqual((client.failure, len(client.answered)), ("", 2000))
        self.assertGreater(client.connections, 30)

    def test_chromium(self) -> None:
        """Chromium asks for everything by HTTP/2, many things at once, and opens a WebSocket on a stream of it."""
        table, _ = self.certificate()
        port = freePort()
        echo = subprocess.Popen([sys.executable, "-m", "tests.websocket_echo", str(port)], cwd=ROOT)
        self.addCleanup(echo.wait)
        self.addCleanup(echo.kill)
        lines = Path(self.mktemp()).absolute()
        gateway = self.start(f'{table}\n[dashboard]\nenabled = true\n[access_log]\ntarget = "{lines}"', port)
        browser = shared_browser()
        browser.driver.execute_cdp_cmd("Security.setIgnoreCertificateErrors", {"ignore": True})
        browser.visit(f"https://127.0.0.1:{gateway.port}/dashboard")
        found = browser.driver.execute_async_script(FETCH)
        self.assertEqual(found, [[f"/{number}" for number in range(30)], ["h2"]])
        self.assertEqual(browser.driver.execute_async_script(SPEAK), [1000, "hello", True])
        gateway.until(lambda: '"status":101' in lines.read_text())
        (line,) = (one for one in map(json.loads, lines.read_text().splitlines()) if one["status"] == 101)
        self.assertEqual((line["protocol"], line["path"]), ("HTTP/2", "/live"))

    if MISSING:
        test_chromium.skip = f"not installed: {MISSING}"  # type: ignore[attr-defined]
