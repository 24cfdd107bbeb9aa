"""What is shipped for Prometheus and Grafana, held against a real Prometheus that scrapes a real gateway."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import time
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import jwt
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from deploy.grafana import board
from tests.process_kit import freePort
from tests.prometheus_kit import ROOT, RULES, RunningPrometheus, promtool
from tests.running_kit import RunningGateway
from tests.tls_kit import Authority

ALERTS = RULES / "alerts.yml"
ALERT_TESTS = ROOT / "deploy" / "prometheus" / "tests" / "alerts.yml"

SECRET = "a secret of more than 32 characters for tests"

CONFIGURATION = """
[gateway]
run_directory = "@DIRECTORY@/run"

[tls]
certificates = [{ file = "@CERTIFICATE@", key_file = "@KEY@" }]
clear = "serve"

[metrics]
enabled = true

[access_log]
target = "@DIRECTORY@/access.log"

[rate_limit]
enabled = true

[tracing]
enabled = true
ratio = 1.0
endpoint = "http://127.0.0.1:@NOBODY@/v1/traces"

[auth]
enabled = true
service = ""
jwt = { algorithms = ["HS256"], secret_env = "TEST_SECRET" }

[services.samples]
prefix = "/samples"
instances = ["@UPSTREAM@"]

[services.storage]
prefix = "/storage"
instances = ["@UPSTREAM@"]
rate_limit = { requests_per_minute = 1, burst = 1 }

