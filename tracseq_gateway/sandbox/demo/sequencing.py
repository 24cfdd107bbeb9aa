"""Demo sequencing: some months of jobs, sheets and runs, and a schedule for the coming week."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IReactorTime

from tracseq_gateway.sandbox.kit import moments
from tracseq_gateway.sandbox.kit.records import Database
from tracseq_gateway.sandbox.kit.schema import Json

from . import barcode, demo_id

if TYPE_CHECKING:
    from tracseq_gateway.sandbox.sequencing_analysis import Analysis

_INSTRUMENTS = ["NovaSeq-01", "NextSeq-02", "MiSeq-03"]
_APPLICATIONS = ["WGS", "RNA-seq", "amplicon", "exome"]
_JOB_STATES = ["completed"] * 6 + ["failed", "cancelled", "running", "running", "queued", "created"]
_WORKFLOWS = {
    "Whole genome, PCR-free": ["Shear", "Repair ends", "Ligate adapters", "Quantify", "Pool", "Load"],
    "Stranded mRNA": ["Select poly-A", "Fragment", "Synthesize cDNA", "Ligate adapters", "Amplify", "Pool", "Load"],
    "16S amplicon": ["Amplify V3-V4", "Index", "Clean up", "Pool", "Load"],
}
_PIPELINES = {"germline-variants": "4.2.0", "rna-quantification": "3.1.4", "amplicon-profiling": "2.0.1"}
_SAMPLES_OF_A_JOB = 3


def fill_sequencing(database: Database, clock: IReactorTime, analysis: Analysis) -> None:
    """Store workflows, pipelines, and for each job its sheet, its run, and an analysis of what is completed."""
    now = clock.seconds()
    user = demo_id("user", "research_scientist")
    workflows = database.collection("workflows", "workflow", clock)
    for name, steps in _WORKFLOWS.items():
        fields: Json = {"name": name, "steps": steps, "description": None, "status": "idle", "started_at": None}
        workflows.create(fields, user, demo_id("workflow", name))
    pipelines = database.collection("pipelines", "pipeline", clock)
    for name, version in _PIPELINES.items():
        pipelines.create({"name": name, "version": version, "description": None}, user, demo_id("pipeline", name))
    for number, status in enumerate(_JOB_STATES, 1):
        _fill_job(database, clock, number, status, now - (len(_JOB_STATES) - number) * 2 * moments.DAY)
        if status == "completed":
            pipeline = demo_id("pipeline", list(_PIPELINES)[number % len(_PIPELINES)])
            run = database.collection("runs", "run", clock).get(demo_id("run", number))
            analysis.perform(pipeline, run, user, demo_id("analysis", number))
    slots = database.collection("slots", "slot", clock)
    for number in (11, 12):
        fields = {"job_id": demo_id("job", number), "instrument": _INSTRUMENTS[number % 3], "hours": 26}
        starts = moments.to_text(now + (number - 10) * moments.DAY)
        slots.create({**fields, "starts_at": starts}, user, demo_id("slot", number))


def _fill_job(database: Database, clock: IReactorTime, number: int, status: str, created: float) -> None:
    user = demo_id("user", "research_scientist")
    application = _APPLICATIONS[number % len(_APPLICATIONS)]
    samples = range((number - 1) * _SAMPLES_OF_A_JOB + 1, number * _SAMPLES_OF_A_JOB + 1)
    history = {"created_at": moments.to_text(created), "updated_at": moments.to_text(created)}
    job: Json = {
        **history,
        "name": f"{application} batch {number:02d}",
        "sample_ids": [demo_id("sample", sample) for sample in samples],
        "priority": "high" if number % 5 == 0 else "normal",
        "application": application,
        "workflow_id": demo_id("workflow", list(_WORKFLOWS)[number % len(_WORKFLOWS)]),
        "read_length": 151,
        "notes": None,
        "status": status,
    }
    database.collection("jobs", "job", clock).create(job, user, demo_id("job", number))
    if status in ("created", "queued", "cancelled"):
        return
    dice = Random(number)  # noqa: S311 - demo data, the same at every first start
    sheet: Json = {
        **history,
        "name": f"Sheet {number:02d}",
        "job_id": demo_id("job", number),
        "instrument": _INSTRUMENTS[number % 3],
        "reads": [151, 151],
        "rows": [
            {
                "sample_id": barcode(sample),
                "index": "".join(dice.choices("ACGT", k=10)),
                "index2": "".join(dice.choices("ACGT", k=10)),
                "lane": 1,
                "project": application,
            }
            for sample in samples
        ],
    }
    database.collection("sample_sheets", "sheet", clock).create(sheet, user, demo_id("sheet", number))
    _fill_run(database, clock, number, status, created)


def _fill_run(database: Database, clock: IReactorTime, number: int, status: str, created: float) -> None:
    user = demo_id("user", "lab_technician")
    started = clock.seconds() - 9 * moments.HOUR if status == "running" else created + 4 * moments.HOUR
    over = {"completed": ("completed", 24.0), "failed": ("stopped", 5.0)}.get(status)
    run: Json = {
        "created_at": moments.to_text(created),
        "updated_at": moments.to_text(started),
        "name": f"Run {number:02d}",
        "instrument": _INSTRUMENTS[number % 3],
        "job_id": demo_id("job", number),
        "sample_sheet_id": demo_id("sheet", number),
        "cycles": 302,
        "minutes": 1440,
        "status": over[0] if over else "running",
        "started_at": moments.to_text(started),
        "ended_at": moments.to_text(started + over[1] * moments.HOUR) if over else None,
    }
    database.collection("runs", "run", clock).create(run, user, demo_id("run", number))
