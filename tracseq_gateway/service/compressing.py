"""What one worker compresses: builds the stages of its services."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from twisted.internet.threads import deferToThreadPool

from tracseq_gateway.compression.answer import Compressor
from tracseq_gateway.compression.encoders import encoder_makers
from tracseq_gateway.compression.media_types import MediaTypes
from tracseq_gateway.compression.off_loop import OffLoop
from tracseq_gateway.compression.stage import CompressionStage
from tracseq_gateway.config.model import Config, Service
from tracseq_gateway.http.paths import PathPatterns
from tracseq_gateway.interfaces import Stage
from tracseq_gateway.metrics.counting import OWN


class Compressing:
    """Built once from the configuration."""

    def __init__(self, config: Config, reactor: Any) -> None:
        settings = config.compression
        self._auth = config.auth.service
        off_loop = OffLoop(lambda work: deferToThreadPool(reactor, reactor.getThreadPool(), work))
        self._compressor = Compressor(
            encoder_makers(settings),
            MediaTypes(settings.types),
            settings.least_bytes,
            settings.most_streams,
            off_loop,
        )
        self.counts: dict[str, Counter[str]] = {}
        """Bytes that went ``in`` and came ``out``, by service; of the gateway's own pages by their name there."""

    def stage(self, settings: Service, prefix: int, following: Stage) -> Stage:
        """The stage before ``following`` that has one service's answers compressed; itself if none are."""
        usual = settings.name != self._auth if settings.compression is None else settings.compression
        rules = {path: rule.compression for path, rule in settings.paths.items() if rule.compression is not None}
        if not usual and not any(rules.values()):
            return following
        return self._stage(settings.name, _applies(rules, usual, prefix), following)

    def own_pages(self, following: Stage) -> Stage:
        """The stage before the gateway's own pages: they hold no secrets, and say nothing that they were sent."""
        return self._stage(OWN, None, following)

    def _stage(self, name: str, applies: Callable[[bytes], bool] | None, following: Stage) -> Stage:
        counts = self.counts[name] = Counter({"in": 0, "out": 0})
        return CompressionStage(self._compressor, applies, counts, following)


def _applies(rules: dict[str, bool], usual: bool, prefix: int) -> Callable[[bytes], bool] | None:
    """Whether answers on a path are compressed; None: all are."""
    if not rules:
        return None
    patterns = PathPatterns(rules)

    def applies(path: bytes) -> bool:
        found = patterns.find(path[prefix:])
        return usual if found is None else found

    return applies
