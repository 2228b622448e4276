"""Answers and requests of the HTTP door."""

from datetime import datetime
from enum import StrEnum
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from vitrin.shop_sync.domain.sync import State

StateFilter = StrEnum("StateFilter", {state.name: state.value for state in State})  # type: ignore[misc]


class Reason(BaseModel):
    """Why: a stable code, the field, what was wrong and what to do; the same words for every platform."""

    code: str
    field: str = ""
    message: str = ""
    fix: str = ""


class FirstSync(BaseModel):
    started_at: datetime | None
    total: int = Field(description="Items of the brand when the first sync began.")
    done: int = Field(description="Items whose desired state was decided.")
    finished_at: datetime | None


class Taking(BaseModel):
    """How far taking stock of the platform's catalog is; GET /v1/channels/{id}/adoption says more."""

    state: str
    listed: int = Field(description="Items of the platform's catalog that are listed so far.")
    indexed: int = Field(description="Items of the shop that are ready to be matched with them.")
    holds_sends: bool = Field(description="Nothing is sent until it is done, or skipped.")
    trouble: str = Field(description="Why it does not get on; empty: it does.")


class Halt(BaseModel):
    """Why nothing is sent or looked at: the channel is paused, or a switch of accounts stopped what goes out."""

    scope: Literal["channel", "house", "brand", "platform"]
    by: str
    since: datetime
    reason: str


class Channel(BaseModel):
    """A platform catalog for one market and language."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "01994f0e-7b1c-7e60-a0a4-0c0a3f0f4f10",
                "connection_id": "01994f0e-7b1c-7e60-a0a4-0c0a3f0f4f11",
                "platform": "meta",
                "mode": "sandbox",
                "market": "US",
                "language": "en",
                "currency": "USD",
                "state": "active",
                "state_reason": "",
                "id_template": "{id}",
                "external_ids": {"catalog_id": "1234"},
                "counts": {"live": 190, "rejected": 3},
                "halted": None,
                "stuck": 0,
                "hunts": 0,
                "first_sync": {"started_at": None, "total": 0, "done": 0, "finished_at": None},
                "adoption": {"state": "done", "listed": 0, "indexed": 0, "holds_sends": False, "trouble": ""},
            }
        }
    )
    id: UUID
    connection_id: UUID
    platform: str
    mode: str
    market: str
    language: str
    currency: str
    state: Literal["active", "paused", "needs_attention", "closed"]
    state_reason: str
    id_template: str
    external_ids: dict[str, str]
    counts: dict[str, int] = Field(
        description="Items by state; states without items are left out. Of a brand with more than 10,000 items on its"
        " channels they may be some seconds old (one per 20,000 items, at most 60)."
    )
    halted: Halt | None = Field(description="The widest stop that holds the channel; null: it works.")
    stuck: int = Field(
        description="What has not moved for SHOP_SYNC_STUCK_AFTER_MIN minutes though it should: items, calls, claims."
    )
    hunts: int = Field(description="Batches that were refused as a whole and whose culprits are looked for.")
    first_sync: FirstSync
    adoption: Taking | None = Field(
        description="null: the platform does not list what a catalog holds, or nobody looked."
    )


class ChannelChange(BaseModel):
    model_config = ConfigDict(extra="forbid")
    id_template: str = Field(
        description="{id}, {sku}, or made of {product}, {variant}, {handle}, {country}, {language};"
        " only before anything was sent.",
        examples=["{sku}"],
    )


class ChannelTurn(BaseModel):
    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"reason": "the new photos are not ready"}}
    )
    reason: str = Field("", max_length=500, description="Shown to whoever asks why.")


class ChannelItem(BaseModel):
    item_id: str
    sku: str
    platform_item_id: str | None
    state: str
    reasons: list[Reason]
    version: int
    content_version: int
    offer_version: int
    updated_at: datetime


class ItemChannel(BaseModel):
    """Where the item stands on one channel now."""

    channel_id: UUID
    platform: str
    mode: str
    market: str
    channel_state: str
    platform_item_id: str | None
    state: str
    summary: str
    reasons: list[Reason]
    up_to_date: bool = Field(description="The platform has accepted exactly what the shop has now.")
    version: int
    content_version: int
    offer_version: int
    updated_at: datetime


class TimelineStep(BaseModel):
    at: datetime
    channel_id: UUID
    platform: str
    step: str
    actor: str
    summary: str
    reasons: list[Reason]
    content_version: int
    offer_version: int
    attempt_id: UUID | None
    lag_ms: int | None = Field(description="Since the change was made in the shop, milliseconds.")


class Timeline(BaseModel):
    """Current state per channel first, then what happened, newest first."""

    item_id: str
    sku: str
    title: str
    deleted: bool
    channels: list[ItemChannel]
    data: list[TimelineStep]
    next_cursor: str | None


class Percentiles(BaseModel):
    p50: float
    p95: float
    p99: float


class Lag(BaseModel):
    """`from_change_ms` counts from the shop's time of the change, `from_received_ms` from when Vitrin received it."""

    channel_id: UUID
    platform: str
    kind: Literal["accepted", "seen"]
    count: int
    from_change_ms: Percentiles
    from_received_ms: Percentiles


class ChannelPage(BaseModel):
    data: list[Channel]
    next_cursor: str | None = None


class ChannelItemPage(BaseModel):
    data: list[ChannelItem]
    next_cursor: str | None


class LagAnswer(BaseModel):
    window_s: int
    data: list[Lag]
