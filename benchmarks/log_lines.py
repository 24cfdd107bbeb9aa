"""What making one line of the access log costs, by format: ``python -m benchmarks.log_lines``."""

from __future__ import annotations

from collections.abc import Callable
from time import process_time
from timeit import repeat
from types import SimpleNamespace
from typing import cast

from tracseq_gateway.access_log.entries import journal_entries
from tracseq_gateway.access_log.lines import combined_lines, json_lines, template_lines
from tracseq_gateway.config.logs import AccessLog
from tracseq_gateway.http.forwarding import known_request_lines
from tracseq_gateway.http.request_head import HeadLimits, RequestParser
from tracseq_gateway.interfaces import Identity, Request

TIMES = 5_000
TEMPLATE = '$client $user [$time] "$method $path$query $protocol" $status $sent $duration_ms "$user_agent"'
ROUTES = {"samples": "/samples"}
QUERIES = {"no query": b"", "one parameter": b"?page=2", "three parameters": b"?page=2&status=pending&sort=created_at"}


def request(query: bytes) -> Request:
    """A request of a user that was answered by an instance."""
    head = b"GET /samples/1%b HTTP/1.1\r\nHost: gateway\r\nUser-Agent: curl/8\r\n\r\n" % query
    return cast(
        Request,
        SimpleNamespace(
            head=RequestParser(HeadLimits(), known_request_lines()).parse(head),
            request_id=b"4bf92f3577b34da6a3ce929d0e0e4736",
            client="192.0.2.7",
            identity=Identity("user", "6f1c2b9e-7c2f-4f0e-9f5b-0d8f6a1c2e3d", "guest"),
            trace=None,
            service="samples",
            instance="http://127.0.0.1:8081",
            limit="admitted",
            attempts=1,
            status=200,
            error=None,
            received=0,
            sent=138,
            began=10.0,
            admitted=10.0003,
            passed_on=10.0005,
            answered=10.004,
        ),
    )


def microseconds(make: Callable[[Request, float, float], object], one: Request) -> float:
    """The least CPU time that a line took, of several rounds."""
    return (
        min(repeat(lambda: make(one, 1767323045.5, 0.0042), timer=process_time, number=TIMES, repeat=15)) / TIMES * 1e6
    )


def main() -> None:
    """Print a row for each format."""
    formats = {
        "json": json_lines(AccessLog(), ROUTES),
        "json, fields omitted": json_lines(AccessLog(omit=("user_agent", "reason")), ROUTES),
        "combined": combined_lines(),
        "template": template_lines(AccessLog(format="template", template=TEMPLATE), ROUTES),
        "journal": journal_entries(AccessLog(), ROUTES),
    }
    print(f"{'µs a line':24}" + "".join(f"{name:>18}" for name in QUERIES))
    for name, make in formats.items():
        print(f"{name:24}" + "".join(f"{microseconds(make, request(query)):18.2f}" for query in QUERIES.values()))


if __name__ == "__main__":
    main()
