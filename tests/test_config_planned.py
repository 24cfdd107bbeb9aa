from __future__ import annotations

from tests.config_files import FULL, SECRET, SERVICE, ConfigTestCase
from tracseq_gateway.config import load


class PlannedTests(ConfigTestCase):
    def test_full(self) -> None:
        """The full contract file has no error, and each policy that is not there yet is named once."""
        problems = load(FULL, SECRET, {}).problems
        self.assertEqual({problem.level for problem in problems}, {"warning"})
        self.assertEqual(
            sorted(problem.key for problem in problems),
            [
                "defaults.breaker.failures",
                "defaults.breaker.open_seconds",
                "defaults.retries.attempts",
                "defaults.retries.budget",
            ],
        )

    def test_lines(self) -> None:
        """A warning stands on the line of its key."""
        with open(FULL) as file:
            lines = file.read().splitlines()
        for problem in load(FULL, SECRET, {}).problems:
            self.assertIn(problem.key.rpartition(".")[2], lines[problem.line - 1])

    def test_of_no_effect(self) -> None:
        """A policy of a later version is said to have no effect."""
        self.assertEqual(
            self.said(f"{SERVICE}breaker.failures = 5"),
            [
                "4: services.samples.breaker.failures: warning: known, but this version does not act on it "
                "(circuit breakers), it has no effect until a later version"
            ],
        )

    def test_defaults_count_as_set(self) -> None:
        """A value is named even when it is the default, from whichever side it was set."""
        self.assertEqual(len(self.said(f"{SERVICE}retries.attempts = 1")), 1)
        loaded = self.loaded(SERVICE, {}, {"services.samples.retries.budget": 0.2})
        self.assertEqual([(p.file, p.key) for p in loaded.problems], [("options", "services.samples.retries.budget")])

    def test_beside_errors(self) -> None:
        """An error does not hide the warnings."""
        self.assertEqual(len(self.said(f"{SERVICE}retries.attempts = 1\n[gateway]\nport = 0")), 2)
