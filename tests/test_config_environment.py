from __future__ import annotations

from tests.config_files import SERVICE, ConfigTestCase
from tracseq_gateway.config import Config, Instance, load


class EnvironmentTestCase(ConfigTestCase):
    def under(self, **environ: str) -> Config:
        """Return the configuration without a file, under an environment."""
        loaded = load(None, environ, {})
        assert loaded.config is not None, "\n".join(map(str, loaded.problems))
        return loaded.config

    def urls(self, config: Config, service: str) -> list[str]:
        return [instance.url for instance in config.services[service].instances]


class KeyTests(EnvironmentTestCase):
    def test_gateway(self) -> None:
        """The gateway's variables are read into the types of their keys."""
        gateway = self.under(HOST="::1", PORT=" 9000 ", ENVIRONMENT="staging", MAX_CONCURRENT_REQUESTS="0").gateway
        self.assertEqual((gateway.host, gateway.port, gateway.environment), ("::1", 9000, "staging"))
        self.assertEqual(gateway.max_concurrent_requests, 0)

    def test_empty_is_not_set(self) -> None:
        """An empty variable leaves the value as it is."""
        self.assertEqual(self.under(HOST="", PORT=" ", CORS__ENABLED="", SERVICES__RAG__HOST=""), self.under())

    def test_request_timeout(self) -> None:
        """REQUEST_TIMEOUT is a default, so that a service's own timeout stays."""
        config = self.config(
            f"{SERVICE}timeouts = {{ response = 120 }}\n"
            '[services.storage]\nprefix = "/storage"\ninstances = ["http://h"]',
            {"REQUEST_TIMEOUT": "2.5"},
        )
        self.assertEqual(config.services["samples"].timeouts.response, 120)
        self.assertEqual(config.services["storage"].timeouts.response, 2.5)

    def test_algorithm(self) -> None:
        """LOAD_BALANCER__ALGORITHM is a default too."""
        config = self.under(LOAD_BALANCER__ALGORITHM="least_connections")
        self.assertEqual({service.balance for service in config.services.values()}, {"least_connections"})

    def test_policies(self) -> None:
        """Policies are switched on, and given what they most need."""
        config = self.under(
            AUTHENTICATION__ENABLED="true",
            RATE_LIMITING__ENABLED="1",
            RATE_LIMITING__DEFAULT_REQUESTS_PER_MINUTE="60",
            CORS__ENABLED="True",
            CORS__ALLOW_ORIGINS='["https://*.tracseq.com"]',
            MONITORING__METRICS_ENABLED="yes",
            REDIS_URL="redis://gateway-redis:6379/1",
        )
        self.assertTrue(config.auth.enabled and config.rate_limit.enabled and config.cors.enabled)
        self.assertEqual(config.rate_limit.default.requests_per_minute, 60)
        self.assertEqual(config.cors.allow_origins, ("https://*.tracseq.com",))
        self.assertTrue(config.metrics.enabled)
        self.assertEqual(config.redis.url, "redis://gateway-redis:6379/1")

    def test_the_limiters_redis(self) -> None:
        """RATE_LIMITING__REDIS_URL is the more specific of the two."""
        config = self.under(RATE_LIMITING__REDIS_URL="redis://limits", REDIS_URL="redis://all")
        self.assertEqual(config.redis.url, "redis://limits")

    def test_log_requests(self) -> None:
        """MONITORING__LOG_REQUESTS says whether, and the file may say where."""
        self.assertEqual(self.under(MONITORING__LOG_REQUESTS="true").access_log.target, "stdout")
        text = f'{SERVICE}[access_log]\ntarget = "access.log"'
        self.assertEqual(self.config(text, {"MONITORING__LOG_REQUESTS": "true"}).access_log.target, "access.log")
        self.assertEqual(self.config(text, {"MONITORING__LOG_REQUESTS": "false"}).access_log.target, "off")

    def test_the_secret_stays_where_it_is(self) -> None:
        """The secrets are no part of the configuration, and their variables are known."""
        secrets = {"AUTHENTICATION__JWT_SECRET_KEY": "hunter2" * 8, "TRACSEQ_IDENTITY_KEY": "hunter3" * 8}
        loaded = load(None, {**secrets, "AUTHENTICATION__ENABLED": "true"}, {})
        self.assertEqual(loaded.problems, ())
        self.assertNotIn("hunter", repr(loaded))

    def test_other_variables(self) -> None:
        """Variables of other programs are none of our business."""
        self.assertEqual(load(None, {"PATH": "/bin", "HOSTNAME": "x", "SERVICES": "y"}, {}).problems, ())


