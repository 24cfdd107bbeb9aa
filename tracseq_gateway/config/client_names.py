"""Rules for the names by which clients' certificates are matched."""

from __future__ import annotations

import re

from tracseq_gateway.config.problem import Wrong, show

LONGEST_NAME = 512
"""Characters of a name in a certificate; services hear of no longer one."""

_MATCH = re.compile(r"URI:[A-Za-z][A-Za-z0-9+.-]*:[!-)+-~]+\*?|DNS:[A-Za-z0-9._-]+|email:[!-~]+@[!-~]+|CN:.+")
_RIGHT = '"URI:spiffe://lab/sequencer-7", "DNS:...", "email:..." or "CN:..." would be right'


def certificate_name(text: str) -> str:
    """A name with its kind; of DNS names the case makes no difference. A URI may end in ``*``."""
    if len(text) > LONGEST_NAME or not text.isprintable() or not _MATCH.fullmatch(text):
        raise Wrong(f"{show(text)} is no name in a certificate", _RIGHT)
    return text.lower().replace("dns:", "DNS:", 1) if text.startswith("DNS:") else text
