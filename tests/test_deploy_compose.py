"""The complete stack: every name, port, volume, health check and variable fits the rest."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from twisted.trial.unittest import SynchronousTestCase

from tests.compose_kit import DEPLOY, MissingVariable, compose
from tests.test_deploy_image import ROOT, stage
from tracseq_gateway.config import Config, load
from tracseq_gateway.config.secrets import missing_secrets
from tracseq_gateway.sandbox import SERVICES

CHECK = (sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec")
SANDBOX = "tracseq-gateway-sandbox"
PRODUCTION = dict.fromkeys(("JWT_SECRET_KEY", "POSTGRES_PASSWORD", "GRAFANA_PASSWORD"), "s" * 40) | {
    f"TRACSEQ_{name.upper()}_IMAGE": f"registry.example/{name}:2" for name in SERVICES
}


class StackCase(SynchronousTestCase):
    """The stack as it is without any variable, and the gateway's configuration in it."""

    def setUp(self) -> None:
        self.stack = compose("compose.yaml")
        self.services: dict[str, Any] = self.stack["services"]
        self.hosts = {service["environment"]["SANDBOX_SERVICE"]: name for name, service in self.standIns().items()}

    def standIns(self) -> dict[str, Any]:
        """The seven services, by their names in the stack."""
        return {name: one for name, one in self.services.items() if "SANDBOX_SERVICE" in one.get("environment", {})}

    def config(self, stack: dict[str, Any]) -> Config:
        """What the gateway of a stack makes of its file and its environment."""
        gateway = stack["services"]["gateway"]
        loaded = load(str(DEPLOY / "gateway.toml"), gateway["environment"], {})
        self.assertEqual([], [str(problem) for problem in loaded.problems])
        assert loaded.config is not None
        self.assertEqual([], list(missing_secrets(loaded.config, gateway["environment"])))
        return loaded.config


class SchemaTests(StackCase):
    """What the Compose Specification asks for."""

    def test_valid(self) -> None:
        """The stack, and what is made of it for production, keep to the schema."""
        for stack in (self.stack, compose("compose.yaml", "compose.production.yaml", environ=PRODUCTION)):
            self.assertEqual("ok -- validation done\n", self.validated(stack))

    def test_mistakesAreFound(self) -> None:
        """A key that nobody knows would be found."""
        self.services["gateway"]["read-only"] = True
        self.assertIn("read-only", self.validated(self.stack))

    def validated(self, stack: dict[str, Any]) -> str:
        """What the specification's own schema says of a stack."""
        file = Path(self.mktemp()).with_suffix(".yaml")
        file.write_text(yaml.safe_dump(stack))
        return subprocess.run([*CHECK, file], capture_output=True, text=True).stdout

    def test_complete(self) -> None:
        """The gateway, Redis, Prometheus, Grafana, and seven services with a PostgreSQL each."""
        databases = [name for name, one in self.services.items() if one.get("image", "").startswith("postgres:")]
        others = {"gateway", "gateway-redis", "prometheus", "grafana", "sandbox"}
        self.assertEqual((7, 7), (len(self.hosts), len(databases)))
        self.assertEqual(others, set(self.services) - set(databases) - set(self.hosts.values()))

    def test_pinned(self) -> None:
        """No image from elsewhere is without a version."""
        for service in self.services.values():
            if service["image"] not in (SANDBOX, "tracseq-gateway"):
                self.assertRegex(service["image"], r":v?\d+", service["image"])