class AddressTests(EnvironmentTestCase):
    def test_host_and_port(self) -> None:
        """Host and port of a service's one instance are replaced, alone or together, and the rest of it stays."""
        config = self.under(
            SERVICES__SAMPLES__HOST="sample-service", SERVICES__RAG__PORT="1", SERVICES__AUTH__HOST="::1"
        )
        self.assertEqual(self.urls(config, "samples"), ["http://sample-service:8081"])
        self.assertEqual(self.urls(config, "rag"), ["http://127.0.0.1:1"])
        self.assertEqual(self.urls(config, "auth"), ["http://[::1]:8080"])
        text = '[services.lims]\nprefix = "/l"\ninstances = [{ url = "http://h:5", weight = 7 }]'
        both = {"SERVICES__LIMS__HOST": "other", "SERVICES__LIMS__PORT": "6"}
        self.assertEqual(self.config(text, both).services["lims"].instances, (Instance("http://other:6", 7),))

    def test_several_become_one(self) -> None:
        """Several instances become one, and that is said."""
        text = '[services.a-b]\nprefix = "/a"\ninstances = ["http://h:1", "http://h:2"]'
        loaded = self.loaded(text, {"SERVICES__A_B__HOST": "other"})
        assert loaded.config is not None
        self.assertEqual(self.urls(loaded.config, "a-b"), ["http://other:1"])
        self.assertEqual(
            [str(problem) for problem in loaded.problems],
            [
                "environment:0: SERVICES__A_B__HOST: warning: replaces the 2 instances of services.a-b "
                "by http://other:1, unset it to use them all"
            ],
        )

    def test_never_out_of_tls(self) -> None:
        """Whoever moves a service that is spoken to over TLS does not move it into clear text."""
        text = '[services.rag]\nprefix = "/rag"\ninstances = ["https://h:1"]'
        config = self.config(text, {"SERVICES__RAG__HOST": "other", "SERVICES__RAG__PORT": "2"})
        self.assertEqual(self.urls(config, "rag"), ["https://other:2"])
        text = '[services.rag]\nprefix = "/rag"\ntls = {}'
        config = self.config(text, {"SERVICES__RAG__HOST": "other"})
        self.assertEqual(self.urls(config, "rag"), ["https://other:8086"])

    def test_added(self) -> None:
        """A service of the platform that the file does not have is added."""
        config = self.config(SERVICE, {"SERVICES__RAG__HOST": "enhanced-rag-service"})
        self.assertEqual(list(config.services), ["samples", "rag"])
        self.assertEqual(config.services["rag"].prefix, "/rag")
        self.assertEqual(self.urls(config, "rag"), ["http://enhanced-rag-service:8086"])

    def test_added_onto_a_taken_prefix(self) -> None:
        """A service that the environment adds is held to the same rules, and its variable is named."""
        said = self.said('[services.a]\nprefix = "/rag"\ninstances = ["http://h"]', {"SERVICES__RAG__PORT": "1"})
        self.assertIn("environment:0: SERVICES__RAG__PORT: ", said[0])
        self.assertIn("is the prefix of services.a too", said[0])

    def test_unknown_service(self) -> None:
        """Any other service is a problem that names the variable."""
        said = self.said(SERVICE, {"SERVICES__SAMPLE__HOST": "h"})
        self.assertEqual(
            said,
            ['environment:0: SERVICES__SAMPLE__HOST: there is no service "sample", did you mean "samples"?'],
        )

    def test_balancing_off(self) -> None:
        """Without balancing only the first instance of each service is used, and that is said."""
        text = '[services.a]\nprefix = "/a"\ninstances = ["http://h:1", "http://h:2"]'
        loaded = self.loaded(text, {"LOAD_BALANCER__ENABLED": "false"})
        assert loaded.config is not None
        self.assertEqual(self.urls(loaded.config, "a"), ["http://h:1"])
        self.assertIn("uses only the first of the 2 instances of services.a", str(loaded.problems[0]))
        self.assertEqual(len(self.urls(self.config(text, {"LOAD_BALANCER__ENABLED": "true"}), "a")), 2)


class WrongVariableTests(EnvironmentTestCase):
    def test_wrong_values(self) -> None:
        """A wrong variable is an error in the environment, at line 0, under its own name."""
        for name, text, words in (
            ("PORT", "http", '"http" is not an integer'),
            ("PORT", "99999", "99999 is out of range, an integer from 1 to 65535"),
            ("HOST", "a b", '"a b" is not an address'),
            ("ENVIRONMENT", "prod", 'did you mean "production"?'),
            ("REQUEST_TIMEOUT", "30s", '"30s" is not a number of seconds'),
            ("REQUEST_TIMEOUT", "-1", "-1.0 is out of range"),
            ("LOAD_BALANCER__ALGORITHM", "fastest", "is not known"),
            ("LOAD_BALANCER__ENABLED", "maybe", "neither true nor false"),
            ("CORS__ALLOW_ORIGINS", "https://a", "is not JSON"),
            ("CORS__ALLOW_ORIGINS", '"https://a"', "is not a list"),
            ("CORS__ALLOW_ORIGINS", "[1]", "1 is an integer, a string would be right"),
            ("SERVICES__RAG__HOST", "http://rag", '"http://rag" is not a host'),
            ("SERVICES__RAG__PORT", "0", '"0" is not a port'),
        ):
            loaded = load(None, {name: text}, {})
            self.assertIsNone(loaded.config, name)
            first = next(problem for problem in loaded.problems if problem.level == "error")
            self.assertEqual((first.file, first.line, first.key), ("environment", 0, name))
            self.assertIn(words, str(first))

    def test_unknown_variables(self) -> None:
        """An unknown variable of ours is a warning with the nearest known one; it does not stop the gateway."""
        loaded = load(None, {"CORS__ALLOW_ORIGIN": "[]"}, {})
        self.assertIsNotNone(loaded.config)
        self.assertEqual(
            [str(problem) for problem in loaded.problems],
            [
                "environment:0: CORS__ALLOW_ORIGIN: warning: this version knows no such variable, "
                'did you mean "CORS__ALLOW_ORIGINS"?'
            ],
        )

    def test_beside_wrong_tables(self) -> None:
        """A table of the wrong type is reported as such, whatever the environment sets in it."""
        said = self.said("gateway = 5\nservices = 6\naccess_log = 7", {"PORT": "1", "SERVICES__RAG__HOST": "h"})
        self.assertEqual([line.split(":")[1].strip() for line in said], ["gateway", "services", "access_log"])
