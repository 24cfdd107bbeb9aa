from __future__ import annotations

import os
from pathlib import Path

from tests.config_files import SERVICE, ConfigTestCase
from tracseq_gateway.config import Problem, load


class SingleValueTests(ConfigTestCase):
    def test_unknown_keys(self) -> None:
        """An unknown key or table is named with its line and the nearest known one."""
        self.assertSaid(
            'instance = ["http://h"]', '4: services.samples.instance: unknown key, did you mean "instances"?'
        )
        self.assertSaid("[gatway]\nport = 1", '4: gatway: unknown key, did you mean "gateway"?')
        self.assertSaid("[service.a]", '4: service: unknown key, did you mean "services"?')
        self.assertSaid("[metrics]\nzzz = 1", "5: metrics.zzz: unknown key, the keys here are enabled, path")
        self.assertSaid('name = "x"', "4: services.samples.name: unknown key, the table's own name is the service's")

    def test_wrong_types(self) -> None:
        """A value of the wrong type is shown with its type, and the right one is named."""
        self.assertSaid(
            '[gateway]\nport = "8000"',
            '5: gateway.port: "8000" is a string, an integer from 1 to 65535 would be right',
        )
        self.assertSaid("timeouts = 5", "4: services.samples.timeouts: 5 is an integer, a table would be right")
        self.assertSaid(
            '[gateway]\ntrusted_proxies = "10.0.0.0/8"',
            '5: gateway.trusted_proxies: "10.0.0.0/8" is a string, an array would be right',
        )
        self.assertSaid("[[client]]", "4: client: is an array, a table would be right")

    def test_ranges(self) -> None:
        """A number beyond its bounds is shown with them."""
        self.assertSaid(
            "[gateway]\nport = 65536",
            "5: gateway.port: 65536 is out of range, an integer from 1 to 65535 would be right",
        )
        self.assertSaid(
            "[gateway]\nworkers = 0",
            '5: gateway.workers: 0 is out of range, an integer from 1 to 1024 or "auto" would be right',
        )
        self.assertSaid(
            "timeouts.idle = -1",
            "4: services.samples.timeouts.idle: -1 is out of range, a number of seconds of at least 0 would be right",
        )

    def test_words(self) -> None:
        """A word that is not one of the known ones is answered with those, or the nearest."""
        self.assertSaid(
            '[gateway]\nenvironment = "prod"', '5: gateway.environment: "prod" is not known, did you mean "production"?'
        )
        self.assertSaid(
            'host_header = "x"',
            '4: services.samples.host_header: "x" is not known, one of preserve, upstream would be right',
        )

    def test_upstream_policies(self) -> None:
        """Values of the policies between a request and its instances are held to what they mean."""
        self.assertSaid(
            'hash_by = "cookie"',
            '4: services.samples.hash_by: "cookie" is not what can be hashed, '
            'client, path, "header:X-Project" or "cookie:lab" is',
        )
        self.assertSaid(
            "retries.statuses = [503, 404]",
            "4: services.samples.retries.statuses[1]: 404 is not a server error, "
            "statuses from 500 to 599 would be right",
        )
        self.assertSaid(
            'deadline_header = "a b"',
            '4: services.samples.deadline_header: "a b" cannot stand in a header, '
            "letters, digits and hyphens would be right",
        )

    def test_windows_of_http2(self) -> None:
        """A connection must hold at least what one request body may."""
        self.assertSaid(
            '[http2]\nconnection_window = "1MiB"\nstream_window = "2MiB"',
            "5: http2.connection_window: 1048576 bytes are less than one request body may have under way, "
            "at least http2.stream_window would be right",
        )

    def test_head_smaller_than_request_line(self) -> None:
        """A head must have room for the longest request line."""
        self.assertSaid(
            '[client]\nhead = "4KiB"',
            "5: client.head: 4096 bytes cannot hold a request line of 8192, "
            "at least client.request_line would be right",
        )

    def test_log_file_out_of_reach(self) -> None:
        """A file that cannot be written is refused before the start."""
        missing = os.path.join(self.mktemp(), "access.log")
        for target, words in (
            (missing, "is an unreachable file"),
            (os.getcwd(), "is not a file"),
            ("", "is not a file"),
        ):
            first = self.said(f'{SERVICE}[access_log]\ntarget = "{target}"')[0]
            self.assertTrue(first.startswith("5: access_log.target: ") and words in first, first)

    def test_secrets_are_not_shown(self) -> None:
        """A wrong value of a secret key is not repeated."""
        said = "\n".join(self.said(f'{SERVICE}[auth]\nservice_key = 12345\n[redis]\nurl = "http://:hunter2@h"'))
        self.assertIn("auth.service_key: is not what it takes, a string would be right", said)
        self.assertIn("redis.url: has none of the schemes of a Redis", said)
        self.assertNotIn("12345", said)
        self.assertNotIn("hunter2", said)


