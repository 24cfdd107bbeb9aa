from __future__ import annotations

import tomllib
from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.config_files import FULL
from tracseq_gateway.config.locate import key_lines, line_of
from tracseq_gateway.config.problem import KeyPath

DOCUMENT = '''\
# a comment with [brackets] and = signs
title = "a # b" # after a value

[table]
plain.dotted."quoted \\u00e9" = 1
literal = 'C:\\'
multi = """
[not.a.table]
x = "still text" \\
"""""

array = [ # comment ]
  1,
  "two, ]",
  { x = 1, y = [ 2,
    3 ] },
]
[[list]]
name = "first"
[list.below]
x = 1979-05-27 07:32:00
[[list]]
name = """"second\\""""" # three quotes and one more
[list.below]
x = { }
  [ a . "b.c" ]
  'd' = [[1], []]
'''

LINES: dict[KeyPath, int] = {
    ("title",): 2,
    ("table",): 4,
    ("table", "plain"): 5,
    ("table", "plain", "dotted"): 5,
    ("table", "plain", "dotted", "quoted é"): 5,
    ("table", "literal"): 6,
    ("table", "multi"): 7,
    ("table", "array"): 12,
    ("table", "array", 0): 13,
    ("table", "array", 1): 14,
    ("table", "array", 2): 15,
    ("table", "array", 2, "x"): 15,
    ("table", "array", 2, "y"): 15,
    ("table", "array", 2, "y", 0): 15,
    ("table", "array", 2, "y", 1): 16,
    ("list",): 18,
    ("list", 0): 18,
    ("list", 0, "name"): 19,
    ("list", 0, "below"): 20,
    ("list", 0, "below", "x"): 21,
    ("list", 1): 22,
    ("list", 1, "name"): 23,
    ("list", 1, "below"): 24,
    ("list", 1, "below", "x"): 25,
    ("a",): 26,
    ("a", "b.c"): 26,
    ("a", "b.c", "d"): 27,
    ("a", "b.c", "d", 0): 27,
    ("a", "b.c", "d", 0, 0): 27,
    ("a", "b.c", "d", 1): 27,
}

FRAGMENTS = [
    "[a]\n",
    "[a.b]\n",
    "[[c]]\n",
    "[[c.d]]\n",
    "[c.e]\n",
    "k = 1\n",
    "l.m = true # c\n",
    '"n o" = "\\" # ] }"\n',
    "p = '''\n[x]\n''''' \n",
    'q = """a""\n\\""""\n',
    "r = [\n1, # ]\n[{ s = '}' }], ]\n",
    "t = { u.v = [1,2], w = -1e3 }\r\n",
    "x = 1979-05-27T07:32:00Z\n",
    "\n",
    "  \t# [a]\n",
]


def paths(value: object, here: KeyPath = ()) -> Iterator[KeyPath]:
    """Yield the path of each part of a document."""
    if here:
        yield here
    if isinstance(value, dict):
        for name, part in value.items():
            yield from paths(part, (*here, name))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from paths(part, (*here, index))


class KeyLinesTests(SynchronousTestCase):
    def test_every_form(self) -> None:
        """Tables, arrays of tables, dotted keys, inline tables, and text that looks like them, are on their lines."""
        self.assertEqual(key_lines(DOCUMENT), LINES)
        self.assertEqual(set(LINES), set(paths(tomllib.loads(DOCUMENT))))

    def test_carriage_returns(self) -> None:
        """Lines that end in CR LF count once."""
        self.assertEqual(key_lines(DOCUMENT.replace("\n", "\r\n")), LINES)

    def test_contract(self) -> None:
        """Nothing of the full contract file is without a line."""
        with open(FULL) as file:
            text = file.read()
        self.assertEqual(set(key_lines(text)), set(paths(tomllib.loads(text))))

    @given(st.lists(st.sampled_from(FRAGMENTS), max_size=12))
    @settings(max_examples=200, deadline=None)
    def test_agrees_with_tomllib(self, fragments: list[str]) -> None:
        """Whatever tomllib accepts, the same keys are found in it, and each on a line of the text."""
        text = "".join(fragments)
        try:
            tree = tomllib.loads(text)
        except tomllib.TOMLDecodeError:
            return
        lines = key_lines(text)
        self.assertEqual(set(lines), set(paths(tree)))
        self.assertTrue(all(1 <= line <= text.count("\n") + 1 for line in lines.values()))

    @given(st.text(alphabet="[]{}=.,\"'#\\\n a1"))
    @settings(max_examples=200, deadline=None)
    def test_never_fails(self, text: str) -> None:
        """Text that is no TOML gives fewer lines, not an exception."""
        key_lines(text)


class LineOfTests(SynchronousTestCase):
    def test_falls_back(self) -> None:
        """What is not in the file is on the line of the table around it, or on the first."""
        self.assertEqual(line_of(LINES, ("table", "array", 2, "z", "y")), 15)
        self.assertEqual(line_of(LINES, ("list", 1, "weight")), 22)
        self.assertEqual(line_of(LINES, ("nowhere",)), 1)
