"""Uploads a file with tuspy: ``python -m tests.uploads_python FILE URL CHUNK CHECKED``.

A program of its own, because tuspy leaves its files and connections to the garbage collector, which tests take for a
mistake.
"""

from __future__ import annotations

import sys

from tusclient.client import TusClient


def main(file: str, url: str, chunk: str, checked: str) -> None:
    """Upload, and try again as often as it takes; raises what tuspy raises."""
    uploader = TusClient(url).uploader(
        file,
        chunk_size=int(chunk),
        retries=300,
        retry_delay=0.05,
        upload_checksum=checked == "checked",
        metadata={"filename": "run.bin", "filetype": "application/x-run"},
    )
    uploader.upload()


if __name__ == "__main__":
    main(*sys.argv[1:])
