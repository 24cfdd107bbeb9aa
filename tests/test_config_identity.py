from __future__ import annotations

import os
from pathlib import Path

from tests.config_files import SECRET, SERVICE, ConfigTestCase
from tracseq_gateway.config.key_file import WrongKeyFile, read_key_file
from tracseq_gateway.config.policies import ApiKey, RateLimit

AUTH = '[services.auth]\nprefix = "/auth"\ninstances = ["http://127.0.0.1:8080"]\n'


def stored(letter: str = "A") -> str:
    """Return what could be printed for a new key, with an id of this letter."""
    return f"tsq1${letter * 8}$c2FsdA${'0' * 64}"


class AuthServiceTests(ConfigTestCase):
    def test_missing(self) -> None:
        """Who asks an Auth Service has one, or says that nobody is to be asked; the default alone may be missing."""
        right = 'the name of a service, or "" to verify tokens locally only, would be right'
        self.assertSaid("[auth]\nenabled = true", f'4: auth.service: there is no service "auth", {right}')
        self.assertSaid('[auth]\nservice = "login"', f'5: auth.service: there is no service "login", {right}')
        self.assertSaid(
            '[auth]\nservice = "sample"', '5: auth.service: there is no service "sample", did you mean "samples"?'
        )
        self.assertEqual(self.said(f'{SERVICE}[auth]\nenabled = true\nservice = ""', SECRET), [])
        self.assertEqual(self.said(f"{SERVICE}[auth]\nenabled = false"), [])
        self.assertEqual(self.said(f"{AUTH}[auth]\nenabled = true", SECRET), [])

    def test_nobody_in_production(self) -> None:
        """A gateway that anybody may call is warned of in production."""
        warning = "auth.enabled: warning: is false: anybody may call, true would be right in production"
        text = f'{AUTH}[gateway]\nenvironment = "production"\n[auth]\nenabled = false'
        self.assertEqual(self.said(text), [f"7: {warning}"])
        self.assertEqual(self.said(text.replace("false", "true"), SECRET), [])
        self.assertEqual(self.said(text.replace("production", "staging")), [])

    def test_header_texts(self) -> None:
        """What goes into header fields can stand there, and the service key is not shown."""
        self.assertSaid(
            '[auth]\nservice_key = "hunter2\\r\\nX: y"\nrealm = \'a"b\'\napi_key_header = "X Key"',
            "5: auth.service_key: cannot stand in a header, visible characters of ASCII would be right",
            '6: auth.realm: "a\\"b" cannot stand between quotes, text without quotes and backslashes would be right',
            '7: auth.api_key_header: "X Key" cannot stand in a header, letters, digits and hyphens would be right',
        )
        self.assertSaid(
            '[auth]\napi_key_header = "authorization"',
            '5: auth.api_key_header: "authorization" has another meaning, '
            'a field of its own such as "X-API-Key" would be right',
        )

    def test_paths(self) -> None:
        """The Auth Service's paths are paths."""
        self.assertSaid(
            '[auth]\nvalidate_path = "validate"\nlogout = ["/out", "out"]\nsessions = ["/a//b"]',
            '5: auth.validate_path: "validate" is not a path, a path such as "/health", without spaces, would be right',
            '6: auth.logout[1]: "out" does not start with "/", a path from the root would be right',
            '7: auth.sessions[0]: "/a//b" has an empty segment, one slash between two segments would be right',
        )


