"""What a request that may have changed something does to what is kept (RFC 9111 section 4.4)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from urllib.parse import urljoin, urlsplit

from tracseq_gateway.cache.asked import place_of
from tracseq_gateway.cache.keys import key_of
from tracseq_gateway.cache.terms import Terms
from tracseq_gateway.http.outgoing import OutgoingHead
from tracseq_gateway.interfaces import AnswerSink, Request


class Invalidation:
    """An :class:`tracseq_gateway.interfaces.AnswerFilter` that passes all on, and says what has changed."""

    def __init__(
        self, request: Request, sink: AnswerSink, terms: Terms, changed: Callable[[Collection[bytes]], None]
    ) -> None:
        """``changed`` is called with the targets that the request has changed, once that is known."""
        self._request = request
        self._terms = terms
        self._changed = changed
        self._sink = sink
        self.send, self.abort = sink.send, sink.abort

    def begin(self, head: OutgoingHead, data: bytes, done: bool) -> None:
        """See :class:`tracseq_gateway.interfaces.AnswerSink`."""
        if 200 <= head.status < 400 and self._request.error is None:
            self._changed(set(self._targets(head)))
        self._sink.begin(head, data, done)

    def _targets(self, head: OutgoingHead) -> Iterator[bytes]:
        """What was asked for, and on the same host what Location and Content-Location name.

        A service names a path as it knows it, or as its clients do.
        """
        asked, path_of = self._request.head, self._terms.upstream_path
        yield from self._keys(path_of(asked.path), asked.query)
        for name, value in head.pairs:
            if name in (b"location", b"content-location"):
                path, query = _place(value, asked.host, asked.path)
                if path:
                    yield from self._keys(path, query)
                    yield from self._keys(path_of(path), query)

    def _keys(self, path: bytes, query: bytes) -> Iterator[bytes]:
        service, (_, host) = self._terms.service.encode(), place_of(self._request)
        for scheme in (b"http", b"https"):
            yield key_of(service, scheme, host, path, query)

    def gone(self) -> None:
        """See :class:`tracseq_gateway.interfaces.AnswerFilter`: nobody knows what it has done; a later answer will."""


def _place(reference: bytes, host: bytes, base: bytes) -> tuple[bytes, bytes]:
    """Path and query, with its ``?``, of a reference on ``host``; empty if it leads elsewhere, or is none."""
    try:
        url = urlsplit(urljoin(base.decode("latin-1"), reference.decode("latin-1")))
        elsewhere = url.netloc and url.netloc.lower().encode("latin-1") != host.lower()
        if elsewhere or url.scheme not in ("", "http", "https") or not url.path.startswith("/"):
            return b"", b""
        return url.path.encode("latin-1"), b"?" + url.query.encode("latin-1") if url.query else b""
    except ValueError:
        return b"", b""
