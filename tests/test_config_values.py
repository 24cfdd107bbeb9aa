from __future__ import annotations

from collections.abc import Callable
from datetime import date
from ipaddress import ip_network

from twisted.trial.unittest import SynchronousTestCase

from tracseq_gateway.config.keys import Seconds, Size
from tracseq_gateway.config.problem import Wrong, dotted, show
from tracseq_gateway.config.texts import listen_address, path, request_target, rewrite
from tracseq_gateway.config.url import Authority, is_host, parse_url
from tracseq_gateway.config.values import NUMBERS, boolean, nearest, network, string


class ReadingTestCase(SynchronousTestCase):
    def assertWrong(self, read: Callable[..., object], value: object, words: str) -> None:
        """Reading refuses a value, and says these words."""
        self.assertIn(words, str(self.assertRaises(Wrong, read, value)))


class NumberTests(ReadingTestCase):
    def test_sizes(self) -> None:
        """A size is an integer, or text with a decimal or a binary unit."""
        take = NUMBERS[Size].take
        sizes = {"50MiB": 52428800, "64KiB": 65536, "1GiB": 1 << 30, "10MB": 10_000_000, "7 B": 7, 12: 12, 0: 0}
        self.assertEqual({given: take(given) for given in sizes}, sizes)

    def test_bad_sizes(self) -> None:
        """Other units, bare digits, fractions and negative sizes are refused."""
        take = NUMBERS[Size].take
        for text in ("50", "50Mb", "1.5GiB", "MiB", "-1KiB", "٣KiB", ""):
            self.assertWrong(take, text, "is not a size")
        self.assertWrong(take, -1, "-1 is out of range")
        self.assertWrong(take, 1.5, "1.5 is a float")
        self.assertWrong(take, "999999999999999999TiB", "out of range")

    def test_nothing_is_coerced(self) -> None:
        """Text is no number, a number is no switch, a switch is no number."""
        self.assertWrong(NUMBERS[int].take, "8000", '"8000" is a string, an integer of at least 0 would be right')
        self.assertWrong(NUMBERS[int].take, True, "true is a boolean")
        self.assertWrong(NUMBERS[int].take, 1.0, "1.0 is a float")
        self.assertWrong(NUMBERS[Seconds].take, False, "false is a boolean")
        self.assertWrong(boolean, 1, "1 is an integer, true or false would be right")
        self.assertWrong(boolean, "true", '"true" is a string')
        self.assertWrong(string, 5, "5 is an integer, a string would be right")

    def test_durations(self) -> None:
        """A duration is a finite number that is not negative; integers become floats."""
        self.assertIsInstance(NUMBERS[Seconds].take(5), float)
        for value in (float("nan"), float("inf"), -0.5, 10**400):
            self.assertWrong(NUMBERS[Seconds].take, value, "out of range")

    def test_bounds(self) -> None:
        """The bounds of a key are allowed values, and are named when a value is beyond them."""
        port = NUMBERS[int].within(1, 65535)
        self.assertEqual([port.take(1), port.take(65535)], [1, 65535])
        self.assertWrong(port.take, 0, "0 is out of range, an integer from 1 to 65535 would be right")
        self.assertWrong(port.take, 65536, "from 1 to 65535")
        self.assertEqual(port.take_or_auto("auto"), "auto")
        self.assertWrong(port.take_or_auto, "all", 'an integer from 1 to 65535 or "auto" would be right')


class NetworkTests(ReadingTestCase):
    def test_networks(self) -> None:
        """Addresses and networks of both families are networks."""
        for text in ("127.0.0.1", "10.0.0.0/8", "::1", "fd00::/8"):
            self.assertEqual(network(text), ip_network(text))

    def test_host_bits(self) -> None:
        """A network with host bits is refused, and the network that was probably meant is named."""
        self.assertWrong(network, "10.0.0.1/8", '"10.0.0.0/8" is the network around it')

    def test_others(self) -> None:
        """A host name or a number is no network."""
        self.assertWrong(network, "localhost", "is not an address or network")
        self.assertWrong(network, 2130706433, "is an integer")


