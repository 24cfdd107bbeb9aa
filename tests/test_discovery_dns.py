"""Instances from DNS, asked of a real name server on a loopback port."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.names import dns
from twisted.names.dns import Record_A, Record_AAAA, Record_SRV, Record_TXT
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.discovery_kit import NameServer
from tests.process_kit import freePort
from tracseq_gateway.discovery.addresses import AddressSource
from tracseq_gateway.discovery.locations import LocationSource
from tracseq_gateway.discovery.names import Names, configured_servers
from tracseq_gateway.discovery.questions import answer_to
from tracseq_gateway.discovery.source import MOST_INSTANCES, NotFound

SECONDS = 0.4


class NameServerTestCase(TestCase):
    """Each test has a name server of its own."""

    timeout = 20

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.server = NameServer(reactor)
        self.addCleanup(self.server.stop)
        self.hosts = self.mktemp()
        self.servers = [("127.0.0.1", self.server.port)]
        self.names = Names(reactor, lambda: self.servers, self.hosts)

    async def found(self, source: AddressSource | LocationSource) -> dict[str, int]:
        """What a source finds: weights by URL."""
        return {instance.url: instance.weight for instance in await source.find()}

    async def reason(self, source: AddressSource | LocationSource) -> str:
        """Why a source finds nothing."""
        error: Any = await self.assertFailure(cast(Any, source.find()), NotFound)
        return str(error)


class AddressTests(NameServerTestCase):
    """``AddressSource``."""

    def source(self, name: str = "samples.internal") -> AddressSource:
        return AddressSource(name, 8081, self.names, SECONDS)

    async def test_bothFamilies(self) -> None:
        """Each address is an instance on the port, IPv4 or IPv6."""
        self.server.records["samples.internal"] = [Record_A("10.0.0.1"), Record_AAAA("2001:db8::1"), Record_TXT(b"x")]
        expected = {"http://10.0.0.1:8081": 1, "http://[2001:db8::1]:8081": 1}
        self.assertEqual(expected, await self.found(self.source()))

    async def test_secure(self) -> None:
        """Of a service that is configured with TLS, what DNS finds is spoken to over TLS."""
        self.server.records["samples.internal"] = [Record_A("10.0.0.1")]
        source = AddressSource("samples.internal", 8443, self.names, SECONDS, tls=True)
        self.assertEqual(["https://10.0.0.1:8443"], [*await self.found(source)])

    async def test_oneFamily(self) -> None:
        """A name with addresses of one family is enough, also when the server does not answer for the other."""
        for silent in (set(), {dns.AAAA}):
            self.server.silent_about = silent
            self.server.records["samples.internal"] = [Record_A("10.0.0.1")]
            self.assertEqual(["http://10.0.0.1:8081"], [*await self.found(self.source())])
        self.server.silent_about = {dns.A}
        self.assertEqual("no answer from a name server", await self.reason(self.source()))

    async def test_changes(self) -> None:
        """Nothing is remembered from one look-up to the next, whatever the records' time to live."""
        for address in ("10.0.0.1", "10.0.0.2"):
            self.server.records["samples.internal"] = [Record_A(address, 3600)]
            self.assertEqual([f"http://{address}:8081"], [*await self.found(self.source())])

    async def test_nothing(self) -> None:
        """A name that is not there, or has no address, is no answer; nor is an error of the server."""
        self.assertEqual("no such name, or none with an address", await self.reason(self.source()))
        self.server.records["samples.internal"] = []
        self.assertEqual("no such name, or none with an address", await self.reason(self.source()))
        self.server.mood = "fails"
        self.assertEqual("the name server failed", await self.reason(self.source()))
        self.server.mood = "refuses"
        self.assertEqual("the name server refused to answer", await self.reason(self.source()))

    async def test_silence(self) -> None:
        """A server that says nothing, or nothing to the point, is asked twice and given up within the time."""
        for mood in ("silent", "babbles"):
            self.server.mood = mood
            began = self.reactor.seconds()
            self.assertEqual("no answer from a name server", await self.reason(self.source()))
            self.assertLess(self.reactor.seconds() - began, 5 * SECONDS)
        self.assertEqual(2, self.server.asked.count(("samples.internal", dns.A)))

    async def test_secondServer(self) -> None:
        """When the first server is silent, the second is asked."""
        self.server.records["samples.internal"] = [Record_A("10.0.0.1")]
        self.servers.insert(0, ("127.0.0.1", freePort()))
        self.assertEqual(["http://10.0.0.1:8081"], [*await self.found(self.source())])

    async def test_byTCP(self) -> None:
        """What does not fit into a datagram is asked for by TCP, and the connection is not kept."""
        self.server.records["samples.internal"] = [Record_A(f"10.0.0.{number}") for number in range(1, 101)]
        self.assertEqual(100, len(await self.found(self.source())))
        self.assertEqual(1, self.server.by_tcp)
        self.server.largest = 1000
        self.assertIn("half an answer", await self.reason(self.source()))

    async def test_nobodyThere(self) -> None:
        """Where no server is, that is known at once."""
        self.servers[:] = [("127.0.0.1", freePort())]
        began = self.reactor.seconds()
        self.assertIn("name server 127.0.0.1: ", await self.reason(self.source()))
        self.assertLess(self.reactor.seconds() - began, SECONDS / 4)

    async def test_cancelled(self) -> None:
        """A look-up that is cancelled ends at once."""
        self.server.mood = "silent"
        looking: Deferred[Any] = self.source().find()
        looking.cancel()
        await self.assertFailure(looking, CancelledError)

    async def test_hosts(self) -> None:
        """What a hosts file says of a name holds, and nobody is asked."""
        with open(self.hosts, "w") as file:  # noqa: ASYNC230 a few bytes
            file.write("# ours\n10.0.0.9 other samples.internal\n2001:db8::9 samples.internal\n")
        expected = {"http://10.0.0.9:8081": 1, "http://[2001:db8::9]:8081": 1}
        self.assertEqual(expected, await self.found(self.source()))
        self.assertEqual([], self.server.asked)


