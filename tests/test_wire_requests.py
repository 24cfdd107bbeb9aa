"""Every client-side wire case, in every split: the verdict is the right one and does not depend on the split."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.kit import SPLITS, MemoryClient, MemoryGateway, Received

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "wire_cases" / "h1-requests.json").read_text())
STATUS = re.compile(rb"HTTP/1\.1 (\d\d\d) ")
_NEVER_UPSTREAM = (b"x-user-id", b"proxy", b"x-real-ip", b"x-http-method-override", b"http2-settings", b"upgrade")


def statuses(client: MemoryClient) -> list[int]:
    """The final statuses that the client received."""
    return [status for match in STATUS.findall(client.received) if (status := int(match)) >= 200]


class WireRequestTests(SynchronousTestCase):
    """One test for each case, made below."""

    def check(self, case: dict[str, Any]) -> None:
        raw = base64.b64decode(case["raw_b64"])
        outcomes = {}
        for name, split in SPLITS.items():
            gateway = MemoryGateway()
            client = gateway.exchange(raw, split)
            if case["incomplete"]:
                gateway.pass_time(70, 0.5)
                self.assertTrue(client.closed, f"{name}: an incomplete message must be given up")
            self.verdict(case, name, gateway, client)
            outcomes[name] = (statuses(client)[:1], len(gateway.service.requests), client.closed)
        self.assertEqual(len({str(outcome) for outcome in outcomes.values()}), 1, outcomes)
        self.assertEqual(self.flushLoggedErrors(), [])

    def verdict(self, case: dict[str, Any], split: str, gateway: MemoryGateway, client: MemoryClient) -> None:
        seen = gateway.service.requests
        answers = statuses(client)
        what = f"{split}: statuses {answers}, {len(seen)} upstream, closed {client.closed}"
        self.assertLessEqual(len(seen), case["max_upstream"], what)
        for received in seen:
            self.well_formed(received)
        if case["expect"] == "accept":
            self.assertEqual(answers, [200] * case["max_upstream"], what)
            self.assertEqual(len(seen), case["max_upstream"], what)
        elif case["expect"] == "reject":
            self.assertTrue(client.closed, what)
            self.assertTrue(answers and 400 <= answers[-1] < 600, what)
        elif answers[-1:] != [200]:
            self.assertTrue(client.closed, what)

    def well_formed(self, received: Received) -> None:
        self.assertEqual(len(received.values(b"host")), 1, received.fields)
        framing = received.values(b"content-length") + received.values(b"transfer-encoding")
        self.assertLessEqual(len(framing), 1, received.fields)
        self.assertEqual(len(received.values(b"via")), 1, received.fields)
        self.assertEqual(received.values(b"x-forwarded-for"), [b"192.0.2.7"])
        for name, value in received.fields:
            self.assertNotIn(name.replace(b"_", b"-").lower(), _NEVER_UPSTREAM)
            self.assertNotRegex(value, rb"[\r\n\0]")
        self.assertNotRegex(received.target.partition(b"?")[0], rb"(^|/)\.\.(/|$)|\\|%2f|%5c|%00|#")


def _make(case: dict[str, Any]) -> Any:
    def test(self: WireRequestTests) -> None:
        self.check(case)

    test.__doc__ = f"{case['expect']}: {case['category']}, {case['note'] or case['id']}"
    return test


for _case in CASES:
    setattr(WireRequestTests, f"test_{_case['id'].replace('-', '_').replace('.', '_')}", _make(_case))