class RightsTests(ConfigTestCase):
    def test_roles(self) -> None:
        """Roles are known, and belong to methods in capitals or to all others."""
        service = self.config(f'{SERVICE}roles = {{ GET = "guest", "*" = "lab_administrator" }}').services["samples"]
        self.assertEqual(service.roles, {"GET": "guest", "*": "lab_administrator"})
        self.assertSaid(
            'roles = { get = "guest" }',
            '4: services.samples.roles.get: "get" is not a method, a method such as "DELETE", in capitals, is',
        )
        self.assertSaid(
            'roles = { GET = "gast" }', '4: services.samples.roles.GET: "gast" is not known, did you mean "guest"?'
        )

    def test_public(self) -> None:
        """A public path is exactly one, or all below one; its spelling is that of requests."""
        text = f'{SERVICE}public = ["/login/", "/docs/*", "/*", "/"]'
        self.assertEqual(self.config(text).services["samples"].public, ("/login", "/docs/*", "/*", "/"))
        self.assertSaid(
            'public = ["/a", "login"]',
            '4: services.samples.public[1]: "login" does not start with "/", a path from the root would be right',
        )
        self.assertSaid(
            'public = ["/a/*/b"]',
            '4: services.samples.public[0]: "/a/*/b" has a "*" before its end, '
            'a path such as "/login" or "/docs/*" would be right',
        )
        self.assertSaid(
            'public = ["/a/../b"]',
            '4: services.samples.public[0]: "/a/../b" has a dot segment, the path that it resolves to would be right',
        )

    def test_paths(self) -> None:
        """Rules for paths have patterns in normal form, which hold whatever the case."""
        text = (
            f'{SERVICE}[services.samples.paths."/Batch/*/"]\nauth = "optional"\nmax_body = "1KiB"\n'
            'content_types = ["Image/*"]\nroles = { POST = "guest" }\nrate_limit = { burst = 1 }\n'
        )
        rule = self.config(text).services["samples"].paths["/batch/*"]
        self.assertEqual((rule.auth, rule.max_body, rule.content_types), ("optional", 1024, ("image/*",)))
        self.assertEqual((rule.roles, rule.rate_limit), ({"POST": "guest"}, RateLimit(100, 1)))

    def test_roles_without_a_token(self) -> None:
        """Roles where no token is asked for are refused: they would demand nothing."""
        self.assertSaid(
            'auth = "none"\nroles = { POST = "guest" }',
            '5: services.samples.roles: demands roles of who needs no token (auth = "none"), '
            'auth = "required" would be right',
        )

    def test_wrong_paths(self) -> None:
        """A pattern that can never match, or that is there twice, is refused."""
        for pattern, words in (
            ("batch", 'batch: "batch" does not start with "/", a path from the root would be right'),
            ("/a*", '"/a*": "/a*" has a "*" within a segment, "*" as a segment of its own would be right'),
            (
                "/a;v=1",
                '"/a;v=1": "/a;v=1" has a ";" in it, the path alone, which holds for all parameters, would be right',
            ),
            (
                "/a%20b",
                '"/a%20b": "/a%20b" has a "%" in it, letters, digits and any of -._~!$&\'()*+,;= would be right',
            ),
        ):
            self.assertSaid(f'[services.samples.paths."{pattern}"]', f"4: services.samples.paths.{words}")
        self.assertSaid(
            '[services.samples.paths."/a"]\n[services.samples.paths."/A/"]',
            '5: services.samples.paths."/A/": stands for "/a", which is there twice, one of them would be right',
        )

    def test_content_types(self) -> None:
        """A media type has no parameters."""
        self.assertSaid(
            'content_types = ["application/json", "text/html; charset=utf-8"]',
            '4: services.samples.content_types[1]: "text/html; charset=utf-8" is not a media type, '
            '"application/json" or "image/*" would be right',
        )
        self.assertEqual(self.config(f'{SERVICE}content_types = ["*/*"]').services["samples"].content_types, ("*/*",))


class ApiKeyTests(ConfigTestCase):
    def test_right(self) -> None:
        """A key has a hash and an owner, and perhaps limits of its own."""
        text = (
            f'{SERVICE}[auth.api_keys.seq-1]\nhash = "{stored()}"\nowner = "Müller"\nservices = ["samples"]\n'
            'methods = ["GET"]\nrate_limit = { requests_per_minute = 6, burst = 1 }\n'
            'expires = "2027-01-31T00:00:00+01:00"'
        )
        self.assertEqual(
            self.config(text).auth.api_keys,
            {
                "seq-1": ApiKey(
                    stored(),
                    "Müller",
                    services=("samples",),
                    methods=("GET",),
                    rate_limit=RateLimit(6, 1),
                    expires="2027-01-31T00:00:00+01:00",
                )
            },
        )

    def test_wrong(self) -> None:
        """Each wrong key is named, and a wrong hash is not shown."""
        said = self.said(
            f"{SERVICE}[auth.api_keys.seq]\n"
            'hash = "tsq_hunter2"\n'
            'owner = "a\\nb"\n'
            'methods = ["get"]\n'
            'expires = "2027-01-31"\n'
            'role = "boss"\n'
        )
        self.assertEqual(
            said[:4],
            [
                "5: auth.api_keys.seq.hash: is not what it takes, what tracseq-gateway key new printed would be right",
                "6: auth.api_keys.seq.owner: cannot stand in a header, "
                "up to 256 characters that can be seen would be right",
                '7: auth.api_keys.seq.methods[0]: "get" is not a method, a method such as "DELETE", in capitals, is',
                '8: auth.api_keys.seq.expires: "2027-01-31" is not a moment, '
                '"2027-01-31T00:00:00Z", with Z or an offset, is',
            ],
        )
        self.assertIn('9: auth.api_keys.seq.role: "boss" is not known', said[4])
        self.assertNotIn("hunter2", "".join(said))

    def test_required(self) -> None:
        """A table without a hash or an owner is no key."""
        self.assertSaid(
            "[auth.api_keys.seq]",
            "4: auth.api_keys.seq: a key without a hash, what tracseq-gateway key new printed would be right",
            "4: auth.api_keys.seq: a key without an owner, the name of who uses it would be right",
        )

    def test_moments(self) -> None:
        """A moment is one of RFC 3339 that exists."""
        for expires in ("2027-02-30T00:00:00Z", "2027-01-31T00:00:00", "20270131T000000Z", "never"):
            [said] = self.said(f'{SERVICE}[auth.api_keys.seq]\nhash = "{stored()}"\nowner = "x"\nexpires = "{expires}"')
            self.assertIn(f'auth.api_keys.seq.expires: "{expires}" is not a moment', said)

    def test_services(self) -> None:
        """The services of a key are there."""
        self.assertSaid(
            f'[auth.api_keys.seq]\nhash = "{stored()}"\nowner = "x"\nservices = ["samples", "lims"]',
            '7: auth.api_keys.seq.services[1]: there is no service "lims", the services are samples',
        )

    def test_names(self) -> None:
        """A key's name can stand in a log line."""
        self.assertSaid(
            f'[auth.api_keys."a b"]\nhash = "{stored()}"\nowner = "x"',
            '4: auth.api_keys."a b": "a b" is not a name, up to 64 letters, digits and any of -._ would be right',
        )

    def test_twins(self) -> None:
        """No two keys have one id."""
        key = f'hash = "{stored()}"\nowner = "x"\n'
        self.assertSaid(
            f"[auth.api_keys.a]\n{key}[auth.api_keys.b]\n{key}",
            "8: auth.api_keys.b.hash: has the id of auth.api_keys.a, a key of its own would be right",
        )


