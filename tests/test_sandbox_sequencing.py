"""The stand-in sequencing service."""

from __future__ import annotations

import csv
import io
from typing import Any

from tests.sandbox_client import UNKNOWN, SandboxCase
from tracseq_gateway.sandbox.demo import demo_id

ROW = {"sample_id": "TSQ-000001", "index": "ACGTACGT"}
SHEET = {"name": "Flow cell 9", "rows": [ROW, {**ROW, "sample_id": "TSQ-000002", "index": "TTTTACGT"}]}


class SequencingCase(SandboxCase):
    """A test of the sequencing service."""

    name = "sequencing"

    def job(self, **fields: Any) -> Any:
        return self.post("/jobs", {"name": "Batch", "sample_ids": [UNKNOWN], **fields}, status=201)

    def run_(self, **fields: Any) -> Any:
        return self.post("/runs", {"name": "Run", "instrument": "MiniSeq-9", "minutes": 60, **fields}, status=201)


class JobsTests(SequencingCase):
    """Jobs."""

    def test_life(self) -> None:
        """A job takes its steps, shows which may follow, and is changed only before it begins."""
        path = f"/jobs/{self.job()['id']}"
        self.assertEqual("urgent", self.put(path, {"priority": "urgent"})["priority"])
        self.assertEqual(["queued", "cancelled"], self.get(f"{path}/status")["allowed"])
        self.assertEqual(
            "created", self.refused("PUT", f"{path}/status", {"status": "completed"}, status=409)["current"]
        )
        for status in ("queued", "running"):
            self.put(f"{path}/status", {"status": status})
        self.refused("PUT", path, {"priority": "low"}, status=409)
        self.refused("DELETE", path, status=409)
        self.assertEqual("cancelled", self.post(f"{path}/cancel")["status"])
        self.refused("POST", f"{path}/cancel", status=409)
        self.send("DELETE", path)
        self.refused("GET", path, status=404)

    def test_clone(self) -> None:
        """A copy has the content of the job and its own life."""
        original = self.get("/?status=completed&limit=1")[0]
        copy = self.post(f"/jobs/{original['id']}/clone", status=201)
        self.assertEqual((original["sample_ids"], "created"), (copy["sample_ids"], copy["status"]))
        self.assertNotEqual(original["id"], copy["id"])


class WorkflowTests(SequencingCase):
    """Workflows."""

    def test_life(self) -> None:
        """A workflow is executed, paused, resumed and aborted, each only when it makes sense."""
        path = f"/workflows/{demo_id('workflow', '16S amplicon')}"
        self.refused("POST", f"{path}/pause", status=409)
        self.assertEqual("2026-03-01T10:00:00Z", self.post(f"{path}/execute")["started_at"])
        self.refused("POST", f"{path}/resume", status=409)
        self.refused("DELETE", path, status=409)
        self.assertEqual("paused", self.post(f"{path}/pause")["status"])
        self.refused("POST", f"{path}/execute", status=409)
        self.refused("PUT", path, {"name": "x"}, status=409)
        self.assertEqual("running", self.post(f"{path}/resume")["status"])
        self.assertEqual("aborted", self.post(f"{path}/abort")["status"])
        self.assertEqual("x", self.put(path, {"name": "x"})["name"])
        self.post(f"{path}/execute")

    def test_create(self) -> None:
        """A new workflow is idle, needs a step, and can be removed."""
        self.refused("POST", "/workflows", {"name": "x", "steps": []}, status=400)
        created = self.post("/workflows", {"name": "x", "steps": ["a"]}, status=201)
        self.assertEqual("idle", self.send("DELETE", f"/workflows/{created['id']}").data["status"])


