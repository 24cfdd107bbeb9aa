"""The head of an answer as it goes to a client."""

from __future__ import annotations

from tracseq_gateway.http.fields import Fields


class OutgoingHead:
    """Status, reason and fields; written for HTTP/1.1 at most once, however often it is sent.

    Framing (Content-Length, Transfer-Encoding, Connection), a Date where ``dated`` is False, X-Request-Id and, to
    an answer of the gateway's own, the lines that those have in common are added by the channel.
    """

    __slots__ = ("_lines", "dated", "length", "of_service", "over_tls", "pairs", "reason", "status")

    def __init__(
        self,
        status: int,
        reason: bytes,
        pairs: Fields,
        length: int | None = None,
        *,
        dated: bool = False,
        of_service: bool = False,
        over_tls: bytes = b"",
    ) -> None:
        """``length`` is the body's length if it is known; for HEAD and 304, what it would be.

        ``of_service`` says that a service gave the answer, or that it is to be left as it is like one;
        ``over_tls`` are lines for clients that came by TLS.
        """
        self.status = status
        self.reason = reason
        self.pairs = pairs
        self.length = length
        self.dated = dated
        self.of_service = of_service
        self.over_tls = over_tls
        self._lines: bytes | None = None

    def with_fields(self, pairs: Fields, length: int | None) -> OutgoingHead:
        """The same head with other fields, and perhaps another length."""
        return OutgoingHead(
            self.status,
            self.reason,
            pairs,
            length,
            dated=self.dated,
            of_service=self.of_service,
            over_tls=self.over_tls,
        )

    def lines(self) -> bytes:
        """The status line and the fields, each with its CRLF."""
        if self._lines is None:
            fields = b"".join([n + b": " + v + b"\r\n" for n, v in self.pairs])
            self._lines = b"HTTP/1.1 %d %b\r\n%b" % (self.status, self.reason, fields)
        return self._lines