class UrlTests(ReadingTestCase):
    def test_right(self) -> None:
        """A name, an address or a bracketed address, with a port or without, is where an instance is."""
        urls = {
            "http://sample-service:8081": Authority("sample-service", 8081),
            "http://Samples_1.lab.example.": Authority("samples_1.lab.example.", 80),
            "http://127.0.0.1:65535": Authority("127.0.0.1", 65535),
            "http://[::1]:8081": Authority("::1", 8081),
            "https://samples": Authority("samples", 443, tls=True),
            "https://[::1]:8443": Authority("::1", 8443, tls=True),
        }
        self.assertEqual({url: parse_url(url) for url in urls}, urls)
        for url in ("http://[::1]:8081", "https://[::1]:8443"):
            self.assertEqual(urls[url].url(), url)

    def test_wrong(self) -> None:
        """Whatever is not exactly http, host and port is refused, with the reason."""
        for url, words in {
            "samples:8081": "is not a URL",
            "//samples:8081": "is not a URL",
            "": "is not a URL",
            "ftp://samples": 'has the scheme "ftp"',
            "HTTP://samples": 'has the scheme "HTTP"',
            "HTTPS://samples": 'has the scheme "HTTPS"',
            "https://samples/": '"https://samples:443" would be right',
            "http://samples:8081/": '"http://samples:8081" would be right',
            "http://samples:8081/api/v1": "something after its port",
            "http://samples?x=1": "something after its port",
            "http://samples#x": "something after its port",
            "http://": "has no valid host",
            "http://:8081": "has no valid host",
            "http://256.0.0.1": "has no valid host",
            "http://::1:80": "has no valid",
            "http://[::1": "has no valid host",
            "http://[fe80::1%eth0]": "has no valid host",
            "http://sam ples": "has no valid host",
            "http://samples\n": "has no valid host",
            "http://samples:": "has no valid port",
            "http://samples:0": "has no valid port",
            "http://samples:65536": "has no valid port",
            "http://samples:+80": "has no valid port",
        }.items():
            self.assertWrong(parse_url, url, words)

    def test_secrets_stay(self) -> None:
        """A password in a URL is refused and not repeated."""
        fault = self.assertRaises(Wrong, parse_url, "http://admin:hunter2@samples:8081")
        self.assertIn("user name or a password", str(fault))
        self.assertNotIn("hunter2", str(fault))

    def test_hosts(self) -> None:
        """Host names follow the rules of names, and what looks like an address is one."""
        self.assertTrue(all(map(is_host, ("localhost", "a.b-c.example", "0.0.0.0", "::", "9lives"))))
        self.assertFalse(any(map(is_host, ("", "-a", "a..b", "1.2.3", "*", "a:b", "ü", "a" * 64, "[::1]"))))


class PathTests(ReadingTestCase):
    def test_right(self) -> None:
        """A prefix is an absolute path in normal form, and a trailing slash makes no difference."""
        paths = {"/samples": "/samples", "/samples/": "/samples", "/": "/", "/api/v2.1/~a,b": "/api/v2.1/~a,b"}
        self.assertEqual({text: path(text) for text in paths}, paths)

    def test_wrong(self) -> None:
        """What would be matched differently by different servers is no prefix."""
        for text, words in {
            "samples": 'does not start with "/"',
            "": 'does not start with "/"',
            "/a//b": "has an empty segment",
            "/a/./b": "has a dot segment",
            "/..": "has a dot segment",
            "/a%2fb": 'has a "%" in it',
            "/a?b": 'has a "?" in it',
            "/a#b": 'has a "#" in it',
            "/a b": 'has a " " in it',
            "/a\\b": "in it",
            "/ä": 'has a "ä" in it',
            "/a\n": 'has a "\\n" in it',
        }.items():
            self.assertWrong(path, text, words)

    def test_rewrite(self) -> None:
        """A rewrite is a path or nothing, and a single slash is nothing."""
        self.assertEqual([rewrite(text) for text in ("", "/", "/api/v1/")], ["", "", "/api/v1"])
        self.assertWrong(rewrite, "api/v1", 'does not start with "/"')

    def test_request_target(self) -> None:
        """What the probe asks for cannot break out of its request line."""
        self.assertEqual(request_target("/health?deep=1"), "/health?deep=1")
        for text in ("health", "/a b", "/a\r\nX: y", "/a#b", ""):
            self.assertWrong(request_target, text, "is not a path")

    def test_listen_address(self) -> None:
        """The gateway listens on an address or a name."""
        self.assertEqual(listen_address("::"), "::")
        self.assertWrong(listen_address, "*", '"0.0.0.0", "127.0.0.1" or "::" would be right')


class WordsTests(SynchronousTestCase):
    def test_show(self) -> None:
        """Values are shown as in a file, on one line, in bounds."""
        self.assertEqual(show(True), "true")
        self.assertEqual(show("a\n\x1b[0m\u2028"), '"a\\n\\u001b[0m\\u2028"')
        self.assertEqual(show(10**5000), "an enormous number")
        self.assertEqual(show(date(2024, 2, 29)), "2024-02-29")
        self.assertEqual(show({"a": 1}), "a table")
        self.assertLess(len(show("x" * 1000)), 70)

    def test_dotted(self) -> None:
        """A path is written as in TOML."""
        self.assertEqual(dotted(("services", "a.b", "instances", 1, "url")), 'services."a.b".instances[1].url')

    def test_nearest(self) -> None:
        """The nearest known name is suggested, in its own spelling, and nothing far-fetched."""
        self.assertEqual(nearest("Instance", ["instances", "PORT"], "none"), 'did you mean "instances"?')
        self.assertEqual(nearest("port", ["instances", "PORT"], "none"), 'did you mean "PORT"?')
        self.assertEqual(nearest("inst", ["instances", "PORT"], "none"), 'did you mean "instances"?')
        self.assertEqual(nearest("xyz", ["instances", "PORT"], "none"), "none")
