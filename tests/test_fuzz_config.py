"""A good configuration file with something spoiled: what is wrong is said where it is."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.config_files import FULL, SECRET, ConfigTestCase
from tests.fuzz import config_file
from tracseq_gateway.config import load

TEXT = Path(FULL).read_text()
SETTINGS = [(number, line) for number, line in enumerate(TEXT.splitlines(), 1) if re.match(r"\w+ = [^\[]*[^\[]$", line)]
"""The lines, with their numbers, that set one key."""
LITERALS = st.one_of(
    st.sampled_from(
        ['""', "true", "[]", "{}", "0", "-1", "1e400", "nan", "2026-01-01", "12:00:00", '"auto"', '"/"', "[[]]"]
    ),
    st.integers().map(str),
    st.integers(64, 400).map(lambda bits: str(1 << bits)),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20).map(
        lambda text: '"' + text.replace("\\", "").replace('"', "") + '"'
    ),
    st.sampled_from(
        ["{ url = 1 }", '{ "a.b" = [1] }', "{ x = { y = {} } }", '["http://h", 7]', '[{ url = "ftp://x" }]']
    ),
)
"""Values in TOML."""


class SpoiledTests(ConfigTestCase):
    def spoiled(self, number: int, line: str) -> list[tuple[int, str]]:
        """Put a line into the file in the place of another one; return the lines and keys of its errors."""
        lines = TEXT.splitlines()
        lines[number - 1] = line
        file = self.written("\n".join(lines) + "\n")
        loaded = load(file, SECRET, {})
        config_file.check(loaded, file, len(lines))
        return [(problem.line, problem.key) for problem in loaded.problems if problem.level == "error"]

    @given(st.sampled_from(SETTINGS), LITERALS)
    @settings(max_examples=60, deadline=None)
    def test_value(self, setting: tuple[int, str], literal: str) -> None:
        """With another value a file loads, or a problem stands on that very line and names the key."""
        number, line = setting
        key = line.partition(" ")[0]
        said = self.spoiled(number, f"{key} = {literal}")
        self.assertTrue(not said or any(at == number and key in name for at, name in said), said)

    @given(st.sampled_from(SETTINGS), st.from_regex(r"[a-z_]{1,12}", fullmatch=True))
    @settings(max_examples=20, deadline=None)
    def test_key(self, setting: tuple[int, str], key: str) -> None:
        """With a key of another name there is a problem on that very line, which names the key."""
        number, line = setting
        if f"\n{key} = " not in TEXT:
            said = self.spoiled(number, key + line[line.index(" ") :])
            self.assertTrue(any(at == number and key in name for at, name in said), said)
