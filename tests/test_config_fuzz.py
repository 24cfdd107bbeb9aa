from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.config_files import ConfigTestCase
from tracseq_gateway.config import Loaded, dumps, load, loads
from tracseq_gateway.config.environment import OTHERS, VARIABLES

TABLES = [
    "gateway", "client", "defaults", "services", "services.a", "services.rag", "services.rag.paths./a", "auth",
    "auth.jwt", "auth.api_keys.a", "rate_limit", "rate_limit.limits.a", "rate_limit.failed_logins", "cors", "security",
    "compression", "metrics", "redis", "x",
]  # fmt: skip
KEYS = [
    "port", "workers", "trusted_proxies", "host", "prefix", "instances", "timeouts", "timeouts.response", "health",
    "max_body", "balance", "roles", "public", "rate_limit", "url", "service_key", "jwt", "name", "head", "instances.0",
    "algorithms", "keys", "jwks_url", "secret_env", "hash", "owner", "services", "methods", "paths", "limits",
    "expires", "api_keys", "allow_origins", "allow_credentials", "allow", "content_types", "enabled", "service", "path",
]  # fmt: skip
TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["/a", "/a/", "http://h", "http://h:1/x", "https://h", "auto", "50MiB", "10.0.0.0/8", "p2c"]),
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(TEXTS, st.booleans(), st.integers(), st.floats(), st.dates(), st.datetimes(), st.times()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
NAMES = [*(variable.name for variable in VARIABLES), *OTHERS, "SERVICES__A__PORT", "SERVICES__RAG__HOST", "CORS__X"]
LINES = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [f"[{name}]" for name in TABLES] + ["[[services]]", "[[services.a.instances]]", "x = {", "]", '"""']
    ),
    st.builds(
        "{} = {}".format, st.sampled_from(KEYS), st.sampled_from(["1", "-1", '"x"', "[]", "{}", "true", "nan", "["])
    ),
)


class NeverRaisesTests(ConfigTestCase):
    def assertSound(self, loaded: Loaded) -> None:
        """There is a configuration or an error, every problem is one line, and what loads can be handed on."""
        refused = any(problem.level == "error" for problem in loaded.problems)
        self.assertEqual(loaded.config is None, refused)
        for problem in loaded.problems:
            self.assertTrue(str(problem).isprintable(), str(problem))
        if loaded.config is not None:
            self.assertEqual(loads(dumps(loaded.config)), loaded.config)

    @given(st.lists(LINES, max_size=12).map("\n".join))
    @settings(max_examples=150, deadline=None)
    def test_any_text(self, text: str) -> None:
        """Whatever stands in a file, loading gives a configuration or says what is wrong."""
        with open(file := self.mktemp(), "wb") as stream:
            stream.write(text.encode("utf-8", "surrogatepass"))
        self.assertSound(load(file, {}, {}))

    @given(
        st.dictionaries(st.builds("{}.{}".format, st.sampled_from(TABLES), st.sampled_from(KEYS)), VALUES, max_size=6)
    )
    @settings(max_examples=150, deadline=None)
    def test_any_values(self, overrides: dict[str, object]) -> None:
        """Whatever stands at a key, loading gives a configuration or says what is wrong."""
        self.assertSound(load(None, {}, overrides))

    @given(st.dictionaries(st.sampled_from(NAMES), TEXTS | st.sampled_from(["1", "true", "[1]", "h"]), max_size=6))
    @settings(max_examples=150, deadline=None)
    def test_any_environment(self, environ: dict[str, str]) -> None:
        """Whatever stands in the environment, loading gives a configuration or says what is wrong."""
        self.assertSound(load(None, environ, {}))
