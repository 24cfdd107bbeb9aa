"""``python -m tracseq_gateway.sandbox``: run the sandbox as a child process."""

from __future__ import annotations

import sys


def main() -> None:
    """Run until the parent is gone or SIGTERM comes; leave with a sentence when the extra packages are missing."""
    try:
        from .process import run
    except ModuleNotFoundError as error:
        sys.exit(f"the sandbox needs {error.name}: pip install 'tracseq-gateway[sandbox]'")
    from twisted.internet import reactor

    run(reactor, sys.argv[1:])


if __name__ == "__main__":
    main()
