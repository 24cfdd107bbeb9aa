"""When jobs are sequenced, and everything as a file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from twisted.internet.interfaces import IReactorTime

from .kit import moments
from .kit.problems import conflict, invalid
from .kit.records import Collection, Database, Page
from .kit.routes import Call, Download, Part, Routes
from .kit.schema import Json, array, choice, date, identifier, integer, moment, record, stored, text
from .sequencing_analysis import Analysis
from .sequencing_runs import Runs

NEW_SLOT = record(
    "NewSlot",
    {"job_id": identifier(), "instrument": text(1, 60), "starts_at": moment(), "hours": integer(1, 24 * 14)},
)
SLOT = stored("Slot", NEW_SLOT)
DAY = record("CalendarDay", {"date": date(), "slots": array(SLOT)})
_CALENDAR_DAYS = 62
_FORMAT = {"format": choice("csv", "json", default="csv")}
_FILE_TYPES = "text/csv, application/json"


class Schedule(Part):
    """Jobs in their slots: an instrument does one at a time."""

    routes = Routes()

    def __init__(self, database: Database, clock: IReactorTime, jobs: Collection) -> None:
        self._slots = database.collection("slots", "slot", clock)
        self._clock = clock
        self._jobs = jobs

    @routes.pages("/schedule/jobs", "List slots", SLOT, query={"instrument": text(), "job_id": identifier()})
    def list_slots(self, call: Call) -> Page:
        """List slots, the newest first."""
        return self._slots.page(**call.window, **call.filters)

    @routes.post("/schedule/jobs", "Schedule a job", body=NEW_SLOT, answer=SLOT, status=201, errors=(404, 409))
    def create_slot(self, call: Call) -> Json:
        """Give a job a slot on an instrument that is free for all of it."""
        self._jobs.get(call.body["job_id"])
        start, end = _span(call.body)
        for slot in self._slots.all(instrument=call.body["instrument"]):
            other_start, other_end = _span(slot)
            if start < other_end and other_start < end:
                until = moments.to_text(other_end)
                raise conflict("instrument_taken", f"{slot['instrument']} is taken until {until}", slot_id=slot["id"])
        return self._slots.create(call.body, call.user)

    @routes.delete("/schedule/jobs/<uuid:slot_id>", "Free a slot", answer=SLOT)
    def delete_slot(self, call: Call, slot_id: str) -> Json:
        """Free a slot."""
        return self._slots.remove(slot_id)

    @routes.get("/schedule/calendar", "Show the calendar", query={"from": date(), "to": date()}, answer=array(DAY))
    def show_calendar(self, call: Call) -> list[Json]:
        """List each day of a span, both ends included, with the slots that touch it. Default: a week from today."""
        first = moments.to_seconds(call.query["from"] or moments.to_date(self._clock.seconds()))
        last = moments.to_seconds(call.query["to"]) if call.query["to"] else first + 6 * moments.DAY
        days = int((last - first) / moments.DAY) + 1
        if not 1 <= days <= _CALENDAR_DAYS:
            raise invalid({"to": f"must be 0 to {_CALENDAR_DAYS - 1} days after from"})
        return [self._day(first + number * moments.DAY) for number in range(days)]

    def _day(self, start: float) -> Json:
        touching = [
            slot for slot in self._slots.all() if _span(slot)[0] < start + moments.DAY and _span(slot)[1] > start
        ]
        return {"date": moments.to_date(start), "slots": sorted(touching, key=_span)}


def _span(slot: Json) -> tuple[float, float]:
    start = moments.to_seconds(slot["starts_at"])
    return start, start + slot["hours"] * moments.HOUR


class Export(Part):
    """Tables for spreadsheets and scripts."""

    routes = Routes()

    def __init__(self, jobs: Collection, runs: Runs, analysis: Analysis) -> None:
        self._jobs = jobs
        self._runs = runs
        self._analysis = analysis

    @routes.get("/export/jobs", "Export the jobs", query=_FORMAT, produces=_FILE_TYPES)
    def export_jobs(self, call: Call) -> Download:
        """Return all jobs."""
        return _table("jobs", self._jobs.all(), call.query["format"])

    @routes.get("/export/runs", "Export the runs", query=_FORMAT, produces=_FILE_TYPES)
    def export_runs(self, call: Call) -> Download:
        """Return all runs."""
        return _table("runs", self._runs.all(), call.query["format"])

    @routes.get("/export/metrics", "Export the metrics", query=_FORMAT, produces=_FILE_TYPES)
    def export_metrics(self, call: Call) -> Download:
        """Return the metrics of all runs."""
        return _table("metrics", [self._runs.metrics(run) for run in self._runs.all()], call.query["format"])

    @routes.get("/export/results", "Export the results", query=_FORMAT, produces=_FILE_TYPES)
    def export_results(self, call: Call) -> Download:
        """Return a line for each sample of each analysis."""
        lines = [
            {"analysis_id": result["analysis_id"], "run_id": result["run_id"], **sample}
            for result in self._analysis.all_results()
            for sample in result["samples"]
        ]
        return _table("results", lines, call.query["format"])


def _table(name: str, records: Sequence[Json], form: str) -> Download:
    """Return records of one shape as a file; in CSV, lists and objects become JSON text."""
    if form == "json":
        return Download(json.dumps(list(records)).encode(), "application/json", f"{name}.json")
    sheet = io.StringIO()
    writer = csv.writer(sheet)
    if records:
        writer.writerow(records[0])
    writer.writerows([_cell(value) for value in line.values()] for line in records)
    return Download(sheet.getvalue().encode(), "text/csv; charset=utf-8", f"{name}.csv")


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | dict) else value
