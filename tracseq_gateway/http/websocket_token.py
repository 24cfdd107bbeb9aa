"""Tokens of WebSockets: a browser can set no Authorization field there, so they come in the query or as a subprotocol.

Wherever the token came, from here on it is in Authorization and nowhere else: in no query that somebody writes down,
and in no list of subprotocols that a service takes for its own.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from attrs import evolve, frozen

from tracseq_gateway.http.request_head import RequestHead

_TOKEN = re.compile(rb"[A-Za-z0-9._~+/=-]+").fullmatch
_PROTOCOLS = b"sec-websocket-protocol"


@frozen
class Moved:
    """A request whose token was moved."""

    head: RequestHead
    answer_lines: bytes
    """Lines for the answer: a browser that offered subprotocols wants to hear one of them."""


class WebSocketTokens:
    """Where tokens may be."""

    def __init__(self, parameter: str, protocol: str) -> None:
        """``parameter`` is the name of a query parameter; ``protocol`` the name of a subprotocol behind which the token
        stands in the list, as if it were the next one. Empty: not there."""
        self._parameter = parameter.encode("ascii")
        self._protocol = protocol.encode("ascii")

    def move(self, head: RequestHead) -> Moved | None:
        """The request with its token in Authorization; None if it brings none. A token that is none stays where it is:
        then there is nothing that could be verified."""
        moved = self._from_protocols(head) if self._protocol else None
        if moved is None and self._parameter and head.query:
            moved = self._from_query(head)
        return moved

    def _from_protocols(self, head: RequestHead) -> Moved | None:
        lines = [line for line in head.fields.received if line.name == _PROTOCOLS]
        offered = [name.strip(b" \t") for line in lines for name in line.value.split(b",")]
        if self._protocol not in offered:
            return None
        place = offered.index(self._protocol)
        token = offered[place + 1] if place + 1 < len(offered) else b""
        if not _TOKEN(token):
            return None
        left = [*offered[:place], *offered[place + 2 :]]
        passed_on = b"".join([line.passed_on for line in head.fields.received if line.name != _PROTOCOLS])
        if left:
            passed_on += b"%b: %b\r\n" % (_PROTOCOLS, b", ".join(left))
        spoken = b"" if left else b"%b: %b\r\n" % (_PROTOCOLS, self._protocol)
        return Moved(_with_token(head, head.query, passed_on, token), spoken)

    def _from_query(self, head: RequestHead) -> Moved | None:
        parameters = head.query[1:].split(b"&")
        given = [part for part in parameters if part.partition(b"=")[0] == self._parameter]
        token = unquote_to_bytes(given[0].partition(b"=")[2]) if len(given) == 1 else b""
        if not _TOKEN(token):
            return None
        left = b"&".join([part for part in parameters if part is not given[0]])
        return Moved(_with_token(head, b"?" + left if left else b"", head.fields.passed_on, token), b"")


def _with_token(head: RequestHead, query: bytes, passed_on: bytes, token: bytes) -> RequestHead:
    bearer = b"Bearer " + token
    fields = evolve(
        head.fields,
        passed_on=b"%bauthorization: %b\r\n" % (passed_on, bearer),
        authorization=(bearer,),
        credential=None,
    )
    return evolve(head, query=query, fields=fields)
