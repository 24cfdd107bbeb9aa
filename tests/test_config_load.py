from __future__ import annotations

from ipaddress import ip_network

from tests.config_files import FULL, MINIMAL, SERVICE, ConfigTestCase
from tracseq_gateway.config import (
    AccessLog,
    Authentication,
    Breaker,
    Config,
    Cors,
    Gateway,
    Health,
    Instance,
    Jwt,
    Loaded,
    Metrics,
    RateLimit,
    RateLimiting,
    Redis,
    Retries,
    Seconds,
    Security,
    Service,
    Size,
    Timeouts,
    load,
)


class ContractTests(ConfigTestCase):
    def test_minimal(self) -> None:
        """The least file is one service with the platform's rate, and everything else has its default."""
        samples = Service(
            name="samples",
            prefix="/samples",
            instances=(Instance("http://127.0.0.1:8081"),),
            rate_limit=RateLimit(200, 400),
        )
        self.assertEqual(load(MINIMAL, {}, {}), Loaded(Config(services={"samples": samples}), ()))

    def test_full_services(self) -> None:
        """The full file's services have what it says, and its defaults where they say nothing."""
        services = self.full().services
        self.assertEqual(
            services["samples"],
            Service(
                name="samples",
                prefix="/samples",
                rewrite="/api/v1",
                instances=(Instance("http://127.0.0.1:8081", 3), Instance("http://127.0.0.1:9081", 1)),
                balance="weighted_round_robin",
                max_body=Size(50 << 20),
                timeouts=Timeouts(Seconds(5.0), Seconds(30.0), Seconds(60.0), Seconds(0.0)),
                health=Health("/api/v1/health", Seconds(30.0), Seconds(5.0), 3, 2),
                retries=Retries(1, 0.2),
                breaker=Breaker(5, Seconds(60.0)),
                auth="required",
                rate_limit=RateLimit(200, 400),
                roles={"DELETE": "lab_administrator", "POST": "lab_technician"},
            ),
        )
        self.assertEqual(services["rag"].max_body, 100 << 20)
        self.assertEqual(services["rag"].timeouts, Timeouts(response=Seconds(120.0)))
        self.assertEqual(services["sequencing"].balance, "least_connections")
        self.assertEqual(services["auth"].public[:2], ("/login", "/register"))
        self.assertEqual(
            {name: (service.prefix, service.instances[0].url) for name, service in services.items()},
            {
                "auth": ("/auth", "http://127.0.0.1:8080"),
                "samples": ("/samples", "http://127.0.0.1:8081"),
                "storage": ("/storage", "http://127.0.0.1:8082"),
                "templates": ("/templates", "http://127.0.0.1:8083"),
                "sequencing": ("/sequencing", "http://127.0.0.1:8084"),
                "notifications": ("/notifications", "http://127.0.0.1:8085"),
                "rag": ("/rag", "http://127.0.0.1:8086"),
            },
        )

    def test_full_tables(self) -> None:
        """The full file's other tables have what it says."""
        config = self.full()
        self.assertEqual(
            config.gateway,
            Gateway(
                host="0.0.0.0",
                port=8000,
                workers=2,
                environment="production",
                drain_seconds=Seconds(30.0),
                max_concurrent_requests=1000,
                trusted_proxies=(ip_network("127.0.0.1/32"), ip_network("10.0.0.0/8")),
            ),
        )
        self.assertEqual(config.redis, Redis("embedded", "tracseq:ratelimit"))
        self.assertEqual(
            config.auth,
            Authentication(
                enabled=True,
                service="auth",
                service_key="service_gateway",
                jwt=Jwt(
                    algorithms=("HS256",),
                    secret_env="AUTHENTICATION__JWT_SECRET_KEY",
                    issuer="tracseq-auth",
                    audience="tracseq",
                ),
                cache_seconds=Seconds(300.0),
                api_key_header="X-API-Key",
            ),
        )
        self.assertEqual(
            config.rate_limit,
            RateLimiting(enabled=True, default=RateLimit(100, 200), when_redis_is_down="local"),
        )
        self.assertEqual(
            config.cors,
            Cors(
                enabled=True,
                allow_origins=("http://localhost:3000", "https://*.tracseq.com"),
                allow_credentials=True,
                max_age=Seconds(86400.0),
            ),
        )
        self.assertEqual(config.security, Security(headers=True, allow=(), deny=()))
        self.assertEqual(config.access_log, AccessLog("stdout"))
        self.assertEqual(config.metrics, Metrics(True, "/metrics"))

    def full(self) -> Config:
        config = load(FULL, {}, {}).config
        assert config is not None
        return config


