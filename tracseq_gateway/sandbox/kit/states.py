"""State machines as tables: which state may follow which."""

from __future__ import annotations

from collections.abc import Mapping

from .problems import conflict

Steps = Mapping[str, tuple[str, ...]]
"""Every state with those that may follow it."""


def require_step(steps: Steps, what: str, current: str, wanted: str) -> None:
    """Check one step of a ``what``.

    :raises Problem: 409, naming the states that may follow.
    """
    allowed = steps[current]
    if wanted not in allowed:
        following = " or ".join(allowed) if allowed else "nothing"
        message = f"a {what} that is {current} cannot become {wanted}; what may follow is {following}"
        raise conflict("status_not_allowed", message, current=current, allowed=list(allowed))
