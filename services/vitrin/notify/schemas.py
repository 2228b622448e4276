"""Requests and answers of notify's HTTP door."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict, Field

from vitrin.notify.service import endpoints, reading

TYPES_MAX = 50
OVERLAP_H_MAX = 168
TypeNames = list[str]


class EndpointCreate(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "url": "https://shop.example/hooks/vitrin",
                "event_types": ["item.rejected", "removal.held"],
            }
        },
    )
    url: str = Field(
        min_length=1,
        max_length=2_048,
        description="Where to POST. https and the public internet; redirects are not followed.",
    )
    description: str = Field("", max_length=200, pattern=r"^[^\x00]*$")
    event_types: TypeNames = Field(
        default_factory=list, max_length=TYPES_MAX, description="Types to take; empty: all, later ones too."
    )
    ordered: bool = Field(
        False,
        description="Webhooks of one object come one after the other: the next waits until the one before was"
        " acknowledged or given up. Without it a retry may come after a later event.",
    )
    enabled: bool = True


class EndpointPatch(BaseModel):
    """What is left out stays as it is."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"enabled": True}})
    url: str | None = Field(None, min_length=1, max_length=2_048)
    description: str | None = Field(None, max_length=200, pattern=r"^[^\x00]*$")
    event_types: TypeNames | None = Field(None, max_length=TYPES_MAX)
    ordered: bool | None = None
    enabled: bool | None = Field(
        None,
        description="false drops what waits; true forgets the failures and begins with what happens next.",
    )


class Rotation(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"overlap_h": 24}})
    overlap_h: int = Field(
        24,
        ge=0,
        le=OVERLAP_H_MAX,
        description="Hours for which earlier secrets sign beside the new one; 0 ends them at once.",
    )


class Secret(BaseModel):
    """A valid secret, without its text."""

    id: UUID
    hint: str = Field(description="Its last four characters.")
    created_at: datetime
    expires_at: datetime | None


class Disabled(BaseModel):
    code: Literal["by_hand", "failing", "gone"]
    reason: str
    at: datetime


class Endpoint(BaseModel):
    """A webhook endpoint of the brand."""

    id: UUID
    url: str
    description: str
    event_types: TypeNames
    ordered: bool
    enabled: bool
    disabled: Disabled | None
    failures: int = Field(description="Tries that failed since the last one that succeeded.")
    failing_since: datetime | None
    secrets: list[Secret] = Field(description="Valid ones, the newest first; each signs.")
    created_at: datetime
    created_by: str
    updated_at: datetime

    @classmethod
    def of(cls, shown: endpoints.Shown) -> "Endpoint":
        return cls(**_endpoint(shown))


class NewSecret(Endpoint):
    """The endpoint with its new secret, which is shown this once."""

    secret: str = Field(description="whsec_...: keep it where the webhooks are verified.")

    @classmethod
    def with_secret(cls, shown: endpoints.Shown, secret: str) -> "NewSecret":
        return cls(**_endpoint(shown), secret=secret)


def _endpoint(shown: endpoints.Shown) -> dict[str, Any]:
    row = shown.row
    names = ("url", "description", "event_types", "ordered", "enabled", "failures", "failing_since")
    disabled = None
    if not row.enabled:
        disabled = Disabled(code=row.disabled_code, reason=row.disabled_reason, at=row.disabled_at)
    return {
        **{name: getattr(row, name) for name in (*names, "created_at", "created_by", "updated_at")},
        "id": row.endpoint_id,
        "disabled": disabled,
        "secrets": [
            Secret(id=one.secret_id, hint=one.hint, created_at=one.created_at, expires_at=one.expires_at)
            for one in shown.secrets
        ],
    }


class EndpointPage(BaseModel):
    data: list[Endpoint]
    next_cursor: str | None


class Attempt(BaseModel):
    """One try of a delivery."""

    model_config = ConfigDict(from_attributes=True)
    id: UUID = Field(validation_alias="attempt_id")
    at: datetime
    event_id: UUID
    event_type: str
    delivery_id: UUID
    number: int = Field(description="1 is the first try.")
    outcome: str = Field(
        description="delivered, refused, redirected, gone, timed_out, unreachable, address_refused, tls_failed, too_old"
    )
    detail: str = Field(description="What was wrong, and whose turn it is.")
    status: int | None = Field(description="HTTP status of the answer; null: none came.")
    latency_ms: int
    excerpt: str = Field(description="The first 1,000 characters of the answer.")
    next_try_at: datetime | None


class AttemptPage(BaseModel):
    data: list[Attempt]
    next_cursor: str | None


class Delivery(BaseModel):
    """One event on its way to one endpoint; a replay is another."""

    model_config = ConfigDict(from_attributes=True)
    id: UUID = Field(validation_alias="delivery_id")
    endpoint_id: UUID
    state: Literal["pending", "delivered", "failed", "dropped"] = Field(
        description="failed: given up. dropped: the endpoint was disabled or deleted."
    )
    tries: int
    next_try_at: datetime | None = Field(validation_alias="due_at")
    last_outcome: str
    last_status: int | None
    created_at: datetime
    finished_at: datetime | None


class EventObject(BaseModel):
    type: str
    id: str


class Event(BaseModel):
    """A webhook event. `payload` is what endpoints get; `id` is its `webhook-id`."""

    id: UUID
    type: str
    object: EventObject
    test: bool
    created_at: datetime
    payload: dict[str, Any]
    body: str = Field(description="The same, byte for byte as it is signed and sent.")
    deliveries: list[Delivery]

    @classmethod
    def of(cls, shown: reading.Shown) -> "Event":
        row = shown.row
        return cls(
            id=row.event_id,
            type=row.type,
            object=EventObject(type=row.object_type, id=row.object_id),
            test=row.test,
            created_at=row.created_at,
            payload=orjson.loads(row.payload),
            body=row.payload,
            deliveries=[Delivery.model_validate(one) for one in shown.deliveries],
        )


class EventPage(BaseModel):
    data: list[Event]
    next_cursor: str | None


class EventReplay(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {}})
    endpoint_id: UUID | None = Field(
        None, description="Only there; else every enabled one that takes the type."
    )


class TestEvent(BaseModel):
    __test__ = False
    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"type": "item.live"}})
    type: str = Field(max_length=100)
    endpoint_id: UUID | None = Field(
        None, description="Only there; else every enabled one that takes the type."
    )


class TypeInfo(BaseModel):
    type: str
    version: int
    object: str = Field(description="What it is about.")
    description: str
    example: dict[str, Any] = Field(description="Of `data`; its schema is under `webhooks` in /openapi.json.")


class TypeList(BaseModel):
    data: Sequence[TypeInfo]
