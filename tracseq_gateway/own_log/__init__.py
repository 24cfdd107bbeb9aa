"""Ground: the gateway's own log: what is kept of it, and in which form it is written.

Two factories of observers for ``twistd --logger``: ``tracseq_gateway.own_log.journald`` and
``tracseq_gateway.own_log.json``.
"""

from __future__ import annotations

import os
import sys
from typing import Final

from twisted.logger import FileLogObserver, ILogObserver

from tracseq_gateway.config.files import is_socket
from tracseq_gateway.config.logs import JOURNAL
from tracseq_gateway.journal.sender import Sender
from tracseq_gateway.own_log.journal_observer import JournalObserver
from tracseq_gateway.own_log.json_lines import json_line

JOURNAL_VARIABLE: Final = "TRACSEQ_JOURNAL"
"""Environment variable with the path of another journal's socket."""


def journald() -> ILogObserver:
    """For ``twistd --logger``: every event is an entry of systemd's journal, with fields.

    Raises SystemExit where no journal listens.
    """
    path = os.environ.get(JOURNAL_VARIABLE) or JOURNAL
    if not is_socket(path):
        raise SystemExit(f"tracseq-gateway: there is no journal at {path}; {JOURNAL_VARIABLE} can name another")
    return JournalObserver(Sender(path, wait=False))


def json() -> ILogObserver:
    """For ``twistd --logger``: every event is one JSON object in a line on standard output."""
    return FileLogObserver(sys.stdout, json_line)
