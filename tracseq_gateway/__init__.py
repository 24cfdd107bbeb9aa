"""TracSeq Gateway: one address in front of a sequencing laboratory's services."""

__version__ = "0.1.0"
