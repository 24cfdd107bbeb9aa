"""The stage before a service that answers from what is kept, and keeps what it may.

Whoever comes here has passed all doors: a kept answer is given to nobody who might not have asked the service. Whose
answer it is, is another matter: what was asked with a credential is given to others, and what was asked without one to
somebody who has one, only if the answer says that it is for all (RFC 9111 section 3.5).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial

from twisted.logger import Logger

from tracseq_gateway.cache.asked import Asked, ask_anew, asked_of
from tracseq_gateway.cache.copying import Copying, Errand, Outcome
from tracseq_gateway.cache.fill import Fill
from tracseq_gateway.cache.giving import give
from tracseq_gateway.cache.invalidation import Invalidation
from tracseq_gateway.cache.keeper import Keeper
from tracseq_gateway.cache.kept import Kept, Record, Variants
from tracseq_gateway.cache.keys import variant_key
from tracseq_gateway.cache.recent import Unfit
from tracseq_gateway.cache.terms import Terms
from tracseq_gateway.errors import INTERNAL, NOT_KEPT, GatewayError
from tracseq_gateway.http.caching.reuse import use_of
from tracseq_gateway.http.caching.status import Forward
from tracseq_gateway.http.caching.storing import is_shared
from tracseq_gateway.http.caching.vary import variant, varies_by
from tracseq_gateway.http.conditional import question
from tracseq_gateway.interfaces import Request, Stage

UNFIT_SECONDS = 10.0
"""How long it is remembered that requests for a target need not wait for each other."""

_SAFE = frozenset({b"GET", b"HEAD", b"OPTIONS"})

FillKey = tuple[bytes, bool]
"""What is asked for, and whether with a credential."""


class CacheStage:
    """See the module."""

    _log = Logger()

    def __init__(self, terms: Terms, following: Stage) -> None:
        self.terms = terms
        self.keeper = Keeper(terms)
        self._service = terms.service.encode()
        self._following = following
        self._fills: dict[FillKey, Fill] = {}
        self._unfit: Unfit[FillKey] = Unfit(UNFIT_SECONDS)

    def __call__(self, request: Request) -> None:
        """Take over a request."""
        head, terms = request.head, self.terms
        if head.method != b"GET" and head.method != b"HEAD":
            self._pass_by(request, "method")
            return
        asked = asked_of(request, self._service, terms.upstream_path(head.path), terms.credentials)
        if asked is None:
            self._pass_by(request, "bypass")
        else:
            terms.store.get(asked.target, partial(self._found, asked))

    def _pass_by(self, request: Request, why: Forward) -> None:
        """Let a request go on that what is kept says nothing to."""
        unsafe = request.head.method not in _SAFE
        self.terms.note(request, "invalidated" if unsafe else "passed")
        if unsafe:
            self.watch(request)
        request.answer_lines += b"cache-status: %b\r\n" % self.terms.status.passed(why)
        self._following(request)

    def watch(self, request: Request) -> None:
        """Let what a request changes, also one that does not come by here, hold no longer."""
        request.filter_answer(lambda sink: Invalidation(request, sink, self.terms, self._changed))

    # What is kept.

    def _found(self, asked: Asked, record: Record | None) -> None:
        """This is kept for the target."""
        if asked.request.finished:
            return
        if isinstance(record, Variants):
            asked.variants = record
            asked.key = variant_key(asked.target, record.generation, variant(record.names, asked.seen))
            self.terms.store.get(asked.key, partial(self._selected, asked))
        else:
            self._selected(asked, record)

    def _selected(self, asked: Asked, record: Record | None) -> None:
        """This is kept for the request."""
        if asked.request.finished:
            return
        if not isinstance(record, Kept):
            self._miss(asked, "uri-miss" if asked.variants is None else "vary-miss")
            return
        if asked.personal and not is_shared(record.control):
            self._miss(asked, "request")
            return
        now = self.terms.now()
        use = use_of(asked.control, record.control, record.fresh_for, record.age(now))
        meanwhile = use == "expired" and self._is_asked(asked) and record.may_be_used(b"stale-while-revalidate", now)
        if use == "fresh" or use == "stale" or meanwhile:
            self._hit(asked, record, now)
        else:
            self._miss(asked, "request" if use == "asked" else "stale", record)

    def _is_asked(self, asked: Asked) -> bool:
        """Whether the service is being asked for the same already."""
        return (asked.key, asked.personal) in self._fills

    def _hit(self, asked: Asked, kept: Kept, now: float) -> None:
        left = kept.left(now)
        self.terms.note(asked.request, "hit" if left > 0 else "stale")
        give(asked, asked.request, kept, now, self.terms.status.hit(left))

    # What is not.

    def _miss(self, asked: Asked, why: Forward, kept: Kept | None = None) -> None:
        """The service must be asked: by this request, unless another one asks for the same already."""
        if b"only-if-cached" in asked.control:
            self.terms.note(asked.request, "miss")
            asked.request.refuse(GatewayError(NOT_KEPT, "there is no answer that may be given without asking"))
            return
        if asked.request.head.method == b"HEAD" or b"no-store" in asked.control:
            self.terms.note(asked.request, "miss")
            asked.request.answer_lines += b"cache-status: %b\r\n" % self.terms.status.passed(why)
            self._following(asked.request)
            return
        key = (asked.key, asked.personal)
        fill = self._fills.get(key)
        if fill is not None and why != "request" and fill.join(asked, partial(self._ask, why=why, kept=kept)):
            return
        if fill is not None or self._unfit.has(key, self.terms.deadlines.now()) or (asked.conditional and kept is None):
            self._ask(asked, why, kept)
            return
        terms = self.terms
        fill = self._fills[key] = Fill(asked.target, terms.waiting, terms.wait_seconds, terms.deadlines)
        self._ask(asked, why, kept, fill)

    def _ask(self, asked: Asked, why: Forward, kept: Kept | None, fill: Fill | None = None) -> None:
        """Let the request go on to its service, and keep the answer on its way back if that may be.

        ``fill`` are the requests that wait for it.
        """
        request = asked.request
        lines = question(kept.fields) if kept is not None else b""
        if lines:
            request.head = ask_anew(request.head)
            request.forwarded += lines
        ended: Callable[[Outcome, Kept | None], None] = _nobody_waits
        if fill is not None:
            ended = partial(self._ended, asked, why, kept, fill)
        terms = self.terms
        errand = Errand(asked, why, kept if lines else None, terms.now(), terms.deadlines.now(), ended)
        request.filter_answer(lambda sink: Copying(self.terms, self.keeper, errand, sink))
        self._following(request)

    # Those who wait.

    def _ended(
        self, asked: Asked, why: Forward, before: Kept | None, fill: Fill, outcome: Outcome, kept: Kept | None
    ) -> None:
        """It is known what the service says, or that it will not say it to the one who asked."""
        if outcome == "left":
            following = fill.next()
            if following is not None:
                self._go_on(following, partial(self._ask, following, why, before, fill))
                return
        key, now = (asked.key, asked.personal), self.terms.now()
        if self._fills.get(key) is fill:
            del self._fills[key]
        useful = kept is not None and (outcome == "rescued" or self._is_fresh(asked, kept, now))
        if outcome in ("kept", "rescued") and useful:
            self._unfit.clear(key)
        elif outcome in ("kept", "unfit"):
            self._unfit.note(key, self.terms.deadlines.now())
        for one in fill.released():
            self._go_on(one, partial(self._follow, one, asked, why, before, kept if useful else None))

    def _go_on(self, asked: Asked, how: Callable[[], None]) -> None:
        """Let a request go on that waited; a failure must not touch the others, nor who sent for them."""
        if asked.request.finished:
            return
        try:
            how()
        except Exception:
            self._log.failure("a request could not be passed on: {path!r}", path=asked.request.head.path)
            asked.request.break_off(GatewayError(INTERNAL))

    def _is_fresh(self, asked: Asked, kept: Kept, now: float) -> bool:
        return use_of(asked.control, kept.control, kept.fresh_for, kept.age(now)) in ("fresh", "stale")

    def _follow(self, one: Asked, asked: Asked, why: Forward, before: Kept | None, kept: Kept | None) -> None:
        """Answer a request that waited with the answer to another one, if it is for both; else let it go on."""
        now = self.terms.now()
        if kept is None or not self._fits(one, asked, kept, now):
            self._ask(one, why, before)
            return
        self.terms.note(one.request, "collapsed")
        give(one, one.request, kept, now, self.terms.status.collapsed(why))

    def _fits(self, one: Asked, asked: Asked, kept: Kept, now: float) -> bool:
        names = varies_by(kept.fields)
        if names is None or (names and variant(names, one.seen) != variant(names, asked.seen)):
            return False
        if kept.left(now) <= 0:
            return kept.may_be_used(b"stale-if-error", now)
        return self._is_fresh(one, kept, now)

    # What would become of a request.

    def outlook(self, request: Request) -> str:
        """Say in one sentence what would become of a request, and change nothing."""
        head, terms = request.head, self.terms
        if head.method not in (b"GET", b"HEAD"):
            effect = "; what is kept of its target is dropped if it succeeds" if head.method not in _SAFE else ""
            return f"passes by, for it is no GET{effect}"
        asked = asked_of(request, self._service, terms.upstream_path(head.path), terms.credentials)
        if asked is None:
            return "passes by, for it has a body, a range, or a condition for the service, or is for a stream of events"
        if terms.store.shared:
            return "would be looked up in Redis; what is there is not known here"
        record = terms.store.peek(asked.target)
        if isinstance(record, Variants):
            key = variant_key(asked.target, record.generation, variant(record.names, asked.seen))
            record = terms.store.peek(key)
        if not isinstance(record, Kept):
            return "nothing is kept for it: the service is asked"
        if asked.personal and not is_shared(record.control):
            return "what is kept is not said to be for all, and the request says whose it is: the service is asked"
        now = terms.now()
        if use_of(asked.control, record.control, record.fresh_for, record.age(now)) in ("fresh", "stale"):
            return f"answered by what is kept, which is fresh for another {record.left(now):.0f} s"
        return "the service is asked whether what is kept still holds"

    # What has changed.

    def _changed(self, targets: Collection[bytes]) -> None:
        """Who comes from now on must not get what was asked before."""
        self.keeper.change(targets)
        self._forget({key for key, fill in self._fills.items() if fill.target in targets})

    def forget(self) -> None:
        """Nothing that is on its way now is to be kept, nor given to who comes from now on."""
        self.keeper.changes.note_all(self.terms.deadlines.now())
        self._forget(set(self._fills))

    def _forget(self, fills: Collection[FillKey]) -> None:
        for key in fills:
            del self._fills[key]


def _nobody_waits(outcome: Outcome, kept: Kept | None) -> None:
    """Whom to tell how the errand of a single request ended."""
