"""How a client came to us: what was found out about a connection before HTTP is spoken on it."""

from __future__ import annotations

from attrs import frozen

from tracseq_gateway.interfaces import TlsFacts


@frozen
class Arrival:
    """Made by the opening of a connection, for its channel."""

    address: str = ""
    """The client's address, if a proxy carried it; empty: the peer's own."""
    vouched: bool = True
    """Whether, if it is a trusted proxy, it may say where its clients come from."""
    tls: TlsFacts | None = None
    """What TLS says of the client; None in clear."""
    seconds_left: float = 0.0
    """Of the time for the first request's head; 0: all of it, as nothing came before."""


DIRECT = Arrival()
"""Nothing came before the first request."""
