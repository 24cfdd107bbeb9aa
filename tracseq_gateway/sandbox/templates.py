"""The stand-in templates service: forms and spreadsheets with versions."""

from __future__ import annotations

from .demo.templates import fill_templates
from .kit.records import Database, Page
from .kit.routes import Call, Part, Routes
from .kit.schema import Json, choice, complete, identifier, integer, record, stored, text
from .kit.service import Context, Service
from .template_fields import Fields
from .template_files import Files
from .template_forms import Forms
from .template_model import NEW_TEMPLATE, RULE, STATES, TEMPLATE, TEMPLATE_CHANGES, Templates, new_field

CLONE = record("TemplateClone", {}, {"name": text(1, 120)})
VERSION = stored(
    "TemplateVersion",
    record("TemplateVersionFields", {"template_id": identifier(), "number": integer(1), "content": {"type": "object"}}),
)


def service(context: Context) -> Service:
    """Return the templates service with the laboratory's usual forms."""
    database = Database(context.directory / "templates.sqlite")
    templates = Templates(database, context.reactor)
    database.fill_once(lambda: fill_templates(templates))
    parts = [Catalogue(templates), Fields(templates), Forms(templates), Files(templates)]
    description = "Templates of forms and spreadsheets, their fields, rules and versions."
    return Service("templates", description, database, context.reactor, parts)


class Catalogue(Part):
    """The templates and their versions."""

    routes = Routes("templates")

    def __init__(self, templates: Templates) -> None:
        self._templates = templates

    @routes.pages("/templates", "List templates", TEMPLATE, query={"category": text(), "status": choice(*STATES)})
    def list_templates(self, call: Call) -> Page:
        """List templates, the newest first."""
        return self._templates.templates.page(**call.window, **call.filters)

    @routes.post("/templates", "Add a template", body=NEW_TEMPLATE, answer=TEMPLATE, status=201, errors=(409,))
    def create_template(self, call: Call) -> Json:
        """Add version 1 of a template."""
        return self._templates.create(call.body, call.user)

    @routes.get("/templates/<uuid:template_id>", "Show a template", answer=TEMPLATE)
    def get_template(self, call: Call, template_id: str) -> Json:
        """Show the newest version."""
        return self._templates.templates.get(template_id)

    @routes.put(
        "/templates/<uuid:template_id>", "Change a template", body=TEMPLATE_CHANGES, answer=TEMPLATE, errors=(409,)
    )
    def change_template(self, call: Call, template_id: str) -> Json:
        """Set the given properties in a new version. Given fields replace the old ones and get new ids."""
        content = {name: value for name, value in call.body.items() if value is not None}
        if "fields" in content:
            content["fields"] = [new_field(field) for field in content["fields"]]
        if "rules" in content:
            content["rules"] = [complete(RULE, rule) for rule in content["rules"]]
        return self._templates.change(template_id, content, call.user)

    @routes.delete("/templates/<uuid:template_id>", "Remove a template", answer=TEMPLATE)
    def delete_template(self, call: Call, template_id: str) -> Json:
        """Remove a template with its versions."""
        return self._templates.remove(template_id)

    @routes.post("/templates/<uuid:template_id>/clone", "Copy a template", body=CLONE, answer=TEMPLATE, status=201)
    def clone_template(self, call: Call, template_id: str) -> Json:
        """Copy the newest version into a draft of its own, called `Copy of ...` unless a name is given."""
        original = self._templates.exported(template_id)
        name = call.body.get("name") or f"Copy of {original['name']}"[:120]
        return self._templates.create(original | {"name": name, "status": "draft"}, call.user)

    @routes.pages("/templates/<uuid:template_id>/versions", "List versions", VERSION)
    def list_versions(self, call: Call, template_id: str) -> Page:
        """List the versions of a template, the newest first."""
        self._templates.templates.get(template_id)
        return self._templates.versions.page(**call.window, template_id=template_id)

    @routes.get("/templates/<uuid:template_id>/versions/<int:number>", "Show a version", answer=VERSION)
    def get_version(self, call: Call, template_id: str, number: int) -> Json:
        """Show one version. It never changes, so that whoever may ask may also be given what others got."""
        version = self._templates.version(template_id, number)
        call.request.setHeader("Cache-Control", "public, max-age=60")
        return version

    @routes.post("/templates/<uuid:template_id>/versions/<int:number>/restore", "Restore a version", answer=TEMPLATE)
    def restore_version(self, call: Call, template_id: str, number: int) -> Json:
        """Make a new version with the content of an old one."""
        content = self._templates.version(template_id, number)["content"]
        return self._templates.change(template_id, content, call.user)
