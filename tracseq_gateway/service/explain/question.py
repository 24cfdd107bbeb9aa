"""What is asked about: a request as a client would write it, and where it would come from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Self

from attrs import asdict, fields_dict, frozen

LONGEST = 20_000
"""Characters of a question as JSON."""


class BadQuestion(ValueError):
    """It cannot be asked so; the text is for who asks."""


@frozen
class Question:
    """A request that nobody sends."""

    method: str
    target: str
    """As in a request line: a path and a query, ``*``, or a URL."""
    fields: tuple[str, ...] = ()
    """Lines such as ``Origin: https://lab.example``. Without a Host among them there is one: ``host``."""
    host: str = "localhost"
    address: str = "127.0.0.1"
    """The peer: a client, or a proxy in front."""
    token: str = ""
    """Comes as a Bearer token; not shown anywhere."""
    api_key: str = ""
    """Likewise in the header for API keys."""
    account: str | None = None
    """Whom a login is for; None: the body of a login is not known."""
    ask: bool = False
    """Whether the Auth Service, and who publishes keys, may really be asked."""

    @classmethod
    def of(cls, document: object) -> Self:
        """Take a question from JSON; raises :class:`BadQuestion`, which says what is wrong, but quotes no value."""
        if not isinstance(document, Mapping):
            raise BadQuestion("the question is no object")
        given = {name: value for name, value in document.items() if name in fields_dict(cls)}
        fields = given.pop("fields", ())
        account, ask = given.pop("account", None), given.pop("ask", False)
        if not isinstance(fields, list | tuple) or not all(isinstance(line, str) for line in fields):
            raise BadQuestion("fields is no list of texts")
        if not isinstance(account, str | None) or not isinstance(ask, bool):
            raise BadQuestion("account is no text, or ask neither true nor false")
        for name, value in given.items():
            if not isinstance(value, str):
                raise BadQuestion(f"{name} is no text")
        if not {"method", "target"} <= given.keys():
            raise BadQuestion("a method and a target are needed")
        texts = {name: str(value) for name, value in given.items()}
        question = cls(**texts, fields=tuple(fields), account=account, ask=ask)
        try:
            ip_address(question.address)
        except ValueError:
            raise BadQuestion("the address that the request comes from is no IP address") from None
        if len(question.packed()) > LONGEST:
            raise BadQuestion(f"the request is longer than {LONGEST} bytes can say")
        return question

    def packed(self) -> bytes:
        """The same as JSON."""
        return json.dumps(asdict(self)).encode("ascii")

    def head(self, api_key_header: str, body: bytes | None) -> bytes:
        """The request's head, byte for byte as a client would send it; ``body`` is what would follow, if that is known.

        Nothing is put right: what breaks a rule is to be refused by the parser that reads it.
        """
        lines = [f"{self.method} {self.target} HTTP/1.1"]
        names = {line.partition(":")[0].strip().lower() for line in self.fields}
        if "host" not in names:
            lines.append(f"Host: {self.host}")
        lines += self.fields
        if self.token:
            lines.append(f"Authorization: Bearer {self.token}")
        if self.api_key:
            lines.append(f"{api_key_header}: {self.api_key}")
        if body is not None:
            lines += ["Content-Type: application/json"] if "content-type" not in names else []
            lines += [f"Content-Length: {len(body)}"] if not names & {"content-length", "transfer-encoding"} else []
        return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")
