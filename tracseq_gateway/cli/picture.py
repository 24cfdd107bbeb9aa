"""The overview of a gateway as text."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from tracseq_gateway.cli.tables import Cell, Style, lines_of, number, painted, paragraphs

Document = dict[str, Any]

_STYLES: Final[dict[str, Style]] = {
    "healthy": "good",
    "serving": "good",
    "shared": "good",
    "closed": "plain",
    "off": "plain",
    "unhealthy": "bad",
    "ejected": "bad",
    "stuck": "bad",
    "dying": "bad",
}
"""All other states are doubtful."""


class Picture:
    """Draws one overview."""

    def __init__(self, overview: Document, *, colour: bool) -> None:
        self._overview = overview
        self._colour = colour

    def status(self) -> list[str]:
        """What ``status`` shows."""
        return paragraphs([self._head(), self._services(), self._workers(), self._limits(), self._errors()])

    def top(self) -> list[str]:
        """What ``top`` shows: also the requests that failed or were slow of late."""
        recent = self._overview["recent"]
        return paragraphs(
            [self.status(), self._requests("FAILED OF LATE", recent["failed"]), self._requests("SLOW", recent["slow"])]
        )

    def _head(self) -> list[str]:
        overview = self._overview
        totals = overview["totals"]
        up = duration(overview["time"] - overview["started"])
        status = painted(overview["status"], _style(overview["status"]), colour=self._colour)
        restarts = overview["restarts"]
        replaced = f", {restarts} worker{'' if restarts == 1 else 's'} replaced" if restarts else ""
        head = f"TracSeq Gateway {overview['version']} ({overview['environment']}): {status}, up {up}{replaced}"
        if not overview["counted"]:
            return [head, "requests are not counted (dashboard.enabled = false)"]
        return [
            head,
            f"{totals['requests_per_second']:.1f} requests/s, {totals['errors_per_second']:.1f} errors/s, "
            f"{totals['refused_per_second']:.1f} refused/s; p50 {_milliseconds(totals['p50_ms'])}, "
            f"p95 {_milliseconds(totals['p95_ms'])}, p99 {_milliseconds(totals['p99_ms'])}",
            f"{totals['in_flight']} in flight, {totals['connections']} connections; "
            f"{size(totals['received_per_second'])}/s in, {size(totals['sent_per_second'])}/s out",
        ]

    def _services(self) -> list[str]:
        titles = ("SERVICE", "STATE"), ("REQ/S", "ERR/S", "REFUSED/S", "P50", "P95", "P99", "IN FLIGHT"), ("NOTE",)
        rows = [_titles(*titles)]
        for service in self._overview["services"]:
            instances = service["instances"]
            flying = sum(instance["in_flight"] for instance in instances)
            rates = [service[f"{name}_per_second"] for name in ("requests", "errors", "refused")]
            rows.append(
                [
                    Cell(f"{service['name']}  {service['prefix']}", "head"),
                    Cell(service["state"], _style(service["state"])),
                    *(number(f"{rate:.1f}") for rate in rates),
                    *(number(_milliseconds(service[f"p{share}_ms"])) for share in (50, 95, 99)),
                    number(str(flying)),
                    Cell("" if service["circuit"] == "closed" else f"the circuit is {service['circuit']}", "bad"),
                ]
            )
            rows += map(_instance, instances)
        return self._table(rows)

    def _workers(self) -> list[str]:
        rows = [_titles(("WORKER", "STATE"), ("PID", "FOR", "REQ/S", "IN FLIGHT", "CONNECTIONS", "LAG", "MEMORY"))]
        for worker in self._overview["workers"]:
            rows.append(
                [
                    Cell(str(worker["index"])),
                    Cell(worker["state"], _style(worker["state"])),
                    number(str(worker["pid"])),
                    number(duration(self._overview["time"] - worker["since"])),
                    number(f"{worker['requests_per_second']:.1f}"),
                    number(str(worker["in_flight"])),
                    number(str(worker["connections"])),
                    number(_milliseconds(worker["lag_ms"])),
                    number(size(worker["memory_bytes"])),
                ]
            )
        return self._table(rows)

    def _limits(self) -> list[str]:
        limits = self._overview["limits"]
        mode = painted(limits["mode"], _style(limits["mode"]), colour=self._colour)
        rows = [_titles(("REFUSED IN 5 MIN", "SERVICE"), ("TIMES",))]
        rows += [[Cell(hit["client"]), Cell(hit["service"]), number(str(hit["count"]))] for hit in limits["hit"]]
        return [f"rate limits: {mode}", *(self._table(rows) if limits["hit"] else [])]

    def _errors(self) -> list[str]:
        rows = [_titles(("ERRORS IN 5 MIN", "SERVICE"), ("TIMES",))]
        rows += [
            [Cell(error["kind"]), Cell(error["service"]), number(str(error["count"]))]
            for error in self._overview["errors"]
        ]
        return self._table(rows) if len(rows) > 1 else []

    def _requests(self, title: str, requests: Sequence[Document]) -> list[str]:
        rows = [_titles((title, "REQUEST"), ("STATUS", "TOOK"), ("SERVICE", "WHY", "ID"))]
        for request in requests:
            rows.append(
                [
                    Cell(datetime.fromtimestamp(request["time"], UTC).strftime("%H:%M:%SZ")),
                    Cell(f"{request['method']} {request['path']}"),
                    Cell(str(request["status"]), "bad" if request["status"] >= 500 else "plain", right=True),
                    number(_milliseconds(request["duration_ms"])),
                    Cell(request["service"]),
                    Cell(request["reason"] or request["error"] or ""),
                    Cell(request["request_id"]),
                ]
            )
        return self._table(rows) if len(rows) > 1 else []

    def _table(self, rows: Sequence[Sequence[Cell]]) -> list[str]:
        return lines_of(rows, colour=self._colour)


def _titles(*groups: Sequence[str]) -> list[Cell]:
    """The first row; the second group's columns are numbers."""
    return [Cell(title, "head", right=place == 1) for place, group in enumerate(groups) for title in group]


def _instance(instance: Document) -> list[Cell]:
    state = "drained" if instance["drained"] else "ejected" if instance["ejected"] else instance["state"]
    note = instance["error"] or ""
    if not note and instance["latency_ms"] is not None:
        note = f"probed in {_milliseconds(instance['latency_ms'])}"
    return [
        Cell(f"  {instance['url']}"),
        Cell(state, _style(state)),
        number(f"{instance['requests_per_second']:.1f}"),
        number(f"{instance['failed_per_second']:.1f}"),
        *[Cell("")] * 4,
        number(str(instance["in_flight"])),
        Cell(note),
    ]


def _style(state: str) -> Style:
    return _STYLES.get(state, "doubtful")


def _milliseconds(value: float | None) -> str:
    """With three digits or so; ``-`` for what was not measured."""
    if value is None:
        return "-"
    if value >= 1000:
        return f"{value / 1000:.1f} s"
    return f"{value:.0f} ms" if value >= 100 else f"{value:.1f} ms"


def size(count: float) -> str:
    """Bytes, as people read them."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def duration(seconds: float) -> str:
    """The two largest units of a time span."""
    whole = max(0, int(seconds))
    spans = [(whole // 86400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "min"), (whole % 60, "s")]
    first = next((index for index, (count, _) in enumerate(spans) if count), len(spans) - 1)
    return " ".join(f"{count} {unit}" for count, unit in spans[first : first + 2])