class LocationTests(NameServerTestCase):
    """``LocationSource``."""

    def source(self) -> LocationSource:
        return LocationSource("_http._tcp.samples", self.names, SECONDS)

    def locate(self, *records: Record_SRV) -> None:
        self.server.records["_http._tcp.samples"] = list(records)

    async def test_records(self) -> None:
        """Targets are looked up; each address has the record's port and weight, at least 1."""
        self.server.records["a.internal"] = [Record_A("10.0.0.1"), Record_AAAA("2001:db8::1")]
        self.server.records["b.internal"] = [Record_A("10.0.0.2")]
        self.locate(Record_SRV(1, 5, 8081, "a.internal"), Record_SRV(1, 0, 8082, "B.internal"))
        expected = {"http://10.0.0.1:8081": 5, "http://[2001:db8::1]:8081": 5, "http://10.0.0.2:8082": 1}
        self.assertEqual(expected, await self.found(self.source()))

    async def test_secure(self) -> None:
        """Of a service that is configured with TLS, what DNS finds is spoken to over TLS."""
        self.server.records["a.internal"] = [Record_A("10.0.0.1")]
        self.locate(Record_SRV(1, 5, 8443, "a.internal"))
        source = LocationSource("_http._tcp.samples", self.names, SECONDS, tls=True)
        self.assertEqual(["https://10.0.0.1:8443"], [*await self.found(source)])

    async def test_priority(self) -> None:
        """Only those of the lowest priority that are somewhere count."""
        self.server.records["a.internal"] = [Record_A("10.0.0.1")]
        self.locate(
            Record_SRV(0, 1, 0, "a.internal"),
            Record_SRV(1, 1, 1, b""),
            Record_SRV(10, 1, 8081, "a.internal"),
            Record_SRV(10, 1, 8082, "a.internal"),
            Record_SRV(20, 1, 8083, "a.internal"),
        )
        self.assertEqual(["http://10.0.0.1:8081", "http://10.0.0.1:8082"], [*await self.found(self.source())])

    async def test_additional(self) -> None:
        """Addresses that come along are taken, and not asked for."""
        self.server.additional["a.internal"] = [Record_A("10.0.0.1"), Record_A("10.0.0.2")]
        self.locate(Record_SRV(1, 5, 8081, "a.internal"))
        self.assertEqual({"http://10.0.0.1:8081": 5, "http://10.0.0.2:8081": 5}, await self.found(self.source()))
        self.assertEqual([("_http._tcp.samples", dns.SRV)], self.server.asked)

    async def test_targetWithoutAddress(self) -> None:
        """A target that is not there is no instance; one that cannot be asked for makes the whole an error."""
        self.server.records["a.internal"] = [Record_A("10.0.0.1")]
        self.locate(Record_SRV(1, 1, 8081, "a.internal"), Record_SRV(1, 1, 8081, "gone.internal"))
        self.assertEqual(["http://10.0.0.1:8081"], [*await self.found(self.source())])
        self.server.silent_about = {dns.A, dns.AAAA}
        self.assertEqual("no answer from a name server", await self.reason(self.source()))

    async def test_nothing(self) -> None:
        """No such name, no records, a decided no and a silent server: an empty answer, or the reason."""
        self.assertEqual("no such name", await self.reason(self.source()))
        self.locate()
        self.assertEqual({}, await self.found(self.source()))
        self.locate(Record_SRV(0, 0, 0, b""))
        self.assertEqual({}, await self.found(self.source()))
        self.server.mood = "silent"
        self.assertEqual("no answer from a name server", await self.reason(self.source()))

    async def test_tooMany(self) -> None:
        """No more hosts are asked for than there may be instances."""
        self.locate(*(Record_SRV(1, 1, 80, f"host-{number}.internal") for number in range(MOST_INSTANCES + 1)))
        self.assertEqual(f"{MOST_INSTANCES + 1} hosts, more than {MOST_INSTANCES}", await self.reason(self.source()))
        self.assertEqual({"_http._tcp.samples"}, {name for name, _ in self.server.asked})


