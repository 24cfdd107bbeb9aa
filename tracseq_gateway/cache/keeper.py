"""Keeps the answers of one service, each where the requests that it belongs to will look for it."""

from __future__ import annotations

import os
from collections.abc import Collection

from tracseq_gateway.cache.asked import Asked
from tracseq_gateway.cache.kept import Kept, Variants
from tracseq_gateway.cache.keys import variant_key
from tracseq_gateway.cache.recent import Changes
from tracseq_gateway.cache.terms import Terms
from tracseq_gateway.http.caching.vary import variant, varies_by


class Keeper:
    """See the module."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self.changes = Changes()
        self.copied = 0
        """Bytes of answers that are on their way and are being copied."""

    def keep(self, asked: Asked, kept: Kept, moment: float) -> None:
        """Keep the answer to a request that was passed on at ``moment``, unless its target has changed since.

        ``moment`` is in seconds of the reactor's clock.
        """
        terms = self._terms
        names = varies_by(kept.fields)
        if names is None or kept.size > terms.largest or self.changes.since(asked.target, moment):
            return
        key = asked.target
        if names:
            variants = asked.variants
            if variants is None or variants.names != names:
                variants = Variants(names, os.urandom(8))
            terms.store.put(key, variants, terms.keep_seconds)
            key = variant_key(key, variants.generation, variant(names, asked.seen))
        terms.store.put(key, kept, min(terms.keep_seconds, kept.useful_for(terms.now())))

    def drop(self, asked: Asked) -> None:
        """What was kept for a request holds no longer."""
        self._terms.store.drop(asked.key)

    def change(self, targets: Collection[bytes]) -> None:
        """These targets have changed: what is kept of them, and what is on its way, holds no longer."""
        now = self._terms.deadlines.now()
        for target in targets:
            self.changes.note(target, now)
            self._terms.store.drop(target)
