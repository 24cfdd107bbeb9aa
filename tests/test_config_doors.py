from __future__ import annotations

from pathlib import Path

from tests.config_files import SERVICE, ConfigTestCase
from tracseq_gateway.config.dashboard import Dashboard
from tracseq_gateway.config.keys import Seconds
from tracseq_gateway.config.origins import origin_pattern
from tracseq_gateway.config.problem import Wrong


class ProxyTests(ConfigTestCase):
    def test_proxy_protocol(self) -> None:
        """A PROXY header needs somebody to believe it from."""
        self.assertSaid(
            "[gateway]\nproxy_protocol = true",
            "5: gateway.proxy_protocol: nobody is trusted to send a PROXY header, "
            "the networks of the proxies in trusted_proxies would be right",
        )
        text = f'{SERVICE}[gateway]\nproxy_protocol = true\ntrusted_proxies = ["::1"]'
        self.assertTrue(self.config(text).gateway.proxy_protocol)

    def test_run_directory(self) -> None:
        """A directory whose sockets would have too long names is refused before the start."""
        name = "/" + "x" * 96
        self.assertSaid(
            f'[gateway]\nrun_directory = "{name}"',
            f'5: gateway.run_directory: "{name[:59]}…" cannot hold sockets, a path of at most 88 bytes would be right',
        )


class DocsTests(ConfigTestCase):
    def test_docs(self) -> None:
        """Where a service has its document is a path or nothing; what the page may cost has bounds."""
        self.assertEqual(self.config(SERVICE).services["samples"].openapi, "/openapi.json")
        self.assertEqual(self.config(f'{SERVICE}openapi = ""').services["samples"].openapi, "")
        self.assertSaid(
            'openapi = "http://elsewhere/"',
            '4: services.samples.openapi: "http://elsewhere/" is not a path, '
            'a path such as "/health", without spaces, would be right',
        )
        self.assertSaid(
            "[docs]\nmax_document = 0",
            "5: docs.max_document: 0 is out of range, "
            'a number of bytes, or a size such as "64KiB", from 1024 to 16777216 would be right',
        )


