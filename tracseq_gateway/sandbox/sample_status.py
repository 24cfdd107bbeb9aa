"""The life of a sample, as a table: which state may follow which."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from .kit.states import Steps

NEXT: Final[Steps] = MappingProxyType(
    {
        "pending": ("validated", "rejected", "failed", "discarded", "deleted"),
        "validated": ("in_storage", "pending", "rejected", "failed", "discarded", "deleted"),
        "in_storage": ("in_sequencing", "validated", "failed", "discarded", "deleted"),
        "in_sequencing": ("completed", "failed"),
        "completed": ("archived", "discarded", "deleted"),
        "failed": ("archived", "discarded", "deleted"),
        "rejected": ("discarded", "deleted"),
        "discarded": ("archived", "deleted"),
        "archived": (),
        "deleted": (),
    }
)
"""Every state with those that may follow it. Steps back are for corrections, from validated and in_storage only; a
sample that is being sequenced cannot be taken away from under the instrument."""
