"""The stand-in notifications service."""

from __future__ import annotations

from typing import Any

from tests.sandbox_client import UNKNOWN, SandboxCase
from tracseq_gateway.sandbox.demo import demo_id

MAIL = {"channel": "email", "recipients": ["someone@example.org"], "subject": "Hello", "body": "There."}


class NotificationsCase(SandboxCase):
    """A test of the notifications service."""

    name = "notifications"

    def message(self, **fields: Any) -> Any:
        return self.post("/notifications", {**MAIL, **fields}, status=201)

    def rejected(self, **fields: Any) -> Any:
        body = {name: value for name, value in {**MAIL, **fields}.items() if value is not ...}
        return self.refused("POST", "/notifications", body, status=400)["fields"]


class OutboxTests(NotificationsCase):
    """The outbox."""

    def test_delivery(self) -> None:
        """A message is delivered into the outbox, where it is found at both paths with its status."""
        sent = self.message()
        self.assertEqual(
            ("delivered", 1, "2026-03-01T10:00:00Z"), (sent["status"], sent["attempts"], sent["delivered_at"])
        )
        self.assertEqual(sent, self.get(f"/notifications/{sent['id']}"))
        self.assertEqual(sent, self.get("/?limit=1")[0])
        status = self.get(f"/{sent['id']}/status")
        self.assertEqual(
            (sent["id"], "delivered", None), (status["notification_id"], status["status"], status["error"])
        )

    def test_retry(self) -> None:
        """A flaky recipient takes the second attempt, a bouncing one none; what was delivered is not sent again."""
        flaky = self.message(recipients=["flaky@example.org"])
        self.assertEqual(("failed", "refused by flaky@example.org"), (flaky["status"], flaky["error"]))
        again = self.post(f"/notifications/{flaky['id']}/retry")
        self.assertEqual(("delivered", 2, None), (again["status"], again["attempts"], again["error"]))
        self.refused("POST", f"/notifications/{flaky['id']}/retry", status=409)
        bounce = self.message(recipients=["bounce@example.org"])
        self.assertEqual(
            ("failed", 2), (lambda one: (one["status"], one["attempts"]))(self.post(f"/{bounce['id']}/retry"))
        )

    def test_recipients(self) -> None:
        """Each channel knows its kind of recipient, and the wrong one is named."""
        for channel, right, wrong in (
            ("email", "a@example.org", "a@b"),
            ("sms", "+49301234567", "030 123"),
            ("slack", "#lab", "lab"),
            ("teams", "Lab / Alarms", " "),
        ):
            self.assertEqual("delivered", self.message(channel=channel, recipients=[right])["status"])
            self.assertEqual(["recipients[1]"], list(self.rejected(channel=channel, recipients=[right, wrong])))
        self.assertEqual(["recipients"], list(self.rejected(recipients=...)))
        self.assertEqual(["body"], list(self.rejected(body=...)))

    def test_event(self) -> None:
        """A message without recipients goes to those who have subscribed to its event by its channel."""
        subscribers = {one["recipient"] for one in self.get("/subscriptions/event/storage.alert")}
        sent = self.message(recipients=None, event_type="storage.alert")
        self.assertEqual(subscribers, set(sent["recipients"]))
        self.assertEqual(["recipients"], list(self.rejected(recipients=..., event_type="storage.alert", channel="sms")))

    def test_bulk(self) -> None:
        """Many messages are sent at once, or none of them."""
        before = self.send("GET", "/notifications").body["pagination"]["total"]
        self.refused(
            "POST", "/notifications/bulk", {"notifications": [MAIL, {**MAIL, "template_id": UNKNOWN}]}, status=404
        )
        self.assertEqual(before, self.send("GET", "/notifications").body["pagination"]["total"])
        self.assertEqual(2, len(self.post("/notifications/bulk", {"notifications": [MAIL, MAIL]}, status=201)))

    def test_channels(self) -> None:
        """A channel counts what went by it, can be tested, and refuses messages while it is off."""
        before = next(one for one in self.get("/channels") if one["channel"] == "slack")
        self.post("/channels/slack/test", {"recipient": "#lab"}, status=201)
        self.refused("POST", "/channels/slack/test", {"recipient": "lab"}, status=400)
        for _ in range(2):
            off = self.put("/channels/slack", {"enabled": False})
        self.assertEqual((False, before["delivered"] + 1), (off["enabled"], off["delivered"]))
        self.refused("POST", "/channels/slack/test", {"recipient": "#lab"}, status=409)
        self.put("/channels/slack", {"enabled": True})
        self.post("/channels/slack/test", {"recipient": "#lab"}, status=201)
        self.refused("POST", "/channels/pigeon/test", {"recipient": "x"}, status=404)