class DefaultsTests(ConfigTestCase):
    def test_no_file(self) -> None:
        """Without a file, the seven services of the platform are on this host."""
        loaded = load(None, {}, {})
        assert loaded.config is not None
        self.assertEqual(loaded.problems, ())
        self.assertEqual(
            [(name, service.prefix, service.instances[0].url) for name, service in loaded.config.services.items()],
            [
                (name, f"/{name}", f"http://127.0.0.1:{8080 + index}")
                for index, name in enumerate(
                    ("auth", "samples", "storage", "templates", "sequencing", "notifications", "rag")
                )
            ],
        )

    def test_no_service_in_the_file(self) -> None:
        """A file without services keeps the seven, with the file's defaults."""
        services = self.config("[defaults]\nmax_body = 7").services
        self.assertEqual([service.max_body for service in services.values()], [7] * 7)

    def test_tables_are_merged(self) -> None:
        """A service's table is laid over that of the defaults key by key, and its own value wins."""
        config = self.config(
            "[defaults]\n"
            "timeouts = { connect = 1, response = 2 }\n"
            'health.path = "/up"\n'
            'balance = "least_connections"\n'
            f"{SERVICE}"
            "timeouts = { response = 120 }\n"
            "[services.samples.health]\n"
            "interval = 3\n"
            "[services.storage]\n"
            'prefix = "/storage"\n'
            'instances = ["http://127.0.0.1:8082"]\n'
            'balance = "round_robin"\n'
        )
        samples, storage = config.services["samples"], config.services["storage"]
        self.assertEqual(samples.timeouts, Timeouts(connect=Seconds(1.0), response=Seconds(120.0)))
        self.assertEqual(samples.health, Health(path="/up", interval=Seconds(3.0)))
        self.assertEqual(samples.balance, "least_connections")
        self.assertEqual(storage.timeouts, Timeouts(connect=Seconds(1.0), response=Seconds(2.0)))
        self.assertEqual(storage.balance, "round_robin")

    def test_rates_of_the_platform(self) -> None:
        """Without a file, each service has the platform's rate, and the public paths of the Auth Service are public."""
        services = self.config("").services
        self.assertEqual(
            {name: service.rate_limit for name, service in services.items()},
            {
                "auth": RateLimit(50, 100),
                "samples": RateLimit(200, 400),
                "storage": RateLimit(150, 300),
                "templates": RateLimit(100, 200),
                "sequencing": RateLimit(300, 600),
                "notifications": RateLimit(100, 200),
                "rag": RateLimit(80, 160),
            },
        )
        self.assertEqual(
            {name: service.public for name, service in services.items() if service.public},
            {"auth": ("/login", "/register", "/refresh", "/forgot-password", "/reset-password", "/verify-email")},
        )

    def test_policies_by_name(self) -> None:
        """They hold for services of these names in a file; a service's own value wins, then that of the defaults."""
        auth = '[services.auth]\nprefix = "/a"\ninstances = ["http://h"]\n'
        self.assertIn("/login", self.config(auth).services["auth"].public)
        self.assertEqual(self.config(f"{auth}rate_limit.burst = 7").services["auth"].rate_limit, RateLimit(100, 7))
        self.assertEqual(self.config(f"{auth}public = []").services["auth"].public, ())
        shared = self.config(f'[defaults]\nrate_limit.burst = 7\npublic = ["/x"]\n{auth}').services["auth"]
        self.assertEqual((shared.rate_limit, shared.public), (RateLimit(100, 7), ("/x",)))

    def test_no_policies_of_other_names(self) -> None:
        """A service of another name has no rate of its own, and nothing of it is public."""
        lims = self.config('[services.lims]\nprefix = "/auth"\ninstances = ["http://h"]').services["lims"]
        self.assertEqual((lims.rate_limit, lims.public), (None, ()))

    def test_trailing_slashes(self) -> None:
        """Prefixes and rewrites are in normal form, whichever way they were written."""
        service = self.config('[services.a]\nprefix = "/a/"\nrewrite = "/v1/"\ninstances = ["http://h"]\n').services[
            "a"
        ]
        self.assertEqual((service.prefix, service.rewrite), ("/a", "/v1"))


