"""The configuration of traces."""

from __future__ import annotations

from ipaddress import ip_network

from tests.config_files import SERVICE, ConfigTestCase
from tracseq_gateway.config import Tracing, missing_secrets
from tracseq_gateway.config.problem import Wrong
from tracseq_gateway.config.tracing import collector_fields

ON = f"{SERVICE}[tracing]\nenabled = true\n"


class TracingTests(ConfigTestCase):
    def test_keys(self) -> None:
        """The table is read into the model."""
        tracing = self.config(
            f'{ON}endpoint = "https://otel.example/v1/traces"\nratio = 0.25\ntrusted_parents = ["10.0.0.0/8"]\n'
            'service_name = "lab"\nresource = { "deployment.environment.name" = "staging" }\ntimeout = 2\n'
            "batch_spans = 10\nbatch_seconds = 0.5\nqueue_spans = 20\n"
        ).tracing
        wanted = Tracing(
            True,
            "https://otel.example/v1/traces",
            0.25,
            (ip_network("10.0.0.0/8"),),
            "lab",
            {"deployment.environment.name": "staging"},
            timeout=2.0,  # type: ignore[arg-type]
            batch_spans=10,
            batch_seconds=0.5,  # type: ignore[arg-type]
            queue_spans=20,
        )
        self.assertEqual(tracing, wanted)

    def test_wrong(self) -> None:
        """Each value that cannot be used is refused in words of its own."""
        for text, words in (
            ('endpoint = "grpc://h:4317"', '"grpc://h:4317" is not an http or https URL, "http://collector:4318'),
            ('endpoint = "http://h:4318"', '"http://h:4318" has no path, '),
            ('endpoint = "http://h:4318/v1#x"', "is not an http or https URL"),
            ('endpoint = "http://h:99999/v1"', "has no valid port"),
            ('endpoint = "http:///v1"', "has no valid host"),
            ("ratio = 1.5", "1.5 is out of range"),
            ('service_name = ""', '"" cannot be shown'),
            ('resource = { "Lab Name" = "x" }', 'resource."Lab Name": is no name of an attribute'),
            ('resource = { lab = "" }', 'resource.lab: "" cannot be shown'),
            ("queue_spans = 10", "10 spans are less than an export of 512"),
            ('headers_env = "a b"', '"a b" cannot be an environment variable'),
        ):
            [said] = self.said(f"{SERVICE}[tracing]\n{text}\n")
            self.assertIn(f"tracing.{text.partition(' ')[0]}", said)
            self.assertIn(words, said)
        [said] = self.said(f'{SERVICE}[tracing]\nendpoint = "http://u:hunter2@h/v1/traces"\n')
        self.assertIn("holds a user name or a password", said)
        self.assertNotIn("hunter2", said)


class FieldsTests(ConfigTestCase):
    def test_fields(self) -> None:
        """Fields are pairs with percent-encoded values, as OpenTelemetry writes them."""
        self.assertEqual(collector_fields(""), [])
        self.assertEqual(
            collector_fields("Authorization=Bearer%20s3cret%3D, x-tenant = lab,"),
            [("Authorization", "Bearer s3cret="), ("x-tenant", "lab")],
        )

    def test_malformed(self) -> None:
        """What cannot stand in a field is refused, and not shown."""
        for text in ("hunter2", "=hunter2", "na me=hunter2", "a=hunter2%0d%0aHost:x", "a=hunter2%ff"):
            self.assertNotIn("hunter2", str(self.assertRaises(Wrong, collector_fields, text)))

    def test_start(self) -> None:
        """The usual variable may be missing, one that is named may not, and none may be malformed; if traces are on."""
        usual, named = self.config(ON), self.config(f'{ON}headers_env = "COLLECTOR"\n')
        self.assertEqual(missing_secrets(usual, {}), [])
        self.assertEqual([problem.key for problem in missing_secrets(named, {})], ["COLLECTOR"])
        self.assertEqual(missing_secrets(named, {"COLLECTOR": "a=b"}), [])
        [problem] = missing_secrets(usual, {"OTEL_EXPORTER_OTLP_HEADERS": "hunter2"})
        self.assertIn("OTEL_EXPORTER_OTLP_HEADERS: does not hold fields", str(problem))
        self.assertNotIn("hunter2", str(problem))
        self.assertEqual(missing_secrets(self.config(SERVICE), {"OTEL_EXPORTER_OTLP_HEADERS": "hunter2"}), [])


class VariableTests(ConfigTestCase):
    OTEL = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318/",
        "OTEL_SERVICE_NAME": "lab",
        "OTEL_TRACES_SAMPLER_ARG": "0.5",
    }

    def test_used(self) -> None:
        """What the file does not say, the variables of OpenTelemetry do."""
        tracing = self.config(ON, self.OTEL).tracing
        self.assertEqual(
            (tracing.endpoint, tracing.service_name, tracing.ratio), ("http://collector:4318/v1/traces", "lab", 0.5)
        )
        own = {**self.OTEL, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://traces:4318/otlp"}
        self.assertEqual(self.config(ON, own).tracing.endpoint, "http://traces:4318/otlp")

    def test_file_wins(self) -> None:
        """What the file says holds."""
        tracing = self.config(f'{ON}endpoint = "http://h/t"\nservice_name = "n"\nratio = 0.1\n', self.OTEL).tracing
        self.assertEqual((tracing.endpoint, tracing.service_name, tracing.ratio), ("http://h/t", "n", 0.1))

    def test_off(self) -> None:
        """While traces are off they mean nothing, however wrong they are."""
        for text in (SERVICE, f"{SERVICE}[tracing]\nratio = 0.2\n"):
            config = self.config(text, {"OTEL_EXPORTER_OTLP_ENDPOINT": "x", "OTEL_TRACES_SAMPLER_ARG": "y"})
            self.assertEqual(config.tracing.endpoint, Tracing().endpoint)

    def test_wrong(self) -> None:
        """A wrong one is reported under its own name."""
        loaded = self.loaded(ON, {"OTEL_EXPORTER_OTLP_ENDPOINT": "grpc://h:4317", "OTEL_TRACES_SAMPLER_ARG": "all"})
        said = sorted(str(problem) for problem in loaded.problems)
        self.assertEqual(len(said), 2, said)
        self.assertIn("environment:0: OTEL_EXPORTER_OTLP_ENDPOINT: ", said[0])
        self.assertIn('environment:0: OTEL_TRACES_SAMPLER_ARG: "all" is not a number, ', said[1])