class FitTests(StackCase):
    """What the parts say of one another."""

    def test_instances(self) -> None:
        """Every instance in gateway.toml is a service of the stack, on the port that it is told; none is missing."""
        config = self.config(self.stack)
        urls = {name: [instance.url for instance in service.instances] for name, service in config.services.items()}
        ports = {name: self.services[host]["environment"]["PORT"] for name, host in self.hosts.items()}
        self.assertEqual({name: [f"http://{host}:{ports[name]}"] for name, host in self.hosts.items()}, urls)
        self.assertEqual(ports, {name: str(port) for name, port in SERVICES.items()})
        redis = urlsplit(config.redis.url)
        self.assertEqual(("gateway-redis", 6379), (redis.hostname, redis.port))

    def test_networks(self) -> None:
        """Who talks to whom has a network with him; databases have none that leads out."""
        networks = {name: set(service.get("networks", ())) for name, service in self.services.items()}
        self.assertEqual(set(self.stack["networks"]), set().union(*networks.values()))
        for host in (*self.hosts.values(), "gateway-redis", "prometheus"):
            self.assertTrue(networks["gateway"] & networks[host], host)
        self.assertTrue(networks["grafana"] & networks["prometheus"])
        for host in self.hosts.values():
            database = self.database(host)
            self.assertEqual({"databases"}, networks[database])
            self.assertIn("databases", networks[host])
        self.assertTrue(self.stack["networks"]["databases"]["internal"])

    def database(self, host: str) -> str:
        """The database that a service is told to use."""
        url = urlsplit(self.services[host]["environment"]["DATABASE_URL"])
        settings = self.services[str(url.hostname)]["environment"]
        self.assertEqual(
            (settings["POSTGRES_USER"], settings["POSTGRES_PASSWORD"], f"/{settings['POSTGRES_DB']}"),
            (url.username, url.password, url.path),
        )
        return str(url.hostname)

    def test_databases(self) -> None:
        """Each service waits for a database of its own, which keeps its data in a volume of its own."""
        databases = {host: self.database(host) for host in self.hosts.values()}
        self.assertEqual(7, len(set(databases.values())))
        volumes = set()
        for host, database in databases.items():
            self.assertEqual("service_healthy", self.services[host]["depends_on"][database]["condition"])
            ((volume, _, path),) = [one.partition(":") for one in self.services[database]["volumes"]]
            self.assertEqual("/var/lib/postgresql/data", path)
            volumes.add(volume)
        self.assertEqual(7, len(volumes))

    def test_volumes(self) -> None:
        """Named volumes are declared and used; files that are mounted are there, and are mounted read-only."""
        named = set()
        for service in self.services.values():
            for volume in service.get("volumes", ()):
                source, target, *mode = volume.split(":")
                if source.startswith("."):
                    self.assertTrue((DEPLOY / source).exists(), f"{source} is missing")
                    self.assertEqual(["ro"], mode, volume)
                    self.assertTrue(target.startswith("/"))
                else:
                    named.add(source)
        self.assertEqual(set(self.stack["volumes"]), named)

    def test_dependencies(self) -> None:
        """Who is waited for exists, and can be healthy when that is waited for."""
        for name, service in self.services.items():
            for other, how in service.get("depends_on", {}).items():
                if how["condition"] == "service_healthy":
                    self.assertIn("healthcheck", self.services[other], f"{name} waits for {other}")
                self.assertIn(other, self.services)

    def test_healthChecks(self) -> None:
        """Everything that goes on has a health check, here or in its image."""
        checked = {name for name, service in self.services.items() if "healthcheck" in service}
        self.assertEqual({"gateway", "sandbox"}, set(self.services) - checked)
        self.assertIn("HEALTHCHECK", dict(stage("gateway")))

    def test_ports(self) -> None:
        """All is reached from this machine alone, on the usual ports, and the gateway from outside if that is said."""
        published = {name: service["ports"] for name, service in self.services.items() if "ports" in service}
        self.assertEqual(
            {
                "gateway": ["127.0.0.1:8000:8000"],
                "prometheus": ["127.0.0.1:9090:9090"],
                "grafana": ["127.0.0.1:3001:3001"],
            },
            published,
        )
        outside = compose("compose.yaml", environ={"TRACSEQ_ADDRESS": "0.0.0.0"})["services"]["gateway"]["ports"]
        self.assertEqual(["0.0.0.0:8000:8000"], outside)
        self.assertEqual(8000, self.config(self.stack).gateway.port)
        self.assertEqual("3001", self.services["grafana"]["environment"]["GF_SERVER_HTTP_PORT"])

    def test_images(self) -> None:
        """What is built is a stage of the Dockerfile, and what is not is no stage's name."""
        built = {one["image"]: one["build"] for one in self.services.values() if "build" in one}
        self.assertEqual({"tracseq-gateway", SANDBOX}, set(built))
        for build in built.values():
            self.assertEqual(ROOT, (DEPLOY / build["context"]).resolve())
            self.assertTrue(stage(build["target"]))
        self.assertEqual({SANDBOX}, {service["image"] for service in self.standIns().values()})

    def test_scraped(self) -> None:
        """Prometheus scrapes the gateway, where it has metrics, and every service."""
        jobs = {job["job_name"]: job for job in self.prometheus()["scrape_configs"]}
        config = self.config(self.stack)
        self.assertTrue(config.metrics.enabled)
        self.assertEqual(config.metrics.path, jobs["tracseq-gateway"].get("metrics_path", "/metrics"))
        targets = {name: set(job["static_configs"][0]["targets"]) for name, job in jobs.items()}
        self.assertEqual({f"gateway:{config.gateway.port}"}, targets["tracseq-gateway"])
        self.assertEqual({f"{host}:{SERVICES[name]}" for name, host in self.hosts.items()}, targets["tracseq-services"])

    def test_prometheus(self) -> None:
        """Prometheus reads the file that is mounted for it, and keeps its data in its volume."""
        options = dict(word.split("=", 1) for word in self.services["prometheus"]["command"])
        mounts = {one.split(":")[1] for one in self.services["prometheus"]["volumes"]}
        self.assertLessEqual({options["--config.file"], options["--storage.tsdb.path"]}, mounts)

    def prometheus(self) -> Any:
        return yaml.safe_load((DEPLOY / "prometheus.yml").read_text())

    def test_hardened(self) -> None:
        """The gateway writes to memory only and has no rights to lose; nobody else gains any; all have limits."""
        gateway = self.services["gateway"]
        self.assertEqual((True, ["ALL"]), (gateway["read_only"], gateway["cap_drop"]))
        self.assertTrue(gateway["tmpfs"][0].startswith("/tmp:"))
        for name, service in self.services.items():
            if name != "sandbox":
                self.assertEqual(["no-new-privileges:true"], service["security_opt"], name)
                self.assertIn("memory", service["deploy"]["resources"]["limits"], name)

    def test_grace(self) -> None:
        """Docker waits longer than the gateway drains."""
        seconds = int(self.services["gateway"]["stop_grace_period"].removesuffix("s"))
        self.assertGreater(seconds, self.config(self.stack).gateway.drain_seconds + 5)


