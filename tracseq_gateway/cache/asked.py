"""A request as the cache sees it."""

from __future__ import annotations

import re
from typing import Final

from attrs import define, evolve

from tracseq_gateway.cache.kept import Variants
from tracseq_gateway.cache.keys import key_of
from tracseq_gateway.http.caching.control import Directives, directives_of_request
from tracseq_gateway.http.conditional import CONDITIONS
from tracseq_gateway.http.fields import Fields
from tracseq_gateway.http.request_head import RequestHead
from tracseq_gateway.interfaces import Request

CREDENTIALS: Final = frozenset({b"authorization", b"cookie", b"x-api-key"})
"""Fields by which a service may know who asks; there may be one more, for API keys of the gateway's own."""

_ORIGIN: Final = re.compile(
    rb"x-forwarded-proto: ([^\r\n]*)\r\n(?:x-forwarded-host: ([^\r\n]*)\r\n)?"
    rb"(?:x-forwarded-port: ([^\r\n]*)\r\n)?(?:forwarded: ([^\r\n]*)\r\n)?"
).search
_PAIRS: Final = re.compile(rb'([^=;, \t]+)=("(?:[^"\\]|\\.)*"|[^;,]*)').findall
"""What a Forwarded field says."""
_PASSES_BY: Final = frozenset({b"range", b"if-range", b"if-match", b"if-unmodified-since"})
_ANSWERED: Final = frozenset({b"if-none-match", b"if-modified-since"})


@define(eq=False)
class Asked:
    """One request for what may be kept."""

    request: Request
    target: bytes
    """What it asks for: the key of the only answer, or of what says that there are several."""
    control: Directives
    personal: bool
    """Whether it says who sent it, in whatever way."""
    conditional: bool
    """Whether 304 may answer it."""
    key: bytes = b""
    """By what the answer is kept that belongs to this request; as far as it is known."""
    variants: Variants | None = None
    """What is known to tell the answers to ``target`` apart."""

    @property
    def seen(self) -> Fields:
        """The fields of the request as its service gets them, but for those that are another for each request."""
        head = self.request.head
        named = head.fields.connection
        pairs = [(line.name, line.value) for line in head.fields.received if line.passed_on and line.name not in named]
        pairs.append((b"host", head.host))
        for line in self.request.forwarded.split(b"\r\n"):
            name, mark, value = line.partition(b":")
            if mark:
                pairs.append((name.lower(), value.strip(b" \t")))
        return pairs


def asked_of(request: Request, service: bytes, path: bytes, credentials: frozenset[bytes]) -> Asked | None:
    """What a GET or HEAD asks of the cache; None if it passes by: with a body, for a part, for a stream of events.

    ``path`` is the one that the service gets; ``credentials`` are the names of fields that say who asks.
    """
    head = request.head
    fields = head.fields
    names = {line.name for line in fields.received}
    if fields.length or fields.upgrade or names & _PASSES_BY or b"text/event-stream" in (head.get(b"accept") or b""):
        return None
    tls = request.tls
    personal = (
        request.identity is not None or bool(names & credentials) or (tls is not None and tls.certificate is not None)
    )
    target = key_of(service, *place_of(request), path, head.query)
    return Asked(
        request,
        target,
        directives_of_request(fields.pairs) if names & {b"cache-control", b"pragma"} else _NOTHING,
        personal,
        bool(names & _ANSWERED),
        target,
    )


_NOTHING: Final = Directives(())


def place_of(request: Request) -> tuple[bytes, bytes]:
    """By which scheme and host a request was made, as its service is told: what that tells of itself may say them.

    Beside the host it says what a proxy before us was told of it, if we trust that: another host, a port, a Forwarded.
    """
    head, host = request.head, request.head.host
    origin = _ORIGIN(request.forwarded)
    if origin is None:
        return b"http", host
    scheme, outer, port, forwarded = origin.groups()
    place = [host] if outer is None or outer == host else [host, outer]
    if port and head.get(b"x-forwarded-port") == port:
        place.append(b"port=" + port)
    if forwarded and head.get(b"forwarded") is not None:
        said = _PAIRS(forwarded)[:-3]  # the last three are for, host and proto of our own hop
        place += [b"%b=%b" % (name.lower(), value) for name, value in said if name.lower() in (b"host", b"proto")]
    return scheme, b" ".join(place)


def ask_anew(head: RequestHead) -> RequestHead:
    """The head without the conditions that its client made, which are between it and the cache."""
    fields = head.fields
    kept = [line.passed_on for line in fields.received if line.name not in CONDITIONS | fields.connection]
    return evolve(head, fields=evolve(fields, passed_on=b"".join(kept)))
