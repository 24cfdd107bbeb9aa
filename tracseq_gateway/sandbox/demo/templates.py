"""Demo templates: the laboratory's usual forms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracseq_gateway.sandbox.kit.schema import Json

from . import demo_id

if TYPE_CHECKING:
    from tracseq_gateway.sandbox.template_model import Templates

_NAME: Json = {"name": "name", "label": "Sample name", "kind": "text", "required": True, "minimum": 1, "maximum": 200}
_TYPE: Json = {
    "name": "sample_type",
    "label": "Sample type",
    "kind": "choice",
    "required": True,
    "options": ["DNA", "RNA", "cfDNA", "metagenomic DNA"],
}
_COLLECTED: Json = {"name": "collection_date", "label": "Collected on", "kind": "date", "required": True}
_COLLECTOR: Json = {"name": "collector", "label": "Collected by", "kind": "text", "required": True}
_CONCENTRATION: Json = {
    "name": "concentration",
    "label": "Concentration",
    "kind": "number",
    "minimum": 0,
    "maximum": 1000,
    "unit": "ng/µL",
}
_VOLUME: Json = {"name": "volume", "label": "Volume", "kind": "number", "minimum": 0, "maximum": 2000, "unit": "µL"}


def _ratio(name: str, label: str) -> Json:
    return {"name": name, "label": label, "kind": "number", "minimum": 0, "maximum": 3}


def _choice(name: str, label: str, *options: str) -> Json:
    return {"name": name, "label": label, "kind": "choice", "required": True, "options": list(options)}


_TEMPLATES: list[Json] = [
    {
        "name": "DNA extraction",
        "description": "What is recorded when DNA has been extracted.",
        "category": "extraction",
        "fields": [_NAME, _TYPE, _COLLECTED, _COLLECTOR, _CONCENTRATION, _VOLUME, _ratio("a260_280", "A260/280")],
    },
    {
        "name": "RNA extraction",
        "description": "As for DNA, with the integrity number.",
        "category": "extraction",
        "fields": [
            _NAME,
            _TYPE,
            _COLLECTED,
            _COLLECTOR,
            _CONCENTRATION,
            {"name": "rin", "label": "RNA integrity number", "kind": "number", "minimum": 1, "maximum": 10},
        ],
    },
    {
        "name": "Library preparation",
        "description": "Kit, index and insert size of a library.",
        "category": "library",
        "fields": [
            _NAME,
            _choice("kit", "Kit", "PCR-free", "Nano", "Stranded mRNA"),
            {"name": "insert_low", "label": "Shortest insert", "kind": "integer", "minimum": 50, "unit": "bp"},
            {"name": "insert_high", "label": "Longest insert", "kind": "integer", "maximum": 2000, "unit": "bp"},
        ],
        "rules": [
            {"kind": "less_or_equal", "field": "insert_low", "other": "insert_high"},
            {"kind": "required_with", "field": "insert_high", "other": "insert_low"},
        ],
    },
    {
        "name": "Sample reception",
        "description": "What is checked at the desk when a box arrives.",
        "category": "reception",
        "fields": [
            _NAME,
            _TYPE,
            _COLLECTED,
            _choice("condition", "Condition on arrival", "frozen", "thawed", "damaged"),
            {"name": "contact", "label": "Sender's e-mail", "kind": "email", "required": True},
        ],
    },
    {
        "name": "Quality control",
        "description": "Fluorometry and spectrophotometry.",
        "category": "qc",
        "fields": [_NAME, _CONCENTRATION, _ratio("a260_280", "A260/280"), _ratio("a260_230", "A260/230")],
    },
    {
        "name": "Plate layout",
        "description": "Which sample is in which well.",
        "category": "library",
        "status": "draft",
        "fields": [
            _NAME,
            {"name": "row", "label": "Row", "kind": "choice", "required": True, "options": list("ABCDEFGH")},
            {"name": "column", "label": "Column", "kind": "integer", "required": True, "minimum": 1, "maximum": 12},
        ],
    },
]


def fill_templates(templates: Templates) -> None:
    """Store the templates; all but drafts are published."""
    for template in _TEMPLATES:
        body = {"status": "published", "rules": [], **template}
        templates.create(body, demo_id("user", "lab_administrator"), demo_id("template", template["name"]))
