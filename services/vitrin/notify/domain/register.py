"""The register of notifications: every kind that somebody can publish, one line each.

A new kind is one line here, and a `kit.attention.Concern` (or a message that `consumers_attention` reads) where it
comes from.
"""

from dataclasses import dataclass
from typing import Final, Literal

Severity = Literal["info", "warning", "critical"]
SEVERITIES: Final[tuple[Severity, ...]] = ("info", "warning", "critical")
"""From the least on. `critical` waits neither for quiet hours nor for a digest."""


@dataclass(frozen=True, slots=True)
class NoticeKind:
    """`severity`: as its publisher says it. `publisher`: the service whose message it comes from."""

    kind: str
    severity: Severity
    publisher: str
    says: str


_ALL: Final = (
    NoticeKind(
        "removal.held", "warning", "shop_sync", "Items wait for an approval before they leave a platform."
    ),
    NoticeKind(
        "connection.failed",
        "critical",
        "accounts",
        "A token has expired or was refused, or a shop removed the app.",
    ),
    NoticeKind(
        "connection.token_ending", "warning", "accounts", "A token ends within three days; nobody renews it."
    ),
    NoticeKind("channel.stuck", "warning", "shop_sync", "Changes for a platform have not moved for a while."),
    NoticeKind(
        "import.failed", "warning", "catalog", "An import was refused, broke, or could not be fetched."
    ),
    NoticeKind(
        "privacy.asked", "warning", "catalog", "A shop asks for a customer's data, or for an erasure."
    ),
    NoticeKind(
        "webhook_endpoint.disabled", "warning", "notify", "A webhook endpoint only failed, or answered 410."
    ),
    NoticeKind(
        "notification_channel.disabled", "warning", "notify", "A channel of notifications is gone for good."
    ),
)
REGISTER: Final[dict[str, NoticeKind]] = {one.kind: one for one in _ALL}
REMOVAL_HELD: Final = "removal.held"
CONNECTION_FAILED: Final = "connection.failed"
ENDPOINT_DISABLED: Final = "webhook_endpoint.disabled"
CHANNEL_DISABLED: Final = "notification_channel.disabled"
