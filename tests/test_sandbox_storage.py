"""The stand-in storage service."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request

from tests.sandbox_client import UNKNOWN, SandboxCase
from tracseq_gateway.sandbox.demo import demo_id
from tracseq_gateway.sandbox.kit.records import Database
from tracseq_gateway.sandbox.storage_sensors import READINGS_KEPT, TABLES, Sensors
from tracseq_gateway.sandbox.storage_stream import EventStream

SHELF = {"name": "SHELF-01", "zone": "freezer", "temperature_celsius": -20, "capacity": 2}
SAMPLES = [f"00000000-0000-4000-8000-00000000000{number}" for number in range(5)]


class StorageCase(SandboxCase):
    """A test with a small empty shelf."""

    name = "storage"

    def shelf(self, **fields: Any) -> str:
        identity: str = self.post("/storage/locations", {**SHELF, **fields}, status=201)["id"]
        return identity

    def place(self, sample: str, location: str, **rest: Any) -> Any:
        body = {"sample_id": sample, "location_id": location, **rest.pop("more", {})}
        return self.send("POST", "/storage/samples", body, **rest)


class PlacementTests(StorageCase):
    """Locations and samples in them."""

    def test_location(self) -> None:
        """A location shows what is used of it, at both paths."""
        shelf = self.shelf()
        self.place(SAMPLES[0], shelf)
        for path in (f"/storage/locations/{shelf}", f"/locations/{shelf}"):
            location = self.get(path)
            self.assertEqual((1, 1), (location["used"], location["available"]))
        self.assertEqual(self.get("/storage"), self.get("/storage/locations"))

    def test_positions(self) -> None:
        """A sample gets the wanted position, or the first free one; a taken position is refused."""
        shelf = self.shelf()
        self.assertEqual("1", self.place(SAMPLES[0], shelf, more={"position": "1"}).data["position"])
        self.assertEqual(
            "position_taken", self.place(SAMPLES[1], shelf, more={"position": "1"}, status=409).error["code"]
        )
        self.assertEqual("2", self.place(SAMPLES[1], shelf).data["position"])

    def test_capacity(self) -> None:
        """A full location takes no more, and a sample is in one place only."""
        shelf = self.shelf()
        self.place(SAMPLES[0], shelf)
        self.assertEqual("already_stored", self.place(SAMPLES[0], self.shelf(), status=409).error["code"])
        self.place(SAMPLES[1], shelf)
        full = self.place(SAMPLES[2], shelf, status=409).error
        self.assertEqual(("location_full", 2), (full["code"], full["capacity"]))
        self.place(SAMPLES[2], UNKNOWN, status=404)

    def test_find(self) -> None:
        """A stored sample is found, moved and taken out."""
        first, second = self.shelf(), self.shelf(name="SHELF-02")
        self.place(SAMPLES[0], first)
        path = f"/storage/samples/{SAMPLES[0]}/location"
        self.assertEqual(first, self.get(path)["location_id"])
        moved = self.put(path, {"location_id": second, "position": "B7"})
        self.assertEqual((second, "B7"), (moved["location_id"], moved["position"]))
        self.assertEqual("B7", self.put(path, {"location_id": second, "position": "B7"})["position"])
        self.assertEqual(second, self.send("DELETE", path).data["location_id"])
        self.refused("GET", path, status=404)
        self.refused("PUT", path, {"location_id": first}, status=404)

    def test_failedMove(self) -> None:
        """A sample that cannot be moved stays where it was."""
        first, second = self.shelf(), self.shelf(name="SHELF-02", capacity=1)
        self.place(SAMPLES[0], first)
        self.place(SAMPLES[1], second)
        path = f"/storage/samples/{SAMPLES[0]}/location"
        self.refused("PUT", path, {"location_id": second}, status=409)
        self.assertEqual(first, self.get(path)["location_id"])

    def test_changeLocation(self) -> None:
        """A location in use cannot be removed, or made smaller than what is in it."""
        shelf = self.shelf()
        for sample in SAMPLES[:2]:
            self.place(sample, shelf)
        self.refused("PUT", f"/storage/locations/{shelf}", {"capacity": 1}, status=409)
        self.refused("DELETE", f"/storage/locations/{shelf}", status=409)
        self.assertEqual(8, self.put(f"/storage/locations/{shelf}", {"capacity": 10})["available"])
        for sample in SAMPLES[:2]:
            self.send("DELETE", f"/storage/samples/{sample}/location")
        self.send("DELETE", f"/storage/locations/{shelf}")
        self.refused("GET", f"/storage/locations/{shelf}", status=404)


class Reader(Protocol):
    """Keeps what it receives."""

    received = b""

    def dataReceived(self, data: bytes) -> None:
        self.received += data


class SensorTests(StorageCase):
    """Sensors and alerts."""

    def setUp(self) -> None:
        super().setUp()
        self.sensor = self.get(f"/iot/sensors/{demo_id('sensor', 'FRZ-01 temperature')}")
        self.path = f"/iot/sensors/{self.sensor['id']}/data"

    def readings(self, query: str = "") -> list[Any]:
        answer = self.send("GET", self.path + query)
        self.assertEqual("application/x-ndjson", answer.headers["Content-Type"])
        return [json.loads(line) for line in answer.content.splitlines()]

    def active(self) -> list[str]:
        return [
            alert["status"] for alert in self.get("/iot/alerts?limit=200") if alert["sensor_id"] == self.sensor["id"]
        ]

    def test_lastReadings(self) -> None:
        """Without an event stream, the last readings come as lines of JSON, the oldest first."""
        self.post(self.path, {"value": -19.5}, status=201)
        readings = self.readings("?last=3")
        self.assertEqual(3, len(readings))
        self.assertEqual(
            {"sensor_id": self.sensor["id"], "at": "2026-03-01T10:00:00Z", "value": -19.5, "unit": "°C"}, readings[-1]
        )
        self.assertEqual(sorted(readings, key=lambda reading: str(reading["at"])), readings)
        self.assertEqual(-19.5, self.get(f"/iot/sensors/{self.sensor['id']}")["last_value"])
        self.refused("GET", self.path + "?last=0", status=400)

    def test_alert(self) -> None:
        """One alert is opened by readings out of bounds, acknowledged once, and resolved by a good reading."""
        self.assertEqual([], self.active())
        for value in (self.sensor["high"] + 1, self.sensor["high"] + 2):
            self.post(self.path, {"value": value}, status=201)
        self.assertEqual(["open"], self.active())
        alert = self.get("/iot/alerts?status=open&limit=1")[0]
        self.assertEqual("warning", alert["severity"])
        acknowledge = f"/iot/alerts/{alert['id']}/acknowledge"
        self.assertEqual("acknowledged", self.post(acknowledge)["status"])
        self.refused("POST", acknowledge, status=409)
        self.post(self.path, {"value": self.sensor["usual"]}, status=201)
        self.assertEqual(["resolved"], self.active())

    def test_critical(self) -> None:
        """A value far out of bounds makes a critical alert."""
        self.post(self.path, {"value": 21}, status=201)
        self.assertEqual("critical", self.get("/iot/alerts?limit=1")[0]["severity"])

    def test_stream(self) -> None:
        """A client that accepts events gets the first reading at once and one a second until it leaves."""
        sent = self.client.get(f"http://sandbox/api/v1{self.path}", headers={"Accept": "text/event-stream"})
        response = self.successResultOf(sent)
        self.assertEqual([b"text/event-stream"], response.headers.getRawHeaders(b"Content-Type"))
        reader = Reader()
        response.deliverBody(reader)
        for _ in range(3):
            self.client.flush()
            self.clock.advance(1)
        self.client.flush()
        events = reader.received.decode().split("\n\n")[:-1]
        self.assertEqual(4, len(events))
        readings = [json.loads(event.removeprefix("event: reading\ndata: ")) for event in events]
        self.assertEqual(readings, self.readings("?last=4"))
        assert reader.transport is not None
        reader.transport.loseConnection()
        self.client.flush()
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_headOfStream(self) -> None:
        """HEAD does not start a stream that nobody would read."""
        sent = self.client.head(f"http://sandbox/api/v1{self.path}", headers={"Accept": "text/event-stream"})
        self.assertEqual(200, self.read(self.successResultOf(sent)).status)
        self.assertEqual([], self.clock.getDelayedCalls())


class ReadingsTests(SynchronousTestCase):
    """Readings without HTTP."""

    def test_bounded(self) -> None:
        """A sensor keeps its last thousand readings, whatever others have."""
        database = Database(Path(self.mktemp()), TABLES)
        self.addCleanup(database.close)
        sensors = Sensors(Clock(), database)
        fields = {"name": "s", "location_id": "l", "unit": "W", "low": 0, "high": 10_000, "usual": 5}
        first, second = sensors.sensors.create(fields), sensors.sensors.create(fields)
        sensors.keep(second, 1, 0)
        for number in range(READINGS_KEPT + 5):
            sensors.keep(first, number, number)
        values = [reading["value"] for reading in sensors.readings(first, 2 * READINGS_KEPT)]
        self.assertEqual(list(range(5, READINGS_KEPT + 5)), values)
        self.assertEqual(1, len(sensors.readings(second, 5)))


class Consumer:
    """What the stream needs of a request."""

    def __init__(self) -> None:
        self.producer: object = None

    def setHeader(self, name: str, value: str) -> None:
        pass

    def write(self, data: bytes) -> None:
        pass

    def registerProducer(self, producer: object, streaming: bool) -> None:
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None


class EventStreamTests(SynchronousTestCase):
    """The stream without HTTP."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.consumer = Consumer()
        self.produced = 0
        self.stream = EventStream(cast(Request, self.consumer), self.clock, self.produce)

    def produce(self) -> dict[str, int]:
        self.produced += 1
        return {"number": self.produced}

    def test_pause(self) -> None:
        """A client that does not read misses events instead of piling them up."""
        self.stream.start()
        self.stream.pauseProducing()
        self.clock.pump([1] * 5)
        self.stream.resumeProducing()
        self.clock.advance(1)
        self.assertEqual(2, self.produced)

    def test_leave(self) -> None:
        """When the client has left, nothing is produced any more and no timer stays."""
        done = self.stream.start()
        done.cancel()
        self.failureResultOf(done)
        self.clock.pump([1] * 5)
        self.assertEqual((1, []), (self.produced, self.clock.getDelayedCalls()))

    def test_failure(self) -> None:
        """A producer that fails ends the stream with its error."""
        done = self.stream.start()
        self.patch(self.stream, "_produce", lambda: 1 // 0)
        self.clock.advance(1)
        self.failureResultOf(done, ZeroDivisionError)
        self.assertEqual((None, []), (self.consumer.producer, self.clock.getDelayedCalls()))


class AnalyticsTests(StorageCase):
    """What is foreseen."""

    def of(self, path: str, location: str) -> Any:
        return next(entry for entry in self.get(path) if entry["location_id"] == location)

    def test_capacity(self) -> None:
        """A location that gained three of ten samples within 30 days is full in 70 days; an empty one never."""
        shelf, empty = self.shelf(capacity=10), self.shelf(name="EMPTY")
        for sample in SAMPLES[:3]:
            self.place(sample, shelf)
        path = "/analytics/capacity/prediction"
        self.assertEqual((0.1, "2026-05-10"), (self.of(path, shelf)["placed_per_day"], self.of(path, shelf)["full_on"]))
        self.assertIsNone(self.of(path, empty)["full_on"])
        self.clock.advance(31 * 86400)
        self.assertIsNone(self.of(path, shelf)["full_on"])

    def test_maintenance(self) -> None:
        """Maintenance is due an interval after the last one, the earliest first, with the alerts of the location."""
        overdue = self.shelf(last_maintenance="2025-01-01", maintenance_interval_days=30)
        due = self.of("/analytics/maintenance/schedule", overdue)
        self.assertEqual(("2025-01-31", True, 0), (due["due_on"], due["overdue"], due["unresolved_alerts"]))
        schedule = self.get("/analytics/maintenance/schedule")
        self.assertEqual(overdue, schedule[0]["location_id"])
        self.assertEqual(
            1, self.of("/analytics/maintenance/schedule", demo_id("location", "ULT-02"))["unresolved_alerts"]
        )

    def test_energy(self) -> None:
        """A sparse location whose samples fit into a fuller one of its zone could be switched off."""
        before = self.get("/analytics/energy/optimization")["kwh_per_day"]
        sparse = self.shelf(zone="ultra_low", capacity=10, rated_power_watts=500)
        self.place(SAMPLES[0], sparse)
        report = self.get("/analytics/energy/optimization")
        self.assertAlmostEqual(before + 12, report["kwh_per_day"], 1)
        saving = next(one for one in report["savings"] if one["empty_location_id"] == sparse)
        self.assertEqual(12, saving["saves_kwh_per_day"])