class SheetsTests(SequencingCase):
    """Sample sheets."""

    def sheet(self, *rows: Any) -> Any:
        return self.post("/sample-sheets", {**SHEET, "rows": list(rows) or SHEET["rows"]}, status=201)

    def test_download(self) -> None:
        """A sheet is downloaded as CSV with its three sections, under its own name."""
        answer = self.send("GET", f"/sample-sheets/{self.sheet()['id']}/download")
        self.assertEqual("text/csv; charset=utf-8", answer.headers["Content-Type"])
        self.assertIn('attachment; filename="Flow cell 9.csv"', answer.headers["Content-Disposition"])
        lines = list(csv.reader(io.StringIO(answer.content.decode())))
        self.assertEqual(["[Header]"], lines[0])
        self.assertEqual([["151"], ["151"]], lines[lines.index(["[Reads]"]) + 1 :][:2])
        data = lines[lines.index(["[Data]"]) + 1 :]
        self.assertEqual(["Lane", "Sample_ID", "index", "index2", "Sample_Project"], data[0])
        self.assertEqual(["1", "TSQ-000002", "TTTTACGT", "", ""], data[2])

    def test_validate(self) -> None:
        """What would confuse the instrument is named; lanes are apart."""
        good = self.sheet(ROW, {**ROW, "lane": 2})
        self.assertEqual({"valid": True, "problems": []}, self.post(f"/sample-sheets/{good['id']}/validate"))
        bad = self.sheet(ROW, ROW, {**ROW, "sample_id": "other", "index": "ACGT"})
        self.assertEqual(
            [
                "lane 1 has sample TSQ-000001 2 times",
                "lane 1 has index ACGTACGT 2 times",
                "index has different lengths: 4, 8",
            ],
            self.post(f"/sample-sheets/{bad['id']}/validate")["problems"],
        )

    def test_change(self) -> None:
        """Rows are replaced as a whole, and checked one by one."""
        path = f"/sample-sheets/{self.sheet()['id']}"
        self.assertEqual(3, self.put(path, {"rows": [{**ROW, "lane": 3}]})["rows"][0]["lane"])
        refused = self.refused("PUT", path, {"rows": [{**ROW, "index": "ACGU"}, {"lane": 9}]}, status=400)
        self.assertEqual(
            {"rows[0].index", "rows[1].lane", "rows[1].index", "rows[1].sample_id"}, set(refused["fields"])
        )
        self.send("DELETE", path)
        self.refused("GET", f"{path}/download", status=404)


class RunsTests(SequencingCase):
    """Runs on imitated instruments."""

    def test_progress(self) -> None:
        """A started run advances with the clock and completes by itself."""
        run = self.run_(cycles=100)
        path = f"/runs/{run['id']}"
        self.assertEqual(0, self.get(f"{path}/metrics")["cycles_done"])
        self.assertEqual("running", self.post(f"{path}/start")["status"])
        self.clock.advance(1800)
        halfway = self.get(f"{path}/metrics")
        self.assertEqual((0.5, 50), (halfway["progress"], halfway["cycles_done"]))
        self.clock.advance(7200)
        self.assertIn(run["id"], [one["id"] for one in self.get("/runs?status=completed")])
        self.assertEqual("2026-03-01T11:00:00Z", self.get(path)["ended_at"])
        self.assertAlmostEqual(2 * halfway["yield_gigabases"], self.get(f"{path}/metrics")["yield_gigabases"], 1)
        self.refused("POST", f"{path}/start", status=409)

    def test_stop(self) -> None:
        """A stopped run keeps what it has, and yields no more."""
        path = f"/runs/{self.run_()['id']}"
        self.refused("POST", f"{path}/stop", status=409)
        self.post(f"{path}/start")
        self.clock.advance(600)
        self.post(f"{path}/stop")
        metrics = self.get(f"{path}/metrics")
        self.clock.advance(600)
        self.assertEqual(metrics, self.get(f"{path}/metrics"))

    def test_instrument(self) -> None:
        """An instrument does one run at a time."""
        first, second = self.run_(), self.run_()
        self.post(f"/runs/{first['id']}/start")
        busy = self.refused("POST", f"/runs/{second['id']}/start", status=409)
        self.assertEqual(("instrument_busy", first["id"]), (busy["code"], busy["run_id"]))
        self.clock.advance(3600)
        self.post(f"/runs/{second['id']}/start")

    def test_change(self) -> None:
        """Only a planned run is changed, and a running one is not removed; its sheet must exist."""
        path = f"/runs/{self.run_()['id']}"
        self.assertEqual(30, self.put(path, {"minutes": 30})["minutes"])
        self.refused("PUT", path, {"sample_sheet_id": UNKNOWN}, status=404)
        self.post(f"{path}/start")
        self.refused("PUT", path, {"minutes": 10}, status=409)
        self.refused("DELETE", path, status=409)
        self.post(f"{path}/stop")
        self.send("DELETE", path)
        self.refused("POST", "/runs", {"name": "x", "instrument": "y", "sample_sheet_id": UNKNOWN}, status=404)


