"""``python -m tests.fuzz TARGET [--seconds N]`` looks for inputs that break a target's promises, guided by coverage.

``all`` runs one target after the other. A find is written to ``_fuzz/TARGET`` and printed: name it ``found-...``, put
it into ``tests/fuzz/corpus/TARGET``, and the suite replays it from then on. ``seed`` makes the corpus anew from what it
has, the wire cases, the samples of ``seeds.py`` and what earlier runs left in ``_fuzz``; finds stay as they are.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from tests.fuzz import guided, seeds
from tests.fuzz.targets import NAMES

WORK = Path("_fuzz")


def main() -> int:
    """Do what the command line says; the status is 1 if something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("target", choices=[*NAMES, "all", "seed"])
    parser.add_argument("--seconds", type=int, default=60, help="how long each target is run (default: %(default)s)")
    options = parser.parse_args()
    if options.target == "seed":
        for name in NAMES:
            print(f"{name}: {seeds.renew(name, WORK / name)} inputs")
        return 0
    if options.target != "all":
        return guided.run(options.target, options.seconds, WORK / options.target)
    # A process for each, for a fuzzer ends its own.
    command = [sys.executable, "-m", "tests.fuzz", "--seconds", str(options.seconds)]
    return max(subprocess.run([*command, name], check=False).returncode != 0 for name in NAMES)


if __name__ == "__main__":
    sys.exit(main())
