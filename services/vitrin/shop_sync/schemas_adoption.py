"""Answers and requests of adoption's HTTP door."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from vitrin.shop_sync.schemas import Reason

CHOICES_MAX = 1_000
IDS_MAX = 10_000
PlatformId = Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^\x00]*$")]
State = Literal[
    "not_taken", "cannot_list", "listing", "indexing", "matching", "rechecking", "done", "failed", "skipped"
]
ItemState = Literal["stranger", "ambiguous", "left", "adopted", "removal", "removing", "removed"]


class Adopted(BaseModel):
    """Items of the platform that items of the shop took over, by what told that they are the same."""

    id: int
    gtin: int
    link: int
    choice: int = Field(description="Decided by a person.")


class Adoption(BaseModel):
    """What the platform's catalog held before, and what became of it."""

    channel_id: UUID
    state: State = Field(
        description="not_taken: the channel was opened before Vitrin looked. cannot_list: the platform does not say"
        " what a catalog holds. done: known. failed: the listing does not get on; it is tried again every five minutes."
    )
    summary: str
    holds_sends: bool = Field(description="Nothing is sent on the channel until this is done, or skipped.")
    trouble: str = Field(description="Why the last page could not be listed; empty: it could.")
    listed: int = Field(description="Items listed, those that are ours already included.")
    indexed: int = Field(description="Items of the shop whose keys were made for the matching.")
    adopted: Adopted
    ambiguous: int = Field(description="In doubt: what of ours shares a key with them waits for a decision.")
    strangers: int = Field(description="Claimed by nobody, and left alone.")
    left: int = Field(description="Left alone by a person's decision.")
    removal: int = Field(description="Their removal waits for an approval.")
    removing: int = Field(description="Approved, and being deleted.")
    removed: int
    started_at: datetime | None
    finished_at: datetime | None


class AdoptionItem(BaseModel):
    """An item of the platform's catalog that Vitrin did not put there."""

    platform_item_id: str
    title: str
    link: str
    state: ItemState
    how: str = Field(description="What told that it is `item_id`: id, gtin, link, choice; else empty.")
    item_id: str | None
    reason: Reason | None
    listed_at: datetime
    decided_at: datetime | None
    decided_by: str


class AdoptionItemPage(BaseModel):
    data: list[AdoptionItem]
    next_cursor: str | None


class Choice(BaseModel):
    model_config = ConfigDict(extra="forbid")
    platform_item_id: PlatformId
    item_id: PlatformId | None = Field(
        None, description="The item of the shop that it is; null or left out: leave it alone, it is none."
    )


class Resolution(BaseModel):
    """All of it or nothing."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "choices": [{"platform_item_id": "old-1", "item_id": "mug"}, {"platform_item_id": "old-2"}]
            }
        },
    )
    choices: list[Choice] = Field(min_length=1, max_length=CHOICES_MAX)


class RemovalWish(BaseModel):
    """Either `ids`, or `all`."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"ids": ["old-3"]}})
    ids: list[PlatformId] | None = Field(None, min_length=1, max_length=IDS_MAX)
    all: bool = Field(False, description="All strangers and left ones; at most 50,000 in one request.")