class PrecedenceTests(ConfigTestCase):
    def test_options_over_environment_over_file(self) -> None:
        """Options override the environment, which overrides the file."""
        text = '[gateway]\nhost = "127.0.0.1"\nport = 1\nworkers = 1\n'
        config = self.config(text, {"PORT": "2", "HOST": "127.0.0.2"}, {"gateway.port": 3})
        self.assertEqual(config.gateway, Gateway(host="127.0.0.2", port=3, workers=1))

    def test_options_not_given(self) -> None:
        """An option that is None leaves the value as it is."""
        self.assertEqual(self.config("[gateway]\nport = 1", {}, {"gateway.port": None}).gateway.port, 1)

    def test_defaults_of_the_caller(self) -> None:
        """A caller's default applies where neither file nor environment nor options say anything."""
        defaults: dict[str, object] = {
            "gateway.port": 1,
            "gateway.host": "127.0.0.1",
            "gateway.workers": 1,
            "gateway.via": "v",
            "auth.service_key": "k",
        }
        loaded = load(self.written("[gateway]\nport = 2"), {"HOST": "::1"}, {"gateway.workers": 3}, defaults)
        assert loaded.config is not None
        self.assertEqual(loaded.config.gateway, Gateway(host="::1", port=2, workers=3, via="v"))
        self.assertEqual(loaded.config.auth.service_key, "k")

    def test_wrong_defaults_of_the_caller(self) -> None:
        """A wrong one is reported under its key; what is no table in the file stays, and is reported as such."""
        file = self.written(f"{SERVICE}[gateway]\nvia = 'v'\n[metrics]\npath = 5")
        defaults: dict[str, object] = {"gateway.port": 0, "metrics.path.x": 1}
        self.assertEqual(
            [str(problem) for problem in load(file, {}, {}, defaults).problems],
            [
                f"{file}:7: metrics.path: 5 is an integer, a string would be right",
                "defaults:0: gateway.port: 0 is out of range, an integer from 1 to 65535 would be right",
            ],
        )

    def test_wrong_options(self) -> None:
        """A wrong option is a problem that names the option, and so is one that does not exist."""
        loaded = self.loaded(SERVICE, {"PORT": "0"}, {"gateway.port": "80", "gateway.prot": 1})
        self.assertEqual(
            [str(problem) for problem in loaded.problems],
            [
                'options:0: gateway.port: "80" is a string, an integer from 1 to 65535 would be right',
                'options:0: gateway.prot: unknown key, did you mean "port"?',
            ],
        )

    def test_an_option_into_an_array(self) -> None:
        """An option cannot reach into an array, and says so."""
        loaded = self.loaded(SERVICE, {}, {"services.samples.instances.0": "http://h"})
        self.assertEqual(
            [str(problem) for problem in loaded.problems],
            [
                "options:0: services.samples.instances.0: leads through what is not a table, "
                "a table's key would be right"
            ],
        )

    def test_an_option_for_a_table(self) -> None:
        """An option that sets a whole table hides what the environment set in it."""
        loaded = self.loaded(SERVICE, {"REQUEST_TIMEOUT": "-1"}, {"defaults.timeouts": {"response": -2}})
        self.assertEqual([(p.file, p.key) for p in loaded.problems], [("options", "defaults.timeouts")])

    def test_options_stay_the_callers(self) -> None:
        """A table that is handed in as an option is not changed."""
        table: dict[str, object] = {"port": 1}
        config = self.config(SERVICE, {}, {"gateway": table, "gateway.port": 2})
        self.assertEqual((config.gateway.port, table), (2, {"port": 1}))
