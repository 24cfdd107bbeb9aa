"""The tests, run by ``make test`` (twisted.trial)."""
