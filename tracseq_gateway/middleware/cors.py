"""The door for pages from other origins: answers their preflights, and tells their browsers what they may see."""

from __future__ import annotations

from collections.abc import Sequence

from tracseq_gateway.config import policies
from tracseq_gateway.http.cors import OriginLines, OriginRules, Preflights
from tracseq_gateway.http.outgoing import OutgoingHead
from tracseq_gateway.interfaces import Request
from tracseq_gateway.middleware.chain import Answer, Verdict


class Cors:
    """Cross-origin requests as the configuration allows them."""

    def __init__(self, settings: policies.Cors, exposed: Sequence[str] = ()) -> None:
        """``exposed`` are names of answer fields that scripts may read beside those of the settings.

        Raises :class:`ValueError` for a pattern or name that is none, and for any origin with credentials.
        """
        credentials = settings.allow_credentials
        rules = OriginRules(settings.allow_origins)
        # One name once, however it is spelled.
        names = {name.lower(): name for name in (*exposed, *settings.expose_headers)}
        self._lines = OriginLines(rules, names.values(), credentials=credentials)
        self._preflights = Preflights(
            rules, settings.allow_methods, settings.allow_headers, int(settings.max_age), credentials=credentials
        )

    def link(self, request: Request) -> Verdict:
        """Answer a preflight, allowed or not; let everything else go on, with the lines that its answer gets.

        The lines are for whoever answers: a browser shows a script no refusal of the gateway without them.
        """
        head = request.head
        origin = head.get(b"origin")
        if origin is None:
            request.answer_lines += self._lines.without
            return None
        if head.method == b"OPTIONS":
            method = head.get(b"access-control-request-method")
            if method is not None:
                fields = self._preflights.answer(origin, method, head.get(b"access-control-request-headers"))
                return Answer(OutgoingHead(204, b"No Content", fields))
        request.answer_lines += self._lines[origin]
        return None
