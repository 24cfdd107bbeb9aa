"""The roof: builds one worker's gateway from the configuration, back to front."""

from tracseq_gateway.service.gateway import Gateway

__all__ = ["Gateway"]
