"""The benchmarks' own promises: what they start, what they count, what they report. Nothing is timed here."""

import os
import shutil
import subprocess
from pathlib import Path

import jwt
from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from benchmarks import proc, record, report
from benchmarks.__main__ import PARTS, options, settings_of
from benchmarks.contest import contest
from benchmarks.contestants import Stage, answer_body, gateway_configuration, render
from benchmarks.duties import DUTIES, LIMITED_BURST, LIMITED_PATH, Duties, fetch, public_key_file
from benchmarks.errors import BenchmarkError
from benchmarks.http_client import PATH, NotAnswered, answer_length, browser_request
from benchmarks.payload import CHUNK, SlowPace, payload
from benchmarks.proc import Memory
from benchmarks.processes import Cores
from benchmarks.report_duties import duty_shares
from benchmarks.samples import (
    BaseSample,
    CpuSample,
    GrowthSample,
    IdleSample,
    LatencySample,
    RecordSample,
    Results,
    Run,
    ScrapeSample,
    Spread,
    TransferSample,
    percentile,
)
from benchmarks.samples_duties import DutySample, KeysSample, RefusalSample, TokenSample, VerdictsSample
from benchmarks.scenario_duties import tasks
from benchmarks.settings import Settings
from benchmarks.targets import cpu_ratio, duties_ratio, refused_ratio, verdicts
from benchmarks.tokens import Issuer, written
from benchmarks.wrk import Load, summary
from tracseq_gateway.config import load

RUN = Run("2026-01-02T03:04:05+00:00", False, 0.1, {"CPU": "of the test"})


def cpu(contestant: str, number: int, microseconds: float) -> CpuSample:
    return CpuSample(contestant, number, 100_000, 10.0, microseconds / 10, 0.01)


def transfer(size: int, received_sha256: str) -> TransferSample:
    history = ((0.05, 40_000_000), (0.1, 41_000_000))
    return TransferSample("upload", 1, size, size, 20.0, "aa", received_sha256, 40_000_000, 45_000_000, history)


def duty(contestant: str, duties: tuple[str, ...], number: int, microseconds: float, clients: int = 64) -> DutySample:
    return DutySample(contestant, duties, clients, number, 100_000, 10.0, microseconds / 10, 0.5, 5_000)


RECORDED = Results(
    runs=dict.fromkeys(PARTS, RUN),
    cpu=(
        cpu("nginx", 1, 30.0),
        cpu("caddy", 1, 200.0),
        cpu("gateway", 1, 75.0),
        cpu("nginx", 2, 60.0),
        cpu("caddy", 2, 400.0),
        cpu("gateway", 2, 160.0),
    ),
    latency=(
        LatencySample("direct", 1, 5000, 0.0002, 0.0003, 0.001, 0.002),
        LatencySample("gateway", 1, 5000, 0.0005, 0.0007, 0.002, 0.004),
    ),
    idle=(IdleSample("gateway", 1, 10_000, Memory(10, 10, 10), Memory(80_000_010, 1, 1), 10_000, 200, 0.1, 200, 0.1),),
    base=(BaseSample(1, 2, 3, Memory(150_000_000, 120_000_000, 100_000_000)),),
    transfer=(transfer(1_000_000_000, "aa"),),
    growth=(
        GrowthSample("gateway", "clients", 1, 1, 1000, 1.0, 0.5),
        GrowthSample("gateway", "clients", 1024, 1, 1000, 1.0, 0.25),
        GrowthSample("gateway", "routes", 1, 1, 1000, 1.0, 0.125),
    ),
    duties=(
        duty("caddy", (), 1, 90.0),
        duty("nginx_lua", DUTIES, 1, 40.0),
        duty("gateway", DUTIES, 1, 56.0),
        duty("gateway", DUTIES, 1, 200.0, clients=1),
        duty("gateway", (), 1, 25.0),
        duty("gateway", ("auth",), 1, 27.5),
    ),
    tokens=(
        TokenSample("RS256", True, False, 1, 1000, 1.0, 0.04, 0),
        TokenSample("RS256", True, True, 1, 1000, 1.0, 0.24, 1000),
    ),
    refusals=(
        RefusalSample(False, 1, 1000, 1.0, 0.04, 0.01, 50),
        RefusalSample(True, 1, 1000, 1.0, 0.02, 0.0, 0),
    ),
    keys=(KeysSample(1, 1000, 1000, 150_000, 150.0),),
    verdicts=(VerdictsSample(1, 1000, Memory(0, 1_000_000, 0), Memory(0, 2_500_000, 0)),),
    scrape=(ScrapeSample(1, 7000, 500_000, (0.05, 0.08), 0.002, 0.0035),),
    records=(
        RecordSample((), False, 1, 1000, 1.0, 0.03),
        RecordSample(("metrics",), False, 1, 1000, 1.0, 0.032),
        RecordSample(("metrics", "log", "traces"), False, 1, 1000, 1.0, 0.041),
    ),
)


