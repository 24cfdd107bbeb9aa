from __future__ import annotations

from ipaddress import ip_network
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.config_files import FULL
from tracseq_gateway.config import Config, Network, dumps, load, loads

networks = st.builds(lambda address, bits: ip_network((address, bits), strict=False), st.ip_addresses(), st.just(24))
LEAVES: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(),
    bool: st.booleans(),
    int: st.integers(),
    float: st.floats(allow_nan=False),
    NoneType: st.none(),
    Network: networks,
}


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Return any value that a field of the model may hold, built in code rather than read from a file."""
    hint = getattr(hint, "__supertype__", hint)
    if hint in LEAVES:
        return LEAVES[hint]
    if attrs.has(hint):
        hints = get_type_hints(hint)
        return st.builds(hint, **{field.name: values(hints[field.name]) for field in attrs.fields(hint)})
    parts = get_args(hint)
    if get_origin(hint) is Literal:
        return st.sampled_from(parts)
    if get_origin(hint) is tuple:
        return st.lists(values(parts[0]), max_size=2).map(tuple)
    if get_origin(hint) is dict:
        return st.dictionaries(st.text(), values(parts[1]), max_size=2)
    return st.one_of(*map(values, parts))


class WireTests(SynchronousTestCase):
    @given(values(Config))
    @settings(max_examples=50, deadline=None)
    def test_round_trip(self, config: Config) -> None:
        """Every configuration comes out of the bytes as it went in, bounds or no bounds."""
        self.assertEqual(loads(dumps(config)), config)

    def test_contract(self) -> None:
        """So does the one of the contract, and its types are kept."""
        config = load(FULL, {}, {}).config
        assert config is not None
        again = loads(dumps(config))
        self.assertEqual(again, config)
        self.assertEqual(repr(again), repr(config))

    def test_one_line(self) -> None:
        """The bytes are one line of ASCII, whatever is in the configuration."""
        data = dumps(attrs.evolve(Config(), gateway=attrs.evolve(Config().gateway, via="é\n\udc80")))
        self.assertTrue(data.isascii())
        self.assertNotIn(b"\n", data)
