"""A whole gateway in processes of its own (twistd, workers, the embedded Redis) with a service behind it."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from tests.process_kit import freePort
from tests.threaded_service import ThreadedService

ROOT = Path(__file__).parent.parent
TRACSEQ_GATEWAY = (sys.executable, "-c", "import sys; from tracseq_gateway.cli import main; sys.exit(main())")
TWISTD = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()")


class _Handler(BaseHTTPRequestHandler):
    """Answers everything with what it was asked."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        status = int(self.headers.get("x-answer-with") or 200)
        address: Any = self.server.server_address
        seen = {"port": address[1], "path": self.path, "fields": dict(self.headers), "size": len(body)}
        text = json.dumps(seen).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        if "x-answer-cache-control" in self.headers:
            self.send_header("cache-control", self.headers["x-answer-cache-control"])
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = do_DELETE = _answer

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class EchoService(ThreadedService):
    """A service in a thread."""

    def __init__(self) -> None:
        super().__init__(_Handler)


class SlowService(threading.Thread):
    """Answers one request with a body that takes as long as the test likes."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.finish = threading.Event()
        self.start()

    def run(self) -> None:
        with self._listener, self._listener.accept()[0] as connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbegun")
            self.finish.wait(20)
            connection.sendall(b"done")


class RunningGateway:
    """``twistd tracseq-gateway`` with a configuration; everything ends with :meth:`stop`."""

    def __init__(
        self,
        configuration: str,
        environ: Mapping[str, str] | None = None,
        workers: int = 2,
        *,
        options: Sequence[str] = (),
        twistd: Sequence[str] = (),
        under: Sequence[str] = (),
    ) -> None:
        """``configuration`` is a file's text in which ``@UPSTREAM@`` stands for the service's URL.

        ``options`` are further ones of ``tracseq-gateway``, ``twistd`` those of twistd, and ``under`` the words of a
        command that runs it.
        """
        self.directory = Path(tempfile.mkdtemp(prefix="gateway-"))
        self.service = EchoService()
        self.port = freePort()
        self.file = self.directory / "gateway.toml"
        self.configure(configuration)
        self.log = self.directory / "log"
        self.words = [*under, *TWISTD, "-n", "--pidfile=", *twistd, "tracseq-gateway", "--config", str(self.file)]
        self.words += ["--port", str(self.port), "--host", "127.0.0.1", "--workers", str(workers), *options]
        inherited = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_RUNTIME_DIR": str(self.directory)}
        self.environ = {**inherited, **(environ or {})}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(self.words, cwd=self.directory, env=self.environ, stdout=log, stderr=log)
        self._workers = workers
        try:
            self.until(self._serves, 20)
        except AssertionError:
            self.stop()
            raise

    def configure(self, configuration: str) -> None:
        """Put another text in the place of the configuration file's, in one step."""
        text = configuration.replace("@UPSTREAM@", f"http://127.0.0.1:{self.service.port}")
        beside = self.file.with_suffix(".new")
        beside.write_text(text.replace("@DIRECTORY@", str(self.directory)))
        beside.rename(self.file)

    def command(self, *words: str) -> tuple[int, str, str]:
        """Run ``tracseq-gateway`` for this gateway; return status, output and errors."""
        command = [*TRACSEQ_GATEWAY, *words, "--config", str(self.file), "--port", str(self.port)]
        done = subprocess.run(
            command, cwd=self.directory, env=self.environ, capture_output=True, text=True, timeout=60, check=False
        )
        return done.returncode, done.stdout, done.stderr

    def processes(self) -> list[int]:
        """The supervisor and all that it has started and not yet buried."""
        pid = self.process.pid
        return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]

    def said(self) -> str:
        """Its log so far."""
        return self.log.read_text()

    def _serves(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"the gateway ended:\n{self.said()}")
        return len(self.worker_pids()) >= self._workers

    def until(self, condition: Callable[[], object], seconds: float = 10.0) -> float:
        """Wait until something is true; return how many seconds that took."""
        begun = time.monotonic()
        while not condition():
            if time.monotonic() - begun > seconds:
                raise AssertionError(f"not within {seconds} s:\n{self.said()}")
            time.sleep(0.02)
        return time.monotonic() - begun

    def connect(self) -> http.client.HTTPConnection:
        """A connection of a client."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)

    def get(self, path: str, method: str = "GET", body: bytes | None = None, **fields: str) -> tuple[int, Any]:
        """Make one request on a connection of its own; return status and JSON."""
        connection = self.connect()
        try:
            headers = {name.replace("_", "-"): value for name, value in fields.items()}
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            data = answer.read()
            return answer.status, json.loads(data) if data else None
        finally:
            connection.close()

    def redis_pid(self) -> int:
        """The process of the embedded Redis, as the log last said."""
        return int(self.said().rpartition("the embedded Redis serves (pid ")[2].partition(")")[0])

    def worker_pids(self) -> list[int]:
        """The processes that have served."""
        return [int(pid) for pid in re.findall(r"worker \d+ serves \(pid (\d+)\)", self.said())]

    def stop(self) -> str:
        """Stop it as Ctrl-C does, and return its log; raises AssertionError if it does not go."""
        try:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGINT)
                try:
                    self.process.wait(10)
                except subprocess.TimeoutExpired:
                    self.process.kill()
                    self.process.wait()
                    raise AssertionError("the gateway did not stop") from None
            return self.said()
        finally:
            self.service.stop()
            shutil.rmtree(self.directory, ignore_errors=True)
