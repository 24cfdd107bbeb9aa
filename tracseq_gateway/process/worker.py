"""What runs in a worker process: ``python -m tracseq_gateway.process.worker --worker N``.

Started by the supervisor only, which passes what is needed by descriptor: see ``control``.
"""

from __future__ import annotations

import signal


def main() -> None:
    """Serve until told to drain."""
    # First of all, for Ctrl-C reaches the whole foreground process group: the supervisor decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from tracseq_gateway.net.reactor import install

    # Before anything imports twisted.internet.reactor.
    reactor = install()
    from tracseq_gateway.process.duty import serve
    from tracseq_gateway.service import Gateway

    serve(reactor, Gateway)


if __name__ == "__main__":
    main()