class ConfigurationTests(SynchronousTestCase):
    stage = Stage(Path("/scratch"), port=8001, upstream=8002, workers=2, routes=3)

    def test_gateway(self) -> None:
        """The gateway's file is accepted without a remark: a service for each route, all on the one upstream."""
        file = Path(self.mktemp())
        file.write_text(gateway_configuration(self.stage))
        loaded = load(str(file), {}, {})
        self.assertEqual(loaded.problems, ())
        assert loaded.config is not None
        self.assertEqual((loaded.config.gateway.port, loaded.config.gateway.workers), (8001, 2))
        services = list(loaded.config.services.values())
        self.assertEqual([service.prefix for service in services], ["/route0", "/route1", "/route2"])
        for service in services:
            self.assertEqual([instance.url for instance in service.instances], ["http://127.0.0.1:8002"])

    def test_duties(self) -> None:
        """With duties the file is accepted as well, and switches on those that are asked for and no others."""
        scratch = Path(self.mktemp()).absolute()
        scratch.mkdir()
        duties = Duties(Issuer.make("RS256"), ("auth", "log"), introspected=True, cache_entries=7)
        public_key_file(scratch).write_text(duties.issuer.public_key or "")
        file = scratch / "gateway.toml"
        file.write_text(gateway_configuration(evolve(self.stage, scratch=scratch, duties=duties, auth=8003)))
        loaded = load(str(file), {}, {})
        self.assertEqual(loaded.problems, ())
        assert loaded.config is not None
        config = loaded.config
        self.assertEqual((config.auth.enabled, config.auth.service, config.auth.cache_entries), (True, "auth", 7))
        self.assertEqual(config.auth.jwt.keys[0].algorithm, "RS256")
        self.assertEqual(config.access_log.target, str(scratch / "access.log"))
        self.assertEqual((config.rate_limit.enabled, config.metrics.enabled, config.security.headers), (False,) * 3)
        self.assertEqual(config.services["auth"].instances[0].url, "http://127.0.0.1:8003")

    def test_others(self) -> None:
        """The other files have their ports and keep nginx's own variables."""
        values = {"port": 8001, "upstream": 8002, "listening": " http2", "door": "", "passing": ""}
        proxy = render("nginx_proxy.conf", scratch="/scratch", **values)
        self.assertIn("listen 127.0.0.1:8001 backlog=4096 http2;", proxy)
        self.assertIn("server 127.0.0.1:8002;", proxy)
        self.assertIn("$proxy_add_x_forwarded_for", proxy)
        self.assertIn("reverse_proxy 127.0.0.1:8002", render("Caddyfile", port=8001, upstream=8002))
        self.assertRaises(KeyError, render, "Caddyfile", port=8001)

    def test_answer(self) -> None:
        """The service answers 1,024 bytes that can stand between single quotes in nginx's configuration."""
        self.assertEqual(len(answer_body()), 1024)
        self.assertFalse(set("'$\\") & set(answer_body()))

    def test_browser(self) -> None:
        """The request has a browser's ten header fields, among them a 600-byte bearer token."""
        fields = browser_request(8001).decode().strip().split("\r\n")[1:]
        self.assertEqual(len(fields), 10)
        (authorization,) = (field for field in fields if field.startswith("Authorization: Bearer "))
        self.assertEqual(len(authorization.removeprefix("Authorization: Bearer ")), 600)

    def test_tasks(self) -> None:
        """Each contestant does what it can; the gateway also nothing, and each duty alone."""
        self.assertEqual(list(tasks(("caddy", "nginx_lua"))), [("caddy", ()), ("nginx_lua", DUTIES)])
        alone = [(name, (duty,)) for name in ("gateway",) for duty in DUTIES]
        self.assertEqual(list(tasks(("gateway",))), [("gateway", DUTIES), ("gateway", ()), *alone])