class AnalysisTests(SequencingCase):
    """Analyses and quality control."""

    def test_results(self) -> None:
        """The reads of a completed run are shared out among the samples of its sheet."""
        body = {"pipeline_id": demo_id("pipeline", "germline-variants"), "run_id": demo_id("run", 3)}
        analysis = self.post("/analysis/jobs", body, status=201)
        results = self.get(f"/analysis/jobs/{analysis['id']}/results")
        metrics = self.get(f"/runs/{body['run_id']}/metrics")
        reads = sum(sample["reads"] for sample in results["samples"])
        self.assertTrue(0 <= metrics["yield_gigabases"] * 1e9 / 302 - reads <= len(results["samples"]))
        self.assertEqual(["TSQ-000007", "TSQ-000008", "TSQ-000009"], [one["sample_id"] for one in results["samples"]])

    def test_unfinished(self) -> None:
        """A run that is not completed cannot be analysed, nor by an unknown pipeline."""
        body = {"pipeline_id": demo_id("pipeline", "germline-variants"), "run_id": self.run_()["id"]}
        self.refused("POST", "/analysis/jobs", body, status=409)
        self.refused("POST", "/analysis/jobs", {**body, "pipeline_id": UNKNOWN}, status=404)
        pipeline = self.post("/analysis/pipelines", {"name": "p", "version": "1"}, status=201)
        self.assertEqual(pipeline, self.get(f"/analysis/pipelines/{pipeline['id']}"))

    def test_thresholds(self) -> None:
        """A run passes by the thresholds of the day; a report keeps its own."""
        run = demo_id("run", 3)
        easy = {"q30_percent": 0, "yield_gigabases": 0, "error_rate_percent": 100}
        hard = {"q30_percent": 100, "yield_gigabases": 1e6, "error_rate_percent": 0}
        self.assertEqual(easy, self.put("/qc/thresholds", easy))
        report = self.post("/qc/reports", {"run_id": run, "comment": "fine"}, status=201)
        self.assertTrue(report["judged"]["passed"])
        self.put("/qc/thresholds", hard)
        judged = next(one for one in self.get("/qc/metrics") if one["run_id"] == run)
        self.assertEqual((False, set(hard)), (judged["passed"], set(judged["problems"])))
        self.assertEqual(report, self.get(f"/qc/reports/{report['id']}"))
        self.assertEqual([report], self.get(f"/qc/reports?run_id={run}"))


class ScheduleTests(SequencingCase):
    """The schedule."""

    def slot(self, starts_at: str, hours: int, **rest: Any) -> Any:
        body = {"job_id": demo_id("job", 12), "instrument": "MiniSeq-9", "starts_at": starts_at, "hours": hours}
        return self.send("POST", "/schedule/jobs", body, **rest)

    def test_overlap(self) -> None:
        """A slot that would overlap another of the instrument is refused; one that follows at once is not."""
        first = self.slot("2026-03-05T20:00:00Z", 8).data
        taken = self.slot("2026-03-06T04:59:00+02:00", 1, status=409).error
        self.assertEqual(
            (first["id"], "MiniSeq-9 is taken until 2026-03-06T04:00:00Z"), (taken["slot_id"], taken["message"])
        )
        self.slot("2026-03-06T04:00:00Z", 1)
        self.send("DELETE", f"/schedule/jobs/{first['id']}")
        self.slot("2026-03-05T21:00:00Z", 1)

    def test_calendar(self) -> None:
        """Each day of the span is listed with the slots that touch it, by default a week from today."""
        slot = self.slot("2026-04-05T20:00:00Z", 8).data
        days = self.get("/schedule/calendar?from=2026-04-04&to=2026-04-07")
        self.assertEqual(
            [("2026-04-04", []), ("2026-04-05", [slot["id"]]), ("2026-04-06", [slot["id"]]), ("2026-04-07", [])],
            [(day["date"], [one["id"] for one in day["slots"]]) for day in days],
        )
        week = self.get("/schedule/calendar")
        self.assertEqual(("2026-03-01", 7), (week[0]["date"], len(week)))
        for query in ("from=2026-04-02&to=2026-04-01", "from=2026-01-01&to=2026-12-31", "from=soon"):
            self.refused("GET", f"/schedule/calendar?{query}", status=400)


class ExportTests(SequencingCase):
    """Exports."""

    def test_formats(self) -> None:
        """Each export has a line for each record, in CSV or JSON, and is saved as a file."""
        for what in ("jobs", "runs", "metrics", "results"):
            records = self.send("GET", f"/export/{what}?format=json").body
            answer = self.send("GET", f"/export/{what}")
            lines = list(csv.DictReader(io.StringIO(answer.content.decode())))
            self.assertEqual(len(records), len(lines))
            self.assertEqual(list(records[0]), list(lines[0]))
            self.assertIn(f'filename="{what}.csv"', answer.headers["Content-Disposition"])
        self.refused("GET", "/export/jobs?format=xls", status=400)