class KeyFileTests(ConfigTestCase):
    """A file of keys beside the configuration."""

    def setUp(self) -> None:
        self.file: str = self.mktemp()

    def said_of(self, text: str, mode: int = 0o600) -> list[str]:
        """Return what is wrong with a file of keys, beside a configuration with one key of its own."""
        Path(self.file).write_text(text)
        os.chmod(self.file, mode)
        own = f'[auth.api_keys.own]\nhash = "{stored("O")}"\nowner = "x"\n'
        return [line.removeprefix(f"{self.file}:") for line in self.problems(own)]

    def problems(self, further: str = "") -> list[str]:
        text = f'{SERVICE}[auth]\napi_keys_file = "{self.file}"\n{further}'
        return [str(problem) for problem in self.loaded(text).problems]

    def test_right(self) -> None:
        """Its keys are read by name, with the same defaults."""
        self.assertEqual(self.said_of(f'[seq]\nhash = "{stored()}"\nowner = "x"'), [])
        self.assertEqual(read_key_file(self.file)[0], {"seq": ApiKey(stored(), "x")})

    def test_problems(self) -> None:
        """What is wrong in it is said with its name and the line, by the rules of the configuration."""
        self.assertEqual(
            self.said_of(f'[seq]\nhash = "{stored()}"\nowner = "x"\nowners = "y"\n[b]\n'),
            [
                '4: seq.owners: unknown key, did you mean "owner"?',
                "5: b: a key without a hash, what tracseq-gateway key new printed would be right",
                "5: b: a key without an owner, the name of who uses it would be right",
            ],
        )
        self.assertEqual(
            self.said_of("[seq"),
            ["1: TOML: Expected ']' at the end of a table declaration, TOML (https://toml.io) would be right"],
        )

    def test_beside_the_configuration(self) -> None:
        """Names and ids are not those of the configuration's keys, and services are there."""
        self.assertEqual(
            self.said_of(
                f'[own]\nhash = "{stored()}"\nowner = "x"\n'
                f'[b]\nhash = "{stored("O")}"\nowner = "x"\nservices = ["sample"]'
            ),
            [
                "1: own: has the name of auth.api_keys.own, a name of its own would be right",
                "5: b.hash: has the id of auth.api_keys.own, a key of its own would be right",
                '7: b.services[0]: there is no service "sample", did you mean "samples"?',
            ],
        )

    def test_private(self) -> None:
        """A file that others have any right to is refused."""
        for mode in (0o640, 0o604, 0o601):
            self.assertEqual(
                self.said_of("", mode),
                [f"0: file: mode {mode:04o} lets others at the keys, mode 0600 would be right: chmod 600 {self.file}"],
            )

    def test_unreachable(self) -> None:
        """A file that cannot be read is refused with the system's reason."""
        self.assertEqual(
            self.problems(),
            [
                f"{self.file}:0: file: unreachable file (No such file or directory), "
                "a file that can be read would be right"
            ],
        )
        self.assertRaises(WrongKeyFile, read_key_file, self.file)
