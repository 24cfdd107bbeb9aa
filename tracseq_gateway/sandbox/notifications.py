"""The stand-in notifications service: everything lands in an outbox, nothing leaves the machine."""

from __future__ import annotations

from .demo.notifications import fill_notifications
from .kit.records import Database
from .kit.service import Context, Service
from .notification_outbox import Outbox
from .notification_subscriptions import TABLES, Subscriptions
from .notification_templates import MessageTemplates


def service(context: Context) -> Service:
    """Return the notifications service with some messages in its outbox."""
    database = Database(context.directory / "notifications.sqlite", TABLES)
    clock = context.reactor
    templates = MessageTemplates(database, clock)
    subscriptions = Subscriptions(database, clock)
    outbox = Outbox(database, clock, templates, subscriptions)
    database.fill_once(lambda: fill_notifications(database, clock, outbox))
    description = (
        "Messages, channels, templates and subscriptions. Nothing leaves the machine: a message is delivered by being "
        "in the outbox. A recipient that starts with `bounce` always fails, one with `flaky` at the first attempt."
    )
    return Service("notifications", description, database, clock, [outbox, templates, subscriptions])
