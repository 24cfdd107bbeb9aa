"""The fields of a template and the rules between them, one by one."""

from __future__ import annotations

from .kit.problems import bad_request, not_found
from .kit.routes import Call, Part, Routes
from .kit.schema import Json, array, complete, identifier, record
from .template_model import FIELD, FIELD_CHANGES, NEW_FIELD, RULE, RULES, Templates, new_field

ORDER = record("FieldOrder", {"field_ids": array(identifier(), 1, 200, uniqueItems=True)})
RULE_SET = record("RuleSet", {"rules": RULES})


class Fields(Part):
    """What is inside a template; every change makes a new version of it."""

    routes = Routes("templates")

    def __init__(self, templates: Templates) -> None:
        self._templates = templates

    @routes.get("/templates/<uuid:template_id>/fields", "List fields", answer=array(FIELD))
    def list_fields(self, call: Call, template_id: str) -> list[Json]:
        """List the fields in their order."""
        return self._fields(template_id)

    @routes.post(
        "/templates/<uuid:template_id>/fields",
        "Add a field",
        body=NEW_FIELD,
        answer=FIELD,
        status=201,
        errors=(409,),
    )
    def create_field(self, call: Call, template_id: str) -> Json:
        """Add a field after the others."""
        field = new_field(call.body)
        self._save(call, template_id, [*self._fields(template_id), field])
        return field

    @routes.post("/templates/<uuid:template_id>/fields/reorder", "Reorder the fields", body=ORDER, answer=array(FIELD))
    def reorder_fields(self, call: Call, template_id: str) -> list[Json]:
        """Put the fields into the given order, which must name each of them once."""
        by_id = {field["id"]: field for field in self._fields(template_id)}
        order = call.body["field_ids"]
        if set(order) != set(by_id):
            raise bad_request("incomplete_order", "name every field once", {"field_ids": "must be all of the fields"})
        fields = [by_id[identity] for identity in order]
        self._save(call, template_id, fields)
        return fields

    @routes.put(
        "/templates/<uuid:template_id>/fields/<uuid:field_id>",
        "Change a field",
        body=FIELD_CHANGES,
        answer=FIELD,
        errors=(409,),
    )
    def change_field(self, call: Call, template_id: str, field_id: str) -> Json:
        """Set the given properties of a field."""
        fields = self._fields(template_id)
        position = _position(fields, field_id)
        fields[position] = {**fields[position], **call.body}
        self._save(call, template_id, fields)
        return fields[position]

    @routes.delete("/templates/<uuid:template_id>/fields/<uuid:field_id>", "Remove a field", answer=FIELD)
    def delete_field(self, call: Call, template_id: str, field_id: str) -> Json:
        """Remove a field."""
        fields = self._fields(template_id)
        removed = fields.pop(_position(fields, field_id))
        self._save(call, template_id, fields)
        return removed

    @routes.get("/templates/<uuid:template_id>/validation", "List rules", answer=array(RULE))
    def list_rules(self, call: Call, template_id: str) -> list[Json]:
        """List the rules between fields."""
        rules: list[Json] = self._templates.templates.get(template_id)["rules"]
        return rules

    @routes.post("/templates/<uuid:template_id>/validation", "Add a rule", body=RULE, answer=array(RULE), status=201)
    def create_rule(self, call: Call, template_id: str) -> list[Json]:
        """Add a rule between two fields of the template and list all rules."""
        return self._save_rules(call, template_id, [*self.list_rules(call, template_id), complete(RULE, call.body)])

    @routes.put("/templates/<uuid:template_id>/validation", "Replace the rules", body=RULE_SET, answer=array(RULE))
    def replace_rules(self, call: Call, template_id: str) -> list[Json]:
        """Set the rules between fields; an empty list removes them."""
        return self._save_rules(call, template_id, [complete(RULE, rule) for rule in call.body["rules"]])

    def _fields(self, template_id: str) -> list[Json]:
        return list(self._templates.templates.get(template_id)["fields"])

    def _save(self, call: Call, template_id: str, fields: list[Json]) -> None:
        self._templates.change(template_id, {"fields": fields}, call.user)

    def _save_rules(self, call: Call, template_id: str, rules: list[Json]) -> list[Json]:
        names = {field["name"] for field in self._fields(template_id)}
        unknown = {
            f"rules[{position}].{side}": f"there is no field {rule[side]}"
            for position, rule in enumerate(rules)
            for side in ("field", "other")
            if rule[side] not in names
        }
        if unknown:
            raise bad_request("unknown_field", "a rule is about a field that the template does not have", unknown)
        self._templates.change(template_id, {"rules": rules}, call.user)
        return rules


def _position(fields: list[Json], field_id: str) -> int:
    for position, field in enumerate(fields):
        if field["id"] == field_id:
            return position
    raise not_found("field", field_id)
