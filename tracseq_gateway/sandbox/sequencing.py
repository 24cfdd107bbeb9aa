"""The stand-in sequencing service: jobs, workflows, sample sheets, runs, quality control and the schedule."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from .demo.sequencing import fill_sequencing
from .kit.problems import conflict
from .kit.records import Database, Page
from .kit.routes import Call, Part, Routes
from .kit.schema import Json, array, changes, choice, complete, identifier, integer, record, stored, text
from .kit.service import Context, Service
from .kit.states import Steps, require_step
from .sequencing_analysis import Analysis, QualityControl
from .sequencing_plan import Export, Schedule
from .sequencing_runs import Runs
from .sequencing_sheets import Sheets
from .sequencing_workflows import Workflows

JOB_NEXT: Final[Steps] = MappingProxyType(
    {
        "created": ("queued", "cancelled"),
        "queued": ("running", "cancelled"),
        "running": ("completed", "failed", "cancelled"),
        "completed": (),
        "failed": ("queued",),
        "cancelled": (),
    }
)
JOB_STATUS = choice(*JOB_NEXT)
PRIORITY = choice("low", "normal", "high", "urgent", default="normal")
NEW_JOB = record(
    "NewJob",
    {"name": text(1, 200), "sample_ids": array(identifier(), 1, 384, uniqueItems=True)},
    {
        "priority": PRIORITY,
        "application": text(0, 60, description="Such as `WGS`, `RNA-seq` or `amplicon`."),
        "workflow_id": identifier(),
        "read_length": integer(25, 600),
        "notes": text(0, 5000),
    },
)
JOB = stored("Job", NEW_JOB, {"status": JOB_STATUS})
JOB_CHANGES = changes("JobChanges", NEW_JOB)
JOB_STATUS_CHANGE = record("JobStatusChange", {"status": JOB_STATUS})
JOB_STATE = record("JobState", {"job_id": identifier(), "status": JOB_STATUS, "allowed": array(JOB_STATUS)})


def service(context: Context) -> Service:
    """Return the sequencing service with some months of jobs and runs."""
    database = Database(context.directory / "sequencing.sqlite")
    clock = context.reactor
    jobs = Jobs(context, database)
    workflows = Workflows(database, clock)
    sheets = Sheets(database, clock)
    runs = Runs(database, clock, sheets)
    quality = QualityControl(database, clock, runs)
    analysis = Analysis(database, clock, runs, sheets)
    schedule = Schedule(database, clock, jobs.jobs)
    export = Export(jobs.jobs, runs, analysis)
    database.fill_once(lambda: fill_sequencing(database, clock, analysis))
    parts = [jobs, workflows, sheets, runs, analysis, quality, schedule, export]
    description = "Jobs, sample sheets and runs. Instruments are imitated: a started run advances with the clock."
    return Service("sequencing", description, database, clock, parts)


class Jobs(Part):
    """The sequencing jobs."""

    routes = Routes()

    def __init__(self, context: Context, database: Database) -> None:
        self.jobs = database.collection("jobs", "job", context.reactor)

    @routes.pages("/", "List jobs", JOB, query={"status": JOB_STATUS})
    def list_sequencing(self, call: Call) -> Page:
        """List jobs: the same as the list of jobs."""
        return self.list_jobs(call)

    @routes.pages("/jobs", "List jobs", JOB, query={"status": JOB_STATUS, "application": text()})
    def list_jobs(self, call: Call) -> Page:
        """List jobs, the newest first."""
        return self.jobs.page(**call.window, **call.filters)

    @routes.post("/jobs", "Add a job", body=NEW_JOB, answer=JOB, status=201)
    def create_job(self, call: Call) -> Json:
        """Add a job for some samples."""
        return self.jobs.create({**complete(NEW_JOB, call.body), "status": "created"}, call.user)

    @routes.get("/jobs/<uuid:job_id>", "Show a job", answer=JOB)
    def get_job(self, call: Call, job_id: str) -> Json:
        """Show a job."""
        return self.jobs.get(job_id)

    @routes.put("/jobs/<uuid:job_id>", "Change a job", body=JOB_CHANGES, answer=JOB, errors=(409,))
    def change_job(self, call: Call, job_id: str) -> Json:
        """Set the given properties of a job that has not begun."""
        status = self.jobs.get(job_id)["status"]
        if status not in ("created", "queued"):
            raise conflict("job_begun", f"a job that is {status} does not change")
        return self.jobs.change(job_id, call.body, call.user)

    @routes.delete("/jobs/<uuid:job_id>", "Remove a job", answer=JOB, errors=(409,))
    def delete_job(self, call: Call, job_id: str) -> Json:
        """Remove a job that is not running."""
        if self.jobs.get(job_id)["status"] == "running":
            raise conflict("job_running", "cancel the job before removing it")
        return self.jobs.remove(job_id)

    @routes.get("/jobs/<uuid:job_id>/status", "Show a job's status", answer=JOB_STATE)
    def get_job_status(self, call: Call, job_id: str) -> Json:
        """Show the status and those that may follow."""
        status = self.jobs.get(job_id)["status"]
        return {"job_id": job_id, "status": status, "allowed": list(JOB_NEXT[status])}

    @routes.put("/jobs/<uuid:job_id>/status", "Move a job on", body=JOB_STATUS_CHANGE, answer=JOB, errors=(409,))
    def set_job_status(self, call: Call, job_id: str) -> Json:
        """Take one step; a refusal names the states that may follow."""
        return self._step(call, job_id, call.body["status"])

    @routes.post("/jobs/<uuid:job_id>/clone", "Copy a job", answer=JOB, status=201)
    def clone_job(self, call: Call, job_id: str) -> Json:
        """Add a new job with the content of another."""
        original = self.jobs.get(job_id)
        content = {name: original[name] for name in NEW_JOB["properties"]}
        return self.jobs.create({**content, "status": "created"}, call.user)

    @routes.post("/jobs/<uuid:job_id>/cancel", "Cancel a job", answer=JOB, errors=(409,))
    def cancel_job(self, call: Call, job_id: str) -> Json:
        """Cancel a job that is not over."""
        return self._step(call, job_id, "cancelled")

    def _step(self, call: Call, job_id: str, wanted: str) -> Json:
        require_step(JOB_NEXT, "job", self.jobs.get(job_id)["status"], wanted)
        return self.jobs.change(job_id, {"status": wanted}, call.user)
