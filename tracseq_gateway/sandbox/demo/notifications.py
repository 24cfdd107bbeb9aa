"""Demo notifications: message templates, subscriptions, and an outbox with a few failures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.interfaces import IReactorTime

from tracseq_gateway.sandbox import demo_users
from tracseq_gateway.sandbox.kit.records import Database

from . import barcode, demo_id

if TYPE_CHECKING:
    from tracseq_gateway.sandbox.notification_outbox import Outbox

_TEMPLATES = {
    "Sample completed": ("${barcode} is sequenced", "Hello ${name},\n\nsample ${barcode} is completed.\n"),
    "Sample rejected": ("${barcode} was rejected", "Sample ${barcode} was rejected: ${reason}.\n"),
    "Freezer alarm": ("Alarm: ${sensor}", "${sensor} shows ${value}. Please look after it.\n"),
}
_EVENTS = ["sample.completed", "sample.rejected", "storage.alert"]


def fill_notifications(database: Database, clock: IReactorTime, outbox: Outbox) -> None:
    """Store templates, a subscription for most users, and two dozen messages."""
    admin = demo_id("user", "lab_administrator")
    templates = database.collection("templates", "template", clock)
    for name, (subject, body) in _TEMPLATES.items():
        templates.create({"name": name, "subject": subject, "body": body}, admin, demo_id("message", name))
    subscriptions = database.collection("subscriptions", "subscription", clock)
    for number, (role, address) in enumerate(demo_users()[1:]):
        fields = {"user_id": demo_id("user", role), "event_type": _EVENTS[number % 3], "channel": "email"}
        subscriptions.create({**fields, "recipient": address, "enabled": True}, demo_id("user", role))
    for number in range(1, 22):
        outbox.send(
            {
                "channel": "email",
                "event_type": "sample.completed",
                "recipients": ["bounce@sandbox.tracseq.test" if number % 9 == 0 else demo_users()[1 + number % 5][1]],
                "template_id": demo_id("message", "Sample completed"),
                "variables": {"barcode": barcode(number), "name": "colleague"},
            },
            admin,
        )
    for channel, recipient in (("slack", "#sequencing"), ("teams", "Laboratory / Freezers"), ("sms", "+49301234567")):
        message = {"channel": channel, "recipients": [recipient], "event_type": "storage.alert"}
        outbox.send({**message, "subject": "Alarm: ULT-02 temperature", "body": "ULT-02 shows -71.4 °C."}, admin)
