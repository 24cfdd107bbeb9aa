"""A real Prometheus that scrapes what a test runs, with the rules that are shipped."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

from tests.process_kit import freePort

ROOT = Path(__file__).parent.parent
RULES = ROOT / "deploy" / "prometheus" / "rules"

CONFIGURATION = """
global:
  scrape_interval: 300ms
  scrape_timeout: 300ms
  evaluation_interval: 300ms
rule_files:
  - {rules}/*.yml
scrape_configs:
  - job_name: tracseq-gateway
    static_configs:
      - targets: ["127.0.0.1:{port}"]
"""


def promtool(*words: str, given: bytes = b"") -> tuple[int, str]:
    """Run promtool; return its exit status and all that it printed."""
    done = subprocess.run(
        ["promtool", *words], input=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT, timeout=60
    )
    return done.returncode, done.stdout.decode()


class RunningPrometheus:
    """Scrapes the gateway at a port of this machine, three times a second; everything ends with :meth:`stop`."""

    def __init__(self, gateway_port: int) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="prometheus-"))
        self._port = freePort()
        configuration = self._directory / "prometheus.yml"
        configuration.write_text(CONFIGURATION.format(rules=RULES, port=gateway_port))
        self._log = self._directory / "log"
        command = ["prometheus", f"--config.file={configuration}", f"--storage.tsdb.path={self._directory}/data"]
        command += [f"--web.listen-address=127.0.0.1:{self._port}", "--log.level=warn"]
        command += ["--enable-feature=exemplar-storage"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            self.until(self._ready)
        except AssertionError:
            self.stop()
            raise

    def _ready(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self._port}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except (URLError, ConnectionError):
            return False

    def until(self, condition: Callable[[], object], seconds: float = 20.0) -> None:
        """Wait until something is true."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise AssertionError(f"not within {seconds} s:\n{self._log.read_text()}")
            time.sleep(0.05)

    def get(self, path: str, **parameters: str) -> Any:
        """Ask the API; HTTPError, with the reason in its body, if Prometheus finds fault with the question."""
        with urlopen(f"http://127.0.0.1:{self._port}/api/v1/{path}?{urlencode(parameters)}", timeout=10) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """The series that an expression gives now: labels and value."""
        found = self.get("query", query=expression)["result"]
        return [(series["metric"], float(series["value"][1])) for series in found]

    def names(self) -> set[str]:
        """All metrics and recorded series that there are."""
        return set(self.get("label/__name__/values"))

    def await_names(self, names: set[str]) -> None:
        """Wait until there are all of these."""
        try:
            self.until(lambda: names <= self.names())
        except AssertionError as error:
            raise AssertionError(f"missing: {names - self.names()}; {error}") from None

    def stop(self) -> None:
        """End it and remove what it stored."""
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._directory, ignore_errors=True)
