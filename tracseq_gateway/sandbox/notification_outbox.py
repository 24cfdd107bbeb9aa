"""The outbox: what was to be sent, by which channel, and what became of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from twisted.internet.interfaces import IReactorTime

from .kit import moments
from .kit.problems import conflict, invalid, not_found
from .kit.records import Database, Page
from .kit.routes import Call, Part, Routes
from .kit.schema import (
    Json,
    array,
    boolean,
    choice,
    complete,
    identifier,
    integer,
    mapping,
    moment,
    nullable,
    record,
    stored,
    text,
)
from .notification_subscriptions import Subscriptions
from .notification_templates import MessageTemplates, fill_in

RECIPIENTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "email": r"[^@\s]+@[^@\s]+\.[^@\s]+",
        "sms": r"\+[1-9][0-9]{6,14}",
        "slack": r"[#@][\w.-]{1,80}",
        "teams": r"\S.{0,199}",
    }
)
"""The channels, each with what its recipients look like."""

CHANNEL = choice(*RECIPIENTS)
STATUS = choice("delivered", "failed")
NEW_NOTIFICATION = record(
    "NewNotification",
    {"channel": CHANNEL},
    {
        "recipients": array(text(1, 254), 1, 100),
        "event_type": text(1, 60, description="Without recipients, the message goes to the event's subscribers."),
        "subject": text(0, 200),
        "body": text(0, 20_000),
        "template_id": identifier(),
        "variables": mapping(text(0, 2000)),
    },
)
_OUTCOME = {"status": STATUS, "attempts": integer(1), "error": nullable(text()), "delivered_at": nullable(moment())}
NOTIFICATION = stored("Notification", NEW_NOTIFICATION, _OUTCOME)
DELIVERY = record("Delivery", {"notification_id": identifier(), **_OUTCOME})
BULK = record("BulkNotifications", {"notifications": array(NEW_NOTIFICATION, 1, 200)})
CHANNEL_STATE = record(
    "Channel",
    {
        "channel": CHANNEL,
        "enabled": boolean(),
        "recipient_pattern": text(),
        "delivered": integer(),
        "failed": integer(),
    },
)
CHANNEL_CHANGE = record("ChannelChange", {"enabled": boolean()})
TEST = record("ChannelTest", {"recipient": text(1, 254)})


class Outbox(Part):
    """The messages and the channels that they would go by."""

    routes = Routes("notifications")

    def __init__(
        self, database: Database, clock: IReactorTime, templates: MessageTemplates, subscriptions: Subscriptions
    ) -> None:
        self._database = database
        self._notifications = database.collection("notifications", "notification", clock)
        self._channels = database.collection("channels", "channel", clock)
        self._clock = clock
        self._templates = templates
        self._subscriptions = subscriptions

    @routes.pages(
        "/notifications",
        "List the outbox",
        NOTIFICATION,
        query={"status": STATUS, "channel": CHANNEL, "event_type": text()},
    )
    def list_notifications(self, call: Call) -> Page:
        """List messages, the newest first."""
        return self._notifications.page(**call.window, **call.filters)

    @routes.post(
        "/notifications", "Send a message", body=NEW_NOTIFICATION, answer=NOTIFICATION, status=201, errors=(404, 409)
    )
    def send_notification(self, call: Call) -> Json:
        """Put a message into the outbox."""
        return self.send(call.body, call.user)

    @routes.post(
        "/notifications/bulk", "Send messages", body=BULK, answer=array(NOTIFICATION), status=201, errors=(404, 409)
    )
    def send_notifications(self, call: Call) -> list[Json]:
        """Put all of the messages into the outbox, or none when one is refused."""
        with self._database.transaction():
            return [self.send(body, call.user) for body in call.body["notifications"]]

    @routes.get("/notifications/<uuid:notification_id>", "Show a message", answer=NOTIFICATION)
    def get_notification(self, call: Call, notification_id: str) -> Json:
        """Show a message."""
        return self._notifications.get(notification_id)

    @routes.get("/notifications/<uuid:notification_id>/status", "Show what became of a message", answer=DELIVERY)
    def get_notification_status(self, call: Call, notification_id: str) -> Json:
        """Show the outcome of the last attempt."""
        notification = self._notifications.get(notification_id)
        return {"notification_id": notification_id, **{name: notification[name] for name in _OUTCOME}}

    @routes.post("/notifications/<uuid:notification_id>/retry", "Try again", answer=NOTIFICATION, errors=(409,))
    def retry_notification(self, call: Call, notification_id: str) -> Json:
        """Try a failed message again."""
        notification = self._notifications.get(notification_id)
        if notification["status"] != "failed":
            raise conflict("not_failed", "only a message that failed is tried again")
        self._require_enabled(notification["channel"])
        outcome = self._deliver(notification["recipients"], notification["attempts"] + 1)
        return self._notifications.change(notification_id, outcome, call.user)

    @routes.get("/channels", "List the channels", answer=array(CHANNEL_STATE))
    def list_channels(self, call: Call) -> list[Json]:
        """List the channels with what went by them."""
        return [self._channel(channel) for channel in RECIPIENTS]

    @routes.put("/channels/<channel>", "Switch a channel", body=CHANNEL_CHANGE, answer=CHANNEL_STATE)
    def switch_channel(self, call: Call, channel: str) -> Json:
        """Switch a channel on or off."""
        _require_known(channel)
        kept = self._channels.first(channel=channel)
        if kept is None:
            self._channels.create({"channel": channel, **call.body}, call.user)
        else:
            self._channels.change(kept["id"], call.body, call.user)
        return self._channel(channel)

    @routes.post("/channels/<channel>/test", "Send a test", body=TEST, answer=NOTIFICATION, status=201, errors=(409,))
    def test_channel(self, call: Call, channel: str) -> Json:
        """Put a test message for one recipient into the outbox."""
        _require_known(channel)
        message = {"subject": "Test", "body": f"A test of the {channel} channel."}
        return self.send({"channel": channel, "recipients": [call.body["recipient"]], **message}, call.user)

    def send(self, body: Json, user: str | None) -> Json:
        """Put a valid message into the outbox and return it with its outcome.

        :raises Problem: 400 without recipients or text, 404 for an unknown template, 409 when the channel is off.
        """
        message = complete(NEW_NOTIFICATION, body)
        self._require_enabled(message["channel"])
        message["recipients"] = self._recipients(message)
        if message["template_id"] is not None:
            template = self._templates.templates.get(message["template_id"])
            message |= fill_in(template, message["variables"] or {})
        elif not message["body"]:
            raise invalid({"body": "is required without a template_id"})
        return self._notifications.create({**message, **self._deliver(message["recipients"], 1)}, user)

    def _recipients(self, message: Json) -> list[str]:
        """Return the message's recipients, or its event's subscribers, all fit for the channel."""
        channel = message["channel"]
        recipients: list[str] = message["recipients"] or self._subscriptions.recipients(message["event_type"], channel)
        if not recipients:
            raise invalid({"recipients": "is required, or an event_type that somebody has subscribed to"})
        wrong = {
            f"recipients[{position}]": f"is not a recipient of {channel}: {RECIPIENTS[channel]}"
            for position, recipient in enumerate(recipients)
            if not re.fullmatch(RECIPIENTS[channel], recipient)
        }
        if wrong:
            raise invalid(wrong)
        return recipients

    def _deliver(self, recipients: list[str], attempt: int) -> Json:
        """Imitate an attempt: some recipients fail by their name, so that a frontend can show failures."""
        failing = ("bounce", "flaky") if attempt == 1 else ("bounce",)
        failed = [recipient for recipient in recipients if recipient.lstrip("#@").startswith(failing)]
        now = moments.to_text(self._clock.seconds())
        return {
            "status": "failed" if failed else "delivered",
            "attempts": attempt,
            "error": f"refused by {', '.join(failed)}"[:500] if failed else None,
            "delivered_at": None if failed else now,
        }

    def _channel(self, channel: str) -> Json:
        return {
            "channel": channel,
            "enabled": self._is_enabled(channel),
            "recipient_pattern": RECIPIENTS[channel],
            "delivered": self._notifications.count(channel=channel, status="delivered"),
            "failed": self._notifications.count(channel=channel, status="failed"),
        }

    def _is_enabled(self, channel: str) -> bool:
        kept = self._channels.first(channel=channel)
        return kept is None or bool(kept["enabled"])

    def _require_enabled(self, channel: str) -> None:
        if not self._is_enabled(channel):
            raise conflict("channel_disabled", f"the {channel} channel is switched off")


def _require_known(channel: str) -> None:
    if channel not in RECIPIENTS:
        raise not_found("channel", channel)