[services.rag]
prefix = "/rag"
instances = ["http://127.0.0.1:@NOBODY@"]
when_all_unhealthy = "use_all"
"""

NAME = re.compile(r"\b(?:gateway|service|process)_\w+|\bservice:[\w:]+")
LABELS = re.compile(r"\{[^}]*\}|\bby \([^)]*\)|\bignoring \([^)]*\)")


def names_in(expression: str) -> set[str]:
    """The metrics that an expression of PromQL reads."""
    return set(NAME.findall(LABELS.sub("", expression)))


def filled_in(expression: str) -> str:
    """A query of the board as Grafana sends it."""
    for variable in ("gateway", "service", "url"):
        expression = expression.replace(f"${variable}", ".*")
    return expression.replace("$__rate_interval", "1m")


def needs_prometheus() -> None:
    """Skip the test where Prometheus is not installed."""
    if shutil.which("prometheus") is None or shutil.which("promtool") is None:
        raise SkipTest("no Prometheus (Debian: apt-get install prometheus)")


class FileTests(SynchronousTestCase):
    """Rules, configuration and board as they lie there."""

    def test_rules(self) -> None:
        """Prometheus finds nothing wrong with the rules and the configuration."""
        needs_prometheus()
        for words in (("rules", *map(str, sorted(RULES.glob("*.yml")))), ("config", "deploy/prometheus.yml")):
            status, said = promtool("check", *words)
            self.assertEqual(0, status, said)
            self.assertNotIn(" 0 rules found", said)

    def test_alerts(self) -> None:
        """Each alert is raised by what it is about, and says so in the words that it should."""
        needs_prometheus()
        status, said = promtool("test", "rules", str(ALERT_TESTS))
        self.assertEqual(0, status, said)

    def test_eachAlert(self) -> None:
        """There is no alert that is not tested, and none without a summary, a description and what to do."""
        rules = re.split(r"^ *- alert: ", ALERTS.read_text(), flags=re.MULTILINE)[1:]
        self.assertGreater(len(rules), 15)
        raised = re.findall(r"alertname: (\w+)\n +exp_alerts:", ALERT_TESTS.read_text())
        for rule in rules:
            self.assertIn(rule.split()[0], raised)
            for word in ("severity", "summary", "description", "action"):
                self.assertIn(f" {word}:", rule)

    def test_board(self) -> None:
        """The board that is shipped is the one that is written down in Python, and its panels do not overlap."""
        self.assertEqual(board.text(), board.FILE.read_text(), "make it anew: python -m deploy.grafana.board")
        taken: set[tuple[int, int]] = set()
        for panel in json.loads(board.text())["panels"]:
            place = panel["gridPos"]
            cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
            self.assertFalse(taken & cells, panel["title"])
            self.assertLessEqual(place["x"] + place["w"], board.COLUMNS)
            taken |= cells


class ScrapedTests(SynchronousTestCase):
    """A gateway with all its duties, some requests of many kinds, and a Prometheus that has scraped it."""

    def setUp(self) -> None:
        needs_prometheus()
        pair = Authority(Path(self.mktemp()).absolute()).issue("gw.test")
        configuration = CONFIGURATION.replace("@NOBODY@", str(freePort()))
        configuration = configuration.replace("@CERTIFICATE@", pair.file).replace("@KEY@", pair.key_file)
        self.gateway = RunningGateway(configuration, {"TEST_SECRET": SECRET})
        self.addCleanup(self.gateway.stop)
        self.prometheus = RunningPrometheus(self.gateway.port)
        self.addCleanup(self.prometheus.stop)

    def make_traffic(self) -> None:
        """Requests that are served, fail, are too many, have no route or a bad token; and a Redis that dies."""
        claims = {"sub": "user-1", "role": "guest", "iat": int(time.time()) - 10, "exp": int(time.time()) + 600}
        bearer = f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"
        os.kill(self.gateway.redis_pid(), signal.SIGKILL)
        for _ in range(10):
            self.gateway.get("/samples/x", authorization=bearer)
            self.gateway.get("/samples/x", "POST", b"body", authorization=bearer, x_answer_with="503")
            self.gateway.get("/samples/x", authorization="Bearer a.b.c")
            self.gateway.get("/storage/x", authorization=bearer)
            self.gateway.get("/rag/x", authorization=bearer)
            self.gateway.get("/nothing")
            time.sleep(0.05)

    def page(self) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=10)
        self.addCleanup(connection.close)
        connection.request("GET", "/metrics")
        return connection.getresponse().read()

    def test_scraped(self) -> None:
        """Prometheus reads the page, and evaluates every rule without an error; its linter finds nothing to say."""
        self.make_traffic()
        count = 'sum(gateway_requests_total{service="samples", status="503"})'
        self.prometheus.until(lambda: [value for _, value in self.prometheus.query(count) if value >= 10])
        (target,) = self.prometheus.get("targets")["activeTargets"]
        self.assertEqual(("up", ""), (target["health"], target["lastError"]))
        self.prometheus.until(lambda: all(rule["health"] == "ok" for rule in self.rules()))
        self.assertEqual([], [rule["name"] for rule in self.rules() if rule.get("lastError")])
        recorded = {rule["name"] for rule in self.rules() if rule["type"] == "recording"}
        self.prometheus.await_names(recorded)
        read = {name for rule in self.rules() for name in names_in(rule["query"])}
        self.prometheus.await_names(read)
        status, said = promtool("check", "metrics", given=self.page())
        self.assertEqual((0, ""), (status, said))

    def test_exemplars(self) -> None:
        """A slow bucket leads to a trace: Prometheus has the id that a sampled request came with."""
        trace_id = "0af7651916cd43dd8448eb211c80319c"
        self.gateway.get("/samples/x", traceparent=f"00-{trace_id}-b7ad6b7169203331-01")
        series = 'gateway_request_duration_seconds_bucket{service="samples"}'

        def found() -> set[str]:
            now = time.time()
            each = self.prometheus.get("query_exemplars", query=series, start=str(now - 60), end=str(now + 60))
            return {exemplar["labels"]["trace_id"] for one in each for exemplar in one["exemplars"]}

        self.prometheus.until(lambda: trace_id in found())

    def rules(self) -> list[dict[str, Any]]:
        return [rule for group in self.prometheus.get("rules")["groups"] for rule in group["rules"]]

    def test_board(self) -> None:
        """Every query of the board is answered, and reads metrics that there are; so do its variables."""
        self.make_traffic()
        queries = [filled_in(query) for query in board.queries()]
        read = {name for query in queries for name in names_in(query)}
        self.assertGreater(len(read), 30)
        self.prometheus.await_names(read)
        for query in queries:
            try:
                self.prometheus.query(query)
            except HTTPError as error:
                self.fail(f"{query}: {error.read().decode()}")
        for query in queries:
            self.prometheus.until(lambda query=query: self.prometheus.query(query))  # type: ignore[misc]
        for name, _, query in board.VARIABLES:
            found = re.fullmatch(r"label_values\((.*), (\w+)\)", query)
            assert found is not None, query
            series, label = filled_in(found[1]), found[2]
            values = self.prometheus.get(f"label/{label}/values", **{"match[]": series})
            self.assertTrue(values, name)