class ServiceTests(ConfigTestCase):
    def test_what_a_service_lacks(self) -> None:
        """A service without a prefix or an instance is named, at its table."""
        self.assertEqual(
            self.said("[services.a]\n[services.b]\ninstances = []\nprefix = '/b'"),
            [
                '1: services.a: has no prefix, prefix = "/a" would be right',
                '1: services.a: has no instance, instances = ["http://host:port"] or a discovery would be right',
                '2: services.b: has no instance, instances = ["http://host:port"] or a discovery would be right',
            ],
        )

    def test_instances(self) -> None:
        """Each wrong instance of a list is named by its place."""
        said = self.said(
            '[services.a]\nprefix = "/a"\ninstances = [\n'
            '  "ftp://h:8443",\n'
            "  5,\n"
            '  { url = "http://h", weight = 0 },\n'
            "  { weight = 2 },\n"
            "]\n"
        )
        self.assertEqual(len(said), 4)
        for line, words in zip(
            said,
            (
                '4: services.a.instances[0].url: "ftp://h:8443" has the scheme "ftp"',
                "5: services.a.instances[1]: 5 is an integer, a URL, or a table with a url,",
                "6: services.a.instances[2].weight: 0 is out of range",
                "7: services.a.instances[3]: an instance without a url",
            ),
            strict=True,
        ):
            self.assertTrue(line.startswith(words), line)

    def test_the_same_instance_twice(self) -> None:
        """One address is one instance, however it is written."""
        self.assertEqual(
            self.said('[services.a]\nprefix = "/a"\ninstances = ["http://h",\n"http://H:80"]'),
            [
                "4: services.a.instances[1]: http://h:80 is listed twice, "
                "one instance with a greater weight would be right"
            ],
        )

    def test_names(self) -> None:
        """A service's name can stand in a log line and a metric."""
        said = self.said('[services."a\\nb"]\nprefix = "/a"\ninstances = ["http://h"]')
        self.assertEqual(
            said, ['1: services."a\\nb": is no name for a service, letters, digits, - and _ would be right']
        )


class DefaultsTableTests(ConfigTestCase):
    def test_one_problem_for_all_services(self) -> None:
        """A wrong default is reported once, on its own line, however many services take it."""
        self.assertEqual(
            self.said('[defaults]\nmax_body = "5 parsecs"\ntimeouts.conect = 1'),
            [
                '2: defaults.max_body: "5 parsecs" is not a size, "50MiB" is one, '
                "and the units are B, kB, KB, MB, GB, TB, KiB, MiB, GiB, TiB",
                '3: defaults.timeouts.conect: unknown key, did you mean "connect"?',
            ],
        )

    def test_overruled_defaults_are_checked(self) -> None:
        """A wrong default is reported even where every service has a value of its own."""
        [line] = self.said(f"{SERVICE}max_body = 1\n[defaults]\nmax_body = -1")
        self.assertTrue(line.startswith("6: defaults.max_body: -1 is out of range"))

    def test_what_cannot_be_shared(self) -> None:
        """Prefix and instances are each service's own."""
        self.assertEqual(
            self.said(f'{SERVICE}[defaults]\nprefix = "/x"'),
            ["5: defaults.prefix: is each service's own, prefix in [services.NAME] would be right"],
        )


