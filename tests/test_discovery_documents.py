"""Lists of instances: what they may look like, what is wrong with them, and which instances are of use."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tracseq_gateway.config import Instance
from tracseq_gateway.discovery.document import LARGEST, Form, parse
from tracseq_gateway.discovery.source import MOST_INSTANCES, NotFound, all_secure, usable
from tracseq_gateway.process.control import packList

TWO = (Instance("http://10.0.0.1:8081"), Instance("http://h:80", 3))


class DocumentTests(SynchronousTestCase):
    """``parse``."""

    def reason(self, data: bytes, form: Form = "JSON") -> str:
        """Why a document is refused."""
        return str(self.assertRaises(NotFound, parse, data, form))

    def test_forms(self) -> None:
        """A list, or a table with one; in JSON or TOML; of URLs or tables."""
        entries = ["http://10.0.0.1:8081", {"url": "http://h:80", "weight": 3}]
        self.assertEqual(TWO, parse(json.dumps(entries).encode(), "JSON"))
        self.assertEqual(TWO, parse(json.dumps({"version": [1], "instances": entries}).encode(), "JSON"))
        inline = b'instances = ["http://10.0.0.1:8081", {url = "http://h:80", weight = 3}]\n[other]\na = 1\n'
        self.assertEqual(TWO, parse(inline, "TOML"))
        tables = b'[[instances]]\nurl = "http://10.0.0.1:8081"\n[[instances]]\nurl = "http://h:80"\nweight = 3\n'
        self.assertEqual(TWO, parse(tables, "TOML"))
        self.assertEqual((), parse(b"[]", "JSON"))

    def test_wrong(self) -> None:
        """What is no such list is refused with the reason; an entry with its place, as a configuration's would be."""
        for data, reason in {
            b"": "not JSON: ",
            b'["http://h:1"': "not JSON: ",
            b"\xff": "not JSON: ",
            b"[" * LARGEST: "not JSON: nested too deeply",
            b"3": "neither a list of instances nor a table",
            b'{"url": "http://h:1"}': "neither a list of instances nor a table",
            b'{"instances": {}}': "neither a list of instances nor a table",
            b'["http://h:1", 5]': "instances[1]: 5 is an integer, a URL, or a table with a url, would be right",
            b'["ftp://h:1"]': 'instances[0].url: "ftp://h:1" has the scheme "ftp"',
            b'["http://h:0"]': 'instances[0].url: "http://h:0" has no valid port',
            b'["http://h/a"]': 'instances[0].url: "http://h/a" has something after its port',
            b'[{"url": "http://h:1", "weight": 0}]': "instances[0].weight: 0 is out of range",
            b'[{"url": "http://h:1", "zone": 1}]': "instances[0].zone: unknown key",
            b"[{}]": "instances[0]: an instance without a url",
            b"[" + b"1," * MOST_INSTANCES + b"1]": f"{MOST_INSTANCES + 1} instances, more than {MOST_INSTANCES}",
        }.items():
            self.assertIn(reason, self.reason(data))
        self.assertIn("not TOML: ", self.reason(b"[]]", "TOML"))
        self.assertIn("not TOML: nested too deeply", self.reason(b"a = " + b"[" * 100_000, "TOML"))

    @given(
        st.one_of(
            st.binary(),
            st.text().map(str.encode),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
                lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("instances"), inner),
            ).map(lambda value: json.dumps(value).encode()),
        )
    )
    def test_anything(self, data: bytes) -> None:
        """Whatever a document holds, it is a list of instances or refused as one."""
        for form in ("JSON", "TOML"):
            try:
                for instance in parse(data, form):
                    self.assertIsInstance(instance, Instance)
            except NotFound:
                continue


class UsableTests(SynchronousTestCase):
    """``usable``."""

    def urls(self, *urls: str) -> list[str]:
        return [instance.url for instance in usable(map(Instance, urls))]

    def test_normal(self) -> None:
        """URLs come out in one form and one order, each once; the first of two counts."""
        self.assertEqual(
            ["http://[2001:db8::1]:80", "http://a:80", "http://b:1"],
            self.urls("http://b:1", "http://A", "http://[2001:0DB8:0::1]", "http://a:80"),
        )
        twice = (Instance("http://a:80", 2), Instance("http://A", 9))
        self.assertEqual((Instance("http://a:80", 2),), usable(twice))

    def test_secure(self) -> None:
        """What is spoken to over TLS stays so; where the configuration wants it, a list with one in clear is wrong."""
        self.assertEqual(["https://a:443", "https://b:1"], self.urls("https://b:1", "https://A"))
        secure = tuple(map(Instance, ("https://a:1", "https://b:1")))
        self.assertEqual(secure, all_secure(secure))
        error = self.assertRaises(NotFound, all_secure, (*secure, Instance("http://c:1")))
        self.assertIn("http://c:1 would be spoken to in clear", str(error))

    def test_useless(self) -> None:
        """Addresses of nobody, of many, or of this network card only are passed over."""
        useless = [
            *("0.0.0.0", "0.1.2.3", "224.0.0.1", "255.255.255.255", "240.0.0.1", "169.254.169.254"),
            *("[::]", "[ff02::1]", "[fe80::1]", "[::ffff:0.0.0.0]", "[::ffff:224.0.0.1]"),
        ]
        for host in useless:
            self.assertEqual(["http://h:1"], self.urls(f"http://{host}:8081", "http://h:1"), host)
            error = self.assertRaises(NotFound, self.urls, f"http://{host}:8081")
            self.assertEqual("addresses that cannot be connected to, and no others", str(error))
        for host in ("127.0.0.1", "[::1]", "10.0.0.1", "[::ffff:a00:1]", "[fd00::1]"):
            self.assertEqual([f"http://{host}:1"], self.urls(f"http://{host}:1"))

    def test_bounds(self) -> None:
        """None are no answer, and too many are none either."""
        self.assertEqual("no instance", str(self.assertRaises(NotFound, usable, [])))
        most = [f"http://h-{number}:80" for number in range(MOST_INSTANCES)]
        self.assertEqual(sorted(most), self.urls(*most))
        error = self.assertRaises(NotFound, self.urls, *most, "http://one-more:80")
        self.assertEqual(f"{MOST_INSTANCES + 1} instances, more than {MOST_INSTANCES}", str(error))

    def test_fits(self) -> None:
        """The most instances with the longest names fit into one message to a worker."""
        host = ".".join(["x" * 63] * 3 + ["x" * 57])
        longest = [f"https://{number:03}.{host}:65535" for number in range(MOST_INSTANCES)]
        listed = usable([Instance(url, 65535) for url in longest])
        self.assertEqual((MOST_INSTANCES, 253), (len(listed), len(f"000.{host}")))
        self.assertLess(len(packList(listed)), 65536)
