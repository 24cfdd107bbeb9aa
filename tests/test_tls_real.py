"""TLS with real processes, sockets and clients: curl, OpenSSL's own, and Python's."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import shutil
import signal
import socket
import socketserver
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.process_kit import freePort
from tests.running_kit import ROOT, RunningGateway
from tests.tls_kit import Authority, TlsClient, client_context
from tracseq_gateway.config.tls import Certificate

CONFIGURATION = """
[gateway]
drain_seconds = 5
watch = {watch}

[tls]
certificates = [{{ file = "{pair.file}", key_file = "{pair.key_file}" }}]
{more}

[services.all]
prefix = "/all"
rewrite = ""
instances = ["@UPSTREAM@"]
"""

LARGE = bytes(range(256)) * 40_000
"""Ten megabytes."""


class RealTestCase(SynchronousTestCase):
    """Has an authority, and starts gateways with a certificate of it for this host."""

    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="tls-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.authority = Authority(self.directory)
        self.pair = self.authority.issue("localhost", "127.0.0.1", file="server", common="first")

    def configuration(self, more: str = "", pair: Certificate | None = None, watch: str = "false") -> str:
        return CONFIGURATION.format(pair=pair or self.pair, more=more, watch=watch)

    def start(self, configuration: str, environ: Mapping[str, str] | None = None, workers: int = 1) -> RunningGateway:
        gateway = RunningGateway(configuration, environ, workers)
        self.addCleanup(self.stop, gateway)
        return gateway

    def stop(self, gateway: RunningGateway) -> None:
        """Stop it; whatever clients did, its log has no traceback."""
        self.assertNotIn("Traceback", gateway.stop())

    def connect(self, gateway: RunningGateway, certificate: Certificate | None = None) -> http.client.HTTPSConnection:
        context = client_context(self.authority, certificate)
        connection = http.client.HTTPSConnection("127.0.0.1", gateway.port, timeout=10, context=context)
        self.addCleanup(connection.close)
        return connection

    def dial(self, gateway: RunningGateway) -> ssl.SSLSocket:
        """A connection that minds how it ends."""
        plain = socket.create_connection(("127.0.0.1", gateway.port), 10)
        context = client_context(self.authority)
        return context.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False)

    def ask(self, connection: http.client.HTTPSConnection, path: str = "/all/x", **fields: str) -> dict[str, Any]:
        """Ask on a connection; return what the service saw."""
        connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in fields.items()})
        answer = connection.getresponse()
        data = answer.read()
        self.assertEqual(answer.status, 200, data)
        seen: dict[str, Any] = json.loads(data)
        return seen

    def shown(self, gateway: RunningGateway) -> str:
        """The common name of the certificate that a new client is shown."""
        connection = self.connect(gateway)
        connection.connect()
        shown: Any = connection.sock.getpeercert()
        return str(shown["subject"][0][0][1])

    def run_client(self, *words: str, said: str = "") -> str:
        """Run a client that gets ``said`` to say; return all that it prints."""
        done = subprocess.run(words, input=said, capture_output=True, text=True, timeout=30, check=False)
        return done.stdout + done.stderr


class ClientTests(RealTestCase):
    """What clients of other makes see."""

    def test_clients(self) -> None:
        """curl and OpenSSL's client are served in both versions, resume their sessions, and may change their keys."""
        gateway = self.start(self.configuration())
        at, ca = f"127.0.0.1:{gateway.port}", str(self.authority.file)
        for version in ("--tls-max 1.2", "--tlsv1.3"):
            curl = ("curl", "-sS", "--cacert", ca, *version.split(), "--http1.1", f"https://{at}/all/x")
            self.assertEqual(json.loads(self.run_client(*curl))["fields"]["x-forwarded-proto"], "https")
        request = "GET /all/x HTTP/1.1\r\nHost: localhost\r\n\r\n"
        session = str(self.directory / "session")
        for version in ("-tls1_2", "-tls1_3"):
            client = ("openssl", "s_client", "-connect", at, "-CAfile", ca, version, "-ign_eof")
            closing = request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")
            first = self.run_client(*client, "-sess_out", session, said=closing)
            again = self.run_client(*client, "-sess_in", session, said=closing)
            self.assertIn("New, TLS", first)
            self.assertIn("Reused, TLS", again)
            for said in (first, again):
                self.assertIn("HTTP/1.1 200 OK", said)
                self.assertIn("closed", said)

    def test_keys_change(self) -> None:
        """A client that asks for new keys in the middle (TLS 1.3) gets them, and goes on."""
        gateway = self.start(self.configuration())
        words = ("openssl", "s_client", "-connect", f"127.0.0.1:{gateway.port}", "-tls1_3", "-msg")
        request = b"GET /all/x HTTP/1.1\nHost: localhost\n\n"
        pipe = subprocess.PIPE
        with subprocess.Popen((*words, "-crlf"), stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT) as process:
            timer = threading.Timer(20, process.kill)
            timer.start()
            self.addCleanup(timer.cancel)
            assert process.stdin is not None and process.stdout is not None
            for said, heard in ((request, b'"size": 0}'), (b"K\n", b">>> TLS 1.3"), (request, b'"size": 0}')):
                process.stdin.write(said)
                process.stdin.flush()
                printed = b""
                while heard not in printed:
                    piece = os.read(process.stdout.fileno(), 65536)
                    self.assertTrue(piece, printed)
                    printed += piece
            self.assertRegex(printed, b"<<< TLS 1.3, Handshake .*KeyUpdate")
            process.stdin.write(b"Q\n")
            process.stdin.flush()
            process.wait(10)

    def test_large_bodies(self) -> None:
        """Bodies of many records arrive whole, both ways, while the other side reads slowly."""
        gateway = self.start(self.configuration('clear = "serve"'))
        digest = hashlib.sha256(LARGE).hexdigest()
        with Digesting() as service:
            gateway.configure(self.configuration().replace("@UPSTREAM@", f"http://127.0.0.1:{service.port}"))
            self.assertEqual(gateway.command("reload")[0], 0)
            with self.dial(gateway) as client:
                head = b"POST /all HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(LARGE)
                client.sendall(head + LARGE)
                answer = http.client.HTTPResponse(client)
                answer.begin()
                body = answer.read()
            self.assertEqual((answer.getheader("x-digest"), hashlib.sha256(body).hexdigest()), (digest, digest))

    def test_websocket(self) -> None:
        """A WebSocket by TLS carries messages of any size, and ends in an orderly way when the gateway stops."""
        port = freePort()
        echo = subprocess.Popen([sys.executable, "-m", "tests.websocket_echo", str(port)], cwd=ROOT)
        self.addCleanup(echo.wait)
        self.addCleanup(echo.kill)
        probes = "health = { interval = 0 }"
        gateway = self.start(self.configuration().replace("@UPSTREAM@", f"http://127.0.0.1:{port}") + probes)
        gateway.until(lambda: self.listens(port))
        at, context = f"wss://localhost:{gateway.port}/all", client_context(self.authority)
        with connect(at, ssl=context, ping_interval=None) as client:
            for message in ("ein Ä", b"\x00\xff" * 500_000):
                client.send(message)
                self.assertEqual(client.recv(timeout=5), message)
            gateway.process.send_signal(signal.SIGTERM)
            with self.assertRaises(ConnectionClosed) as caught:
                client.recv(timeout=8)
            assert caught.exception.rcvd is not None
            self.assertEqual(caught.exception.rcvd.code, 1001)

    def listens(self, port: int) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    def test_nonsense(self) -> None:
        """Who speaks no TLS, or breaks it off anywhere, costs the others nothing, and the log no traceback."""
        gateway = self.start(self.configuration())
        client = TlsClient(client_context(self.authority), "localhost")
        hello = client.take(b"")
        wrong = b"\x16", b"\x16\x03\x01\x00\x05hello", b"\x80\x2e\x01", b""
        for said in (*wrong, hello[:-1], hello, hello + b"nonsense"):
            with socket.create_connection(("127.0.0.1", gateway.port), 10) as connection:
                connection.sendall(said)
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(5)
                while connection.recv(65536):
                    pass
        self.assertEqual(self.ask(self.connect(gateway))["path"], "/x")


