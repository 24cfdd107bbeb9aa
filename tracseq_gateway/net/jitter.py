"""What is done again and again, a little earlier or later each time: what began together drifts apart."""

from __future__ import annotations

from random import Random
from typing import Final

JITTER: Final = 0.1
"""The share of an interval by which the time between two rounds varies, up and down."""


def jittered(seconds: float, random: Random) -> float:
    """An interval as it is to be this time."""
    return seconds * random.uniform(1 - JITTER, 1 + JITTER)
