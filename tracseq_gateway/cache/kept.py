"""What is kept: an answer with all that says for how long and for whom it is good; and by what answers vary."""

from __future__ import annotations

import json
from collections.abc import Callable

from attrs import define, evolve, field, frozen

from tracseq_gateway.http.caching.control import Directives, directives_of
from tracseq_gateway.http.caching.freshness import initial_age, lifetime
from tracseq_gateway.http.caching.reuse import serves_while
from tracseq_gateway.http.caching.storing import why_not
from tracseq_gateway.http.conditional import freshened, question
from tracseq_gateway.http.dates import format_date
from tracseq_gateway.http.fields import Fields
from tracseq_gateway.http.outgoing import OutgoingHead

OVERHEAD = 500
"""Bytes that an answer is taken to need beside its fields and its body."""

_FORM = 1
"""Of what is written; what was written in another form is not read."""


@define(eq=False)
class Kept:
    """A whole answer. Never changed once it is made, for many requests may be at work on it."""

    status: int
    reason: bytes
    fields: Fields
    """As they went to the client, without Age and Cache-Status; with a Date."""
    over_tls: bytes
    """See :class:`tracseq_gateway.http.outgoing.OutgoingHead`."""
    body: bytes
    received: float
    """When it came, in seconds since the epoch."""
    initial_age: float
    """How old it was then."""
    control: Directives = field(init=False)
    fresh_for: float = field(init=False)
    """Its lifetime in seconds, of which :meth:`left` says what is left."""

    def __attrs_post_init__(self) -> None:
        self.control = directives_of(self.fields)
        self.fresh_for = lifetime(self.fields, self.control, self.received) or 0

    def why_not(self, asked: Directives, *, personal: bool) -> str | None:
        """See :func:`tracseq_gateway.http.caching.storing.why_not`."""
        fresh_for = lifetime(self.fields, self.control, self.received)
        return why_not(asked, self.status, self.fields, self.control, fresh_for, personal=personal)

    @property
    def size(self) -> int:
        """About how many bytes of memory it takes."""
        return OVERHEAD + len(self.body) + sum(len(name) + len(value) + 100 for name, value in self.fields)

    def age(self, now: float) -> float:
        """How old it is, in seconds (RFC 9111 section 4.2.3)."""
        return self.initial_age + max(0.0, now - self.received)

    def left(self, now: float) -> float:
        """For how many seconds it is still fresh; negative when it is stale."""
        return self.fresh_for - self.age(now)

    def useful_for(self, now: float) -> float:
        """For how many seconds there is any use in keeping it."""
        if question(self.fields):
            return float("inf")
        while_stale = (self.control.seconds(name) for name in (b"stale-while-revalidate", b"stale-if-error"))
        return self.left(now) + max(0, *(seconds or 0 for seconds in while_stale))

    def may_be_used(self, directive: bytes, now: float) -> bool:
        """Whether it may be given out though it is stale, as ``directive`` of RFC 5861 allows."""
        return serves_while(self.control, directive, -self.left(now))

    def confirmed(self, head: OutgoingHead, asked: float, now: float) -> Kept:
        """The same after its service has said, by a 304, that it still holds."""
        fields = freshened(self.fields, dated_fields(head, now))
        return evolve(
            self,
            fields=[pair for pair in fields if pair[0] not in _OWN],
            received=now,
            initial_age=initial_age(head.pairs, asked, now),
        )

    def head(self, now: float, status: bytes) -> OutgoingHead:
        """The head of an answer to a client; ``status`` is the member of Cache-Status."""
        fields = [*self.fields, (b"age", b"%d" % self.age(now)), (b"cache-status", status)]
        return OutgoingHead(
            self.status, self.reason, fields, len(self.body), dated=True, of_service=True, over_tls=self.over_tls
        )

    def pack(self) -> bytes:
        """As bytes, for a store outside of this process."""
        about = [
            _FORM,
            self.status,
            self.reason.decode("latin-1"),
            [[name.decode("latin-1"), value.decode("latin-1")] for name, value in self.fields],
            self.over_tls.decode("latin-1"),
            self.received,
            self.initial_age,
            len(self.body),
        ]
        return b"answer " + json.dumps(about).encode("ascii") + b"\n" + self.body


_OWN = frozenset({b"age"})


def dated_fields(head: OutgoingHead, received: float) -> Fields:
    """The fields of an answer, with a Date: when it was received, if its service says none (RFC 9110 section 6.6.1)."""
    return head.pairs if head.dated else [*head.pairs, (b"date", format_date(received))]


def kept_of(head: OutgoingHead, body: bytes, asked: float, received: float) -> Kept:
    """The answer to a request that was passed on at ``asked``, as it is to be kept."""
    fields = dated_fields(head, received)
    return Kept(
        head.status,
        head.reason,
        [pair for pair in fields if pair[0] not in _OWN],
        head.over_tls,
        body,
        received,
        initial_age(fields, asked, received),
    )


@frozen
class Variants:
    """Stands in the place of an answer where there are several: which fields of a request tell them apart."""

    names: tuple[bytes, ...]
    generation: bytes
    """Part of the keys of these answers: others that stand here later have others."""

    size = OVERHEAD

    def pack(self) -> bytes:
        """As bytes, for a store outside of this process."""
        names = [name.decode("latin-1") for name in self.names]
        return b"varies " + json.dumps([_FORM, names, self.generation.hex()]).encode("ascii")


Record = Kept | Variants

Ready = Callable[[Record | None], None]


def unpack(data: bytes) -> Record:
    """The record that was packed; raises ValueError for bytes that are none."""
    kind, _, rest = data.partition(b" ")
    try:
        if kind == b"varies":
            form, names, generation = json.loads(rest)
            if form != _FORM:
                raise ValueError("another form")
            return Variants(tuple(name.encode("latin-1") for name in names), bytes.fromhex(generation))
        about, mark, body = rest.partition(b"\n")
        form, status, reason, fields, over_tls, received, age, length = json.loads(about)
        if kind != b"answer" or form != _FORM or len(body) != length or not mark:
            raise ValueError("another form, or not whole")
        pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]
        return Kept(int(status), reason.encode("latin-1"), pairs, over_tls.encode("latin-1"), body, received, age)
    except (TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not what was packed: {error}") from error