class ClearTests(RealTestCase):
    """Clients that begin in clear."""

    def test_redirected(self) -> None:
        """At the gateway's port and at the further one a client is sent to where TLS is, and goes there."""
        further = freePort()
        gateway = self.start(self.configuration(f"redirect_port = {further}"))
        for port in (gateway.port, further):
            curl = "curl", "-sS", "--location", "--cacert", str(self.authority.file)
            answer = json.loads(self.run_client(*curl, "--data", "body", f"http://127.0.0.1:{port}/all/x?y=1"))
            self.assertEqual((answer["path"], answer["size"]), ("/x?y=1", 4))
            self.assertEqual(answer["fields"]["x-forwarded-proto"], "https")


class CertificateTests(RealTestCase):
    """Certificates that change while the gateway runs."""

    def test_renewed(self) -> None:
        """A certificate that is renewed in its place is shown after a reload; who is connected notices nothing."""
        gateway = self.start(self.configuration(), workers=2)
        kept = self.connect(gateway)
        self.ask(kept)
        self.assertEqual(self.shown(gateway), "first")
        self.authority.issue("localhost", "127.0.0.1", file="server", common="second")
        self.assertEqual(gateway.command("reload")[0], 0)
        self.assertEqual(self.shown(gateway), "second")
        self.ask(kept)

    def test_watched(self) -> None:
        """With gateway.watch it is shown without a word from anybody."""
        gateway = self.start(self.configuration(watch="true"))
        self.authority.issue("localhost", "127.0.0.1", file="server", common="second")
        gateway.until(lambda: self.shown(gateway) == "second")

    def test_wrong(self) -> None:
        """A reload with a file that is wrong is refused, with the file and the reason, and the old one is shown on."""
        gateway = self.start(self.configuration())
        other = self.authority.issue("localhost", file="other")
        shutil.copy(other.key_file, self.pair.key_file)
        status, _, complained = gateway.command("reload")
        self.assertEqual(status, 1)
        self.assertIn("is the key of another certificate", complained)
        Path(self.pair.key_file).unlink()
        status, _, complained = gateway.command("reload")
        self.assertIn(f'"{self.pair.key_file}" is an unreachable file', complained)
        self.assertEqual(self.shown(gateway), "first")


