"""What differs between two configurations, and what of it a running gateway can take over."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tracseq_gateway.config import (
    ApiKey,
    Authentication,
    Client,
    Config,
    Gateway,
    Instance,
    Jwt,
    JwtKey,
    PathRule,
    RateLimit,
    RateLimiting,
    Redis,
    Seconds,
    Security,
    Service,
    Size,
    Timeouts,
)
from tracseq_gateway.config.changes import changes, settled

SAMPLES = Service("samples", "/samples", instances=(Instance("http://10.0.0.1:80"),))


class ChangesTests(SynchronousTestCase):
    """``changes``."""

    def said(self, old: Config, new: Config) -> list[str]:
        return [str(change) for change in changes(old, new)]

    def service(self, **keys: Any) -> list[str]:
        """What is said when these keys of a service change."""
        return self.said(Config(services={"samples": SAMPLES}), Config(services={"samples": evolve(SAMPLES, **keys)}))

    def test_none(self) -> None:
        """Of equal configurations nothing is said."""
        self.assertEqual([], self.said(Config(services={"samples": SAMPLES}), Config(services={"samples": SAMPLES})))

    def test_scalars(self) -> None:
        """A key is named with its old and its new value, as they would stand in a file, in the model's order."""
        old = Config()
        new = Config(
            gateway=Gateway(drain_seconds=Seconds(7.5), proxy_protocol=True),
            client=Client(head=Size(4096)),
            security=Security(deny=(ip_network("10.0.0.0/8"), ip_network("192.0.2.1/32"))),
        )
        self.assertEqual(
            [
                "gateway.drain_seconds: 30 -> 7.5",
                "gateway.proxy_protocol: false -> true",
                "client.head: 65536 -> 4096",
                'security.deny: [] -> ["10.0.0.0/8", "192.0.2.1/32"]',
            ],
            self.said(old, new),
        )

    def test_services(self) -> None:
        """A service that comes or goes is one line; of one that stays, each key is."""
        rag = evolve(SAMPLES, name="rag", prefix="/rag")
        changed = evolve(SAMPLES, prefix="/s", timeouts=Timeouts(response=Seconds(0.25)))
        self.assertEqual(
            [
                'services.samples.prefix: "/samples" -> "/s"',
                "services.samples.timeouts.response: 30 -> 0.25",
                "services.rag: removed",
                "services.storage: added",
            ],
            self.said(
                Config(services={"samples": SAMPLES, "rag": rag}),
                Config(services={"samples": changed, "storage": evolve(rag, name="storage")}),
            ),
        )

    def test_instances(self) -> None:
        """Instances are named by their URLs."""
        instances = (Instance("http://10.0.0.1:80", weight=3), Instance("http://10.0.0.2:80"))
        self.assertEqual(
            [
                'services.samples.instances."http://10.0.0.1:80".weight: 1 -> 3',
                'services.samples.instances."http://10.0.0.2:80": added',
            ],
            self.service(instances=instances),
        )

    def test_tables(self) -> None:
        """A table that was not there is written out; of tables with values, the whole is shown."""
        self.assertEqual(
            [
                'services.samples.roles: {} -> { GET = "guest" }',
                'services.samples.paths."/x": added',
                "services.samples.rate_limit: not set -> { requests_per_minute = 5, burst = 7 }",
            ],
            self.service(rate_limit=RateLimit(5, 7), roles={"GET": "guest"}, paths={"/x": PathRule()}),
        )

    def test_secrets(self) -> None:
        """Of a secret it is only said that it has changed."""
        old = Authentication(service_key="old", api_keys={"robot": ApiKey(hash="old"), "gone": ApiKey(hash="gone")})
        new = Authentication(service_key="new", api_keys={"robot": ApiKey(hash="new"), "come": ApiKey(hash="come")})
        said = self.said(Config(auth=old), Config(auth=new, redis=Redis(url="redis://:new@host")))
        self.assertEqual(
            [
                "redis.url: changed",
                "auth.service_key: changed",
                "auth.api_keys.robot.hash: changed",
                "auth.api_keys.gone: removed",
                "auth.api_keys.come: added",
            ],
            said,
        )

    def test_sameNames(self) -> None:
        """Tables of an array that share a name are shown as a whole."""
        key = JwtKey("key.pem", "RS256", "a")
        old, new = Jwt(keys=(key, evolve(key, kid="b"))), Jwt(keys=(key,))
        (said,) = self.said(Config(auth=Authentication(jwt=old)), Config(auth=Authentication(jwt=new)))
        self.assertTrue(said.startswith('auth.jwt.keys: [{ file = "key.pem", algorithm = "RS256", kid = "a" }, '), said)

    def test_harmless(self) -> None:
        """What a terminal could take for a command is escaped, and a long text is cut."""
        (said,) = self.said(Config(), Config(gateway=Gateway(via="\x1b[2J" + "x" * 100)))
        self.assertIn('-> "\\u001b[2Jxxx', said)
        self.assertLess(len(said), 120)


class SettledTests(SynchronousTestCase):
    """``settled``: what a running gateway takes over."""

    def waits(self, old: Config, new: Config) -> list[str]:
        """The keys that wait for the next start."""
        return [str(change).partition(":")[0] for change in changes(settled(old, new), new)]

    def test_listening(self) -> None:
        """Where it listens, with how many workers and with which run directory, stays as it is; the rest changes."""
        old = Config()
        new = Config(
            gateway=Gateway("::1", 9000, 3, run_directory="/run/x", drain_seconds=Seconds(1.0)),
            services={"samples": SAMPLES},
        )
        taken = settled(old, new)
        self.assertEqual(old.gateway, evolve(taken.gateway, drain_seconds=old.gateway.drain_seconds))
        self.assertEqual((1.0, new.services), (taken.gateway.drain_seconds, taken.services))
        names = ["gateway.host", "gateway.port", "gateway.workers", "gateway.run_directory"]
        self.assertEqual(names, self.waits(old, new))

    def test_redis(self) -> None:
        """While state is shared it is not moved between an embedded Redis and another one."""
        embedded = Config(rate_limit=RateLimiting(enabled=True))
        other = evolve(embedded, redis=Redis(url="redis://a"))
        self.assertEqual(["redis.url"], self.waits(embedded, other))
        self.assertEqual(["redis.url"], self.waits(other, embedded))
        self.assertEqual([], self.waits(other, evolve(embedded, redis=Redis(url="redis://b"))))
        self.assertEqual([], self.waits(Config(), other))
        self.assertEqual([], self.waits(Config(redis=Redis(url="redis://a")), embedded))

    def test_memory(self) -> None:
        """An embedded Redis that runs keeps its memory."""
        embedded = Config(rate_limit=RateLimiting(enabled=True))
        larger = evolve(embedded, redis=Redis(max_memory=Size(1 << 30)))
        self.assertEqual(["redis.max_memory"], self.waits(embedded, larger))
        self.assertEqual([], self.waits(Config(), larger))
