"""Sample sheets: what tells an instrument which index belongs to which sample."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator

from twisted.internet.interfaces import IReactorTime

from .kit import moments
from .kit.records import Database, Page
from .kit.routes import Call, Download, Part, Routes
from .kit.schema import (
    Json,
    array,
    boolean,
    changes,
    complete,
    identifier,
    integer,
    record,
    stored,
    text,
)

_INDEX = text(4, 24, pattern="^[ACGT]+$")
ROW = record(
    "SheetRow",
    {"sample_id": text(1, 100, pattern="^[A-Za-z0-9_-]+$"), "index": _INDEX},
    {
        "lane": integer(1, 8, default=1),
        "index2": _INDEX,
        "project": text(0, 60, pattern="^[A-Za-z0-9_-]*$"),
    },
)
NEW_SHEET = record(
    "NewSampleSheet",
    {"name": text(1, 120), "rows": array(ROW, 1, 1000)},
    {"job_id": identifier(), "instrument": text(0, 60), "reads": array(integer(1, 600), 1, 2, default=[151, 151])},
)
SHEET = stored("SampleSheet", NEW_SHEET)
SHEET_CHANGES = changes("SampleSheetChanges", NEW_SHEET)
SHEET_VERDICT = record("SampleSheetVerdict", {"valid": boolean(), "problems": array(text())})


class Sheets(Part):
    """The sample sheets."""

    routes = Routes()

    def __init__(self, database: Database, clock: IReactorTime) -> None:
        self.sheets = database.collection("sample_sheets", "sample sheet", clock)

    @routes.pages("/sample-sheets", "List sample sheets", SHEET, query={"job_id": identifier()})
    def list_sheets(self, call: Call) -> Page:
        """List sample sheets, the newest first."""
        return self.sheets.page(**call.window, **call.filters)

    @routes.post("/sample-sheets", "Add a sample sheet", body=NEW_SHEET, answer=SHEET, status=201)
    def create_sheet(self, call: Call) -> Json:
        """Add a sample sheet; it may still have problems, which `validate` names."""
        return self.sheets.create(_complete(complete(NEW_SHEET, call.body)), call.user)

    @routes.get("/sample-sheets/<uuid:sheet_id>", "Show a sample sheet", answer=SHEET)
    def get_sheet(self, call: Call, sheet_id: str) -> Json:
        """Show a sample sheet."""
        return self.sheets.get(sheet_id)

    @routes.put("/sample-sheets/<uuid:sheet_id>", "Change a sample sheet", body=SHEET_CHANGES, answer=SHEET)
    def change_sheet(self, call: Call, sheet_id: str) -> Json:
        """Set the given properties; given rows replace the old ones."""
        return self.sheets.change(sheet_id, _complete(call.body), call.user)

    @routes.delete("/sample-sheets/<uuid:sheet_id>", "Remove a sample sheet", answer=SHEET)
    def delete_sheet(self, call: Call, sheet_id: str) -> Json:
        """Remove a sample sheet."""
        return self.sheets.remove(sheet_id)

    @routes.get("/sample-sheets/<uuid:sheet_id>/download", "Download a sample sheet", produces="text/csv")
    def download_sheet(self, call: Call, sheet_id: str) -> Download:
        """Return the sheet as CSV with the sections Header, Reads and Data, as instruments read it."""
        sheet = self.sheets.get(sheet_id)
        return Download(as_csv(sheet), "text/csv; charset=utf-8", f"{sheet['name']}.csv")

    @routes.post("/sample-sheets/<uuid:sheet_id>/validate", "Check a sample sheet", answer=SHEET_VERDICT)
    def validate_sheet(self, call: Call, sheet_id: str) -> Json:
        """Say what would confuse the instrument; 200 in either case."""
        problems = list(sheet_problems(self.sheets.get(sheet_id)))
        return {"valid": not problems, "problems": problems}


def _complete(body: Json) -> Json:
    """Fill in what is absent from the rows."""
    return {**body, "rows": [complete(ROW, row) for row in body["rows"]]} if "rows" in body else dict(body)


def as_csv(sheet: Json) -> bytes:
    """Return the sheet as CSV."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerows(
        [
            ["[Header]"],
            ["FileFormatVersion", "2"],
            ["RunName", sheet["name"]],
            ["Date", moments.to_date(moments.to_seconds(sheet["created_at"]))],
            ["InstrumentType", sheet["instrument"] or ""],
            [],
            ["[Reads]"],
            *([cycles] for cycles in sheet["reads"] or ()),
            [],
            ["[Data]"],
            ["Lane", "Sample_ID", "index", "index2", "Sample_Project"],
        ]
    )
    for row in sheet["rows"]:
        writer.writerow([row["lane"], row["sample_id"], row["index"], row["index2"] or "", row["project"] or ""])
    return text.getvalue().encode()


def sheet_problems(sheet: Json) -> Iterator[str]:
    """Yield what is wrong between rows: samples or indices that repeat in a lane, and indices of unequal length."""
    samples = Counter((row["lane"], row["sample_id"]) for row in sheet["rows"])
    indices = Counter((row["lane"], row["index"], row["index2"]) for row in sheet["rows"])
    for (lane, sample), count in samples.items():
        if count > 1:
            yield f"lane {lane} has sample {sample} {count} times"
    for (lane, index, index2), count in indices.items():
        if count > 1:
            yield f"lane {lane} has index {index}{'+' + index2 if index2 else ''} {count} times"
    for name in ("index", "index2"):
        lengths = {len(row[name] or "") for row in sheet["rows"]}
        if len(lengths) > 1:
            yield f"{name} has different lengths: {', '.join(map(str, sorted(lengths)))}"
