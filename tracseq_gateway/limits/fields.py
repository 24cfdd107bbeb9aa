"""How limits are told to clients: draft-ietf-httpapi-ratelimit-headers-10, and the fields that came before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil

from tracseq_gateway.limits.gcra import Policy


def policy_item(policy: Policy) -> str:
    """A limit as an item of RateLimit-Policy: its name, its quota and the seconds in which the quota comes back."""
    unit = ';qu="content-bytes"' if policy.unit == "bytes" else ""
    return f'"{_quoted(policy)}";q={int(policy.burst)};w={max(1, round(policy.tolerance / 1e6))}{unit}'


def _quoted(policy: Policy) -> str:
    """Its name within a string of a structured field (RFC 8941 section 3.3.3): a path may have quotation marks."""
    return policy.name.replace('"', '\\"')


class LimitFields:
    """Writes the lines of an answer to a request that was limited."""

    def __init__(self, *, standard: bool, legacy: bool, now: Callable[[], float]) -> None:
        """``standard``: RateLimit and RateLimit-Policy; ``legacy``: X-RateLimit-*; ``now``: seconds since the epoch."""
        self._standard = standard
        self._legacy = legacy
        self._now = now
        self._policies: dict[Sequence[Policy], bytes] = {}

    def lines(self, policies: tuple[Policy, ...], ahead: Sequence[float], retry: float = 0.0) -> bytes:
        """Return the lines, each with its CRLF.

        ``ahead`` says, in microseconds, how far ahead the TAT of each limit is; ``retry`` is the time in microseconds
        after which a refused request would be admitted.
        """
        if not self._standard and not self._legacy:
            return b""
        if len(policies) == 1 and not retry:
            return self._one(policies, ahead[0])
        items = []
        tightest: tuple[int, float, Policy] | None = None
        for policy, reset in zip(policies, ahead, strict=True):
            remaining = policy.remaining(reset)
            seconds = min(reset, retry) if retry and not remaining else reset
            items.append(f'"{_quoted(policy)}";r={remaining};t={ceil(seconds / 1e6)}')
            if policy.unit == "requests" and (tightest is None or remaining < tightest[0]):
                tightest = (remaining, reset, policy)
        lines = b""
        if self._standard:
            lines = b"%bratelimit: %b\r\n" % (self._policy_line(policies), ", ".join(items).encode("ascii"))
        if self._legacy and tightest is not None:
            remaining, reset, policy = tightest
            lines += self._legacy_lines(policy, remaining, reset)
        return lines

    def _one(self, policies: tuple[Policy, ...], reset: float) -> bytes:
        """The usual case: one limit, which admitted the request."""
        policy = policies[0]
        remaining = policy.remaining(reset)
        lines = b""
        if self._standard:
            name = _quoted(policy).encode("ascii")
            seconds = ceil(reset / 1e6)
            lines = b'%bratelimit: "%b";r=%d;t=%d\r\n' % (self._policy_line(policies), name, remaining, seconds)
        if self._legacy and policy.unit == "requests":
            lines += self._legacy_lines(policy, remaining, reset)
        return lines

    def _policy_line(self, policies: tuple[Policy, ...]) -> bytes:
        line = self._policies.get(policies)
        if line is None:
            items = ", ".join(policy_item(policy) for policy in policies)
            line = self._policies[policies] = f"ratelimit-policy: {items}\r\n".encode("ascii")
        return line

    def _legacy_lines(self, policy: Policy, remaining: int, reset: float) -> bytes:
        return b"x-ratelimit-limit: %d\r\nx-ratelimit-remaining: %d\r\nx-ratelimit-reset: %d\r\n" % (
            policy.burst,
            remaining,
            self._now() + reset / 1e6 + 1,
        )
