"""Subscriptions: who wants to hear of which event, by which channel."""

from __future__ import annotations

import sqlite3

from twisted.internet.interfaces import IReactorTime

from .kit.problems import conflict
from .kit.records import Database, Page
from .kit.routes import Call, Part, Routes
from .kit.schema import Json, boolean, changes, choice, complete, identifier, record, stored, text

TABLES = """
CREATE UNIQUE INDEX IF NOT EXISTS subscribed ON record (
    json_extract(document, '$.user_id'), json_extract(document, '$.event_type'), json_extract(document, '$.channel')
) WHERE collection = 'subscriptions';
"""

NEW_SUBSCRIPTION = record(
    "NewSubscription",
    {
        "user_id": identifier(),
        "event_type": text(1, 60, pattern=r"^[a-z0-9_.-]+$", description="Such as `sample.completed`."),
        "channel": choice("email", "sms", "slack", "teams"),
        "recipient": text(1, 254),
    },
    {"enabled": boolean(default=True)},
)
SUBSCRIPTION = stored("Subscription", NEW_SUBSCRIPTION)
SUBSCRIPTION_CHANGES = changes("SubscriptionChanges", NEW_SUBSCRIPTION)


class Subscriptions(Part):
    """The subscriptions."""

    routes = Routes()

    def __init__(self, database: Database, clock: IReactorTime) -> None:
        self._subscriptions = database.collection("subscriptions", "subscription", clock)

    @routes.pages("/subscriptions", "List subscriptions", SUBSCRIPTION)
    def list_subscriptions(self, call: Call) -> Page:
        """List subscriptions, the newest first."""
        return self._subscriptions.page(**call.window)

    @routes.post("/subscriptions", "Subscribe", body=NEW_SUBSCRIPTION, answer=SUBSCRIPTION, status=201, errors=(409,))
    def create_subscription(self, call: Call) -> Json:
        """Subscribe a user to an event by a channel, once."""
        try:
            return self._subscriptions.create(complete(NEW_SUBSCRIPTION, call.body), call.user)
        except sqlite3.IntegrityError as error:
            raise conflict("already_subscribed", "the user has subscribed to this event by this channel") from error

    @routes.get("/subscriptions/<uuid:subscription_id>", "Show a subscription", answer=SUBSCRIPTION)
    def get_subscription(self, call: Call, subscription_id: str) -> Json:
        """Show a subscription."""
        return self._subscriptions.get(subscription_id)

    @routes.put(
        "/subscriptions/<uuid:subscription_id>",
        "Change a subscription",
        body=SUBSCRIPTION_CHANGES,
        answer=SUBSCRIPTION,
        errors=(409,),
    )
    def change_subscription(self, call: Call, subscription_id: str) -> Json:
        """Set the given properties."""
        try:
            return self._subscriptions.change(subscription_id, call.body, call.user)
        except sqlite3.IntegrityError as error:
            raise conflict("already_subscribed", "the user has subscribed to this event by this channel") from error

    @routes.delete("/subscriptions/<uuid:subscription_id>", "Unsubscribe", answer=SUBSCRIPTION)
    def delete_subscription(self, call: Call, subscription_id: str) -> Json:
        """Remove a subscription."""
        return self._subscriptions.remove(subscription_id)

    @routes.pages("/subscriptions/user/<uuid:user_id>", "List a user's subscriptions", SUBSCRIPTION)
    def list_subscriptions_of_user(self, call: Call, user_id: str) -> Page:
        """List what a user has subscribed to; an unknown user has no subscriptions."""
        return self._subscriptions.page(**call.window, user_id=user_id)

    @routes.pages("/subscriptions/event/<event_type>", "List an event's subscriptions", SUBSCRIPTION)
    def list_subscriptions_to_event(self, call: Call, event_type: str) -> Page:
        """List who has subscribed to an event."""
        return self._subscriptions.page(**call.window, event_type=event_type)

    def recipients(self, event_type: str | None, channel: str) -> list[str]:
        """Return where a channel's subscribers want to hear of an event."""
        if event_type is None:
            return []
        found = self._subscriptions.all(event_type=event_type, channel=channel, enabled=True)
        return [subscription["recipient"] for subscription in found]
