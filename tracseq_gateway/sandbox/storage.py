"""The stand-in storage service: freezers and other places, and which sample is where."""

from __future__ import annotations

import sqlite3

from .demo.storage import fill_storage
from .kit.problems import conflict, not_found
from .kit.records import Collection, Database, Page
from .kit.routes import Call, Part, Routes
from .kit.schema import (
    Json,
    changes,
    choice,
    complete,
    date,
    identifier,
    integer,
    number,
    record,
    stored,
    text,
)
from .kit.service import Context, Service
from .storage_analytics import Analytics
from .storage_sensors import TABLES as READING_TABLES
from .storage_sensors import Sensors

# A sample is in one place, and a place within a location holds one sample.
TABLES = """
CREATE UNIQUE INDEX IF NOT EXISTS placed_sample ON record (json_extract(document, '$.sample_id'))
    WHERE collection = 'placements';
CREATE UNIQUE INDEX IF NOT EXISTS placed_position
    ON record (json_extract(document, '$.location_id'), json_extract(document, '$.position'))
    WHERE collection = 'placements';
"""

ZONES = ("ambient", "refrigerated", "freezer", "ultra_low", "cryogenic")
NEW_LOCATION = record(
    "NewLocation",
    {
        "name": text(1, 120),
        "zone": choice(*ZONES),
        "temperature_celsius": number(-200, 60),
        "capacity": integer(1, 100_000, description="Positions for samples."),
    },
    {
        "room": text(0, 120),
        "rated_power_watts": number(0, 20_000),
        "last_maintenance": date(),
        "maintenance_interval_days": integer(1, 3650, default=180),
    },
)
LOCATION = stored("Location", NEW_LOCATION, {"used": integer(0), "available": integer(0)})
LOCATION_CHANGES = changes("LocationChanges", NEW_LOCATION)
NEW_PLACEMENT = record(
    "NewPlacement", {"sample_id": identifier(), "location_id": identifier()}, {"position": text(1, 20)}
)
PLACEMENT = stored("Placement", NEW_PLACEMENT)
MOVE = record("Move", {"location_id": identifier()}, {"position": text(1, 20)})


def service(context: Context) -> Service:
    """Return the storage service with some freezers, their sensors, and most demo samples in place."""
    database = Database(context.directory / "storage.sqlite", TABLES + READING_TABLES)
    storage = Storage(context, database)
    sensors = Sensors(context.reactor, database)
    database.fill_once(lambda: fill_storage(storage.locations, storage.placements, sensors, context.reactor.seconds()))
    analytics = Analytics(context.reactor, storage.locations, storage.placements, sensors)
    description = "Storage locations with their capacity, samples in their places, and imitated sensors."
    return Service("storage", description, database, context.reactor, [storage, sensors, analytics])


