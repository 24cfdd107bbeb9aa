"""Rules for the text of single keys: each takes a value of the right type and returns it, or raises :class:`Wrong`.

A few make two spellings of one thing equal: ``/samples/`` is ``/samples``. What passes can be put into a request line,
a header field or a socket address as it stands. A rule for a list or a table says which part of it is to blame.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from tracseq_gateway.config.problem import Wrong, quoted, show
from tracseq_gateway.config.url import URL, is_host, parse_url

# RFC 3986 section 3.3: unreserved and sub-delims. A prefix is matched and sent as it stands, so neither
# percent-encoding nor the rest of pchar has a place in it.
_PATH = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=/-]*")
_TARGET = re.compile(r"/[!-~]*")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110 section 5.6.2
_METHOD = re.compile(r"[A-Z][A-Z-]*")
_PART = "[a-z0-9][a-z0-9!#$&^_.+-]*"  # RFC 6838 section 4.2
_MEDIA_RANGE = re.compile(rf"\*/\*|{_PART}/(?:\*|{_PART})")
_HEADER_TEXT = re.compile(r"(?:[!-~](?:[ -~]*[!-~])?)?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NAME = re.compile(r"[a-z0-9_-]{1,32}")
_NAMESPACE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:[0-9]{2})"
)

LONGEST_NAMESPACE = 100
"""Characters of the name of a part of the program."""

# These make the connection or the message what it is, so none of them can be taken out of a request.
_INDISPENSABLE = frozenset({"authorization", "connection", "content-length", "cookie", "host", "transfer-encoding"})

Value = TypeVar("Value")
Element = TypeVar("Element")


def each(rule: Callable[[Element], Element]) -> Callable[[tuple[Element, ...]], tuple[Element, ...]]:
    """Make the rule for a list of a rule for one of its elements."""

    def rule_for_all(elements: tuple[Element, ...]) -> tuple[Element, ...]:
        return tuple(_at(index, rule, element) for index, element in enumerate(elements))

    return rule_for_all


def each_name(rule: Callable[[str], str]) -> Callable[[dict[str, Value]], dict[str, Value]]:
    """Make the rule for a table whose keys are free of a rule for one of them; it raises when two become equal."""

    def rule_for_all(table: dict[str, Value]) -> dict[str, Value]:
        ruled: dict[str, Value] = {}
        for name, value in table.items():
            key = _at(name, rule, name)
            if key in ruled:
                raise Wrong(f"stands for {show(key)}, which is there twice", "one of them would be right", (name,))
            ruled[key] = value
        return ruled

    return rule_for_all


def _at(place: str | int, rule: Callable[[Element], Element], value: Element) -> Element:
    try:
        return rule(value)
    except Wrong as fault:
        raise Wrong(fault.wrong, fault.right, (place, *fault.at)) from None


def listen_address(host: str) -> str:
    """An address or a name to listen on."""
    if not is_host(host):
        raise Wrong(f"{show(host)} is not an address", '"0.0.0.0", "127.0.0.1" or "::" would be right')
    return host


def token(text: str) -> str:
    """What may stand as a field name or a pseudonym in a header."""
    if not _TOKEN.fullmatch(text):
        raise Wrong(f"{show(text)} cannot stand in a header", "letters, digits and hyphens would be right")
    return text


def optional_token(text: str) -> str:
    """A token, or nothing."""
    return token(text) if text else text


def credential_header(name: str) -> str:
    """The name of a field that carries a credential and is not passed on."""
    if token(name).lower() in _INDISPENSABLE:
        raise Wrong(f"{show(name)} has another meaning", 'a field of its own such as "X-API-Key" would be right')
    return name


def header_text(text: str) -> str:
    """What may stand as the value of a header field: visible ASCII, and spaces between it."""
    if not _HEADER_TEXT.fullmatch(text):
        raise Wrong(f"{show(text)} cannot stand in a header", "visible characters of ASCII would be right")
    return text


def secret_header_text(text: str) -> str:
    """The same for a secret, which is not shown."""
    if not _HEADER_TEXT.fullmatch(text):
        raise Wrong("cannot stand in a header", "visible characters of ASCII would be right")
    return text


def realm(text: str) -> str:
    """What may stand between quotes in a header."""
    if '"' in header_text(text) or "\\" in text:
        raise Wrong(f"{show(text)} cannot stand between quotes", "text without quotes and backslashes would be right")
    return text


def path(text: str) -> str:
    """An absolute path in normal form; a trailing slash makes no difference and is dropped."""
    if not text.startswith("/"):
        raise Wrong(f'{show(text)} does not start with "/"', "a path from the root would be right")
    if "//" in text:
        raise Wrong(f"{show(text)} has an empty segment", "one slash between two segments would be right")
    if any(segment in (".", "..") for segment in text.split("/")):
        raise Wrong(f"{show(text)} has a dot segment", "the path that it resolves to would be right")
    if not _PATH.fullmatch(text):
        odd = quoted(next(mark for mark in text if not _PATH.fullmatch(mark)))
        raise Wrong(f"{show(text)} has a {odd} in it", "letters, digits and any of -._~!$&'()*+,;= would be right")
    return text if text == "/" else text.removesuffix("/")


def rewrite(text: str) -> str:
    """A path, or nothing: ``/`` is nothing too."""
    return "" if text in ("", "/") else path(text)


def path_pattern(text: str) -> str:
    """A path in which ``*`` stands for one segment. It holds without regard to case and ``;parameters``."""
    if ";" in text:
        raise Wrong(f'{show(text)} has a ";" in it', "the path alone, which holds for all parameters, would be right")
    if any("*" in segment and segment != "*" for segment in path(text).split("/")):
        raise Wrong(f'{show(text)} has a "*" within a segment', '"*" as a segment of its own would be right')
    return path(text).lower()


def public_path(text: str) -> str:
    """Exactly one path, or with ``/*`` at the end all below it."""
    below = text.removesuffix("/*")
    if "*" in below:
        raise Wrong(f'{show(text)} has a "*" before its end', 'a path such as "/login" or "/docs/*" would be right')
    if text == "/*":
        return text
    return path(below) + text[len(below) :]


def request_target(text: str) -> str:
    """A path, perhaps with a query, that goes into a request line as it stands."""
    if not _TARGET.fullmatch(text) or "#" in text:
        raise Wrong(f"{show(text)} is not a path", 'a path such as "/health", without spaces, would be right')
    return text


def optional_request_target(text: str) -> str:
    """A path, perhaps with a query, or nothing."""
    return request_target(text) if text else text


def hash_key(text: str) -> str:
    """What a consistent hash is taken of."""
    kind, _, name = text.partition(":")
    if text in ("client", "path") or (kind in ("header", "cookie") and _TOKEN.fullmatch(name)):
        return text
    raise Wrong(f"{show(text)} is not what can be hashed", 'client, path, "header:X-Project" or "cookie:lab" is')


def retry_status(status: int) -> int:
    """An answer that a request may be sent again after."""
    if not 500 <= status <= 599:
        raise Wrong(f"{status} is not a server error", "statuses from 500 to 599 would be right")
    return status


def method(name: str) -> str:
    """An HTTP method."""
    if not _METHOD.fullmatch(name):
        raise Wrong(f"{show(name)} is not a method", 'a method such as "DELETE", in capitals, is')
    return name


def method_or_any(name: str) -> str:
    """An HTTP method, or ``*`` for those that are not named."""
    return name if name == "*" else method(name)


def media_type(text: str) -> str:
    """A media type without parameters, or all of one kind, or any; case makes no difference."""
    if not _MEDIA_RANGE.fullmatch(text.lower()):
        raise Wrong(f"{show(text)} is not a media type", '"application/json" or "image/*" would be right')
    return text.lower()


def variable(name: str) -> str:
    """The name of an environment variable, or nothing."""
    if name and not _VARIABLE.fullmatch(name):
        raise Wrong(f"{show(name)} cannot be an environment variable", 'a name such as "TRACSEQ_SECRET" would be right')
    return name


def short_name(name: str) -> str:
    """A name that stands in keys of Redis, metrics and header fields."""
    if not _NAME.fullmatch(name):
        raise Wrong("is no name for it", "1 to 32 small letters, digits, - and _ would be right")
    return name


def namespace(name: str) -> str:
    """A part of the program that logs under its own name."""
    if len(name) > LONGEST_NAMESPACE or not _NAMESPACE.fullmatch(name):
        raise Wrong(f"{show(name)} names no part of the program", '"tracseq_gateway.upstream" would be right')
    return name


def filled(text: str) -> str:
    """Any text but none."""
    if not text:
        raise Wrong("is empty", "text would be right")
    return text


def key_prefix(text: str) -> str:
    """What the keys in Redis begin with."""
    if not re.fullmatch(r"[!-~]{1,100}", text):
        raise Wrong(f"{show(text)} is no prefix of a key", "1 to 100 visible characters of ASCII would be right")
    return text


def moment(text: str) -> str:
    """A point in time (RFC 3339), or nothing."""
    if text:
        try:
            # What fromisoformat takes beyond RFC 3339, such as weeks and times of no place, is nothing to rely on.
            datetime.fromisoformat(text if _MOMENT.fullmatch(text) else "").timestamp()
        except (ValueError, OverflowError):
            right = '"2027-01-31T00:00:00Z", with Z or an offset, is'
            raise Wrong(f"{show(text)} is not a moment", right) from None
    return text


def dns_name(name: str) -> str:
    """A name that DNS can be asked for; it is the same in small letters."""
    if not is_host(name) or re.fullmatch(r"[0-9.]+|.*:.*", name):
        raise Wrong(f"{show(name)} is not a name in DNS", '"samples.internal" is one')
    return name.lower()


def optional_host(host: str) -> str:
    """A host name or an IP address, without brackets; or nothing."""
    if host and not is_host(host):
        raise Wrong(f"{show(host)} is not a host", "a name or an address would be right")
    return host.lower()


def endpoint_url(url: str) -> str:
    """The URL of an instance with a path or a query behind it, which goes into a request line as it stands."""
    parts = URL.fullmatch(url)
    rest = parts["rest"] or "" if parts else ""
    parse_url(url.removesuffix(rest))
    if rest:
        request_target(rest if rest.startswith("/") else f"/{rest}")
    return url


def instance_url(url: str) -> str:
    """A URL that :func:`parse_url` takes."""
    parse_url(url)
    return url