class IdentityTests(RealTestCase):
    """Clients that are known by their certificate."""

    def test_identity(self) -> None:
        """A service hears who a client is by its certificate, and never what a client says of one itself."""
        more = f"""client_certificates = "optional"
client_ca = "{self.authority.file}"
[auth]
enabled = true
service = ""
[auth.client_certificates.sequencers]
match = "URI:spiffe://lab/sequencers/*"
role = "lab_technician"
"""
        gateway = self.start(self.configuration(more), {"AUTHENTICATION__JWT_SECRET_KEY": "x" * 32})
        known = self.connect(gateway, self.authority.issue("spiffe://lab/sequencers/7"))
        fields = self.ask(known, X_Client_Cert="me", X_Client_Cert_Subject="me", X_User_Id="me")["fields"]
        self.assertEqual((fields["x-user-id"], fields["x-user-role"]), ("spiffe://lab/sequencers/7", "lab_technician"))
        self.assertNotIn("me", fields.values())
        for certificate in (None, self.authority.issue("spiffe://lab/freezers/1")):
            stranger = self.connect(gateway, certificate)
            stranger.request("GET", "/all/x")
            self.assertEqual(stranger.getresponse().status, 401)


class EndTests(RealTestCase):
    """The end of a gateway."""

    def test_drain(self) -> None:
        """When the gateway stops, a connection by TLS that is idle ends with close_notify, not in the middle."""
        gateway = self.start(self.configuration())
        with self.dial(gateway) as client:
            gateway.process.send_signal(signal.SIGTERM)
            self.assertEqual(client.recv(100), b"")  # a ragged end would raise
            gateway.process.wait(10)


class Digesting(socketserver.ThreadingTCPServer):
    """A service that reads slowly, and answers with what it got and its SHA-256."""

    daemon_threads = allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Digest)
        self.port: int = self.server_address[1]
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def server_close(self) -> None:
        self.shutdown()
        super().server_close()


class _Digest(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        length = 0
        while (line := self.rfile.readline()) not in (b"\r\n", b""):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        body = b""
        while len(body) < length:
            body += self.rfile.read(min(1_000_000, length - len(body)))
            time.sleep(0.01)
        digest = hashlib.sha256(body).hexdigest().encode()
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Digest: %b\r\nContent-Length: %d\r\n\r\n" % (digest, len(body)) + body)