class ConfiguredServersTests(SynchronousTestCase):
    """``configured_servers``."""

    def test_file(self) -> None:
        """The first three servers of the file count, whatever else is in it."""
        file = Path(self.mktemp())
        file.write_text(
            "# name servers\nsearch internal\nnameserver 10.0.0.1\nnameserver\n nameserver ::1 # local\n"
            "options ndots:5\nnameserver 10.0.0.3\nnameserver 10.0.0.4\n"
        )
        self.assertEqual([("10.0.0.1", 53), ("::1", 53), ("10.0.0.3", 53)], configured_servers(str(file)))

    def test_none(self) -> None:
        """Without any, it is that of this host."""
        self.assertEqual([("127.0.0.1", 53)], configured_servers(self.mktemp()))
        self.assertRaises(OSError, configured_servers, ".")

    def test_host(self) -> None:
        """Whatever a host has for a resolv.conf gives at least one server."""
        self.assertTrue(configured_servers())


class AnswerTests(SynchronousTestCase):
    """What counts as an answer."""

    def setUp(self) -> None:
        self.question = dns.Message(77, recDes=1)
        self.question.queries = [dns.Query(b"a.b", dns.A, dns.IN)]

    def answer(self, **changes: Any) -> bytes:
        """An answer that fits, but for the changes."""
        message = dns.Message(77, answer=1)
        message.queries = self.question.queries
        message.answers = [dns.RRHeader(b"a.b", dns.A, payload=Record_A("10.0.0.1"))]
        for name, value in changes.items():
            setattr(message, name, value)
        return message.toStr()

    def test_fits(self) -> None:
        """It is an answer, to this question, by its number; the case of the name makes no difference."""
        self.assertIsNotNone(answer_to(self.question, self.answer()))
        self.assertIsNotNone(answer_to(self.question, self.answer(queries=[dns.Query(b"A.B", dns.A, dns.IN)])))
        self.assertIsNone(answer_to(self.question, self.answer(id=78)))
        self.assertIsNone(answer_to(self.question, self.answer(answer=0)))
        self.assertIsNone(answer_to(self.question, self.answer(queries=[dns.Query(b"a.c", dns.A, dns.IN)])))
        self.assertIsNone(answer_to(self.question, self.answer(queries=[])))

    @given(st.data())
    def test_anything(self, data: st.DataObject) -> None:
        """Whatever comes, and however an answer was changed on its way, nothing is raised."""
        answer = bytearray(self.answer())
        for place in data.draw(st.lists(st.integers(0, len(answer) - 1), max_size=4)):
            answer[place] = data.draw(st.integers(0, 255))
        answer_to(self.question, bytes(answer[: data.draw(st.integers(0, len(answer)))]))
        answer_to(self.question, data.draw(st.binary()))


class NameTests(SynchronousTestCase):
    """What the log calls sources."""

    def test_names(self) -> None:
        """A source is called by its kind and name."""
        names = Names(None)
        self.assertEqual("DNS a", str(AddressSource("a", 1, names, 1.0)))
        self.assertEqual("SRV a", str(LocationSource("a", names, 1.0)))
