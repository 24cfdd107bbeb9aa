"""An event of the log as one JSON object in a line."""

from __future__ import annotations

import json
import time

from twisted.logger import LogEvent

from tracseq_gateway.own_log.said import level_of, said


def json_line(event: LogEvent) -> str:
    """The line of an event: ASCII, with its only line feed at the end.

    ``time`` is RFC 3339 in UTC; ``process``, ``exception``, ``traceback`` and ``code`` are there only when there is
    something to say.
    """
    told = said(event)
    document: dict[str, object] = {
        "time": _time(float(event.get("log_time", 0.0))),
        "level": level_of(event).name,
        "namespace": told.namespace,
    }
    if told.process:
        document["process"] = told.process
    document["message"] = told.message
    if told.exception:
        document["exception"] = told.exception
        document["traceback"] = told.traceback
    if told.code is not None:
        document["code"] = f"{told.code.file}:{told.code.line}, in {told.code.function}"
    return json.dumps(document) + "\n"


def _time(moment: float) -> str:
    second = int(moment)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)) + f".{int((moment - second) * 1000):03d}Z"
