"""Templates of messages. Substitution is plain: a name in ``${...}`` becomes its value, and nothing is evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from string import Template

from twisted.internet.interfaces import IReactorTime

from .kit.problems import Problem
from .kit.records import Database, Page
from .kit.routes import Call, Part, Routes
from .kit.schema import Json, array, changes, complete, mapping, record, stored, text

NEW_MESSAGE = record(
    "NewMessageTemplate",
    {"name": text(1, 120), "body": text(1, 20_000, description="May have names such as `${sample}`.")},
    {"subject": text(0, 200)},
)
MESSAGE = stored("MessageTemplate", NEW_MESSAGE, {"variables": array(text())})
MESSAGE_CHANGES = changes("MessageTemplateChanges", NEW_MESSAGE)
VARIABLES = record("Variables", {}, {"variables": mapping(text(0, 2000))})
PREVIEW = record("Preview", {"subject": text(), "body": text(maximum=100_000), "missing": array(text())})
_FILLED_LIMIT = 100_000


class MessageTemplates(Part):
    """The templates of messages."""

    routes = Routes()

    def __init__(self, database: Database, clock: IReactorTime) -> None:
        self.templates = database.collection("templates", "message template", clock)

    @routes.pages("/templates", "List message templates", MESSAGE)
    def list_message_templates(self, call: Call) -> Page:
        """List message templates, the newest first."""
        page = self.templates.page(**call.window)
        return Page([_shown(template) for template in page.items], page.total, page.limit, page.offset)

    @routes.post("/templates", "Add a message template", body=NEW_MESSAGE, answer=MESSAGE, status=201)
    def create_message_template(self, call: Call) -> Json:
        """Add a message template."""
        return _shown(self.templates.create(complete(NEW_MESSAGE, call.body), call.user))

    @routes.get("/templates/<uuid:template_id>", "Show a message template", answer=MESSAGE)
    def get_message_template(self, call: Call, template_id: str) -> Json:
        """Show a message template with the variables in it."""
        return _shown(self.templates.get(template_id))

    @routes.put("/templates/<uuid:template_id>", "Change a message template", body=MESSAGE_CHANGES, answer=MESSAGE)
    def change_message_template(self, call: Call, template_id: str) -> Json:
        """Set the given properties."""
        return _shown(self.templates.change(template_id, call.body, call.user))

    @routes.delete("/templates/<uuid:template_id>", "Remove a message template", answer=MESSAGE)
    def delete_message_template(self, call: Call, template_id: str) -> Json:
        """Remove a message template."""
        return _shown(self.templates.remove(template_id))

    @routes.post("/templates/<uuid:template_id>/preview", "Fill in a message template", body=VARIABLES, answer=PREVIEW)
    def preview_message_template(self, call: Call, template_id: str) -> Json:
        """Fill in the given variables and name those that are missing; they stay as they are."""
        template = self.templates.get(template_id)
        variables = call.body.get("variables") or {}
        missing = [name for name in variables_of(template) if name not in variables]
        return {**fill_in(template, variables), "missing": missing}


def variables_of(template: Json) -> list[str]:
    """Return the names in a template's subject and body, sorted."""
    text = f"{template['subject'] or ''}\n{template['body']}"
    return sorted(set(Template(text).get_identifiers()))


def fill_in(template: Json, variables: Mapping[str, str]) -> Json:
    """Return subject and body with the variables filled in; unknown names and stray ``$`` stay as they are.

    :raises Problem: 400 when repeated long values would make it longer than 100,000 characters.
    """
    filled = {name: Template(template[name] or "").safe_substitute(variables) for name in ("subject", "body")}
    if len(filled["subject"]) > 500 or len(filled["body"]) > _FILLED_LIMIT:
        raise Problem(400, "message_too_long", "the message with its variables is too long")
    return filled


def _shown(template: Json) -> Json:
    return {**template, "variables": variables_of(template)}
