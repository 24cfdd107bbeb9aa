"""Clients that are programs of their own: curl, and what runs on Node.js."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from attrs import asdict

from tests.clients_kit import Ask, Seen
from tests.running_kit import ROOT

SECONDS = 60
NODE_CLIENTS = ROOT / "tests" / "clients_node"

_STATUS = re.compile(rb"HTTP/([0-9.]+) (\d{3})").match


def missing_curl() -> str:
    """Why curl cannot be used; empty if it can."""
    return "" if shutil.which("curl") else "curl is not installed"


def missing_node() -> str:
    """Why the clients on Node.js cannot be used; empty if they can."""
    if not shutil.which("node"):
        return "Node.js is not installed"
    return "" if (NODE_CLIENTS / "node_modules").exists() else "`make test` has not installed tests/clients_node"


@contextmanager
def _bodies(asks: Sequence[Ask]) -> Iterator[tuple[Path, list[Path | None]]]:
    """A directory, and in it a file for each body."""
    with tempfile.TemporaryDirectory(prefix="clients-") as name:
        directory = Path(name)
        files: list[Path | None] = []
        for number, ask in enumerate(asks):
            files.append(directory / f"sent-{number}" if ask.body is not None else None)
            if ask.body is not None:
                (directory / f"sent-{number}").write_bytes(ask.body)
        yield directory, files


class Curl:
    """curl, with an option such as ``--http1.1`` for the protocol."""

    def __init__(self, protocol: str, *, session: bool = True) -> None:
        """``session``: whether requests one after the other are one process's, which keeps connections and cookies."""
        self._protocol = protocol
        self._session = session

    def run(self, base: str, asks: Sequence[Ask], *, at_once: bool = False, ca: str | None = None) -> list[Seen]:
        if not self._session and len(asks) > 1:
            return [seen for ask in asks for seen in self.run(base, [ask], ca=ca)]
        with _bodies(asks) as (directory, files):
            numbered = enumerate(zip(asks, files, strict=True))
            blocks = [self._block(directory, number, base, ask, file, ca) for number, (ask, file) in numbered]
            plan = directory / "plan"
            plan.write_text("next\n".join(blocks))
            command = ["curl", *(["--parallel"] if at_once else []), "--config", str(plan)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
            return [self._seen(directory, number, ask, done.stderr) for number, ask in enumerate(asks)]

    def _block(self, directory: Path, number: int, base: str, ask: Ask, file: Path | None, ca: str | None) -> str:
        lines = [
            f'url = "{base}{ask.path}"',
            "silent",
            "show-error",
            "location",
            "compressed",
            'noproxy = "*"',
            'cookie = ""',
        ]
        lines.append(self._protocol.removeprefix("--"))
        if ca is not None:
            lines.append(f'cacert = "{ca}"')
        lines += [f'output = "{directory}/body-{number}"', f'dump-header = "{directory}/head-{number}"']
        lines += [f'header = "{name}: {value}"' for name, value in ask.fields.items()]
        lines.append("head" if ask.method == "HEAD" else f"request = {ask.method}")
        if file is not None:
            lines.append(f'data-binary = "@{file}"')
            if ask.chunked:
                framing = "Transfer-Encoding: chunked" if self._protocol == "--http1.1" else "Content-Length:"
                lines.append(f'header = "{framing}"')
        return "\n".join(lines) + "\n"

    def _seen(self, directory: Path, number: int, ask: Ask, complaints: str) -> Seen:
        head, body = directory / f"head-{number}", directory / f"body-{number}"
        # Interim answers and redirects have heads of their own before the last.
        heads = head.read_bytes().strip().split(b"\r\n\r\n") if head.exists() else [b""]
        status_line, *lines = heads[-1].split(b"\r\n")
        found = _STATUS(status_line)
        if found is None:
            return Seen(0, failure=complaints)
        pairs = (line.decode("latin-1").partition(": ") for line in lines)
        fields = {name.lower(): value for name, _, value in pairs}
        # For an empty body curl writes no file, and for HEAD it writes the head there as well.
        data = body.read_bytes() if body.exists() and ask.method != "HEAD" else b""
        return Seen(int(found[2]), fields | {":version": f"HTTP/{found[1].decode()}"}, data)


class Node:
    """A client on Node.js, by the name that ``clients_node/ask.js`` has for it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def run(self, base: str, asks: Sequence[Ask], *, at_once: bool = False, ca: str | None = None) -> list[Seen]:
        with _bodies(asks) as (_directory, files):
            told = [asdict(ask) | {"body": str(file) if file else None} for ask, file in zip(asks, files, strict=True)]
            plan = json.dumps({"base": base, "at_once": at_once, "asks": told})
            command = ["node", str(NODE_CLIENTS / "ask.js"), self._name]
            environ = os.environ | ({"NODE_EXTRA_CA_CERTS": ca} if ca is not None else {})
            done = subprocess.run(
                command, input=plan, capture_output=True, text=True, timeout=SECONDS, check=False, env=environ
            )
        if done.returncode:
            raise AssertionError(f"node ended with {done.returncode}: {done.stderr}")
        return [Seen(**(seen | {"body": base64.b64decode(seen["body"])})) for seen in json.loads(done.stdout)]
