"""Demo documents: what lies on a laboratory's shared drive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import barcode, demo_id

if TYPE_CHECKING:
    from tracseq_gateway.sandbox.rag_documents import DocumentStore

_DOCUMENTS = {
    "SOP-014 DNA extraction.md": """# SOP-014: DNA extraction from whole blood

Thaw the blood at room temperature for 20 minutes and mix by inversion, never by vortex. Add lysis buffer and
proteinase K, incubate at 56 °C for 30 minutes. Elute twice with 50 µL of buffer. A concentration below 10 ng/µL, or an
A260/280 ratio outside 1.7 to 2.0, means that the extraction is repeated.
""",
    "SOP-022 Library preparation.md": """# SOP-022: PCR-free library preparation

Start with 1 µg of DNA. Shear to 350 bp, repair the ends, ligate adapters with unique dual indices, and quantify by
qPCR. Never pool two libraries with the same index in one lane: validate the sample sheet first.
""",
    "SOP-031 Freezer alarm.md": """# SOP-031: what to do at a freezer alarm

If an ultra-low freezer is warmer than -74 °C for ten minutes, move the samples to the backup freezer, note each
position in the storage system, and call maintenance. Acknowledge the alert so that the others know.
""",
    "Submission form 2026-031.txt": f"""Name: Plasma batch 31
Sample type: cfDNA
Collection date: 2026-02-11
Collector: M. Lindqvist
Concentration: 18.4
Barcode: {barcode(4)}
Contact: oncology@hospital.example
""",
    "Run report NovaSeq-01.txt": """Instrument: NovaSeq-01
Run: Run 03
Q30: 91.2
Yield: 171 Gb
Remark: lane 1 has a lower cluster density after the flow cell was reseated.
""",
}


def demo_documents(documents: DocumentStore) -> None:
    """Store the documents."""
    for name, content in _DOCUMENTS.items():
        media_type = "text/markdown" if name.endswith(".md") else "text/plain"
        user = demo_id("user", "principal_investigator")
        documents.add(name, media_type, content.encode(), user, demo_id("document", name))
