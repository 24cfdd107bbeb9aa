"""Path rules: which pattern holds for a path, however it is spelled, and which paths are open."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tracseq_gateway.http.paths import ExactPaths, PathPatterns

NO_PATHS = [
    "",
    "batch",
    "https://x/",
    "/a?b",
    "/a#b",
    "/a b",
    "/a\\b",
    "/a//b",
    "//",
    "/./a",
    "/a/..",
    "/\u00e9",
    "/a\n",
]


def patterns(*texts: str) -> PathPatterns[str]:
    """Patterns whose value is their own text."""
    return PathPatterns({text: text for text in texts})


class PatternTests(SynchronousTestCase):
    def check(self, found: PathPatterns[str], table: dict[bytes, str | None]) -> None:
        for path, value in table.items():
            self.assertEqual(found.find(path), value, path)

    def test_segments(self) -> None:
        """A pattern holds for its path and all below it, on whole segments."""
        self.check(
            patterns("/batch"),
            {
                b"/batch": "/batch",
                b"/batch/": "/batch",
                b"/batch/7": "/batch",
                b"/batch/7/a/b/c": "/batch",
                b"/batches": None,
                b"/batc": None,
                b"/batch-x": None,
                b"/batch.json": None,
                b"/a/batch": None,
                b"/": None,
                b"": None,
                b"/batch%2ejson": None,
            },
        )

    def test_root(self) -> None:
        """A slash holds for everything, and gives way to what is longer."""
        table: dict[bytes, str | None] = {b"": "/", b"/": "/", b"/x/y": "/", b"/batch/7": "/batch"}
        self.check(patterns("/", "/batch"), table)

    def test_star(self) -> None:
        """A star stands for exactly one segment, whatever is in it."""
        self.check(
            patterns("/*/status"),
            {
                b"/7/status": "/*/status",
                b"/*/status": "/*/status",
                b"/%2A/status": "/*/status",
                b"/7/status/x": "/*/status",
                b"/status": None,
                b"/7/8/status": None,
                b"/7": None,
            },
        )
        self.check(patterns("/*"), {b"/7": "/*", b"/7/x": "/*", b"/": None, b"": None})

    def test_longest_then_most_literal(self) -> None:
        """The longest pattern wins; of equally long ones that which is literal where they first differ."""
        self.check(
            patterns("/a", "/a/b", "/*/b", "/a/*", "/*/*", "/*/b/c", "/a/*/d/e"),
            {
                b"/a": "/a",
                b"/x": None,
                b"/a/b": "/a/b",
                b"/a/x": "/a/*",
                b"/x/b": "/*/b",
                b"/x/y": "/*/*",
                b"/a/b/c": "/*/b/c",
                b"/a/b/d": "/a/b",
                b"/a/b/d/e": "/a/*/d/e",
                b"/a/b/d/f": "/a/b",
                b"/x/y/z": "/*/*",
            },
        )

    def test_spellings(self) -> None:
        """No case, escape, parameter or slash leads past a pattern."""
        found = patterns("/batch/validate", "/jobs:cancel")
        for path in (
            b"/batch/validate",
            b"/BATCH/Validate",
            b"/b%61tch/validate",
            b"/b%41tch/validate",
            b"/%62%61%74%63%68/%76alidate",
            b"/batch/validate/",
            b"/batch;x=1/validate",
            b"/batch;/validate;a;b=c",
            b"/batch%3Bx/validate",
            b"/batch%3bx/validate%3b",
            b"/batch%2Fvalidate",
            b"/batch%2fvalidate%2f",
            b"/batch%5Cvalidate",
            b"/batch\\validate",
            b"/batch//validate",
            b"//batch%2F/validate",
            b"/batch/;x/validate",
        ):
            self.assertEqual(found.find(path), "/batch/validate", path)
        for path in (b"/jobs:cancel", b"/jobs%3Acancel", b"/jobs%3acancel/x", b"/JOBS:CANCEL;"):
            self.assertEqual(found.find(path), "/jobs:cancel", path)

    def test_not_spellings(self) -> None:
        """What no service takes for the same is not the same: other bytes, and escapes that are decoded twice."""
        found = patterns("/batch")
        for path in (b"/b%2561tch", b"/batch%20", b"/batch%00", b"/batch+", b"/%batch", b"/ba%5ftch", b"/b\xc3\xa1tch"):
            self.assertIsNone(found.find(path), path)

    def test_patterns_are_spelled_likewise(self) -> None:
        """Patterns are read as paths are."""
        for text in ("/Batch/Validate", "/batch/validate/", "/b%61tch/validate", "/batch%2Fvalidate"):
            self.assertEqual(PathPatterns({text: 7}).find(b"/batch/validate"), 7, text)

    def test_values(self) -> None:
        """A value that is false is a value."""
        self.assertEqual(PathPatterns({"/": 1, "/a": 0}).find(b"/a"), 0)
        self.assertIsNone(PathPatterns[int]({}).find(b"/a"))

    def test_no_patterns(self) -> None:
        """What can match no path, and the same path twice, is refused and named."""
        for text in (*NO_PATHS, "/a*", "/*a/b", "/**", "/a;v=1"):
            error = self.assertRaises(ValueError, patterns, text)
            self.assertIn(repr(text), str(error))
        for first, second in (("/a", "/A"), ("/a", "/a/"), ("/*/a", "/*/a/"), ("/", "/%2f"), ("/a", "/%61")):
            error = self.assertRaises(ValueError, patterns, first, second)
            self.assertIn(repr(second), str(error))

    def test_long_paths(self) -> None:
        """A path is read no deeper than the patterns go."""
        found = patterns("/a", "/a/*/c")
        self.assertEqual(found.find(b"/a" * 100_000), "/a")
        self.assertEqual(found.find(b"/a/b/c" + b"/x" * 100_000), "/a/*/c")


SEGMENT = st.sampled_from(["a", "b", "c"])
PATTERN = st.lists(SEGMENT | st.just("*"), max_size=4).map(lambda segments: "/" + "/".join(segments))


def spelled(segments: list[str], spelling: list[int]) -> bytes:
    """Spell a path in one of the many ways that services may take for the same."""
    ways = (
        lambda text: "/" + text,
        lambda text: "/" + text.upper(),
        lambda text: f"/%{ord(text):02x}",
        lambda text: f"/%{ord(text.upper()):02X};x=a/",
        lambda text: f"/{text};a;b",
        lambda text: f"%2F{text}",
        lambda text: f"/{text}%3B",
    )
    return "".join(ways[way](text) for text, way in zip(segments, spelling, strict=False)).encode()


class PropertyTests(SynchronousTestCase):
    @given(
        st.sets(PATTERN, max_size=8),
        st.lists(SEGMENT | st.just("x"), max_size=6),
        st.lists(st.integers(0, 6), min_size=6, max_size=6),
    )
    @settings(max_examples=300)
    @example({"/a/*", "/*/b"}, ["a", "b"], [0] * 6)
    @example({"/*/a/*/a"}, ["a", "a", "a", "x", "a"], [0, 0, 0, 5, 0, 0])
    def test_model(self, texts: set[str], path: list[str], spelling: list[int]) -> None:
        """For any patterns, and any spelling of any path, what is found is what trying them all would find.

        Where an encoded slash parts segments, and no pattern holds, it is tried as a part of its segment, too.
        """

        def rank(text: str) -> tuple[int, list[bool]]:
            wanted = text.split("/")[1:] if text != "/" else []
            return len(wanted), [want != "*" for want in wanted]

        def best(segments: list[str]) -> str | None:
            def holds(text: str) -> bool:
                wanted = text.split("/")[1:] if text != "/" else []
                return len(wanted) <= len(segments) and all(
                    want in ("*", have) for want, have in zip(wanted, segments, strict=False)
                )

            return max(filter(holds, texts), key=rank, default=None)

        joined: list[str] = []
        for text, way in zip(path, spelling, strict=False):
            if way == 5:
                joined.append(f"{joined.pop() if joined else ''}-{text}")
            else:
                joined.append(text)
        expected = best(path) or (best(joined) if joined != path else None)
        self.assertEqual(patterns(*texts).find(spelled(path, spelling)), expected)

    @given(st.binary(max_size=40))
    def test_any_bytes(self, path: bytes) -> None:
        """Nothing that comes as a path breaks the look-up; what it decodes to decides."""
        found = patterns("/a", "/a/*")
        plain = unquote_to_bytes(path).replace(b"\\", b"/").lower()
        first = next((text for part in plain.split(b"/") if (text := part.partition(b";")[0])), b"")
        self.assertEqual(found.find(path) is not None, first == b"a")


class ExactTests(SynchronousTestCase):
    OPEN = ExactPaths(["/login", "/forms/*", "/a/b/*", "/slash/"])

    def test_exact(self) -> None:
        """Patterns for what opens take no other spelling for the same, but for case and a slash at the end."""
        patterns = PathPatterns({"/docs": 1, "/x/*/open": 2}, exact=True)
        for path, value in ((b"/docs", 1), (b"/Docs/", 1), (b"/docs/a/b", 1), (b"/x/7/open", 2), (b"/x/7", None)):
            self.assertEqual(patterns.find(path), value, path)
        for path in (b"/d%6fcs", b"/docs;a", b"/docs%2Fa", b"/x%2F7/open", b"", b"/", b"docs", b"//docs"):
            self.assertIsNone(patterns.find(path), path)

    def test_encoded_separator_within_a_segment(self) -> None:
        """An encoded slash is a slash to some services and part of a segment to others: a rule holds for both."""
        patterns = PathPatterns({"/runs/*/stop": 1, "/a/b": 2})
        for path, value in ((b"/runs/a%2Fb/stop", 1), (b"/runs/a%5cb/stop/x", 1), (b"/a%2fb", 2), (b"/a%2fc", None)):
            self.assertEqual(patterns.find(path), value, path)

    def test_open(self) -> None:
        """A path is open as it is written, with or without a slash at its end; a star opens all below."""
        for path in (
            b"/login",
            b"/login/",
            b"/slash",
            b"/slash/",
            b"/forms/x",
            b"/forms/x/",
            b"/forms/X/y;z/%7e",
            b"/a/b/c",
            b"/a/b/c/d/e/f",
        ):
            self.assertTrue(self.OPEN.matches(path), path)

    def test_closed(self) -> None:
        """Nothing else is: no other case, escape or parameter, nothing above or beside, nothing below an exact one."""
        for path in (
            b"",
            b"/",
            b"/LOGIN",
            b"/Login",
            b"/log%69n",
            b"/login;x=1",
            b"/login%2f",
            b"/login%2fadmin",
            b"/login/admin",
            b"/loginx",
            b"/log",
            b"/x/login",
            b"login",
            b"/forms",
            b"/forms/",
            b"/forms;/x",
            b"/Forms/x",
            b"/forms%2fx",
            b"/formsx/y",
            b"/a/b",
            b"/a/b/",
            b"/a/bc/d",
            b"/a/x/c",
            b"//forms/x",
            b"/forms\\x",
        ):
            self.assertFalse(self.OPEN.matches(path), path)

    def test_root(self) -> None:
        """The root is open alone, or with a star all below it."""
        self.assertEqual([ExactPaths(["/"]).matches(path) for path in (b"", b"/", b"/x")], [True, True, False])
        self.assertEqual([ExactPaths(["/*"]).matches(path) for path in (b"", b"/", b"/x/y")], [False, False, True])
        self.assertFalse(ExactPaths([]).matches(b"/"))

    def test_no_patterns(self) -> None:
        """What is no path, or has a star that is not its end, is refused and named."""
        for text in (*NO_PATHS, "*", "/*/a", "/a*", "/a/*/", "/a/*/*", "/a/**"):
            error = self.assertRaises(ValueError, ExactPaths, [text])
            self.assertIn(repr(text), str(error))

    def test_long_paths(self) -> None:
        """A path of very many segments is read no deeper than the patterns go."""
        self.assertFalse(self.OPEN.matches(b"/x" * 500_000))
        self.assertTrue(self.OPEN.matches(b"/forms" * 500_000))
