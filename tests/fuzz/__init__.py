"""Fuzz targets: one module for each reader of bytes from outside, with ``one_input(data)``, which asserts its promises.

``python -m tests.fuzz`` runs them under coverage guidance; ``tests/test_fuzz_corpus.py`` replays what they have found.
"""
