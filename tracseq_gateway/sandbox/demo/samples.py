"""Demo samples: three dozen, spread over every state."""

from __future__ import annotations

from random import Random

from tracseq_gateway.sandbox.kit import moments
from tracseq_gateway.sandbox.kit.schema import Json

from . import SAMPLE_COUNT, barcode, demo_id

# How many of the samples are in which state; the sum is SAMPLE_COUNT.
_STATES = {
    "completed": 8,
    "archived": 2,
    "discarded": 1,
    "failed": 2,
    "rejected": 2,
    "in_sequencing": 6,
    "in_storage": 8,
    "validated": 4,
    "pending": 3,
}
_SOURCES = [
    ("DNA", "blood", "Ward 3, University Hospital"),
    ("RNA", "tissue biopsy", "Pathology, University Hospital"),
    ("DNA", "saliva", "Outpatient clinic"),
    ("cfDNA", "plasma", "Oncology day unit"),
    ("metagenomic DNA", "stool", "Cohort study site B"),
]
_COLLECTORS = ["A. Okafor", "M. Lindqvist", "R. Banerjee", "C. Dupont"]


def demo_samples(now: float) -> list[Json]:
    """Return the samples, the oldest first; they came in over the last weeks, one a day."""
    states = [state for state, count in _STATES.items() for _ in range(count)]
    return [_sample(number, state, now) for number, state in enumerate(states, 1)]


def _sample(number: int, state: str, now: float) -> Json:
    dice = Random(number)  # noqa: S311 - demo data, the same at every first start
    sample_type, source, location = _SOURCES[number % len(_SOURCES)]
    received = now - (SAMPLE_COUNT - number) * moments.DAY - 2 * moments.HOUR
    measured = state != "pending"
    return {
        "id": demo_id("sample", number),
        "name": f"{source.title()} {number:03d}",
        "barcode": barcode(number),
        "sample_type": sample_type,
        "status": state,
        "template_id": demo_id("template", "DNA extraction"),
        "source_type": source,
        "source_identifier": f"DONOR-{1000 + number % 12}",
        "collection_date": moments.to_date(received - moments.DAY),
        "collection_location": location,
        "collector": _COLLECTORS[number % len(_COLLECTORS)],
        "concentration": round(dice.uniform(12, 85), 1) if measured else None,
        "volume": float(dice.randrange(20, 120, 5)) if measured else None,
        "unit": "µL",
        "quality_score": round(dice.uniform(55, 75) if state in ("failed", "rejected") else dice.uniform(82, 99), 1),
        "metadata": {"project": f"PRJ-{1 + number % 4}", "priority": dice.choice(["normal", "normal", "high"])},
        "notes": None,
        "created_at": moments.to_text(received),
        "updated_at": moments.to_text(received + moments.HOUR),
        "created_by": demo_id("user", "lab_technician"),
        "updated_by": demo_id("user", "lab_technician"),
    }
