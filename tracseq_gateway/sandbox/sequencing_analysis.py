"""What becomes of runs: analysis jobs with results for each sample, and quality control against thresholds."""

from __future__ import annotations

from random import Random

from twisted.internet.interfaces import IReactorTime

from .kit.problems import conflict
from .kit.records import Database, Page
from .kit.routes import Call, Part, Routes
from .kit.schema import (
    Json,
    array,
    boolean,
    choice,
    complete,
    identifier,
    integer,
    mapping,
    number,
    record,
    stored,
    text,
)
from .sequencing_runs import METRICS, Runs
from .sequencing_sheets import Sheets

NEW_PIPELINE = record("NewPipeline", {"name": text(1, 120), "version": text(1, 20)}, {"description": text(0, 1000)})
PIPELINE = stored("Pipeline", NEW_PIPELINE)
NEW_ANALYSIS = record("NewAnalysis", {"pipeline_id": identifier(), "run_id": identifier()})
ANALYSIS = stored("Analysis", NEW_ANALYSIS, {"status": choice("completed")})
RESULT = record(
    "SampleResult", {"sample_id": text(), "lane": integer(1, 8), "reads": integer(0), "mean_quality": number(0, 60)}
)
RESULTS = record("AnalysisResults", {"analysis_id": identifier(), "run_id": identifier(), "samples": array(RESULT)})

THRESHOLDS = record(
    "Thresholds",
    {
        "q30_percent": number(0, 100, description="At least."),
        "yield_gigabases": number(0, description="At least."),
        "error_rate_percent": number(0, 100, description="At most."),
    },
)
DEFAULT_THRESHOLDS: Json = {"q30_percent": 80, "yield_gigabases": 100, "error_rate_percent": 0.8}
JUDGED_RUN = record(
    "JudgedRun", {"run_id": identifier(), "metrics": METRICS, "passed": boolean(), "problems": mapping(text())}
)
NEW_REPORT = record("NewReport", {"run_id": identifier()}, {"comment": text(0, 2000)})
REPORT = stored("Report", NEW_REPORT, {"judged": JUDGED_RUN, "thresholds": THRESHOLDS})


class Analysis(Part):
    """Pipelines, and what they made of completed runs."""

    routes = Routes()

    def __init__(self, database: Database, clock: IReactorTime, runs: Runs, sheets: Sheets) -> None:
        self._analyses = database.collection("analyses", "analysis job", clock)
        self._pipelines = database.collection("pipelines", "pipeline", clock)
        self._runs = runs
        self._sheets = sheets

    @routes.pages("/analysis/pipelines", "List pipelines", PIPELINE)
    def list_pipelines(self, call: Call) -> Page:
        """List pipelines, the newest first."""
        return self._pipelines.page(**call.window)

    @routes.post("/analysis/pipelines", "Add a pipeline", body=NEW_PIPELINE, answer=PIPELINE, status=201)
    def create_pipeline(self, call: Call) -> Json:
        """Add a pipeline."""
        return self._pipelines.create(complete(NEW_PIPELINE, call.body), call.user)

    @routes.get("/analysis/pipelines/<uuid:pipeline_id>", "Show a pipeline", answer=PIPELINE)
    def get_pipeline(self, call: Call, pipeline_id: str) -> Json:
        """Show a pipeline."""
        return self._pipelines.get(pipeline_id)

    @routes.pages("/analysis/jobs", "List analysis jobs", ANALYSIS, query={"run_id": identifier()})
    def list_analyses(self, call: Call) -> Page:
        """List analysis jobs, the newest first."""
        page = self._analyses.page(**call.window, **call.filters)
        return Page([_shown(analysis) for analysis in page.items], page.total, page.limit, page.offset)

    @routes.post("/analysis/jobs", "Analyse a run", body=NEW_ANALYSIS, answer=ANALYSIS, status=201, errors=(404, 409))
    def create_analysis(self, call: Call) -> Json:
        """Analyse a completed run that has a sample sheet; the imitated pipeline is done at once."""
        self._pipelines.get(call.body["pipeline_id"])
        run = self._runs.get(call.body["run_id"])
        if run["status"] != "completed" or run["sample_sheet_id"] is None:
            raise conflict("run_not_analysable", "only a completed run with a sample sheet can be analysed")
        return _shown(self.perform(call.body["pipeline_id"], run, call.user))

    @routes.get("/analysis/jobs/<uuid:analysis_id>", "Show an analysis job", answer=ANALYSIS)
    def get_analysis(self, call: Call, analysis_id: str) -> Json:
        """Show an analysis job."""
        return _shown(self._analyses.get(analysis_id))

    @routes.get("/analysis/jobs/<uuid:analysis_id>/results", "Show results", answer=RESULTS)
    def get_results(self, call: Call, analysis_id: str) -> Json:
        """Show what each sample of the run's sheet got."""
        return _results(self._analyses.get(analysis_id))

    def all_results(self) -> list[Json]:
        """Return the results of every analysis, the newest first."""
        return [_results(analysis) for analysis in self._analyses.all()]

    def perform(self, pipeline_id: str, run: Json, user: str | None, identity: str | None = None) -> Json:
        """Store an analysis: the run's reads, shared out unevenly among the rows of its sheet.

        The results are kept with it, so that they outlive the run and its sheet.

        :raises Problem: 404 when the run's sheet has been removed.
        """
        rows = self._sheets.sheets.get(run["sample_sheet_id"])["rows"]
        reads = self._runs.metrics(run)["yield_gigabases"] * 1e9 / run["cycles"]
        dice = Random(f"{pipeline_id} {run['id']}")  # noqa: S311 - an imitated pipeline
        shares = [dice.uniform(0.7, 1.3) for _ in rows]
        samples = [
            {
                "sample_id": row["sample_id"],
                "lane": row["lane"],
                "reads": int(reads * share / sum(shares)),
                "mean_quality": round(dice.uniform(33, 37), 2),
            }
            for row, share in zip(rows, shares, strict=True)
        ]
        fields = {"pipeline_id": pipeline_id, "run_id": run["id"], "status": "completed", "samples": samples}
        return self._analyses.create(fields, user, identity)


