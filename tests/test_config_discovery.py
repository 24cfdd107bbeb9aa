"""Where instances are found, as a file of the configuration says it."""

from __future__ import annotations

from tests.config_files import ConfigTestCase
from tracseq_gateway.config import Discovery, Instance

HEAD = '[services.samples]\nprefix = "/samples"\n'


class DiscoveryTests(ConfigTestCase):
    def discovery(self, table: str) -> Discovery:
        """What a table with these keys is read as."""
        loaded = self.loaded(f"{HEAD}discovery = {{ {table} }}")
        self.assertEqual([], list(map(str, loaded.problems)))
        assert loaded.config is not None
        found = loaded.config.services["samples"].discovery
        assert found is not None
        return found

    def assertSaid(self, table: str, *said: str) -> None:
        """A table with these keys has these problems, each named as it begins."""
        lines = self.said(f"{HEAD}discovery = {{ {table} }}")
        self.assertEqual(len(said), len(lines), lines)
        for line, beginning in zip(lines, said, strict=True):
            self.assertIn(beginning, line)

    def test_kinds(self) -> None:
        """Each kind is enough for a service without instances, and has defaults for the rest."""
        self.assertEqual(
            Discovery(dns="samples.internal", port=8081), self.discovery('dns = "Samples.internal", port = 8081')
        )
        self.assertEqual(Discovery(srv="_http._tcp.samples"), self.discovery('srv = "_http._tcp.samples"'))
        self.assertEqual(Discovery(file="instances.json"), self.discovery('file = "instances.json"'))
        url = "http://consul:8500/v1/list?service=samples"
        self.assertEqual(Discovery(url=url), self.discovery(f'url = "{url}"'))
        self.assertEqual(5.0, self.discovery('file = "instances.json"').interval)

    def test_with_instances(self) -> None:
        """Instances of the file stand beside it, for the time before the first answer."""
        config = self.loaded(f'{HEAD}instances = ["http://h:1"]\ndiscovery.srv = "a.b"').config
        assert config is not None
        self.assertEqual((Instance("http://h:1"),), config.services["samples"].instances)

    def test_exactly_one(self) -> None:
        """None, or more than one, is an error that names the key."""
        one = "exactly one of dns, srv, file and url would be right"
        self.assertSaid("interval = 3", f"3: services.samples.discovery: says not where, {one}")
        self.assertSaid(
            'srv = "a", dns = "b", port = 1', f"3: services.samples.discovery.srv: stands beside dns, {one}"
        )
        self.assertSaid(
            'url = "http://h", file = "f", srv = "a"',
            f"services.samples.discovery.file: stands beside srv, {one}",
            f"services.samples.discovery.url: stands beside srv, {one}",
        )

    def test_port(self) -> None:
        """A port belongs to addresses, which come without, and to nothing else."""
        self.assertSaid('dns = "a"', "services.samples.discovery.port: is not there, and dns tells addresses only")
        self.assertSaid('srv = "a", port = 1', "services.samples.discovery.port: belongs to dns")
        self.assertSaid('dns = "a", port = 0', "services.samples.discovery.port: 0 is out of range")

    def test_values(self) -> None:
        """What could never be asked for is refused."""
        for address in ("127.0.0.1", "::1", "a b", ""):
            self.assertSaid(f'srv = "{address}"', "services.samples.discovery.srv:")
        for url in ("ftp://h/list", "http://u:p@h", "http://h:0/list", "http://h/a b", "http://h/#a", "file:///list"):
            self.assertSaid(f'url = "{url}"', "services.samples.discovery.url:")
        self.assertSaid('file = "."', 'services.samples.discovery.file: "." is not a file')
        self.assertSaid('srv = "a", interval = 0', "services.samples.discovery.interval: 0 is out of range")
        self.assertSaid('srv = "a", timeout = 0', "services.samples.discovery.timeout: 0 is out of range")

    def test_own(self) -> None:
        """It is each service's own, and not for ``[defaults]``."""
        said = self.said(f'{HEAD}instances = ["http://h"]\n[defaults]\ndiscovery = {{ srv = "a" }}')
        self.assertEqual(
            ["5: defaults.discovery: is each service's own, discovery in [services.NAME] would be right"], said
        )

    def test_environment(self) -> None:
        """Variables that name one instance, or want one only, warn that discovery knows better."""
        text = f"{HEAD}discovery.srv = 'a'"
        for variable, value, said in (
            ("LOAD_BALANCER__ENABLED", "false", "does not hold for services.samples, which uses all instances"),
            ("SERVICES__SAMPLES__HOST", "h", "holds for services.samples only until discovery has found instances"),
        ):
            loaded = self.loaded(text, {variable: value})
            self.assertIsNotNone(loaded.config)
            (problem,) = loaded.problems
            self.assertIn(f"environment:0: {variable}: warning: {said}", str(problem))

    def test_needed(self) -> None:
        """A service with neither is told of both."""
        self.assertEqual(
            ['1: services.samples: has no instance, instances = ["http://host:port"] or a discovery would be right'],
            self.said(HEAD),
        )
