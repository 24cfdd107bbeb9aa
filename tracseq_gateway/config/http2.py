"""The table ``[http2]``: HTTP/2 (RFC 9113) to clients."""

from __future__ import annotations

from attrs import frozen

from tracseq_gateway.config.keys import Size, key


@frozen
class Http2:
    """Whether HTTP/2 is spoken, and how much one connection may have under way."""

    enabled: bool = key(True, "Whether HTTP/2 is offered to clients that come by TLS (ALPN ``h2``).")
    clear: bool = key(
        False,
        "Whether it is spoken without TLS as well, with clients that begin in it (prior knowledge). HTTP/1.1 goes on "
        "beside it on the same port.",
    )
    websockets: bool = key(
        False,
        "Whether WebSockets are offered on streams (RFC 8441), beside those that open a connection of HTTP/1.1.",
    )
    max_streams: int = key(
        100,
        "Requests that one connection may have under way (SETTINGS_MAX_CONCURRENT_STREAMS); beyond it REFUSED_STREAM.",
        least=1,
        most=1000,
    )
    stream_window: Size = key(
        Size(65536),
        "Bytes of one request body that may be on their way or waiting for the service. An upload goes no faster than "
        "this for each round trip.",
        least=65535,
        most=1 << 24,
    )
    connection_window: Size = key(
        Size(1 << 20), "The same for all request bodies of one connection together.", least=65535, most=1 << 28
    )
