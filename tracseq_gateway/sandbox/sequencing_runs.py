"""Runs of the imitated instruments: a started run advances with the clock, and its metrics with it."""

from __future__ import annotations

from random import Random
from types import MappingProxyType
from typing import Final

from twisted.internet.interfaces import IReactorTime

from .kit import moments
from .kit.problems import conflict
from .kit.records import Database, Page
from .kit.routes import Call, Part, Routes
from .kit.schema import (
    Json,
    changes,
    choice,
    complete,
    identifier,
    integer,
    moment,
    nullable,
    number,
    record,
    stored,
    text,
)
from .kit.states import Steps, require_step
from .sequencing_sheets import Sheets

RUN_NEXT: Final[Steps] = MappingProxyType(
    {"planned": ("running",), "running": ("stopped", "completed"), "stopped": (), "completed": ()}
)
RUN_STATUS = choice(*RUN_NEXT)
NEW_RUN = record(
    "NewRun",
    {"name": text(1, 120), "instrument": text(1, 60)},
    {
        "job_id": identifier(),
        "sample_sheet_id": identifier(),
        "cycles": integer(1, 1200, default=302),
        "minutes": integer(1, 10_000, default=1440, description="How long the imitated instrument takes."),
    },
)
RUN = stored(
    "Run",
    NEW_RUN,
    {"status": RUN_STATUS, "started_at": nullable(moment()), "ended_at": nullable(moment())},
)
RUN_CHANGES = changes("RunChanges", NEW_RUN)
METRICS = record(
    "RunMetrics",
    {
        "run_id": identifier(),
        "status": RUN_STATUS,
        "progress": number(0, 1),
        "cycles_done": integer(0),
        "yield_gigabases": number(0),
        "q30_percent": number(0, 100),
        "cluster_density": number(0, description="Thousands per square millimetre."),
        "error_rate_percent": number(0, 100),
    },
)


class Runs(Part):
    """The runs and their metrics."""

    routes = Routes()

    def __init__(self, database: Database, clock: IReactorTime, sheets: Sheets) -> None:
        self._runs = database.collection("runs", "run", clock)
        self._clock = clock
        self._sheets = sheets

    @routes.pages("/runs", "List runs", RUN, query={"status": RUN_STATUS, "instrument": text()})
    def list_runs(self, call: Call) -> Page:
        """List runs, the newest first."""
        self.all()  # Those whose time is over are completed before they are filtered.
        return self._runs.page(**call.window, **call.filters)

    @routes.post("/runs", "Plan a run", body=NEW_RUN, answer=RUN, status=201, errors=(404,))
    def create_run(self, call: Call) -> Json:
        """Plan a run; its sample sheet must exist if one is named."""
        self._require_sheet(call.body)
        planned = {"status": "planned", "started_at": None, "ended_at": None}
        return self._runs.create({**complete(NEW_RUN, call.body), **planned}, call.user)

    @routes.get("/runs/<uuid:run_id>", "Show a run", answer=RUN)
    def get_run(self, call: Call, run_id: str) -> Json:
        """Show a run."""
        return self.get(run_id)

    @routes.put("/runs/<uuid:run_id>", "Change a run", body=RUN_CHANGES, answer=RUN, errors=(409,))
    def change_run(self, call: Call, run_id: str) -> Json:
        """Set the given properties of a planned run."""
        status = self.get(run_id)["status"]
        if status != "planned":
            raise conflict("run_begun", f"a run that is {status} does not change")
        self._require_sheet(call.body)
        return self._runs.change(run_id, call.body, call.user)

    @routes.delete("/runs/<uuid:run_id>", "Remove a run", answer=RUN, errors=(409,))
    def delete_run(self, call: Call, run_id: str) -> Json:
        """Remove a run that is not running."""
        if self.get(run_id)["status"] == "running":
            raise conflict("run_running", "stop the run before removing it")
        return self._runs.remove(run_id)

    @routes.post("/runs/<uuid:run_id>/start", "Start a run", answer=RUN, errors=(409,))
    def start_run(self, call: Call, run_id: str) -> Json:
        """Start a planned run on an instrument that is free."""
        run = self.get(run_id)
        require_step(RUN_NEXT, "run", run["status"], "running")
        for other in self.all():
            if other["status"] == "running" and other["instrument"] == run["instrument"]:
                raise conflict("instrument_busy", f"{run['instrument']} runs {other['name']}", run_id=other["id"])
        started = moments.to_text(self._clock.seconds())
        return self._runs.change(run_id, {"status": "running", "started_at": started}, call.user)

    @routes.post("/runs/<uuid:run_id>/stop", "Stop a run", answer=RUN, errors=(409,))
    def stop_run(self, call: Call, run_id: str) -> Json:
        """Stop a running run; what it has yielded so far stays."""
        require_step(RUN_NEXT, "run", self.get(run_id)["status"], "stopped")
        stopped = {"status": "stopped", "ended_at": moments.to_text(self._clock.seconds())}
        return self._runs.change(run_id, stopped, call.user)

    @routes.get("/runs/<uuid:run_id>/metrics", "Show a run's metrics", answer=METRICS)
    def get_run_metrics(self, call: Call, run_id: str) -> Json:
        """Show how far the run is and what it has yielded."""
        return self.metrics(self.get(run_id))

    def get(self, run_id: str) -> Json:
        """Return a run, completed if its time is over.

        :raises Problem: 404 when there is none.
        """
        return self._settled(self._runs.get(run_id))

    def all(self) -> list[Json]:
        """Return every run, completed if its time is over."""
        return [self._settled(run) for run in self._runs.all()]

    def metrics(self, run: Json) -> Json:
        """Return a run's metrics: the same run at the same moment always has the same."""
        dice = Random(run["id"])  # noqa: S311 - an imitated instrument
        density, q30, error_rate = dice.uniform(160, 230), dice.uniform(82, 95), dice.uniform(0.15, 0.9)
        progress = self._progress(run)
        cycles = int(progress * run["cycles"])
        # A flow cell of 3,000 square millimetres: a base for each cluster and cycle.
        bases = density * 1e3 * 3000 * cycles
        return {
            "run_id": run["id"],
            "status": run["status"],
            "progress": round(progress, 4),
            "cycles_done": cycles,
            "yield_gigabases": round(bases / 1e9, 2),
            "q30_percent": round(q30, 2),
            "cluster_density": round(density, 1),
            "error_rate_percent": round(error_rate, 3),
        }

    def _progress(self, run: Json) -> float:
        if run["started_at"] is None:
            return 0.0
        end = moments.to_seconds(run["ended_at"]) if run["ended_at"] else self._clock.seconds()
        share: float = min(1.0, (end - moments.to_seconds(run["started_at"])) / (run["minutes"] * 60))
        return share

    def _settled(self, run: Json) -> Json:
        if run["status"] != "running" or self._progress(run) < 1:
            return run
        ended = moments.to_seconds(run["started_at"]) + run["minutes"] * 60
        return self._runs.change(run["id"], {"status": "completed", "ended_at": moments.to_text(ended)})

    def _require_sheet(self, body: Json) -> None:
        if body.get("sample_sheet_id") is not None:
            self._sheets.sheets.get(body["sample_sheet_id"])
