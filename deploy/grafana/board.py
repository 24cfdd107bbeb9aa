"""The Grafana board, written down so that a person can read it: ``python -m deploy.grafana.board`` makes the JSON.

A row has a title and panels; a panel has a title, a kind, a unit, and queries with their legends (see ``pictures``).
Grafana's own format is here and nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from deploy.grafana.gateway import LIMITS, TOKENS, WORKERS
from deploy.grafana.pictures import SERVICE, Panel
from deploy.grafana.services import BREAKERS, INSTANCES, SATURATION
from deploy.grafana.traffic import ERRORS, GLANCE, LATENCY, TRAFFIC

FILE: Final = Path(__file__).parent / "dashboards" / "tracseq-gateway.json"

COLUMNS: Final = 24
HEIGHT: Final = 8
STAT_HEIGHT: Final = 4

ROWS: Final = (GLANCE, TRAFFIC, ERRORS, LATENCY, SATURATION, INSTANCES, BREAKERS, LIMITS, TOKENS, WORKERS)

VARIABLES: Final = (
    ("gateway", "Gateway", "label_values(gateway_build_info, instance)"),
    ("service", "Service", 'label_values(gateway_requests_total{instance=~"$gateway"}, service)'),
    ("url", "Instance", "label_values(gateway_instance_requests_total{" + SERVICE + "}, url)"),
)
"""What the reader can choose: a name, what it is called, and where its values come from."""

SOURCE: Final = {"type": "prometheus", "uid": "${source}"}


def board() -> dict[str, Any]:
    """The board in Grafana's format."""
    return {
        "uid": "tracseq-gateway",
        "title": "TracSeq Gateway",
        "tags": ["tracseq"],
        "editable": True,
        "graphTooltip": 1,
        "refresh": "15s",
        "schemaVersion": 39,
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [_source(), *(_variable(*variable) for variable in VARIABLES)]},
        "annotations": {"list": []},
        "panels": list(_panels()),
    }


def queries() -> Iterator[str]:
    """Every query of the board, its variables not yet filled in."""
    for row in ROWS:
        for panel in row.panels:
            for query in panel.queries:
                yield query.expression


def _panels() -> Iterator[dict[str, Any]]:
    top, number = 0, 0
    for row in ROWS:
        number += 1
        place = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
        yield {"id": number, "type": "row", "title": row.title, "collapsed": False, "gridPos": place, "panels": []}
        top, left, height = top + 1, 0, 0
        for panel in row.panels:
            if left + panel.width > COLUMNS:
                top, left = top + height, 0
            number += 1
            height = STAT_HEIGHT if panel.kind == "stat" else HEIGHT
            yield panel_json(panel, number, {"x": left, "y": top, "w": panel.width, "h": height})
            left += panel.width
        top += height


def panel_json(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    """One panel in Grafana's format."""
    targets = [
        {
            "refId": chr(ord("A") + index),
            "datasource": SOURCE,
            "expr": query.expression,
            "legendFormat": query.legend or "__auto",
            "exemplar": panel.exemplars,
            "instant": panel.kind == "table",
            "range": panel.kind != "table",
            "format": {"heatmap": "heatmap", "table": "table"}.get(panel.kind, "time_series"),
        }
        for index, query in enumerate(panel.queries)
    ]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.help,
        "datasource": SOURCE,
        "gridPos": place,
        "targets": targets,
        "fieldConfig": {"defaults": _field_defaults(panel), "overrides": []},
        "options": _options(panel),
        "transformations": _transformations(panel),
    }


def _field_defaults(panel: Panel) -> dict[str, Any]:
    steps = [{"color": "green", "value": None}, *({"color": color, "value": least} for least, color in panel.limits)]
    defaults: dict[str, Any] = {
        "unit": panel.unit,
        "min": 0,
        "color": {"mode": "palette-classic" if panel.kind == "timeseries" else "thresholds"},
        "thresholds": {"mode": "absolute", "steps": steps},
    }
    if panel.words:
        options = {value: {"text": word, "color": color} for value, (word, color) in panel.words.items()}
        defaults["mappings"] = [{"type": "value", "options": options}]
    if panel.kind == "timeseries":
        stacking = {"mode": "normal" if panel.stacked else "none", "group": "A"}
        shown = {"mode": "dashed" if panel.limits else "off"}
        defaults["custom"] = {
            "lineWidth": 1,
            "fillOpacity": 20 if panel.stacked else 0,
            "showPoints": "never",
            "stacking": stacking,
            "thresholdsStyle": shown,
        }
    return defaults


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "stat":
        return {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "background", "graphMode": "area"}
    if panel.kind == "state-timeline":
        return {"mergeValues": True, "showValue": "never", "legend": {"showLegend": False}}
    if panel.kind == "heatmap":
        return {"calculate": False, "color": {"scheme": "Oranges"}, "yAxis": {"unit": panel.unit}}
    if panel.kind == "timeseries":
        return {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}}
    return {}


def _transformations(panel: Panel) -> list[dict[str, Any]]:
    """A table shows labels: neither when they were read, nor that their value is 1."""
    hidden = {"excludeByName": {"Time": True, "Value": True}}
    return [{"id": "organize", "options": hidden}] if panel.kind == "table" else []


def _source() -> dict[str, Any]:
    return {"name": "source", "label": "Data source", "type": "datasource", "query": "prometheus"}


def _variable(name: str, label: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
        "sort": 1,
    }


def text() -> str:
    """What stands in the file."""
    return json.dumps(board(), indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
