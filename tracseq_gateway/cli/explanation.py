"""A report on a request as people read it: a line a step, with its details below."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

MARKS: Final = {"ok": "✓", "refused": "✗", "answered": "●", "skipped": "–", "unknown": "?"}  # noqa: RUF001
COLOURS: Final = {"ok": "32", "refused": "1;31", "answered": "1;36", "skipped": "2", "unknown": "1;33"}
"""The parameters of SGR (ECMA-48 section 8.3.117)."""
_WIDTH: Final = 11


def written(report: dict[str, Any], *, coloured: bool = False) -> Iterator[str]:
    """The lines of a report."""
    paint = _painted if coloured else _plain
    request = report["request"]
    yield paint(f"{request['method']} {request['target']} from {request['from']}", "1")
    outcome = report["outcome"]
    yield paint(_headline(report), COLOURS["ok" if outcome == "passed" else outcome])
    yield paint(_where(report), "2")
    yield ""
    for step in report["steps"]:
        yield f"{paint(MARKS[step['outcome']], COLOURS[step['outcome']])} {step['name']:{_WIDTH}}{step['summary']}"
        for line in step.get("lines", ()):
            yield paint(f"  {'':{_WIDTH}}{line}", "2")
    if report["not_reached"]:
        yield paint(f"  {'':{_WIDTH}}not reached: {', '.join(report['not_reached'])}", "2")
    yield from _heads(report)


def _headline(report: dict[str, Any]) -> str:
    """What comes of it, in one line."""
    upstream, answer, outcome = report["upstream"], report["answer"], report["outcome"]
    if outcome == "passed":
        return f"would be passed on to {upstream['service']}, at {upstream['instance']}"
    if outcome == "unknown":
        return "cannot be told without asking others (--ask)"
    if outcome == "answered" and answer is None:
        return "would be answered by the gateway itself"
    if answer is None:
        return "would be refused"
    verb = "refused with" if outcome == "refused" else "answered by the gateway itself with"
    words = [f"would be {verb} {answer['status']}"]
    if answer.get("error"):
        words.append(f"({answer['error']})")
    if answer.get("retry_after") is not None:
        words.append(f"for {answer['retry_after']} s")
    return " ".join(words)


def _where(report: dict[str, Any]) -> str:
    if not report["live"]:
        return "by the configuration alone: no gateway was asked"
    return f"as worker {report['worker']} (pid {report['pid']}) sees it now; nothing was sent or charged"


def _heads(report: dict[str, Any]) -> Iterator[str]:
    upstream, answer = report["upstream"], report["answer"]
    if upstream is not None:
        yield from ("", f"{upstream['instance']} would be sent:", "")
        yield from (f"  {line}" for line in upstream["head"])
    if answer is not None:
        yield from ("", "The client would get:", "")
        yield from (f"  {line}" for line in answer["head"])
        if answer["body"]:
            yield from ("", f"  {answer['body']}")


def _painted(text: str, parameters: str) -> str:
    return f"\x1b[{parameters}m{text}\x1b[0m"


def _plain(text: str, parameters: str) -> str:
    return text
