"""Analytics of the storage service, computed from its own records whenever they are asked for."""

from __future__ import annotations

from statistics import fmean

from twisted.internet.interfaces import IReactorTime

from .kit import moments
from .kit.records import Collection
from .kit.routes import Call, Part, Routes
from .kit.schema import Json, array, boolean, date, identifier, integer, nullable, number, record, text
from .storage_sensors import READINGS_KEPT, Sensors

WINDOW_DAYS = 30
HORIZON_DAYS = 36_500
"""How far a prediction reaches."""
SPARSE_SHARE = 0.3
"""Below this share of its capacity a location is worth emptying, if its samples fit elsewhere in the same zone."""

PREDICTION = record(
    "CapacityPrediction",
    {
        "location_id": identifier(),
        "name": text(),
        "capacity": integer(),
        "used": integer(),
        "placed_per_day": number(),
        "full_on": nullable(date()),
    },
)
MAINTENANCE = record(
    "MaintenanceDue",
    {
        "location_id": identifier(),
        "name": text(),
        "last_maintenance": nullable(date()),
        "due_on": date(),
        "overdue": boolean(),
        "unresolved_alerts": integer(),
    },
)
SAVING = record(
    "EnergySaving", {"empty_location_id": identifier(), "into_location_id": identifier(), "saves_kwh_per_day": number()}
)
ENERGY = record("EnergyReport", {"kwh_per_day": number(), "savings": array(SAVING)})


class Analytics(Part):
    """What can be foreseen from placements, alerts and power readings."""

    routes = Routes()

    def __init__(self, clock: IReactorTime, locations: Collection, placements: Collection, sensors: Sensors) -> None:
        self._clock = clock
        self._locations = locations
        self._placements = placements
        self._sensors = sensors

    @routes.get("/analytics/capacity/prediction", "Foresee when locations are full", answer=array(PREDICTION))
    def predict_capacity(self, call: Call) -> list[Json]:
        """Extend what was placed within the last 30 days; a location that gains nothing is never full."""
        return [self._prediction(location) for location in self._locations.all()]

    @routes.get("/analytics/maintenance/schedule", "List maintenance by due day", answer=array(MAINTENANCE))
    def schedule_maintenance(self, call: Call) -> list[Json]:
        """Add the interval to the last maintenance; one that was never maintained is due on the day it was added."""
        return sorted(
            (self._maintenance(location) for location in self._locations.all()), key=lambda due: due["due_on"]
        )

    @routes.get("/analytics/energy/optimization", "Find energy savings", answer=ENERGY)
    def optimize_energy(self, call: Call) -> Json:
        """Average the power sensors, and propose to empty sparse locations into others of their zone."""
        watts = {location["id"]: self._watts(location) for location in self._locations.all()}
        savings = [saving for location in self._locations.all() if (saving := self._saving(location, watts))]
        return {"kwh_per_day": round(sum(watts.values()) * 24 / 1000, 2), "savings": savings}

    def _prediction(self, location: Json) -> Json:
        now = self._clock.seconds()
        since = moments.to_text(now - WINDOW_DAYS * moments.DAY)
        placed = self._placements.all(location_id=location["id"])
        rate = sum(placement["created_at"] >= since for placement in placed) / WINDOW_DAYS
        days = (location["capacity"] - len(placed)) / rate if rate else HORIZON_DAYS
        return {
            "location_id": location["id"],
            "name": location["name"],
            "capacity": location["capacity"],
            "used": len(placed),
            "placed_per_day": round(rate, 3),
            "full_on": moments.to_date(now + days * moments.DAY) if days < HORIZON_DAYS else None,
        }

    def _maintenance(self, location: Json) -> Json:
        last = location["last_maintenance"]
        interval = (location["maintenance_interval_days"] or 0) * moments.DAY
        due = moments.to_seconds(last) + interval if last else moments.to_seconds(location["created_at"])
        alerts = self._sensors.alerts.all(location_id=location["id"])
        return {
            "location_id": location["id"],
            "name": location["name"],
            "last_maintenance": last,
            "due_on": moments.to_date(due),
            "overdue": due < self._clock.seconds(),
            "unresolved_alerts": sum(alert["status"] != "resolved" for alert in alerts),
        }

    def _watts(self, location: Json) -> float:
        """Return the mean of the location's power readings, or its rated power when it has no power sensor."""
        sensor = self._sensors.sensors.first(location_id=location["id"], kind="power")
        readings = self._sensors.readings(sensor, READINGS_KEPT) if sensor else []
        if not readings:
            return float(location["rated_power_watts"] or 0)
        return fmean(reading["value"] for reading in readings)

    def _saving(self, location: Json, watts: dict[str, float]) -> Json | None:
        """Return a proposal to empty a sparse location into a neighbour of its zone that has room, or None."""
        used = self._placements.count(location_id=location["id"])
        if used > SPARSE_SHARE * location["capacity"] or not watts[location["id"]]:
            return None
        for other in self._locations.all(zone=location["zone"]):
            held = self._placements.count(location_id=other["id"])
            if other["id"] != location["id"] and held > used and other["capacity"] - held >= used:
                return {
                    "empty_location_id": location["id"],
                    "into_location_id": other["id"],
                    "saves_kwh_per_day": round(watts[location["id"]] * 24 / 1000, 2),
                }
        return None
