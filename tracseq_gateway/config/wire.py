"""The configuration as bytes: how the supervisor hands the tree that it has checked to its workers.

Both ends are one version of the program, so this is the model as it stands, in the model's units, without the bounds
and conveniences of a file.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Literal

from cattrs.preconf.json import JsonConverter, make_converter

from tracseq_gateway.config.keys import Network
from tracseq_gateway.config.model import Config


def dumps(config: Config) -> bytes:
    """Return a configuration as one line of JSON in ASCII."""
    return _converter().dumps(config).encode("ascii")


def loads(data: bytes) -> Config:
    """Return the configuration that :func:`dumps` wrote, equal in every part."""
    return _converter().loads(data, Config)


def _converter() -> JsonConverter:
    converter = make_converter(forbid_extra_keys=True)
    converter.register_unstructure_hook(IPv4Network, str)
    converter.register_unstructure_hook(IPv6Network, str)
    converter.register_unstructure_hook(Network, str)
    converter.register_structure_hook(Network, lambda text, _: ip_network(text))
    converter.register_structure_hook(int | Literal["auto"], lambda value, _: value)
    return converter
