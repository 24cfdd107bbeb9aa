from __future__ import annotations

from tests.config_files import FULL, SERVICE, ConfigTestCase
from tracseq_gateway.config import load


class PlannedTests(ConfigTestCase):
    def test_full(self) -> None:
        """The full contract file has no error, and each policy that is not there yet is named once."""
        problems = load(FULL, {}, {}).problems
        self.assertEqual({problem.level for problem in problems}, {"warning"})
        services = ("auth", "samples", "storage", "templates", "sequencing", "notifications", "rag")
        self.assertEqual(
            sorted(problem.key for problem in problems),
            sorted(
                [
                    *(f"redis.{key}" for key in ("url", "key_prefix")),
                    *(f"defaults.retries.{key}" for key in ("attempts", "budget")),
                    *(f"defaults.breaker.{key}" for key in ("failures", "open_seconds")),
                    "defaults.auth",
                    *(f"services.{name}.rate_limit" for name in services),
                    "services.auth.public",
                    "services.samples.roles",
                    *(
                        f"auth.{key}"
                        for key in ("enabled", "service", "service_key", "jwt", "cache_seconds", "api_key_header")
                    ),
                    *(f"rate_limit.{key}" for key in ("enabled", "default", "when_redis_is_down")),
                    *(f"cors.{key}" for key in ("enabled", "allow_origins", "allow_credentials", "max_age")),
                    *(f"security.{key}" for key in ("headers", "allow", "deny")),
                    *(f"access_log.{key}" for key in ("target", "format")),
                    *(f"metrics.{key}" for key in ("enabled", "path")),
                ]
            ),
        )

    def test_lines(self) -> None:
        """A warning stands on the line of its key."""
        with open(FULL) as file:
            lines = file.read().splitlines()
        for problem in load(FULL, {}, {}).problems:
            self.assertIn(problem.key.rpartition(".")[2], lines[problem.line - 1])

    def test_protection(self) -> None:
        """A policy that keeps somebody out is said, in so many words, not to be enforced."""
        said = self.said(
            f"{SERVICE}"
            'auth = "required"\n'
            'public = ["/x"]\n'
            'roles = { GET = "guest" }\n'
            "rate_limit = { burst = 1 }\n"
            "[auth]\n"
            "enabled = true\n"
            "[rate_limit]\n"
            "enabled = true\n"
            "[security]\n"
            'allow = ["10.0.0.0/8"]\n'
            'deny = ["10.0.0.1"]\n'
        )
        self.assertEqual(len(said), 8)
        for line in said:
            self.assertIn("warning: known, but this version does not act on it: the policy is NOT enforced", line)

    def test_other_policies(self) -> None:
        """Another policy is said to have no effect."""
        self.assertEqual(
            self.said(f"{SERVICE}breaker.failures = 5"),
            [
                "4: services.samples.breaker.failures: warning: known, but this version does not act on it "
                "(circuit breakers), it has no effect until a later version"
            ],
        )

    def test_defaults_count_as_set(self) -> None:
        """A value is named even when it is the default, from whichever side it was set."""
        self.assertEqual(len(self.said(f"{SERVICE}[metrics]\nenabled = false")), 1)
        loaded = self.loaded(SERVICE, {"MONITORING__METRICS_ENABLED": "false"})
        self.assertEqual([(p.file, p.key) for p in loaded.problems], [("environment", "MONITORING__METRICS_ENABLED")])

    def test_beside_errors(self) -> None:
        """An error does not hide the warnings."""
        self.assertEqual(len(self.said(f"{SERVICE}[gateway]\nport = 0\n[metrics]\nenabled = true")), 2)
