"""What stops a run."""


class BenchmarkError(Exception):
    """The run cannot give true figures; the message says why and, where it is known, what to do."""