class TokenTests(SynchronousTestCase):
    def test_valid(self) -> None:
        """Tokens are valid by their issuer's key, one for each user, one for each session of one user."""
        for issuer in (Issuer.make("HS256"), Issuer.make("RS256")):
            key = issuer.public_key or issuer.secret
            assert key is not None

            def claims(tokens: list[str], name: str, key: str = key, issuer: Issuer = issuer) -> set[str]:
                decoded = (jwt.decode(token, key, [issuer.algorithm], audience="tracseq") for token in tokens)
                return {claims[name] for claims in decoded}

            self.assertEqual(len(claims(issuer.users(3), "sub")), 3)
            self.assertEqual(len(claims(issuer.sessions(3), "sub")), 1)
            self.assertEqual(len(claims(issuer.sessions(3), "jti")), 3)
        self.assertRaises(ValueError, Issuer.make, "none")

    def test_written(self) -> None:
        """They are handed to wrk in a file, one a line."""
        self.assertEqual(written(["a", "b"], Path(self.mktemp())).read_text(), "a\nb\n")

    def test_sent(self) -> None:
        """A token stands for the browser's own; the other nine fields stay."""
        fields = browser_request(8001, token="mine").decode().strip().split("\r\n")[1:]
        self.assertEqual([field for field in fields if "Bearer" in field], ["Authorization: Bearer mine"])
        self.assertEqual(len(fields), 10)


class RivalTests(SynchronousTestCase):
    """nginx with Lua and Redis."""

    def setUp(self) -> None:
        for name in ("nginx", "redis-server"):
            if shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin") is None:
                self.skipTest(f"{name} is not installed")
        for file in ("/usr/lib/nginx/modules/ngx_http_lua_module.so", "/usr/share/lua/5.1/nginx/redis.lua"):
            if not Path(file).exists():
                self.skipTest(f"{file} is not installed")
        core = min(os.sched_getaffinity(0))
        self.cores = Cores(core, core)
        self.duties = Duties(Issuer.make("HS256"))

    def test_does_its_duties(self) -> None:
        """It refuses strangers, admits exactly the burst and says when to come back, by one script call a request."""
        known, unknown = self.duties.issuer.users(2)
        with contest("nginx_lua", self.cores, duties=self.duties, tokens=[known]) as proxy:
            assert proxy.redis is not None
            self.assertEqual(fetch(proxy.port, PATH, unknown).status, 401)
            calls, (keys, _expiring) = proxy.redis.script_calls(), proxy.redis.keys()
            answers = [fetch(proxy.port, LIMITED_PATH, known) for _each in range(LIMITED_BURST + 3)]
            self.assertEqual([answer.status for answer in answers], [200] * LIMITED_BURST + [429] * 3)
            remaining = [int(answer.fields["x-ratelimit-remaining"]) for answer in answers]
            self.assertEqual(remaining, [4, 3, 2, 1, 0, 0, 0, 0])
            self.assertIn(int(answers[-1].fields["retry-after"]), range(55, 61))
            self.assertEqual(proxy.redis.script_calls() - calls, len(answers))
            self.assertEqual(proxy.redis.keys(), (keys + 1, keys + 1))
            counted = 'gateway_requests_total{method="GET",service="limited",status="429"}'
            self.assertIn(counted, fetch(proxy.port, "/metrics").body)

    def test_must_do_them(self) -> None:
        """A contestant that does not do what it is measured with ends the run."""
        with self.assertRaisesRegex(BenchmarkError, "nginx does nothing instead of auth, limits"):
            contest("nginx", self.cores, duties=evolve(self.duties, on=("auth", "limits"))).__enter__()


