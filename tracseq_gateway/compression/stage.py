"""The stage that has the answers of one service compressed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

from tracseq_gateway.compression.answer import CompressedAnswer, Compressor
from tracseq_gateway.interfaces import Request, Stage


class CompressionStage:
    """See :class:`tracseq_gateway.interfaces.Stage`."""

    def __init__(
        self,
        compressor: Compressor,
        applies: Callable[[bytes], bool] | None,
        counts: Counter[str],
        following: Stage,
    ) -> None:
        """``applies``: whether answers on a path are compressed; None: all are. ``counts``: see the filter."""
        self._compressor = compressor
        self._applies = applies
        self._counts = counts
        self._following = following

    def __call__(self, request: Request) -> None:
        """Put the filter in, and pass the request on."""
        if self._applies is None or self._applies(request.head.path):
            request.filter_answer(partial(CompressedAnswer, self._compressor, self._counts, request))
        self._following(request)
