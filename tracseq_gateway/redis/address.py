"""Where a Redis is and how to log in, as the configuration reads it from ``redis.url``."""

from tracseq_gateway.config.redis_url import Login, RedisAddress, Sentinels, Tcp, Unix, parse_address

__all__ = ["Login", "RedisAddress", "Sentinels", "Tcp", "Unix", "parse_address"]
