"""What ``tracseq-gateway explain --offline`` does: builds a worker's gateway that serves nobody, and asks that one."""

from __future__ import annotations

import argparse
import json
import os
import time
from typing import Any

from attrs import evolve
from twisted.internet.task import Clock

from tracseq_gateway.cli.revoking import reached_by
from tracseq_gateway.config import load
from tracseq_gateway.config.logs import AccessLog
from tracseq_gateway.process.control_client import NoAnswer
from tracseq_gateway.service import Gateway


def explain_offline(options: argparse.Namespace, question: dict[str, object]) -> dict[str, Any]:
    """The report on a request, by the configuration that ``options`` name.

    Raises :class:`NoAnswer` when it cannot be served, or the question cannot be asked; the text says why.
    """
    loaded = load(options.config, os.environ, {"gateway.port": options.port})
    if loaded.config is None:
        raise NoAnswer("\n".join([*map(str, loaded.problems), "the configuration cannot be served"]))
    config = evolve(
        loaded.config,
        redis=reached_by(loaded.config, os.environ),
        access_log=AccessLog(),  # off: there is nothing to be written down
    )
    reports: list[bytes] = []
    try:
        gateway = Gateway(config, Clock(), environ=os.environ, now=time.time)
    except (ValueError, OSError) as error:
        raise NoAnswer(f"the configuration cannot be served: {error}") from error
    gateway.explain(json.dumps(question).encode("ascii"), live=False).addCallback(reports.append)
    report: dict[str, Any] = json.loads(reports[0])  # which nobody had to be asked for
    if "error" in report:
        raise NoAnswer(report["error"])
    return report
