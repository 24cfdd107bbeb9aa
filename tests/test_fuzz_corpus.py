"""The inputs that fuzzing has kept, replayed without a fuzzer: none breaks a promise any more."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz import seeds
from tests.fuzz.targets import CORPUS, NAMES, kept, one_input
from tests.fuzz.words import dictionary


class CorpusTests(SynchronousTestCase):
    """One test for each target, made below."""

    def replay(self, name: str) -> None:
        inputs = kept(name)
        self.assertTrue(inputs, f"no inputs are kept for {name}")
        target = one_input(name)
        for file, data in inputs.items():
            try:
                target(data)
            except Exception as error:
                raise AssertionError(f"{name}/{file}: {data[:200]!r}") from error
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_complete(self) -> None:
        """Every target has a corpus, and every corpus a target; what is kept is small."""
        self.assertEqual({directory.name for directory in CORPUS.iterdir()}, set(NAMES))
        for file in CORPUS.glob("*/*"):
            self.assertLessEqual(file.stat().st_size, seeds.LONGEST, file)

    def test_fewest(self) -> None:
        """Of inputs that run the same, one is kept, the shortest."""
        few = seeds.fewest(one_input("path"), [b"yy", b"x", b"x/../y", b"../z", bytes(seeds.LONGEST + 1)])
        self.assertEqual(few, [b"x", b"../z", b"x/../y"])

    def test_words(self) -> None:
        """The words of every target stand in a dictionary as libFuzzer reads one, all configuration keys among them."""
        for name in NAMES:
            for line in dictionary(name).splitlines():
                self.assertRegex(line, r'\A"([ -!#-\[\]-~]|\\x[0-9a-f]{2})+"\Z')
        self.assertIn('"drain_seconds"\n', dictionary("config_file"))


def _make(name: str) -> Any:
    def test(self: CorpusTests) -> None:
        self.replay(name)

    test.__doc__ = f"The promises of the target {name} hold for all that was ever found for it."
    return test


for _name in NAMES:
    setattr(CorpusTests, f"test_{_name}", _make(_name))
