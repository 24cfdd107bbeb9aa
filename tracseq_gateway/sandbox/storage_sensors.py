"""Sensors of the storage service: imitated readings, the alerts that follow from them, and the live stream."""

from __future__ import annotations

import json
from random import Random

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from .kit import moments
from .kit.problems import conflict
from .kit.records import Database, Page
from .kit.routes import Call, Download, Outcome, Part, Routes
from .kit.schema import Json, choice, identifier, integer, moment, number, record, stored, text
from .storage_stream import EventStream

TABLES = """
CREATE TABLE IF NOT EXISTS reading (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    sensor_id TEXT NOT NULL,
    at REAL NOT NULL,
    value REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS reading_of_sensor ON reading (sensor_id, position);
"""

READINGS_KEPT = 1000
"""Readings of one sensor; older ones are dropped."""

KINDS = ("temperature", "humidity", "power")
SENSOR_FIELDS = record(
    "SensorFields",
    {
        "name": text(1, 120),
        "location_id": identifier(),
        "kind": choice(*KINDS),
        "unit": text(1, 10),
        "low": number(),
        "high": number(),
        "usual": number(description="What an undisturbed sensor shows."),
    },
)
SENSOR = stored("Sensor", SENSOR_FIELDS, {"last_value": {"type": ["number", "null"]}})
READING = record("Reading", {"sensor_id": identifier(), "at": moment(), "value": number(), "unit": text()})
NEW_READING = record("NewReading", {"value": number(-300, 100_000)})
ALERT_STATES = ("open", "acknowledged", "resolved")
ALERT = stored(
    "Alert",
    record(
        "AlertFields",
        {
            "sensor_id": identifier(),
            "location_id": identifier(),
            "severity": choice("warning", "critical"),
            "message": text(),
            "value": number(),
            "status": choice(*ALERT_STATES),
        },
    ),
)
STREAM_TYPE = "text/event-stream"
LINES_TYPE = "application/x-ndjson"


