"""Running one target under atheris, which mutates inputs and keeps those that reach code which none reached before."""

from __future__ import annotations

from pathlib import Path

from tests.fuzz.logged import raising
from tests.fuzz.targets import CORPUS, one_input

LONGEST = 4096
"""Bytes of the inputs that are made up."""


def run(name: str, seconds: int, work: Path) -> int:
    """Fuzz a target for so long; what is new, and what breaks it, is written to ``work``. Returns the status."""
    try:
        import atheris
    except ImportError:
        print("atheris is not installed: pip install -e '.[fuzz]', or make fuzz")
        return 2
    work.mkdir(parents=True, exist_ok=True)
    with atheris.instrument_imports(include=["tracseq_gateway"]):
        from tests.fuzz.words import dictionary

        target = raising(one_input(name))
    word_list = work.with_suffix(".words")
    word_list.write_text(dictionary(name))
    arguments = [
        f"-dict={word_list}",
        f"-max_total_time={seconds}",
        f"-max_len={LONGEST}",
        f"-artifact_prefix={work}/",
        "-print_final_stats=1",
    ]
    print(f"=== {name}", flush=True)
    atheris.Setup(["fuzz", *arguments, str(work), str(CORPUS / name)], target)
    atheris.Fuzz()  # ends the process
    return 0