class Storage(Part):
    """The locations, and the samples in them."""

    routes = Routes("storage")

    def __init__(self, context: Context, database: Database) -> None:
        self._database = database
        self.locations: Collection = database.collection("locations", "location", context.reactor)
        self.placements: Collection = database.collection("placements", "placement", context.reactor)

    @routes.pages("/storage", "List locations", LOCATION, query={"zone": choice(*ZONES)})
    def list_storage(self, call: Call) -> Page:
        """List locations with what is used of them: the same as the list of locations."""
        return self.list_locations(call)

    @routes.pages("/storage/locations", "List locations", LOCATION, query={"zone": choice(*ZONES)})
    def list_locations(self, call: Call) -> Page:
        """List locations with what is used of them."""
        page = self.locations.page(**call.window, **call.filters)
        return Page([self._shown(location) for location in page.items], page.total, page.limit, page.offset)

    @routes.post("/storage/locations", "Add a location", body=NEW_LOCATION, answer=LOCATION, status=201)
    def create_location(self, call: Call) -> Json:
        """Add an empty location."""
        return self._shown(self.locations.create(complete(NEW_LOCATION, call.body), call.user))

    @routes.get("/storage/locations/<uuid:location_id>", "Show a location", answer=LOCATION)
    def get_location(self, call: Call, location_id: str) -> Json:
        """Show a location with what is used of it."""
        return self._shown(self.locations.get(location_id))

    @routes.put(
        "/storage/locations/<uuid:location_id>",
        "Change a location",
        body=LOCATION_CHANGES,
        answer=LOCATION,
        errors=(409,),
    )
    def change_location(self, call: Call, location_id: str) -> Json:
        """Set the given properties; the capacity cannot fall below what is used."""
        used = self._shown(self.locations.get(location_id))["used"]
        if call.body.get("capacity", used) < used:
            raise conflict("capacity_in_use", f"{used} positions are in use", used=used)
        return self._shown(self.locations.change(location_id, call.body, call.user))

    @routes.delete("/storage/locations/<uuid:location_id>", "Remove a location", answer=LOCATION, errors=(409,))
    def delete_location(self, call: Call, location_id: str) -> Json:
        """Remove an empty location."""
        location = self._shown(self.locations.get(location_id))
        if location["used"]:
            raise conflict("location_in_use", f"{location['used']} samples are stored there", used=location["used"])
        self.locations.remove(location_id)
        return location

    @routes.pages("/storage/samples", "List stored samples", PLACEMENT, query={"location_id": identifier()})
    def list_placements(self, call: Call) -> Page:
        """List which sample is where."""
        return self.placements.page(**call.window, **call.filters)

    @routes.post(
        "/storage/samples", "Store a sample", body=NEW_PLACEMENT, answer=PLACEMENT, status=201, errors=(404, 409)
    )
    def store_sample(self, call: Call) -> Json:
        """Put a sample into a location that has room, at the given position or the first free one."""
        body = complete(NEW_PLACEMENT, call.body)
        if self.placements.first(sample_id=body["sample_id"]) is not None:
            raise conflict("already_stored", f"sample {body['sample_id']} is stored already; move it instead")
        position = self._free_position(body["location_id"], body["position"])
        return self.placements.create({**body, "position": position}, call.user)

    @routes.get("/storage/samples/<uuid:sample_id>/location", "Find a stored sample", answer=PLACEMENT)
    def get_sample_location(self, call: Call, sample_id: str) -> Json:
        """Say where a sample is."""
        placement = self.placements.first(sample_id=sample_id)
        if placement is None:
            raise not_found("stored sample", sample_id)
        return placement

    @routes.put(
        "/storage/samples/<uuid:sample_id>/location", "Move a sample", body=MOVE, answer=PLACEMENT, errors=(409,)
    )
    def move_sample(self, call: Call, sample_id: str) -> Json:
        """Move a stored sample to another position or location."""
        placement = self.get_sample_location(call, sample_id)
        target = call.body["location_id"]
        try:
            with self._database.transaction():
                # Its own position is free for it, and its own place counts for nothing.
                self.placements.remove(placement["id"])
                position = self._free_position(target, call.body.get("position"))
                return self.placements.create(
                    {**placement, "location_id": target, "position": position}, placement["created_by"], placement["id"]
                )
        except sqlite3.IntegrityError as error:
            raise conflict("position_taken", "the position is taken") from error

    @routes.delete("/storage/samples/<uuid:sample_id>/location", "Take a sample out", answer=PLACEMENT)
    def take_sample(self, call: Call, sample_id: str) -> Json:
        """Take a sample out of its place and say where it was."""
        return self.placements.remove(self.get_sample_location(call, sample_id)["id"])

    def _shown(self, location: Json) -> Json:
        used = self.placements.count(location_id=location["id"])
        return {**location, "used": used, "available": location["capacity"] - used}

    def _free_position(self, location_id: str, wanted: str | None) -> str:
        """Return the wanted position, or the lowest free number.

        :raises Problem: 404 for an unknown location, 409 when it is full or the position is taken.
        """
        location = self._shown(self.locations.get(location_id))
        if not location["available"]:
            message = f"{location['name']} is full: {location['capacity']} of {location['capacity']} positions"
            raise conflict("location_full", message, capacity=location["capacity"])
        taken = {placement["position"] for placement in self.placements.all(location_id=location_id)}
        if wanted is None:
            return next(str(n) for n in range(1, location["capacity"] + 1) if str(n) not in taken)
        if wanted in taken:
            raise conflict("position_taken", f"position {wanted} of {location['name']} is taken")
        return wanted
