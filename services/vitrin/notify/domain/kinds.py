"""The types of webhook events: what happened, in the past tense. Each has a version of its payload.

A new field in `data` keeps the version; a field that changes its meaning or goes away makes a new one (`version` in the
payload), and both are sent as types of their own while the old one is still promised.
"""

from dataclasses import dataclass
from typing import Any, Final

PAYLOAD_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Kind:
    """`object_type`: what it is about. `example`: its `data`."""

    type: str
    object_type: str
    says: str
    example: dict[str, Any]
    told_by_house: bool = True
    version: int = PAYLOAD_VERSION


_ITEM: Final[dict[str, Any]] = {
    "channel_id": "0193a5c0-0000-7000-8000-000000000001",
    "platform": "meta",
    "item_id": "mug-1",
    "platform_item_id": "mug-1",
    "state": "live",
    "version": 7,
    "reasons": [],
}
_REASON: Final = {
    "code": "image_too_small",
    "field": "image_link",
    "message": "The picture has fewer than 500 x 500 pixels.",
    "fix": "Give a larger picture.",
}
_REMOVAL: Final[dict[str, Any]] = {
    "request_id": "0193a5c0-0000-7000-8000-000000000002",
    "channel_id": "0193a5c0-0000-7000-8000-000000000001",
    "platform": "meta",
    "removals": 50,
    "zeroings": 0,
}
_CONNECTION: Final[dict[str, Any]] = {
    "connection_id": "0193a5c0-0000-7000-8000-000000000003",
    "platform": "meta",
    "mode": "live",
    "state": "active",
    "error": "",
}

_NOTIFICATION: Final[dict[str, Any]] = {
    "notification_id": "0193a5c0-0000-7000-8000-000000000005",
    "kind": "connection.token_ending",
    "cause": "0193a5c0-0000-7000-8000-000000000003",
    "state": "open",
    "severity": "warning",
    "title": "The token of Meta ends on 2026-11-07 09:30 UTC and is not renewed",
    "detail": "The platform renews it only when somebody consents again.",
    "fix": "Connect Meta again: vitrin connect meta",
    "subject": "connection:0193a5c0-0000-7000-8000-000000000003",
    "look_at": "/v1/connections/0193a5c0-0000-7000-8000-000000000003",
    "occurrences": 1,
    "opened_at": "2026-11-04T09:30:00Z",
    "resolved_at": None,
}

_ALL: Final = (
    Kind("item.live", "item", "A platform was seen to show the item as it is wanted.", _ITEM),
    Kind(
        "item.rejected",
        "item",
        "A platform refused the item; each reason has a fix.",
        _ITEM | {"state": "rejected", "reasons": [_REASON]},
    ),
    Kind(
        "item.invalid",
        "item",
        "The item cannot be sent to the platform as it is; each reason has a fix.",
        _ITEM | {"state": "invalid", "platform_item_id": "", "reasons": [_REASON]},
    ),
    Kind("item.held", "item", "The item's removal waits for an approval.", _ITEM | {"state": "held"}),
    Kind("item.removed", "item", "The item left the platform.", _ITEM | {"state": "removed"}),
    Kind(
        "removal.held",
        "removal",
        "More items would leave a channel than the brand allows without an approval. Said when the request opens,"
        " when it has grown, and once a day while it waits.",
        _REMOVAL
        | {
            "passed": 20,
            "limit": 20,
            "shown": 200,
            "percent": 10,
            "causes": [{"actor": "key:2f6c0e", "items": 50}],
            "opened_at": "2026-11-02T09:30:00Z",
            "summary": "50 items wait for an approval before they leave Meta: more than 20 would have left within an"
            " hour.",
        },
    ),
    Kind(
        "removal.decided",
        "removal",
        "A held removal was approved or rejected, or needs no decision any more.",
        _REMOVAL | {"decision": "approved", "decided_by": "key:2f6c0e", "note": "Season is over."},
    ),
    Kind("connection.active", "connection", "A platform connection works: new, or again.", _CONNECTION),
    Kind(
        "connection.failed",
        "connection",
        "A platform connection does not work: its token has expired or was refused. Nothing goes out until it is"
        " renewed; changes are kept.",
        _CONNECTION | {"state": "token_expired", "error": "The token has expired."},
    ),
    Kind(
        "connection.removed",
        "connection",
        "A platform connection was deleted.",
        _CONNECTION | {"state": "deleted"},
    ),
    Kind(
        "endpoint.disabled",
        "endpoint",
        "Another webhook endpoint of the brand was disabled, because it answered 410 or only failed for days.",
        {
            "endpoint_id": "0193a5c0-0000-7000-8000-000000000004",
            "url": "https://shop.example/hooks",
            "code": "failing",
            "reason": "Nothing but failures since 2026-11-02 09:30 UTC; the last: It answered 500; any 2xx"
            " acknowledges.",
            "disabled_at": "2026-11-07T09:30:00Z",
        },
    ),
    Kind(
        "notification.opened",
        "notification",
        "A person must decide or know something: what stands in the inbox, once per cause.",
        _NOTIFICATION,
    ),
    Kind(
        "notification.resolved",
        "notification",
        "What a notification was about is over.",
        _NOTIFICATION | {"state": "resolved", "resolved_at": "2026-11-05T08:00:00Z"},
    ),
)
KINDS: Final[dict[str, Kind]] = {kind.type: kind for kind in _ALL}

ITEM_TYPES: Final = {
    "live": "item.live",
    "rejected": "item.rejected",
    "invalid": "item.invalid",
    "held": "item.held",
    "removed": "item.removed",
}
"""States of an item on a channel that are news. The others (pending, accepted, unknown, excluded) are on the way."""
CONNECTION_TYPES: Final = {
    "active": "connection.active",
    "token_expired": "connection.failed",
    "refused": "connection.failed",
    "uninstalled": "connection.failed",
    "deleted": "connection.removed",
}
