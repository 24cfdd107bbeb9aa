"""The configuration of the page that shows all that can be called."""

from __future__ import annotations

from attrs import frozen

from tracseq_gateway.config.keys import Seconds, Size, key


@frozen
class Docs:
    """The API page, and the OpenAPI document that it shows."""

    enabled: bool = key(True, "Whether ``/docs`` and ``/openapi.json`` are served. Both are open without a token.")
    cache_seconds: Seconds = key(
        Seconds(60.0),
        "How old the services' documents may become before they are fetched again, when somebody asks.",
        least=1,
        most=86400,
    )
    timeout: Seconds = key(
        Seconds(3.0), "How long one document may take; beyond it what was fetched before is shown.", least=0.1, most=60
    )
    max_document: Size = key(Size(2 << 20), "Largest document of a service.", least=1024, most=16 << 20)