class LoadTests(SynchronousTestCase):
    def test_wrk(self) -> None:
        """Of what wrk prints the last line counts; an error in it is an error of the run."""
        line = '{{"requests": 9, "seconds": 2.0, "connect": 0, "read": {}, "write": 0, "status": 0, "timeout": 0}}\n'
        self.assertEqual(summary("Running 2s test\n" + line.format(0)), Load(9, 2.0))
        self.assertRaisesRegex(BenchmarkError, "'read': 4", summary, line.format(4))

    def test_wrk_refused(self) -> None:
        """Where refusals are wanted, an answer that is none is the error."""
        line = '{{"requests": 9, "seconds": 2.0, "connect": 0, "read": 0, "write": 0, "status": {}, "timeout": 0}}\n'
        self.assertEqual(summary(line.format(9), refused=True), Load(9, 2.0))
        self.assertRaisesRegex(BenchmarkError, "'status': 1", summary, line.format(8), refused=True)

    def test_answer_length(self) -> None:
        """An answer is whole when head and Content-Length say so; other statuses than 200 are no answer."""
        head = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"
        self.assertIsNone(answer_length(head[:-1]))
        self.assertEqual(answer_length(head + b"hel"), len(head) + 5)
        self.assertRaises(NotAnswered, answer_length, b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n")
        self.assertRaises(NotAnswered, answer_length, b"HTTP/1.1 200 OK\r\n\r\n")

    def test_payload(self) -> None:
        """A large body has the size that was asked for, and no two chunks alike."""
        chunks = list(payload(2 * CHUNK + 10, bytes(CHUNK)))
        self.assertEqual(sum(map(len, chunks)), 2 * CHUNK + 10)
        self.assertEqual(len(set(chunks)), 3)

    def test_pace(self) -> None:
        """A slow reader takes no more than its rate, and rests when it has taken enough."""
        slept: list[float] = []
        pace = SlowPace(rate=100, rest_every=1000, rest_seconds=5, sleep=slept.append, now=lambda: 0.02)
        pace.took(200)
        self.assertAlmostEqual(slept[-1], 2.0 - 0.02)
        pace.took(800)
        self.assertAlmostEqual(slept[-1], 10.0 + 5.0 - 0.02)

    def test_options(self) -> None:
        """``--rounds`` holds for every part, and the default is the published form of all of them."""
        self.assertEqual(settings_of(options([])), Settings())
        chosen = settings_of(options(["cpu", "--rounds", "7", "--contestants", "nginx,gateway"]))
        self.assertEqual((chosen.rounds, chosen.growth_rounds), (7, 7))
        self.assertEqual((chosen.duty_rounds, chosen.token_rounds, chosen.memory_rounds), (7, 7, 7))
        self.assertEqual(chosen.contestants, ("nginx", "gateway"))
        self.assertEqual(
            settings_of(options(["duties", "--contestants", "nginx_lua"])).duty_contestants, ("nginx_lua",)
        )


class ProcTests(SynchronousTestCase):
    def test_memory(self) -> None:
        """Memory that was taken and given back shows in the peak, and is seen while it is held."""
        own = os.getpid()
        proc.forget_peak(own)
        before = proc.memory(own)
        held = b"x" * 30_000_000
        grown = proc.memory(own) - before
        del held
        for size in (grown.resident, grown.proportional, grown.unique):
            self.assertGreater(size, 29_000_000)
        self.assertGreater(proc.peak_resident(own) - before.resident, 29_000_000)

    def test_children(self) -> None:
        """The processes below one are found, and their CPU time can be read."""
        child = subprocess.Popen(["sleep", "60"])
        try:
            self.assertIn(child.pid, proc.children(os.getpid()))
            self.assertLess(proc.cpu_seconds(child.pid), 1.0)
        finally:
            child.kill()
            child.wait()
        self.assertNotIn(child.pid, proc.children(os.getpid()))


class ReportTests(SynchronousTestCase):
    def test_recorded(self) -> None:
        """What was recorded is read back unchanged."""
        self.assertEqual(record.parse(record.dump(RECORDED)), RECORDED)

    def test_ratio(self) -> None:
        """Costs are compared within a round, so that a slow round of the machine cancels out."""
        self.assertEqual(cpu_ratio(RECORDED, "caddy"), Spread((0.375 + 0.4) / 2, 0.375, 0.4))
        self.assertIsNone(cpu_ratio(RECORDED, "treq"))

    def test_duties_ratio(self) -> None:
        """With all duties the gateway is compared from as many clients as the others."""
        self.assertEqual(duties_ratio(RECORDED, "nginx_lua"), Spread(1.4, 1.4, 1.4))
        self.assertIsNone(duties_ratio(RECORDED, "nginx"))
        self.assertEqual(refused_ratio(RECORDED), Spread(0.5, 0.5, 0.5))

    def test_shares(self) -> None:
        """A duty's share is what it alone adds to passing on."""
        shares = {name: share.median for name, share in duty_shares(RECORDED).items()}
        self.assertEqual(shares, {"none": 25.0, "auth": 2.5})

    def test_verdicts(self) -> None:
        """Every target is met, missed or not measured, as the samples say."""
        met = [True, True, None, None, *[True] * 4, None, *[True] * 8]
        self.assertEqual([verdict.met for verdict in verdicts(RECORDED)], met)
        self.assertEqual([verdict.met for verdict in verdicts(Results())], [None] * 17)
        worse = evolve(RECORDED, cpu=(cpu("nginx", 1, 30.0), cpu("gateway", 1, 79.0)))
        self.assertIs(verdicts(worse)[0].met, False)
        asking = evolve(RECORDED, refusals=(RefusalSample(True, 1, 1000, 1.0, 0.02, 0.0, 1),))
        self.assertEqual([verdict.met for verdict in verdicts(asking)[11:13]], [None, False])
        wrong = evolve(RECORDED, transfer=(transfer(1_000_000_000, "bb"),))
        self.assertIs(verdicts(wrong)[7].met, False)
        self.assertIn("NOT byte-exact", verdicts(wrong)[7].measured)

    def test_markdown(self) -> None:
        """The report has the targets, each part's table and pictures, and the machine."""
        text = report.markdown(RECORDED, {"cpu": ["cpu.png"]})
        self.assertIn("| CPU per request, times nginx's | at most 2.6 | 2.58 (2.50 to 2.67) | yes |", text)
        self.assertIn("![CPU for one request](cpu.png)", text)
        self.assertIn("| 1,024 | 4,000 |", text)
        self.assertIn("| TracSeq Gateway, all duties | 56.0 | 5.0 | 0.050 | 10,000 | 56% |", text)
        self.assertIn("| RS256, Auth Service asked | 40.0 | 240.0 | 200.0 | 1.000 |", text)
        self.assertIn("| a token's verdict in a worker | 1,000 | 1500 |", text)
        self.assertIn("| What reading it adds to p99 of the load | under 5 ms | 1.50 ms | yes |", text)
        self.assertIn("| a page, ms | 65 (50 to 80) |", text)
        self.assertIn("of the test", text)
        self.assertNotIn("| **no** |", text)

    def test_parts(self) -> None:
        """A part that was not measured is not in the report."""
        text = report.markdown(Results(runs={"cpu": RUN}, cpu=RECORDED.cpu), {})
        self.assertIn("## CPU for one request", text)
        self.assertNotIn("## Latency", text)

    def test_percentile(self) -> None:
        """A percentile is a value that was measured, by the nearest rank."""
        values = [float(value) for value in range(100, 0, -1)]
        self.assertEqual((percentile(values, 0.5), percentile(values, 0.99)), (50.0, 99.0))
        self.assertEqual(percentile([3.0], 0.99), 3.0)
