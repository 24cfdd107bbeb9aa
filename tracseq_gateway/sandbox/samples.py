"""The stand-in samples service: samples from reception to archive."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from . import sample_status
from .demo.samples import demo_samples
from .kit import moments
from .kit.problems import Problem, conflict, invalid, not_found
from .kit.records import Database, Page
from .kit.routes import Call, Part, Routes
from .kit.schema import (
    Json,
    array,
    boolean,
    changes,
    choice,
    complete,
    date,
    identifier,
    mapping,
    number,
    record,
    stored,
    text,
)
from .kit.service import Context, Service
from .kit.states import require_step

TABLES = """
CREATE UNIQUE INDEX IF NOT EXISTS sample_barcode ON record (json_extract(document, '$.barcode'))
    WHERE collection = 'samples';
"""

STATUS = choice(*sample_status.NEXT)
NEW_SAMPLE = record(
    "NewSample",
    {"name": text(1, 200), "sample_type": text(1, 60)},
    {
        "barcode": text(1, 60, pattern=r"^[A-Za-z0-9._-]+$", description="Made by the service when absent."),
        "template_id": identifier(),
        "source_type": text(0, 60),
        "source_identifier": text(0, 120),
        "collection_date": date(),
        "collection_location": text(0, 200),
        "collector": text(0, 120),
        "concentration": number(0, 100_000, description="In nanograms per microlitre."),
        "volume": number(0, 1_000_000),
        "unit": text(1, 20, default="µL"),
        "quality_score": number(0, 100),
        "metadata": {**mapping(), "default": {}},
        "notes": text(0, 5000),
    },
)
SAMPLE = stored("Sample", NEW_SAMPLE, {"status": STATUS})
SAMPLE_CHANGES = changes("SampleChanges", NEW_SAMPLE)
STATUS_CHANGE = record("StatusChange", {"status": STATUS}, {"reason": text(0, 500)})
BATCH = record("SampleBatch", {"samples": array(NEW_SAMPLE, 1, 500)})
CHOSEN = record("ChosenSamples", {"sample_ids": array(identifier(), 1, 500, uniqueItems=True)})
CHECKED = record("CheckedSample", {"sample_id": identifier(), "valid": boolean(), "problems": mapping(text())})
CHECKED_BATCH = record("CheckedBatch", {"valid": boolean(), "results": array(CHECKED)})
FILTERS = {"status": STATUS, "sample_type": text(), "template_id": identifier(), "collector": text()}


def service(context: Context) -> Service:
    """Return the samples service with some demo samples in every state."""
    database = Database(context.directory / "samples.sqlite", TABLES)
    samples = Samples(context, database)
    database.fill_once(lambda: samples.fill(demo_samples(context.reactor.seconds())))
    description = "Samples from reception to archive. The states that may follow each other are enforced."
    return Service("samples", description, database, context.reactor, [samples])


class Samples(Part):
    """The samples and what may be done with them."""

    routes = Routes("samples")

    def __init__(self, context: Context, database: Database) -> None:
        self._database = database
        self._samples = database.collection("samples", "sample", context.reactor)
        self._clock = context.reactor

    def fill(self, demo: Sequence[Json]) -> None:
        """Store complete samples, ids and all."""
        for sample in demo:
            self._samples.create(sample)

    @routes.pages("/samples", "List samples", SAMPLE, query=FILTERS)
    def list_samples(self, call: Call) -> Page:
        """List samples, the newest first. Deleted ones are listed only when asked for by their status."""
        if call.query["status"] is not None:
            return self._samples.page(**call.window, **call.filters)
        known = {name: value for name, value in call.filters.items() if value is not None}
        kept = [sample for sample in self._samples.all(**known) if sample["status"] != "deleted"]
        return Page.of(kept, **call.window)

    @routes.post("/samples", "Register a sample", body=NEW_SAMPLE, answer=SAMPLE, status=201, errors=(409,))
    def create_sample(self, call: Call) -> Json:
        """Store a pending sample."""
        return self._create(call.body, call.user)

    @routes.get("/samples/<uuid:sample_id>", "Show a sample", answer=SAMPLE)
    def get_sample(self, call: Call, sample_id: str) -> Json:
        """Show a sample, also a deleted one."""
        return self._samples.get(sample_id)

    @routes.put("/samples/<uuid:sample_id>", "Change a sample", body=SAMPLE_CHANGES, answer=SAMPLE, errors=(409,))
    def change_sample(self, call: Call, sample_id: str) -> Json:
        """Set the given properties; the status has its own route."""
        self._require_changeable(self._samples.get(sample_id))
        self._check_dates([call.body], "")
        if "barcode" in call.body and call.body["barcode"] is None:
            raise invalid({"barcode": "cannot be removed"})
        try:
            return self._samples.change(sample_id, call.body, call.user)
        except sqlite3.IntegrityError as error:
            raise _taken(str(call.body["barcode"])) from error

    @routes.delete("/samples/<uuid:sample_id>", "Delete a sample", answer=SAMPLE, errors=(409,))
    def delete_sample(self, call: Call, sample_id: str) -> Json:
        """Mark a sample as deleted; it can still be shown."""
        return self._step(sample_id, "deleted", call.user)

    @routes.get("/samples/barcode/<barcode>", "Find a sample by its barcode", answer=SAMPLE)
    def get_sample_by_barcode(self, call: Call, barcode: str) -> Json:
        """Find the one sample with this barcode."""
        sample = self._samples.first(barcode=barcode)
        if sample is None:
            raise not_found("sample with barcode", barcode)
        return sample

    @routes.put(
        "/samples/<uuid:sample_id>/status", "Move a sample on", body=STATUS_CHANGE, answer=SAMPLE, errors=(409,)
    )
    def set_sample_status(self, call: Call, sample_id: str) -> Json:
        """Take one step through the states and keep the reason in the metadata; a refusal names what may follow."""
        sample = self._step(sample_id, call.body["status"], call.user)
        if not call.body.get("reason"):
            return sample
        noted = {**(sample["metadata"] or {}), "status_reason": call.body["reason"]}
        return self._samples.change(sample_id, {"metadata": noted})

    @routes.post("/samples/<uuid:sample_id>/validate", "Validate a sample", answer=CHECKED, errors=(409,))
    def validate_sample(self, call: Call, sample_id: str) -> Json:
        """Check a pending sample for what the laboratory needs; a complete one becomes validated."""
        return self._validate(sample_id, call.user)

    @routes.post("/samples/batch", "Register samples", body=BATCH, answer=array(SAMPLE), status=201, errors=(409,))
    def create_samples(self, call: Call) -> list[Json]:
        """Store all of the samples, or none when one is refused."""
        self._check_dates(call.body["samples"], "samples[{}].")
        with self._database.transaction():
            return [self._create(sample, call.user) for sample in call.body["samples"]]

    @routes.post("/samples/batch/validate", "Validate samples", body=CHOSEN, answer=CHECKED_BATCH, errors=(404, 409))
    def validate_samples(self, call: Call) -> Json:
        """Validate each of the samples; none is changed when one is unknown or not pending."""
        with self._database.transaction():
            results = [self._validate(sample_id, call.user) for sample_id in call.body["sample_ids"]]
        return {"valid": all(result["valid"] for result in results), "results": results}

    def _create(self, body: Json, user: str | None) -> Json:
        self._check_dates([body], "")
        fields = {**complete(NEW_SAMPLE, body), "status": "pending"}
        fields["barcode"] = fields["barcode"] or self._next_barcode()
        try:
            return self._samples.create(fields, user)
        except sqlite3.IntegrityError as error:
            raise _taken(fields["barcode"]) from error

    def _next_barcode(self) -> str:
        """Return a barcode that no sample has: as a rule the one after the number of samples."""
        number = self._samples.count() + 1
        while self._samples.first(barcode=f"TSQ-{number:06d}") is not None:
            number += 1
        return f"TSQ-{number:06d}"

    def _check_dates(self, bodies: Sequence[Json], path: str) -> None:
        """Refuse samples that were collected in the future; ``path`` is where they are in the body."""
        tomorrow = moments.to_date(self._clock.seconds() + moments.DAY)
        wrong = {
            f"{path.format(position)}collection_date": "must not be in the future"
            for position, body in enumerate(bodies)
            if (body.get("collection_date") or "") > tomorrow  # A day of grace for the time zones in the east.
        }
        if wrong:
            raise invalid(wrong)

    def _require_changeable(self, sample: Json) -> None:
        if sample["status"] in ("deleted", "archived"):
            raise conflict("not_changeable", f"a sample that is {sample['status']} does not change")

    def _step(self, sample_id: str, wanted: str, user: str | None) -> Json:
        require_step(sample_status.NEXT, "sample", self._samples.get(sample_id)["status"], wanted)
        return self._samples.change(sample_id, {"status": wanted}, user)

    def _validate(self, sample_id: str, user: str | None) -> Json:
        sample = self._samples.get(sample_id)
        require_step(sample_status.NEXT, "sample", sample["status"], "validated")
        problems = missing_for_validation(sample)
        if not problems:
            self._samples.change(sample_id, {"status": "validated"}, user)
        return {"sample_id": sample_id, "valid": not problems, "problems": problems}


def missing_for_validation(sample: Json) -> dict[str, str]:
    """Return what keeps a sample from being validated, by field."""
    needed = ("source_type", "source_identifier", "collection_date", "collector")
    problems = {name: "is needed for validation" for name in needed if not sample[name]}
    for name in ("concentration", "volume"):
        if not sample[name]:
            problems[name] = "must be measured and above zero"
    return problems


def _taken(barcode: str) -> Problem:
    return conflict("barcode_taken", f"there is already a sample with barcode {barcode}", barcode=barcode)