class TemplateTests(NotificationsCase):
    """Templates of messages."""

    def create(self, body: str, subject: str | None = None) -> str:
        identity: str = self.post("/templates", {"name": "T", "body": body, "subject": subject}, status=201)["id"]
        return identity

    def test_preview(self) -> None:
        """A preview fills in what is given, names what is missing, and evaluates nothing."""
        template = self.create("Dear ${name}: ${sample} costs $5, ${name.__class__} {name} ${", "For ${name}")
        self.assertEqual(["name", "sample"], self.get(f"/templates/{template}")["variables"])
        preview = self.post(f"/templates/{template}/preview", {"variables": {"name": "${sample}"}})
        self.assertEqual("Dear ${sample}: ${sample} costs $5, ${name.__class__} {name} ${", preview["body"])
        self.assertEqual(("For ${sample}", ["sample"]), (preview["subject"], preview["missing"]))
        self.assertEqual(["name", "sample"], self.post(f"/templates/{template}/preview")["missing"])

    def test_send(self) -> None:
        """A message made of a template has its words, filled in."""
        sent = self.message(
            template_id=demo_id("message", "Sample rejected"), variables={"barcode": "TSQ-1", "reason": "thawed"}
        )
        self.assertEqual(
            ("TSQ-1 was rejected", "Sample TSQ-1 was rejected: thawed.\n"), (sent["subject"], sent["body"])
        )

    def test_tooLong(self) -> None:
        """Variables that would make a message enormous are refused."""
        template = self.create("${a}" * 1000)
        self.refused("POST", f"/templates/{template}/preview", {"variables": {"a": "x" * 2000}}, status=400)

    def test_changes(self) -> None:
        """A template is changed and removed."""
        path = f"/templates/{self.create('x')}"
        self.assertEqual(["y"], self.put(path, {"body": "$y"})["variables"])
        self.send("DELETE", path)
        self.refused("GET", path, status=404)


class SubscriptionTests(NotificationsCase):
    """Subscriptions."""

    NEW = {"user_id": UNKNOWN, "event_type": "run.completed", "channel": "email", "recipient": "a@example.org"}

    def test_life(self) -> None:
        """A user subscribes once to an event by a channel, is found by both, and can be silent for a while."""
        created = self.post("/subscriptions", self.NEW, status=201)
        self.refused("POST", "/subscriptions", self.NEW, status=409)
        for path in (f"/subscriptions/user/{UNKNOWN}", "/subscriptions/event/run.completed"):
            self.assertEqual([created], self.get(path))
        path = f"/subscriptions/{created['id']}"
        self.put(path, {"enabled": False})
        event = {"recipients": ..., "event_type": "run.completed"}
        self.assertEqual(["recipients"], list(self.rejected(**event)))
        other = self.post("/subscriptions", {**self.NEW, "channel": "slack"}, status=201)
        self.refused("PUT", f"/subscriptions/{other['id']}", {"channel": "email"}, status=409)
        self.send("DELETE", path)
        self.assertEqual([other], self.get(f"/subscriptions/user/{UNKNOWN}"))