def _shown(analysis: Json) -> Json:
    return {name: analysis[name] for name in ANALYSIS["properties"]}


def _results(analysis: Json) -> Json:
    return {"analysis_id": analysis["id"], "run_id": analysis["run_id"], "samples": analysis["samples"]}


class QualityControl(Part):
    """Runs judged by thresholds that the laboratory sets."""

    routes = Routes()

    def __init__(self, database: Database, clock: IReactorTime, runs: Runs) -> None:
        self._reports = database.collection("reports", "report", clock)
        self._thresholds = database.collection("thresholds", "set of thresholds", clock)
        self._runs = runs

    @routes.pages("/qc/metrics", "Judge all runs", JUDGED_RUN)
    def list_judged_runs(self, call: Call) -> Page:
        """List the runs that have begun with their metrics and a verdict by today's thresholds."""
        begun = [run for run in self._runs.all() if run["started_at"] is not None]
        page = Page.of(begun, **call.window)
        return Page([self._judged(run) for run in page.items], page.total, page.limit, page.offset)

    @routes.get("/qc/thresholds", "Show the thresholds", answer=THRESHOLDS)
    def get_thresholds(self, call: Call) -> Json:
        """Show what a run must reach."""
        return self._current_thresholds()

    @routes.put("/qc/thresholds", "Set the thresholds", body=THRESHOLDS, answer=THRESHOLDS)
    def set_thresholds(self, call: Call) -> Json:
        """Set what a run must reach from now on; old sets are kept for the record."""
        self._thresholds.create(call.body, call.user)
        return self._current_thresholds()

    @routes.pages("/qc/reports", "List reports", REPORT, query={"run_id": identifier()})
    def list_reports(self, call: Call) -> Page:
        """List reports, the newest first."""
        return self._reports.page(**call.window, **call.filters)

    @routes.post("/qc/reports", "Report on a run", body=NEW_REPORT, answer=REPORT, status=201, errors=(404,))
    def create_report(self, call: Call) -> Json:
        """Write down the verdict on a run as it is now."""
        judged = self._judged(self._runs.get(call.body["run_id"]))
        content = {"judged": judged, "thresholds": self._current_thresholds()}
        return self._reports.create({**complete(NEW_REPORT, call.body), **content}, call.user)

    @routes.get("/qc/reports/<uuid:report_id>", "Show a report", answer=REPORT)
    def get_report(self, call: Call, report_id: str) -> Json:
        """Show a report."""
        return self._reports.get(report_id)

    def _current_thresholds(self) -> Json:
        kept = self._thresholds.first() or DEFAULT_THRESHOLDS
        return {name: kept[name] for name in THRESHOLDS["properties"]}

    def _judged(self, run: Json) -> Json:
        metrics, thresholds = self._runs.metrics(run), self._current_thresholds()
        problems = {
            name: f"{metrics[name]:g} is below {thresholds[name]:g}"
            for name in ("q30_percent", "yield_gigabases")
            if metrics[name] < thresholds[name]
        }
        if metrics["error_rate_percent"] > thresholds["error_rate_percent"]:
            found, limit = metrics["error_rate_percent"], thresholds["error_rate_percent"]
            problems["error_rate_percent"] = f"{found:g} is above {limit:g}"
        return {"run_id": run["id"], "metrics": metrics, "passed": not problems, "problems": problems}
