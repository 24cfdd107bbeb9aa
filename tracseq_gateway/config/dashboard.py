"""The dashboard: who may look at it, and how often it changes."""

from __future__ import annotations

from attrs import frozen

from tracseq_gateway.config.keys import Seconds, key
from tracseq_gateway.config.policies import Role


@frozen
class Dashboard:
    """The page that shows how the gateway and its services are."""

    enabled: bool = key(
        True,
        "Whether there is a dashboard at ``/dashboard``, and at ``/`` for browsers. Without it "
        "``tracseq-gateway status`` has no rates either: nothing is counted for them.",
    )
    role: Role = key(
        "lab_administrator",
        "The lowest role that may see what it shows, once ``auth.enabled`` is true. Without that anybody may.",
    )
    login: str = key(
        "/login",
        "The path below the prefix of ``auth.service`` that its sign-in form posts to; without that service tokens are "
        "pasted.",
    )
    interval: Seconds = key(
        Seconds(1.0), "How often what it shows changes. What changes is known once a second.", least=1, most=60
    )
