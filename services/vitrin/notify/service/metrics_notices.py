"""What notifications count. Labels are bounded: severities, types of channels and outcomes, no brand."""

from typing import Final

from vitrin.kit.metrics import counter, gauge, histogram

OPENED: Final = counter(
    "vitrin_notify_notifications_total", "Notifications that were opened, by severity.", ("severity",)
)
MESSAGES: Final = counter(
    "vitrin_notify_messages_total",
    "Tries of messages to channels of notifications, by type of channel and how they ended: sent, or the failure.",
    ("type", "outcome"),
)
MESSAGE_SECONDS: Final = histogram(
    "vitrin_notify_message_seconds", "Time of one try of a message to a channel, until its answer or its end."
)
GIVEN_UP: Final = counter(
    "vitrin_notify_notifications_given_up_total",
    "Notifications that were not delivered to a channel within 24 hours, or that nobody takes there any more.",
)
LATE: Final = gauge(
    "vitrin_notify_notification_age_seconds",
    "How long the notification that waits longest is overdue, from when it should have gone out.",
)
