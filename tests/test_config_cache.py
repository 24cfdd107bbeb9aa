"""The configuration of kept answers."""

from __future__ import annotations

from tests.config_files import SERVICE, ConfigTestCase
from tracseq_gateway.config.cache import Cache, ServiceCache
from tracseq_gateway.config.changes import shares_state


class CacheTests(ConfigTestCase):
    def test_off(self) -> None:
        """Nothing is kept unless a service says so, or the defaults say so for all."""
        self.assertFalse(self.config(SERVICE).services["samples"].cache.enabled)
        for text in (
            f"{SERVICE}[services.samples.cache]\nenabled = true",
            f"[defaults.cache]\nenabled = true\n{SERVICE}",
        ):
            self.assertTrue(self.config(text).services["samples"].cache.enabled)

    def test_right(self) -> None:
        """Where, how much and for how long can be said."""
        text = (
            f'[cache]\nstore = "redis"\nsize = "16MiB"\nentries = 5\nlargest = "2KiB"\nwaiting = 0\nwait_seconds = 1\n'
            f"{SERVICE}cache = {{ enabled = true, keep_seconds = 60 }}\n"
        )
        config = self.config(text)
        self.assertEqual(Cache("redis", 16 << 20, 5, 2048, 0, 1.0), config.cache)  # type: ignore[arg-type]
        self.assertEqual(ServiceCache(True, 60.0), config.services["samples"].cache)  # type: ignore[arg-type]
        self.assertTrue(shares_state(config))
        self.assertFalse(shares_state(self.config(text.replace('"redis"', '"memory"'))))
        self.assertFalse(shares_state(self.config(text.replace("enabled = true", "enabled = false"))))

    def test_wrong(self) -> None:
        """The largest answer has room; an embedded Redis keeps half of its own for the rates."""
        self.assertSaid(
            '[cache]\nsize = "64KiB"\nlargest = "65KiB"',
            "6: cache.largest: 66560 bytes cannot be kept in 65536, at most cache.size would be right",
        )
        self.assertSaid(
            '[cache]\nstore = "redis"\nsize = "33MiB"',
            "6: cache.size: 34603008 bytes are more than half of redis.max_memory (67108864), "
            "at most 33554432 would be right",
        )
        elsewhere = '[redis]\nurl = "redis://elsewhere"\n'
        self.config(f'{SERVICE}[cache]\nstore = "redis"\nsize = "33MiB"\n{elsewhere}')
