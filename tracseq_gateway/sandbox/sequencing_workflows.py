"""Workflows of the sequencing service: named steps that are executed, paused, resumed and aborted."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from twisted.internet.interfaces import IReactorTime

from .kit import moments
from .kit.problems import conflict
from .kit.records import Database, Page
from .kit.routes import Call, Part, Routes
from .kit.schema import Json, array, changes, choice, complete, moment, nullable, record, stored, text
from .kit.states import Steps, require_step

WORKFLOW_NEXT: Final[Steps] = MappingProxyType(
    {
        "idle": ("running",),
        "running": ("paused", "aborted"),
        "paused": ("running", "aborted"),
        "aborted": ("running",),
    }
)
NEW_WORKFLOW = record(
    "NewWorkflow", {"name": text(1, 120), "steps": array(text(1, 120), 1, 50)}, {"description": text(0, 1000)}
)
WORKFLOW = stored("Workflow", NEW_WORKFLOW, {"status": choice(*WORKFLOW_NEXT), "started_at": nullable(moment())})
WORKFLOW_CHANGES = changes("WorkflowChanges", NEW_WORKFLOW)


class Workflows(Part):
    """The workflows."""

    routes = Routes()

    def __init__(self, database: Database, clock: IReactorTime) -> None:
        self.workflows = database.collection("workflows", "workflow", clock)
        self._clock = clock

    @routes.pages("/workflows", "List workflows", WORKFLOW, query={"status": choice(*WORKFLOW_NEXT)})
    def list_workflows(self, call: Call) -> Page:
        """List workflows, the newest first."""
        return self.workflows.page(**call.window, **call.filters)

    @routes.post("/workflows", "Add a workflow", body=NEW_WORKFLOW, answer=WORKFLOW, status=201)
    def create_workflow(self, call: Call) -> Json:
        """Add an idle workflow."""
        idle = {"status": "idle", "started_at": None}
        return self.workflows.create({**complete(NEW_WORKFLOW, call.body), **idle}, call.user)

    @routes.get("/workflows/<uuid:workflow_id>", "Show a workflow", answer=WORKFLOW)
    def get_workflow(self, call: Call, workflow_id: str) -> Json:
        """Show a workflow."""
        return self.workflows.get(workflow_id)

    @routes.put(
        "/workflows/<uuid:workflow_id>", "Change a workflow", body=WORKFLOW_CHANGES, answer=WORKFLOW, errors=(409,)
    )
    def change_workflow(self, call: Call, workflow_id: str) -> Json:
        """Set the given properties of a workflow that is not being executed."""
        self._require_at_rest(workflow_id)
        return self.workflows.change(workflow_id, call.body, call.user)

    @routes.delete("/workflows/<uuid:workflow_id>", "Remove a workflow", answer=WORKFLOW, errors=(409,))
    def delete_workflow(self, call: Call, workflow_id: str) -> Json:
        """Remove a workflow that is not being executed."""
        self._require_at_rest(workflow_id)
        return self.workflows.remove(workflow_id)

    @routes.post("/workflows/<uuid:workflow_id>/execute", "Start a workflow", answer=WORKFLOW, errors=(409,))
    def execute_workflow(self, call: Call, workflow_id: str) -> Json:
        """Start at the first step; a paused workflow is resumed instead."""
        if self.workflows.get(workflow_id)["status"] == "paused":
            raise conflict("workflow_paused", "resume the workflow, or abort it first")
        self._step(call, workflow_id, "running")
        started = moments.to_text(self._clock.seconds())
        return self.workflows.change(workflow_id, {"started_at": started}, call.user)

    @routes.post("/workflows/<uuid:workflow_id>/pause", "Pause a workflow", answer=WORKFLOW, errors=(409,))
    def pause_workflow(self, call: Call, workflow_id: str) -> Json:
        """Pause a running workflow."""
        return self._step(call, workflow_id, "paused")

    @routes.post("/workflows/<uuid:workflow_id>/resume", "Resume a workflow", answer=WORKFLOW, errors=(409,))
    def resume_workflow(self, call: Call, workflow_id: str) -> Json:
        """Go on with a paused workflow."""
        status = self.workflows.get(workflow_id)["status"]
        if status != "paused":
            raise conflict("workflow_not_paused", f"the workflow is {status}")
        return self._step(call, workflow_id, "running")

    @routes.post("/workflows/<uuid:workflow_id>/abort", "Abort a workflow", answer=WORKFLOW, errors=(409,))
    def abort_workflow(self, call: Call, workflow_id: str) -> Json:
        """End a running or paused workflow for good; it can be executed anew."""
        return self._step(call, workflow_id, "aborted")

    def _step(self, call: Call, workflow_id: str, wanted: str) -> Json:
        require_step(WORKFLOW_NEXT, "workflow", self.workflows.get(workflow_id)["status"], wanted)
        return self.workflows.change(workflow_id, {"status": wanted}, call.user)

    def _require_at_rest(self, workflow_id: str) -> None:
        status = self.workflows.get(workflow_id)["status"]
        if status in ("running", "paused"):
            raise conflict("workflow_in_use", f"the workflow is {status}")
