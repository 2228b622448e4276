"""Answers and requests of the removal guard's HTTP door."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from vitrin.shop_sync.domain.guard import AT_LEAST_MAX, Kind
from vitrin.shop_sync.schemas import Reason

NOTE_CHARS_MAX = 500
State = Literal["open", "approved", "rejected", "withdrawn"]


class Waiting(BaseModel):
    removals: int = Field(description="Items that would be taken down.")
    zeroings: int = Field(description="Items that would be marked as sold out.")


class Settled(BaseModel):
    gone: int = Field(description="Approved, and on their way out.")
    kept: int = Field(description="Rejected, and shown as they were.")
    back: int = Field(description="Released without a decision: the shop brought them back.")


class Removal(BaseModel):
    """More would have left a channel within an hour than the brand allows: this waits for an approver."""

    id: UUID
    channel_id: UUID
    platform: str
    state: State
    subject: Literal["items", "strangers"] = Field(
        description="items: of the shop, held by the guard. strangers: items that the platform held before and that"
        " somebody asked to remove (`/v1/channels/{id}/adoption:remove`); their ids are the platform's."
    )
    opened_at: datetime
    updated_at: datetime
    summary: str
    waiting: Waiting
    settled: Settled
    limit: int = Field(description="So many items might leave within an hour when the request opened.")
    shown: int | None = Field(
        description="Items that the channel showed then; null: not counted, the limit is the least number."
    )
    passed: int = Field(description="Items that had left within the hour before.")
    causes: dict[str, int] = Field(description="Items by the actor whose change it was; the first 20.")
    decided_at: datetime | None
    decided_by: str | None
    note: str
    finished_at: datetime | None = Field(description="When the decision was carried out.")


class RemovalItem(BaseModel):
    item_id: str
    title: str = Field(description="As the platform shows it.")
    kind: Kind
    state: Literal["waiting", "gone", "kept", "back"]
    would: str = Field(description="What happens on approval.")
    reason: Reason = Field(description="Why the shop wants it.")
    actor: str
    held_at: datetime
    settled_at: datetime | None


class RemovalPage(BaseModel):
    data: list[Removal]
    next_cursor: str | None


class RemovalDetail(Removal):
    """The request, and a page of its items in the order of their ids."""

    data: list[RemovalItem]
    next_cursor: str | None


class DecisionNote(BaseModel):
    """All of it may be left out."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"note": "Season is over."}})
    note: str = Field("", max_length=NOTE_CHARS_MAX, pattern=r"^[^\x00]*$", description="Why; kept with it.")
    items_max: int | None = Field(
        None,
        ge=0,
        le=2**53,
        description="As many as you looked at: nothing is decided when more wait by now.",
    )


class RemovalPolicy(BaseModel):
    """More than `percent` of a channel's shown items, and more than `at_least`, do not leave it within an hour
    without an approval."""

    percent: int
    at_least: int
    guarded: list[Kind] = Field(description="Kinds that are held; the others pass and are not counted.")


class RemovalPolicyChange(BaseModel):
    """What is left out stays as it is."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"percent": 10, "at_least": 20}})
    percent: int | None = Field(None, ge=0, le=100)
    at_least: int | None = Field(None, ge=0, le=AT_LEAST_MAX)
    guarded: list[Kind] | None = Field(None, max_length=len(Kind))
