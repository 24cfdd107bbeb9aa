"""Templates as files: spreadsheets in CSV, and JSON to move a template to another laboratory."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from datetime import date

from .kit.problems import bad_request
from .kit.reading import JSON_LIMIT, content_of, media_type, require_media_type, require_size
from .kit.routes import Call, Download, Part, Routes
from .kit.schema import Json
from .kit.uploads import FORM, FileHead, file_pieces
from .template_model import NEW_TEMPLATE, TEMPLATE, Templates

CSV = "text/csv"
_OPTIONS_AT_MOST = 8


class Files(Part):
    """Ways in and out."""

    routes = Routes("templates")

    def __init__(self, templates: Templates) -> None:
        self._templates = templates

    @routes.post(
        "/templates/upload",
        "Make a template of a spreadsheet",
        consumes=(FORM, CSV),
        answer=TEMPLATE,
        status=201,
        errors=(409,),
    )
    def upload_template(self, call: Call) -> Json:
        """Read a CSV file of at most 1 MiB: its heading names the fields, its rows tell their kinds."""
        require_media_type(call.request, FORM, CSV)
        require_size(call.request, JSON_LIMIT)
        if media_type(call.request) == CSV:
            name, content = "Uploaded template", content_of(call.request).read()
        else:
            name, content = _read_file(call)
        return self._templates.create({"name": name, "fields": fields_of(_rows(content))}, call.user)

    @routes.get("/templates/<uuid:template_id>/download", "Download an empty spreadsheet", produces=CSV)
    def download_template(self, call: Call, template_id: str) -> Download:
        """Return a CSV file with the heading of the template."""
        template = self._templates.templates.get(template_id)
        sheet = io.StringIO()
        csv.writer(sheet).writerow([field["name"] for field in template["fields"]])
        return Download(sheet.getvalue().encode(), f"{CSV}; charset=utf-8", f"{template['name']}.csv")

    @routes.get("/templates/<uuid:template_id>/export", "Export a template", answer=NEW_TEMPLATE, plain=True)
    def export_template(self, call: Call, template_id: str) -> Json:
        """Return what `import` takes."""
        return self._templates.exported(template_id)

    @routes.post(
        "/templates/import", "Import a template", body=NEW_TEMPLATE, answer=TEMPLATE, status=201, errors=(409,)
    )
    def import_template(self, call: Call) -> Json:
        """Add what `export` gave."""
        return self._templates.create(call.body, call.user)


def _read_file(call: Call) -> tuple[str, bytes]:
    """Return the uploaded file's name without its ending, and its content."""
    name, content = "", b""
    for piece in file_pieces(call.request):
        if isinstance(piece, FileHead):
            name = piece.file_name
        else:
            content += piece
    return name.rpartition(".")[0] or name, content


def _rows(content: bytes) -> list[list[str]]:
    """Return the rows of a CSV file, the heading first.

    :raises Problem: 400 when it is not text in UTF-8 or not CSV, or has no heading.
    """
    try:
        rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise bad_request("unreadable_spreadsheet", f"the file is not CSV in UTF-8: {error}") from error
    if not rows or not any(rows[0]):
        raise bad_request("no_heading", "the first row must name the fields")
    return rows


def fields_of(rows: list[list[str]]) -> list[Json]:
    """Return a field for each named column; a column that is filled in every row is required."""
    heading, data = rows[0], [row for row in rows[1:] if any(row)]
    fields = []
    for column, title in enumerate(heading):
        if title.strip():
            values = [row[column].strip() if column < len(row) else "" for row in data]
            fields.append(_field(title.strip(), values))
    if len(fields) > 200:
        raise bad_request("too_many_columns", f"a template has at most 200 fields, the file has {len(fields)}")
    return fields


def _field(title: str, values: list[str]) -> Json:
    filled = [value for value in values if value]
    kind = _kind(filled)
    name = re.sub(r"\W+", "_", title, flags=re.ASCII).strip("_").lower()[:60]
    field = {
        "name": name if re.match(r"[a-z]", name) else f"column_{name}"[:60],
        "label": title[:120],
        "kind": kind,
        "required": bool(values) and len(filled) == len(values),
    }
    if kind == "choice":
        field["options"] = sorted({value[:120] for value in filled})
    return field


def _kind(values: list[str]) -> str:
    """Guess the kind of a column: the strictest that takes all of its values."""
    if not values:
        return "text"
    for kind, reads in (("integer", int), ("number", float), ("date", date.fromisoformat)):
        if all(_reads(reads, value) for value in values):
            return kind
    if {value.lower() for value in values} <= {"true", "false"}:
        return "boolean"
    distinct = len(set(values))
    return "choice" if distinct <= _OPTIONS_AT_MOST and distinct * 2 <= len(values) else "text"


def _reads(reads: Callable[[str], object], value: str) -> bool:
    try:
        reads(value)
    except ValueError:
        return False
    return True
