"""What comes of it: the bytes that would go to a service, or back to the client, without their secrets."""

from __future__ import annotations

from typing import Any

from tracseq_gateway.access_log.redaction import REDACTED, Redactor
from tracseq_gateway.errors import GatewayError
from tracseq_gateway.identity.signing import SIGNATURE
from tracseq_gateway.service.explain.report import LONGEST_HEAD, text_of
from tracseq_gateway.upstream.rehearsal import PassedOn

_SECRET = frozenset({b"authorization", b"proxy-authorization", b"cookie", b"set-cookie", b"x-api-key", SIGNATURE})
_URLS = frozenset({b"referer", b"origin", b"location"})


def upstream(service: str, passed_on: PassedOn, redactor: Redactor) -> dict[str, Any]:
    """What an instance would be sent."""
    return {"service": service, "instance": passed_on.url, "head": shown(passed_on.data, redactor)}


def answer(data: bytes, error: GatewayError | None, redactor: Redactor) -> dict[str, Any]:
    """What the client would get from the gateway itself."""
    body = data.partition(b"\r\n\r\n")[2]
    told: dict[str, Any] = {"status": int(data[9:12]), "head": shown(data, redactor), "body": text_of(body.strip())}
    if error is not None:
        kind = error.kind
        told |= {"type": kind.registered or f"urn:tracseq:problem:{kind.slug}", "error": kind.slug}
        told |= {"title": kind.title, "detail": error.detail, "retry_after": error.retry_after}
    return told


def shown(data: bytes, redactor: Redactor) -> list[str]:
    """The lines of a head, up to its end, with secrets blotted out."""
    lines = [text_of(_line(line, redactor)) for line in data.partition(b"\r\n\r\n")[0].split(b"\r\n")]
    kept: list[str] = []
    length = 0
    for line in lines:
        length += len(line)
        if length > LONGEST_HEAD:
            return [*kept, "..."]
        kept.append(line)
    return kept


def _line(line: bytes, redactor: Redactor) -> bytes:
    name, colon, value = line.partition(b": ")
    if not colon or b" " in name:
        return _request_line(line, redactor)
    lowered = name.lower()
    if lowered in _SECRET or redactor.is_sensitive(lowered):
        return name + colon + REDACTED
    return name + colon + redactor.url(value) if lowered in _URLS else line


def _request_line(line: bytes, redactor: Redactor) -> bytes:
    method, _, rest = line.partition(b" ")
    target, space, version = rest.rpartition(b" ")
    path, mark, query = target.partition(b"?")
    return b"%b %b%b%b" % (method, path + redactor(mark + query), space, version) if mark else line
