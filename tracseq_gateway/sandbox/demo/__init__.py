"""Demo data: what a new sandbox is filled with. Ids agree between the services, so that a frontend can follow them."""

from __future__ import annotations

from uuid import UUID, uuid5

_NAMESPACE = UUID("6f0f2b1e-7a51-5d0c-9d1e-3d2f6c8b4a10")

SAMPLE_COUNT = 36


def demo_id(kind: str, name: object) -> str:
    """Return the id of a demo record; the same kind and name always have the same id."""
    return str(uuid5(_NAMESPACE, f"{kind}/{name}"))


def barcode(number: int) -> str:
    """Return the barcode of demo sample ``number``, counted from 1."""
    return f"TSQ-{number:06d}"
