from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tracseq_gateway.config.problem import Wrong
from tracseq_gateway.config.redis_url import Login, RedisAddress, Sentinels, Tcp, Unix, parse_address, redis_url

RIGHT = {
    "redis://h": RedisAddress(Tcp("h", 6379)),
    "redis://H.example:7000/": RedisAddress(Tcp("h.example", 7000)),
    "redis://127.0.0.1:6380/12": RedisAddress(Tcp("127.0.0.1", 6380), Login(database=12)),
    "rediss://[2001:DB8::1]": RedisAddress(Tcp("2001:db8::1", 6379, tls=True)),
    "redis://:secret@h": RedisAddress(Tcp("h"), Login("", "secret")),
    "rediss://gate:a%2Fb%40c%25@h:1/2": RedisAddress(Tcp("h", 1, tls=True), Login("gate", "a/b@c%", 2)),
    "unix:///run/valkey.sock": RedisAddress(Unix("/run/valkey.sock")),
    "unix://:p@/run/a%20b.sock?db=3": RedisAddress(Unix("/run/a b.sock"), Login("", "p", 3)),
    "sentinel://h1,h2/name/0": RedisAddress(Sentinels((("h1", 26379), ("h2", 26379)), "name")),
    "sentinel://u:p@h1:1,[::1]:2/my%20name/5": RedisAddress(
        Sentinels((("h1", 1), ("::1", 2)), "my name"), Login("u", "p", 5)
    ),
}

WRONG = {
    "": "cannot be read",
    "redis://h#secret": "cannot be read",
    "redis://:sec/ret@h": "cannot be read",
    "http://:secret@h": "has none of the schemes of a Redis",
    "redis://": "has no valid host",
    "redis://::1": "has no valid host",
    "redis://h,secret": "has no valid host",
    "sentinel://h1,/name": "has no valid host",
    "redis://h:0": "has no valid port",
    "redis://h:secret": "has no valid port",
    "redis://h/secret": "has a database that is not a number",
    "sentinel://h1/name/x": "has a database that is not a number",
    "redis://h?db=1": "has something after a question mark",
    "unix:///run/x.sock?secret=1": "has something other than a database (?db=1) after a question mark",
    "redis://secret@h": "has a user without a password (a password alone is :password@host)",
    "redis://:secret%2@h": ("has a % in its password that is not followed by two hexadecimal digits (% itself is %25)"),
    "redis://:secret%ff@h": "has a password that is not UTF-8",
    "redis://:secret%00@h": "has a zero byte in its password",
    "unix://": "names no socket by three slashes and its path",
    "unix://secret/x.sock": "names no socket by three slashes and its path",
    "sentinel://h1": "has no name of a master",
}


class RedisUrlTests(SynchronousTestCase):
    def test_right(self) -> None:
        """Each form of URL leads to where it says, with the login that it says."""
        for url, address in RIGHT.items():
            self.assertEqual(parse_address(url), address, url)
            self.assertEqual(redis_url(url), url)

    def test_embedded(self) -> None:
        """The gateway's own needs no URL."""
        self.assertEqual(redis_url("embedded"), "embedded")

    def test_wrong(self) -> None:
        """What is wrong with a URL is said without showing any of it."""
        for url, words in WRONG.items():
            fault = self.assertRaises(Wrong, redis_url, url)
            self.assertEqual(fault.wrong, words, url)
            self.assertNotIn("secret", str(fault))

    def test_texts(self) -> None:
        """An address is shown without its password."""
        for url, text in (
            ("rediss://gate:secret@[::1]/1", "rediss://[::1]:6379"),
            ("unix://:secret@/run/x.sock", "unix:///run/x.sock"),
            ("sentinel://:secret@h1,[::1]:2/name", "sentinel://h1:26379,[::1]:2/name"),
        ):
            address = parse_address(url)
            self.assertEqual(str(address), text)
            self.assertNotIn("secret", repr(address))

    @given(st.text(alphabet="redis:unxtl/@[]?#%,.0a1\n é"))
    def test_any_text(self, text: str) -> None:
        """Any text is an address or wrong."""
        try:
            parse_address(text)
        except Wrong:
            return