class Sensors(Part):
    """The sensors, their readings and their alerts."""

    routes = Routes()

    def __init__(self, clock: IReactorTime, database: Database) -> None:
        self.sensors = database.collection("sensors", "sensor", clock)
        self.alerts = database.collection("alerts", "alert", clock)
        self._database = database
        self._clock = clock
        self._dice = Random()  # noqa: S311 - imitates noise

    @routes.pages("/iot/sensors", "List sensors", SENSOR, query={"location_id": identifier(), "kind": choice(*KINDS)})
    def list_sensors(self, call: Call) -> Page:
        """List sensors with their last value."""
        page = self.sensors.page(**call.window, **call.filters)
        return Page([self._shown(sensor) for sensor in page.items], page.total, page.limit, page.offset)

    @routes.get("/iot/sensors/<uuid:sensor_id>", "Show a sensor", answer=SENSOR)
    def get_sensor(self, call: Call, sensor_id: str) -> Json:
        """Show a sensor with its last value."""
        return self._shown(self.sensors.get(sensor_id))

    @routes.get(
        "/iot/sensors/<uuid:sensor_id>/data",
        "Read a sensor: live events, or its last readings as lines of JSON",
        query={"last": integer(1, READINGS_KEPT, default=100, description="How many readings, the oldest first.")},
        produces=f"{LINES_TYPE}, {STREAM_TYPE}",
    )
    def read_sensor(self, call: Call, sensor_id: str) -> Download | Deferred[Outcome]:
        """Stream one reading a second to a client that accepts server-sent events; else answer the last ones."""
        sensor = self.sensors.get(sensor_id)
        if STREAM_TYPE in (call.header("Accept") or "") and call.request.method == b"GET":
            return EventStream(call.request, self._clock, lambda: self.measure(sensor)).start()
        lines = [json.dumps(reading) + "\n" for reading in self.readings(sensor, call.query["last"])]
        return Download("".join(lines).encode(), LINES_TYPE)

    @routes.post("/iot/sensors/<uuid:sensor_id>/data", "Record a reading", body=NEW_READING, answer=READING, status=201)
    def record_reading(self, call: Call, sensor_id: str) -> Json:
        """Record a value as if the sensor had sent it; out of its bounds it opens an alert."""
        return self.keep(self.sensors.get(sensor_id), call.body["value"], self._clock.seconds())

    @routes.pages("/iot/alerts", "List alerts", ALERT, query={"status": choice(*ALERT_STATES)})
    def list_alerts(self, call: Call) -> Page:
        """List alerts, the newest first."""
        return self.alerts.page(**call.window, **call.filters)

    @routes.post("/iot/alerts/<uuid:alert_id>/acknowledge", "Acknowledge an alert", answer=ALERT, errors=(409,))
    def acknowledge_alert(self, call: Call, alert_id: str) -> Json:
        """Say that somebody looks after an open alert."""
        status = self.alerts.get(alert_id)["status"]
        if status != "open":
            raise conflict("alert_not_open", f"the alert is {status}")
        return self.alerts.change(alert_id, {"status": "acknowledged"}, call.user)

    def readings(self, sensor: Json, last: int) -> list[Json]:
        """Return the last readings of a sensor, the oldest first."""
        rows = self._database.execute(
            "SELECT at, value FROM reading WHERE sensor_id = ? ORDER BY position DESC LIMIT ?", (sensor["id"], last)
        )
        return [_reading(sensor, row["at"], row["value"]) for row in reversed(rows)]

    def measure(self, sensor: Json) -> Json:
        """Imitate a measurement, keep it and return it: it drifts back to the usual value, with some noise."""
        last = self.readings(sensor, 1)
        before = last[0]["value"] if last else sensor["usual"]
        noise = self._dice.gauss(0, (sensor["high"] - sensor["low"]) / 40)
        value = before + (sensor["usual"] - before) * 0.3 + noise
        return self.keep(sensor, round(value, 2), self._clock.seconds())

    def keep(self, sensor: Json, value: float, at: float) -> Json:
        """Store a reading, drop the oldest, open or resolve an alert, and return the reading."""
        self._database.execute("INSERT INTO reading (sensor_id, at, value) VALUES (?, ?, ?)", (sensor["id"], at, value))
        self._database.execute(
            "DELETE FROM reading WHERE sensor_id = :sensor AND position <= (SELECT position FROM reading "
            "WHERE sensor_id = :sensor ORDER BY position DESC LIMIT 1 OFFSET :kept)",
            {"sensor": sensor["id"], "kept": READINGS_KEPT},
        )
        self._judge(sensor, value)
        return _reading(sensor, at, value)

    def _judge(self, sensor: Json, value: float) -> None:
        """Open an alert for a value out of bounds; a value within them resolves the sensor's alerts."""
        active = [*self.alerts.all(sensor_id=sensor["id"], status="open")]
        active += self.alerts.all(sensor_id=sensor["id"], status="acknowledged")
        if sensor["low"] <= value <= sensor["high"]:
            for alert in active:
                self.alerts.change(alert["id"], {"status": "resolved"})
        elif not active:
            excess = max(sensor["low"] - value, value - sensor["high"])
            critical = excess > (sensor["high"] - sensor["low"]) / 2
            self.alerts.create(
                {
                    "sensor_id": sensor["id"],
                    "location_id": sensor["location_id"],
                    "severity": "critical" if critical else "warning",
                    "message": f"{sensor['name']}: {value:g} {sensor['unit']} is not within "
                    f"{sensor['low']:g} to {sensor['high']:g}",
                    "value": value,
                    "status": "open",
                }
            )

    def _shown(self, sensor: Json) -> Json:
        last = self.readings(sensor, 1)
        return {**sensor, "last_value": last[0]["value"] if last else None}


def _reading(sensor: Json, at: float, value: float) -> Json:
    return {"sensor_id": sensor["id"], "at": moments.to_text(at), "value": value, "unit": sensor["unit"]}