class PrefixTests(ConfigTestCase):
    def services(self, *prefixes: str) -> list[str]:
        """Load services a, b, c with these prefixes: the first at line 2, the next at line 5 and so on."""
        return self.said(
            "".join(
                f'[services.{name}]\nprefix = "{prefix}"\ninstances = ["http://h"]\n'
                for name, prefix in zip("abcdef", prefixes, strict=False)
            )
        )

    def test_duplicates(self) -> None:
        """Two services with one prefix are an error that names both, and a trailing slash does not hide it."""
        self.assertEqual(
            self.services("/x", "/x/"),
            [
                '5: services.b.prefix: "/x" is the prefix of services.a too, '
                "a prefix that services.b has for itself would be right"
            ],
        )

    def test_nested(self) -> None:
        """A prefix within another's is a warning, and the nearest of those around it is named."""
        self.assertEqual(
            self.services("/x/y/z", "/x", "/x/y", "/xy"),
            [
                '2: services.a.prefix: warning: "/x/y/z" lies within "/x/y" of services.c, '
                "the longest prefix that matches a request wins",
                '8: services.c.prefix: warning: "/x/y" lies within "/x" of services.b, '
                "the longest prefix that matches a request wins",
            ],
        )

    def test_root(self) -> None:
        """A service that owns / takes what is left, which needs no warning."""
        self.assertEqual(self.services("/", "/x"), [])

    def test_the_gateways_own(self) -> None:
        """What the gateway answers itself cannot be a service's, by whole segments."""
        for prefix in ("/health", "/health/x", "/services", "/metrics", "/docs/", "/openapi.json", "/dashboard"):
            said = self.services(prefix)
            self.assertEqual(len(said), 1)
            self.assertIn("is the gateway's own, a prefix outside /health, /services", said[0])
        self.assertEqual(self.services("/healthy", "/docs2", "/x/health"), [])

    def test_wrong_prefixes(self) -> None:
        """A prefix that is wrong in itself is reported as such, and does not count as anybody's."""
        self.assertEqual(
            self.services("x", "x"),
            [
                f'{line}: services.{name}.prefix: "x" does not start with "/", a path from the root would be right'
                for line, name in ((2, "a"), (5, "b"))
            ],
        )


class WholeFileTests(ConfigTestCase):
    def test_everything_at_once(self) -> None:
        """No problem hides another, and they come in the order of the file."""
        said = self.said(
            "[gateway]\n"
            "port = 0\n"
            'workers = "many"\n'
            "[services.a]\n"
            'prefix = "/a"\n'
            'instances = ["h", "http://h/x"]\n'
            "timeouts = { response = true, conect = 1 }\n"
            "[services.b]\n"
            'prefix = "/a"\n'
            "max_body = []\n"
            "[zzz]\n"
        )
        self.assertEqual(
            [line.split(": ")[:2] for line in said],
            [
                ["2", "gateway.port"],
                ["3", "gateway.workers"],
                ["6", "services.a.instances[0].url"],
                ["6", "services.a.instances[1].url"],
                ["7", "services.a.timeouts.response"],
                ["7", "services.a.timeouts.conect"],
                ["8", "services.b"],
                ["9", "services.b.prefix"],
                ["10", "services.b.max_body"],
                ["11", "zzz"],
            ],
        )

    def test_syntax(self) -> None:
        """What is no TOML is reported with its line, and with the last line when the text ends too soon."""
        self.assertEqual(
            self.said("[gateway]\nport = \n"),
            ["2: TOML: Invalid value at column 8, TOML (https://toml.io) would be right"],
        )
        self.assertTrue(self.said('[gateway]\nhost = """\n\n')[0].startswith("2: TOML: "))
        self.assertTrue(self.said("[a]\n[a]\n")[0].startswith("2: TOML: Cannot declare"))

    def test_depth(self) -> None:
        """Nesting without end is refused, in keys as in arrays."""
        for text in ("a." * 5000 + "b = 1", "a = " + "[" * 400 + "]" * 400, "a = " + "[" * 5000):
            self.assertTrue(self.said(text)[0].startswith("1: TOML: nested too deeply"))

    def test_not_utf8(self) -> None:
        """Bytes that are not UTF-8 are reported with their line."""
        file = self.mktemp()
        Path(file).write_bytes(b"[gateway]\nhost = '\xff'\n")
        self.assertEqual(
            load(file, {}, {}).problems,
            (Problem(file, 2, "TOML", "bytes that are not UTF-8", "a file in UTF-8 would be right"),),
        )

    def test_unreachable_file(self) -> None:
        """A file that cannot be read is a problem with the system's reason."""
        for file, reason in (
            (self.mktemp(), "No such file"),
            (os.getcwd(), "not a regular file"),
            ("a\0b", "null byte"),
        ):
            loaded = load(file, {}, {})
            self.assertIsNone(loaded.config)
            self.assertIn(f"{file}:0: file: unreachable file (", str(loaded.problems[0]))
            self.assertIn(reason, str(loaded.problems[0]))

    def test_pipes_and_devices(self) -> None:
        """A pipe, which would be waited for, and a device, which may have no end, are no files of a configuration."""
        pipe = self.mktemp()
        os.mkfifo(pipe)
        for file in (pipe, "/dev/zero"):
            self.assertIn("not a regular file", str(load(file, {}, {}).problems[0]))