class OriginTests(ConfigTestCase):
    def test_right(self) -> None:
        """Origins and patterns come out as browsers write origins."""
        for text, origin in (
            ("*", "*"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("HTTPS://Lims.Example:443", "https://lims.example"),
            ("http://h:443", "http://h:443"),
            ("https://*.tracseq.com", "https://*.tracseq.com"),
            ("https://**.tracseq.com:8443", "https://**.tracseq.com:8443"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("capacitor://localhost", "capacitor://localhost"),
        ):
            self.assertEqual(origin_pattern(text), origin)

    def test_wrong(self) -> None:
        """What no origin can match, or too many, is refused."""
        for text, words in (
            ("tracseq.com", "is not an origin"),
            ("https://u:p@tracseq.com", "is not an origin"),
            ("https://[::1", "is not an origin"),
            ("https://tracseq.com/", "has something after its host"),
            ("https://tracseq.com?x", "has something after its host"),
            ("https://", "has no valid host"),
            ("https://*", "has no valid host"),
            ("https://*.", "has no valid host"),
            ("https://*tracseq.com", "has no valid host"),
            ("https://a.*.com", "has no valid host"),
            ("https://*.*.com", "has no valid host"),
            ("https://***.a.com", "has no valid host"),
            ("https://*.1.2.3.4", "has no valid host"),
            ("https://a.com.", "has no valid host"),
            ("https://a.com:0", "has no valid port"),
        ):
            fault = self.assertRaises(Wrong, origin_pattern, text)
            self.assertEqual(fault.wrong, f'"{text}" {words}')

    def test_null(self) -> None:
        """The origin of everybody who has none is nobody's."""
        self.assertSaid(
            '[cors]\nallow_origins = ["https://a", "null"]',
            '5: cors.allow_origins[1]: "null" is what every sandboxed page and local file says, '
            "an origin of its own would be right",
        )

    def test_websockets(self) -> None:
        """The pages that may open a WebSocket are named like those that may read answers; none is a list, too."""
        self.assertSaid(
            '[services.b]\nprefix = "/b"\ninstances = ["http://b:1"]\ntunnels = { origins = ["https://a/x"] }',
            '7: services.b.tunnels.origins[0]: "https://a/x" has something after its host, "https://a" would be right',
        )
        for listed, expected in (("[]", ()), ('["HTTPS://A:443", "*"]', ("https://a", "*"))):
            config = self.config(f"{SERVICE}tunnels = {{ origins = {listed} }}")
            self.assertEqual(next(iter(config.services.values())).tunnels.origins, expected)

    def test_any_with_credentials(self) -> None:
        """Any origin is allowed without credentials only."""
        self.assertSaid(
            '[cors]\nallow_credentials = true\nallow_origins = ["https://a", "*"]',
            '6: cors.allow_origins[1]: "*" with allow_credentials would let every site act in the name of its '
            "visitors, the origins that may, or allow_credentials = false, would be right",
        )
        self.assertEqual(self.said(f'{SERVICE}[cors]\nallow_origins = ["*"]'), [])

    def test_names(self) -> None:
        """Methods and header names are such."""
        self.assertSaid(
            '[cors]\nallow_methods = ["*"]\nallow_headers = ["*", "X Y"]\nexpose_headers = ["a:"]',
            '5: cors.allow_methods[0]: "*" is not a method, a method such as "DELETE", in capitals, is',
            '6: cors.allow_headers[1]: "X Y" cannot stand in a header, letters, digits and hyphens would be right',
            '7: cors.expose_headers[0]: "a:" cannot stand in a header, letters, digits and hyphens would be right',
        )


class SecurityTests(ConfigTestCase):
    def test_header_values(self) -> None:
        """What goes into a header field can stand there."""
        self.assertSaid(
            '[security]\nhsts = "a\\r\\nSet-Cookie: b"\nreferrer = " x"\npermissions = "é"\ncontent_policy = ""',
            '5: security.hsts: "a\\r\\nSet-Cookie: b" cannot stand in a header, '
            "visible characters of ASCII would be right",
            '6: security.referrer: " x" cannot stand in a header, visible characters of ASCII would be right',
            '7: security.permissions: "é" cannot stand in a header, visible characters of ASCII would be right',
        )

    def test_networks(self) -> None:
        """Addresses are allowed and denied by network, in both families."""
        self.assertEqual(self.said(f'{SERVICE}[security]\nallow = ["10.0.0.0/8", "::1"]\ndeny = ["10.0.0.1"]'), [])
        self.assertSaid(
            '[security]\nallow = ["10.0.0.1/8"]\ndeny = ["h"]',
            '5: security.allow[0]: "10.0.0.1/8" has bits set beyond its mask, "10.0.0.0/8" is the network around it',
            '6: security.deny[0]: "h" is not an address or network, '
            'an address or a network such as "10.0.0.0/8" would be right',
        )


class ObservationTests(ConfigTestCase):
    def test_metrics_path(self) -> None:
        """Metrics have a path that nobody else has."""
        self.assertEqual(self.config(f'{SERVICE}[metrics]\npath = "/prometheus/"').metrics.path, "/prometheus")
        for path in ("/", "/health", "/health/x"):
            self.assertSaid(
                f'[metrics]\npath = "{path}"',
                f'5: metrics.path: "{path}" is another page of the gateway, "/metrics" would be right',
            )
        self.assertSaid(
            '[metrics]\npath = "/samples/metrics"',
            '5: metrics.path: "/samples/metrics" lies within "/samples" of services.samples, '
            "a path outside of it would be right",
        )


class RedisTests(ConfigTestCase):
    def test_certificates(self) -> None:
        """The file of certificates is there, holds some, and is used."""
        Path(file := "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")
        self.assertEqual(self.said(f'{SERVICE}[redis]\nurl = "rediss://h"\nca = "{file}"'), [])
        self.assertSaid(
            f'[redis]\nca = "{file}"',
            "5: redis.ca: verifies TLS, which redis.url does not ask for, a rediss:// URL would be right",
        )
        Path("empty.pem").write_text("")
        for name, words in (
            (
                "nowhere.pem",
                "is an unreachable file (No such file or directory), a file that can be read would be right",
            ),
            ("empty.pem", "holds no certificate, a file in PEM form would be right"),
        ):
            self.assertSaid(f'[redis]\nurl = "rediss://h"\nca = "{name}"', f'6: redis.ca: "{name}" {words}')

    def test_key_prefix(self) -> None:
        """Keys begin with something that can be seen."""
        self.assertSaid(
            '[redis]\nkey_prefix = "a b"',
            '5: redis.key_prefix: "a b" is no prefix of a key, 1 to 100 visible characters of ASCII would be right',
        )


class DashboardTests(ConfigTestCase):
    def test_keys(self) -> None:
        """The dashboard is there for administrators unless the file says otherwise."""
        self.assertEqual(Dashboard(True, "lab_administrator", "/login", Seconds(1.0)), self.config(SERVICE).dashboard)
        text = '[dashboard]\nenabled = false\nrole = "guest"\nlogin = "/auth/login"\ninterval = 5'
        self.assertEqual(Dashboard(False, "guest", "/auth/login", Seconds(5.0)), self.config(SERVICE + text).dashboard)

    def test_wrong(self) -> None:
        """A path that is none, and an interval that nothing could keep, are refused."""
        self.assertSaid(
            '[dashboard]\nlogin = "login"',
            '5: dashboard.login: "login" does not start with "/", a path from the root would be right',
        )
        self.assertSaid(
            "[dashboard]\ninterval = 0.1",
            "5: dashboard.interval: 0.1 is out of range, a number of seconds from 1 to 60 would be right",
        )
