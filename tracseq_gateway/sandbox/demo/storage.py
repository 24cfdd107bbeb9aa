"""Demo storage: freezers with their sensors, and the demo samples in their places."""

from __future__ import annotations

from collections import Counter
from math import sin
from random import Random
from typing import TYPE_CHECKING

from tracseq_gateway.sandbox.kit import moments
from tracseq_gateway.sandbox.kit.records import Collection
from tracseq_gateway.sandbox.kit.schema import Json

from . import SAMPLE_COUNT, demo_id

if TYPE_CHECKING:
    from tracseq_gateway.sandbox.storage_sensors import Sensors

# Name, zone, temperature in Celsius, capacity, power in watts, days since the last maintenance.
_LOCATIONS = [
    ("ULT-01", "ultra_low", -80.0, 20, 620.0, 40),
    ("ULT-02", "ultra_low", -80.0, 20, 640.0, 190),
    ("ULT-03", "ultra_low", -80.0, 24, 655.0, 95),
    ("FRZ-01", "freezer", -20.0, 30, 310.0, 20),
    ("FRZ-02", "freezer", -20.0, 30, 325.0, 150),
    ("FRG-01", "refrigerated", 4.0, 16, 180.0, 60),
    ("CRYO-01", "cryogenic", -196.0, 12, 90.0, 10),
    ("RACK-01", "ambient", 21.0, 40, 0.0, 300),
]
_SHELVES = ["ULT-01", "ULT-01", "ULT-02", "FRZ-01", "FRG-01", "CRYO-01"]
"""Where demo samples are put, in turns."""
_READINGS = 48
_READING_SECONDS = 1800.0


def fill_storage(locations: Collection, placements: Collection, sensors: Sensors, now: float) -> None:
    """Store the locations, a day of readings for each sensor, and all but the newest demo samples."""
    for name, zone, temperature, capacity, watts, days in _LOCATIONS:
        location = {
            "id": demo_id("location", name),
            "name": name,
            "zone": zone,
            "temperature_celsius": temperature,
            "capacity": capacity,
            "room": "Basement cold room" if watts > 600 else "Laboratory 2.14",
            "rated_power_watts": watts,
            "last_maintenance": moments.to_date(now - days * moments.DAY),
            "maintenance_interval_days": 180,
            "created_at": moments.to_text(now - 700 * moments.DAY),
        }
        locations.create(location)
        _fill_sensor(sensors, location, "temperature", "°C", temperature, 6.0, now)
        _fill_sensor(sensors, location, "humidity", "%", 42.0, 30.0, now)
        if watts:
            _fill_sensor(sensors, location, "power", "W", watts, watts * 0.5, now)
    _place_samples(placements, now)
    warm = sensors.sensors.get(demo_id("sensor", "ULT-02 temperature"))
    sensors.keep(warm, -71.4, now)


def _fill_sensor(
    sensors: Sensors, location: Json, kind: str, unit: str, usual: float, tolerance: float, now: float
) -> None:
    name = f"{location['name']} {kind}"
    fields = {"name": name, "location_id": location["id"], "kind": kind, "unit": unit, "usual": usual}
    bounds = {"low": round(usual - tolerance, 2), "high": round(usual + tolerance, 2)}
    sensor = sensors.sensors.create({**fields, **bounds}, identity=demo_id("sensor", name))
    dice = Random(name)  # noqa: S311 - demo data, the same at every first start
    for step in range(_READINGS):
        # A slow daily wave with some noise, well within the bounds.
        value = usual + tolerance * (0.3 * sin(step / 7.6) + dice.uniform(-0.2, 0.2))
        sensors.keep(sensor, round(value, 2), now - (_READINGS - step) * _READING_SECONDS)


def _place_samples(placements: Collection, now: float) -> None:
    """Put every sample that is no longer pending on a shelf, each at the next position."""
    used: Counter[str] = Counter()
    for number in range(1, SAMPLE_COUNT - 2):
        shelf = _SHELVES[number % len(_SHELVES)]
        used[shelf] += 1
        placements.create(
            {
                "id": demo_id("placement", number),
                "sample_id": demo_id("sample", number),
                "location_id": demo_id("location", shelf),
                "position": str(used[shelf]),
                "created_at": moments.to_text(now - (SAMPLE_COUNT - number) * moments.DAY),
                "created_by": demo_id("user", "lab_technician"),
            }
        )
