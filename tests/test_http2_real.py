"""HTTP/2 with real processes, sockets and clients: curl, nghttp, h2load and Chromium."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.browser_kit import MISSING, shared_browser
from tests.running_kit import RunningGateway
from tests.tls_kit import Authority

CONFIGURATION = """
[http2]
clear = true
websockets = true
{more}

[client]
requests_per_connection = 50

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
NO_NGHTTP = None if shutil.which("h2load") and shutil.which("nghttp") else "nghttp2-client is not installed"


class ClientTests(SynchronousTestCase):
    def start(self, more: str = "", workers: int = 1) -> RunningGateway:
        gateway = RunningGateway(CONFIGURATION.format(more=more), workers=workers)
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
        """A client that asks on one connection after the other loses no request to a reload, nor to the end of each."""
        gateway = self.start()
        answers: list[str] = []
        words = ("curl", "-sS", "--http2-prior-knowledge", "-o", "/dev/null", "-w", "%{http_code} %{num_connects}\n")
        url = f"http://127.0.0.1:{gateway.port}/all/[1-400]"
        client = threading.Thread(target=lambda: answers.extend(self.run_client(*words, url).split("\n")))
        client.start()
        self.assertEqual(gateway.command("reload")[0], 0)
        client.join(60)
        statuses = [line.split() for line in answers if line]
        self.assertEqual((len(statuses), {status for status, _ in statuses}), (400, {"200"}))
        self.assertGreaterEqual(sum(int(connects) for _, connects in statuses), 400 // 50)

    def test_chromium(self) -> None:
        """Chromium asks for pages by HTTP/2, many at once on one connection, and streams of events with them."""
        table, _ = self.certificate()
        gateway = self.start(f"{table}\n[dashboard]\nenabled = true")
        browser = shared_browser()
        browser.driver.execute_cdp_cmd("Security.setIgnoreCertificateErrors", {"ignore": True})
        browser.visit(f"https://127.0.0.1:{gateway.port}/dashboard")
        found = browser.driver.execute_async_script(FETCH)
        self.assertEqual(found, [[f"/{number}" for number in range(30)], ["h2"]])

    if MISSING:
        test_chromium.skip = f"not installed: {MISSING}"  # type: ignore[attr-defined]
