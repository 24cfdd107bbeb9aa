"""The stack of ``compose.yaml`` without an engine: its commands, variables, names and ports, each a process here.

Run as a program in network, mount and process namespaces of its own (``unshare``), with a directory to write to: there
all names of the stack lead to the loopback address, and all its ports are free. Prints, as JSON, what a client sees.
What holds a container apart from others is not tried.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.compose_kit import DEPLOY, compose
from tests.test_deploy_image import ROOT, stage

BASE = {"PATH": f"{Path(sys.executable).parent}:{os.defpath}:/usr/sbin", "PYTHONPATH": str(ROOT)}
A = "http://127.0.0.1:8000"


def main() -> None:
    """Start everything but databases, Prometheus and Grafana, and use it."""
    directory = Path(sys.argv[1])
    services = compose("compose.yaml")["services"]
    name_hosts(services, directory / "hosts")
    start(services["gateway-redis"]["command"], {}, directory)
    for service in services.values():
        if "SANDBOX_SERVICE" in service.get("environment", {}):
            environ = {**service["environment"], "SANDBOX_DATA": str(directory / "data")}
            start(json.loads(dict(stage("sandbox"))["CMD"]), environ, directory)
    gateway = services["gateway"]
    waited_for = [services[name] for name in gateway["depends_on"]]
    ready = until(lambda: all(checked(service) for service in waited_for))
    mounted = {target: DEPLOY / source for source, target, _ in (one.split(":") for one in gateway["volumes"])}
    start([str(mounted.get(word, word)) for word in gateway["command"]], gateway["environment"], directory)
    healthy = until(lambda: ask("/health/services")["status"] == "healthy")
    login = {"email": "lab_technician@sandbox.tracseq.test", "password": "tracseq-demo"}
    token = ask("/auth/login", data=login)["data"]["access_token"]
    print(
        json.dumps(
            {
                "healthy": ready and healthy,
                "health": ask("/health"),
                "name": ask("/")["environment"],
                "samples": len(ask("/samples?limit=2", token)["data"]),
                "waited_for": sorted(gateway["depends_on"]),
            }
        )
    )


def name_hosts(services: dict[str, Any], file: Path) -> None:
    """Have the names of the stack, as its network has them."""
    file.write_text("".join(f"127.0.0.1 {name}\n" for name in ("localhost", *services)))
    subprocess.run(["mount", "--bind", file, "/etc/hosts"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def start(command: list[str], environ: dict[str, str], directory: Path) -> None:
    """Start a process; all end with the namespace."""
    with (directory / "log").open("ab") as log:
        variables = {**BASE, "TMPDIR": str(directory), **environ}
        subprocess.Popen(command, env=variables, cwd=directory, stdout=log, stderr=log)


def checked(service: dict[str, Any]) -> bool:
    """Run a service's health check once."""
    kind, *command = service["healthcheck"]["test"]
    words = ["/bin/sh", "-c", *command] if kind == "CMD-SHELL" else command
    environ = {**BASE, **service.get("environment", {})}
    return subprocess.run(words, env=environ, stdout=subprocess.DEVNULL, timeout=20).returncode == 0


def ask(path: str, token: str = "", data: object = None) -> Any:
    """Ask the gateway; return its JSON."""
    fields = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    body = None if data is None else json.dumps(data).encode()
    with urllib.request.urlopen(urllib.request.Request(A + path, body, fields), timeout=10) as answer:
        return json.load(answer)


def until(condition: Callable[[], bool], seconds: float = 45.0) -> bool:
    """Wait for something to be true, as long as that takes at most; return whether it is."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if condition():
                return True
        except (urllib.error.URLError, ConnectionError):
            pass  # not yet
        time.sleep(0.1)
    return False


if __name__ == "__main__":
    main()
