"""What endpoints receive, as JSON schemas: the envelope, and `data` by type."""

from datetime import datetime
from typing import Any, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

Data = TypeVar("Data", bound=BaseModel)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Reason(_Strict):
    code: str
    field: str
    message: str
    fix: str


class ItemData(_Strict):
    """An item on one platform."""

    channel_id: str
    platform: str
    item_id: str
    platform_item_id: str = Field(description="Empty while it has none.")
    state: Literal["live", "rejected", "invalid", "held", "removed"]
    version: int = Field(description="Of the item's state on this channel: a later one is newer.")
    reasons: list[Reason]


class Cause(_Strict):
    actor: str
    items: int


class RemovalHeldData(_Strict):
    request_id: str
    channel_id: str
    platform: str
    removals: int
    zeroings: int
    passed: int
    limit: int
    shown: int | None
    percent: int
    causes: list[Cause]
    opened_at: datetime
    summary: str


class RemovalDecidedData(_Strict):
    request_id: str
    channel_id: str
    platform: str
    removals: int
    zeroings: int
    decision: Literal["approved", "rejected", "withdrawn"]
    decided_by: str | None
    note: str


class ConnectionData(_Strict):
    connection_id: str
    platform: str
    mode: str = Field(description="sandbox or live")
    state: Literal["active", "token_expired", "refused", "uninstalled", "deleted"]
    error: str = Field(description="What the platform said; empty while it works.")


class EndpointDisabledData(_Strict):
    endpoint_id: str
    url: str
    code: Literal["failing", "gone"]
    reason: str
    disabled_at: datetime


class NotificationData(_Strict):
    notification_id: str
    kind: str
    cause: str
    state: Literal["open", "resolved"]
    severity: Literal["info", "warning", "critical"]
    title: str
    detail: str
    fix: str
    subject: str
    look_at: str = Field(description="Path of the API where it can be seen and decided.")
    occurrences: int
    opened_at: datetime
    resolved_at: datetime | None


class PayloadObject(_Strict):
    type: str
    id: str


class Payload(_Strict, Generic[Data]):
    """The body of a webhook."""

    id: UUID = Field(
        description="The same as the header webhook-id: at every try, at every endpoint, at a replay."
    )
    type: str
    version: int
    timestamp: datetime = Field(description="When it happened.")
    brand_id: UUID
    test: bool = Field(description="true: an example that somebody sent by `vitrin trigger`.")
    object: PayloadObject
    data: Data


DATA: dict[str, type[BaseModel]] = {
    "item.live": ItemData,
    "item.rejected": ItemData,
    "item.invalid": ItemData,
    "item.held": ItemData,
    "item.removed": ItemData,
    "removal.held": RemovalHeldData,
    "removal.decided": RemovalDecidedData,
    "connection.active": ConnectionData,
    "connection.failed": ConnectionData,
    "connection.removed": ConnectionData,
    "endpoint.disabled": EndpointDisabledData,
    "notification.opened": NotificationData,
    "notification.resolved": NotificationData,
}


def payload_model(type_: str) -> Any:
    return Payload[DATA[type_]]  # type: ignore[valid-type]