class SecretTests(StackCase):
    """For development nothing need be set; for production everything that is secret."""

    def test_development(self) -> None:
        """Without a variable the gateway says that it is for development, and shares its secret with auth."""
        environ = self.services["gateway"]["environment"]
        self.assertEqual("development", environ["ENVIRONMENT"])
        auth = self.services[self.hosts["auth"]]["environment"]
        name = "AUTHENTICATION__JWT_SECRET_KEY"
        self.assertEqual((environ[name], environ[name]), (auth[name], auth["JWT_SECRET_KEY"]))
        having = {host for host, one in self.services.items() if environ[name] in one.get("environment", {}).values()}
        self.assertEqual({"gateway", self.hosts["auth"]}, having)

    def test_production(self) -> None:
        """With compose.production.yaml every secret and every image must be named, or nothing starts."""
        files = ("compose.yaml", "compose.production.yaml")
        for name in PRODUCTION:
            environ = {**PRODUCTION, name: ""}
            self.assertIn(name, str(self.assertRaises(MissingVariable, compose, *files, environ=environ)))
        stack = compose(*files, environ=PRODUCTION)
        self.assertEqual("production", self.config(stack).gateway.environment)
        waits = {how["condition"] for how in stack["services"]["gateway"]["depends_on"].values()}
        self.assertEqual({"service_started"}, waits)  # who is ill must not keep it from starting
        said = json.dumps({name: service for name, service in stack["services"].items() if name != "sandbox"})
        for known in ("development-only", "tracseq-development", SANDBOX):
            self.assertNotIn(known, said)

    def test_example(self) -> None:
        """.env.example lists all variables that the files read, but for ENVIRONMENT, and gives no secret away."""
        lines = (DEPLOY / ".env.example").read_text().splitlines()
        listed = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
        files = [(DEPLOY / name).read_text() for name in ("compose.yaml", "compose.production.yaml")]
        read = {name for text in files for name in re.findall(r"\$\{(\w+)", text)}
        self.assertEqual(read - {"ENVIRONMENT"}, set(listed))
        self.assertEqual({"TRACSEQ_ADDRESS": "0.0.0.0"}, {name: value for name, value in listed.items() if value})
