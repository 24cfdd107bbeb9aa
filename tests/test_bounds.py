"""The bounds that the threat model names: each number is the code's, and those that no other test looks at hold."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from functools import reduce
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.kit import MemoryGateway
from tracseq_gateway.access_log.lines import combined_lines, json_lines
from tracseq_gateway.config.model import Config, Service
from tracseq_gateway.http.forwarding import known_request_lines
from tracseq_gateway.http.request_head import HeadLimits, RequestParser
from tracseq_gateway.server.request import GatewayRequest

ROOT = Path(__file__).parent.parent
SECURITY, THREATS = ROOT / "SECURITY.md", ROOT / "docs" / "threat-model.md"
KEY = re.compile(r"`([a-z_]+(?:\.[a-z_]+)+)`")
BOUND = re.compile(r"`([\w.]+)` \(([0-9][0-9,.]*)(?: ([KMG])iB)?[):]")
FILE = re.compile(r"\.(?:md|py|toml|service)$")
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def configured(name: str) -> object:
    """The default of a key, of the whole tree or of a service. Raises AttributeError when there is none."""
    trees: list[object] = [Config(), Service("any")]
    for tree in trees:
        try:
            return reduce(getattr, name.split("."), tree)
        except AttributeError as error:
            missing = error
    raise missing


def constants() -> dict[str, set[float]]:
    """The numbers that names in capitals stand for at the top of the package's modules."""
    found: dict[str, set[float]] = defaultdict(set)
    for file in (ROOT / "tracseq_gateway").rglob("*.py"):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                if isinstance(target, ast.Name) and (value := number(node.value)) is not None:
                    found[target.id].add(value)
    return found


def number(value: ast.expr) -> float | None:
    """What a number, a product or a shift of numbers comes to; None for anything else."""
    if isinstance(value, ast.Constant) and isinstance(value.value, int | float):
        return value.value
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Mult | ast.LShift):
        left, right = number(value.left), number(value.right)
        if left is not None and right is not None:
            return left * right if isinstance(value.op, ast.Mult) else left * 2**right
    return None


class DocumentedTests(SynchronousTestCase):
    """SECURITY.md and the threat model, beside the code."""

    def test_keys(self) -> None:
        """Every key of the configuration that they name is one."""
        for page in (SECURITY, THREATS):
            names = [name for name in KEY.findall(page.read_text()) if not FILE.search(name)]
            self.assertGreater(len(names), 10)
            for name in names:
                configured(name)

    def test_numbers(self) -> None:
        """Every number behind a name is the key's default, or what the constant of that name is."""
        known = constants()
        bounds = BOUND.findall(THREATS.read_text())
        self.assertGreater(len(bounds), 50)
        for name, digits, unit in bounds:
            number = float(digits.replace(",", "")) * UNITS[unit]
            if name.isupper():
                self.assertIn(number, known[name], name)
            else:
                self.assertEqual(configured(name), number, name)

    def test_tests(self) -> None:
        """Every test file that the threat model names is there."""
        named = set(re.findall(r"`(tests/\w+\.py)`", THREATS.read_text()))
        self.assertGreater(len(named), 40)
        self.assertEqual([name for name in sorted(named) if not (ROOT / name).exists()], [])


class AccessLogTests(SynchronousTestCase):
    """What a client can have written to the access log."""

    def test_longest_line(self) -> None:
        """Whatever bytes a head has, its line is at most six times as long, and 2 KiB."""
        parse = RequestParser(HeadLimits(), known_request_lines()).parse
        channel = MemoryGateway().client().channel
        for filler in (b"\xe9", "\u20ac".encode(), "\U0001f9ec".encode(), b'"', b"\\", b"a"):
            raw = b"GET /%b?%b HTTP/1.1\r\nHost: a\r\nUser-Agent: %b\r\nReferer: %b\r\n\r\n" % (
                b'"' * 3900,
                b"\\" * 3900,
                filler * (50000 // len(filler)),
                filler * (4000 // len(filler)),
            )
            request = GatewayRequest(channel, parse(raw), "192.0.2.7", b"")
            for line in (json_lines(), combined_lines()):
                self.assertLessEqual(len(line(request, 1.0, 0.1)), 6 * len(raw) + 2048)
