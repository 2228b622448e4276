"""HTTP answers and requests of retargeting's own routes; the door's are in `collector.describing`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from vitrin.retargeting.collector.origins import ORIGIN_CHARS_MAX, ORIGINS_MAX


class EventSource(BaseModel):
    """From where a publishable key may be used."""

    model_config = ConfigDict(extra="forbid")
    origin: str = Field(
        max_length=ORIGIN_CHARS_MAX,
        description="As browsers send it: https://shop.example; https://*.shop.example for every name below it; null"
        " for sandboxed frames.",
    )
    key_id: str | None = Field(
        None,
        max_length=32,
        description="For this key alone, which then has only its own origins; null: for every key of the brand.",
    )


class EventSources(BaseModel):
    model_config = ConfigDict(extra="forbid")
    data: list[EventSource] = Field(
        max_length=ORIGINS_MAX, description="All of them: what is left out is taken off."
    )


class EventSourceList(BaseModel):
    data: list[EventSource]
    storefront: str | None = Field(description="Origin of the brand's storefront, which is always allowed.")


class StoredItem(BaseModel):
    """An item in an event, with what the catalog said of it when the event was stored."""

    item_id: str
    quantity: int
    price_minor: int | None = None
    unknown: bool = Field(False, description="The catalog has no such item.")
    group_id: str = ""
    brand: str = ""
    category: str = ""
    product_type: str = ""
    catalog_price_minor: int | None = None
    catalog_currency: str = ""
    availability: str = ""


class StoredEvent(BaseModel):
    """Without personal fields: `has_personal` says whether there are any, sealed."""

    arrival: int = Field(description="Grows with every stored event of the house.")
    event_id: str
    name: str
    custom_name: str
    occurred_at: datetime
    received_at: datetime
    stored_at: datetime
    visitor_id: str
    customer_id: str
    session_id: str
    source: str
    test: bool
    url: str
    referrer: str
    items: list[StoredItem]
    value_minor: int | None
    currency: str
    order_id: str
    refund_id: str
    lead_id: str
    search_term: str
    click_ids: dict[str, str]
    utm: dict[str, str]
    consents: dict[str, bool]
    consent_proof: str
    gpc: bool
    properties: dict[str, str]
    has_personal: bool

    @classmethod
    def of(cls, row: Any) -> "StoredEvent":
        return cls.model_validate(dict(row._mapping))


class StoredEventPage(BaseModel):
    data: list[StoredEvent]
    next_cursor: str | None


class EventCounts(BaseModel):
    """Of one name and source. `accepted` are durable at the door, `stored` are rows: the difference is on its way, or
    was a `repeated` one that only the database knew."""

    name: str
    source: str
    accepted: int = 0
    duplicate: int = 0
    refused: int = 0
    stored: int = 0
    repeated: int = 0
    refused_by_code: dict[str, int] = Field(default_factory=dict)
    newest_at: datetime | None = None


class UnknownItem(BaseModel):
    item_id: str
    events: int
    first_at: datetime
    last_at: datetime


class EventHealth(BaseModel):
    since: datetime
    data: list[EventCounts]
    unknown_items: list[UnknownItem] = Field(
        description="Ids in events that the catalog does not have, 50 at most."
    )

    @classmethod
    def of(cls, since: datetime, counts: Sequence[Any], unknown: Sequence[Any]) -> "EventHealth":
        found: dict[tuple[str, str], EventCounts] = {}
        for row in counts:
            one = found.setdefault((row.name, row.source), EventCounts(name=row.name, source=row.source))
            setattr(one, row.outcome, getattr(one, row.outcome) + row.events)
            if row.outcome == "refused":
                one.refused_by_code[row.code] = one.refused_by_code.get(row.code, 0) + row.events
            elif one.newest_at is None or one.newest_at < row.last_at:
                one.newest_at = row.last_at
        return cls(
            since=since,
            data=list(found.values()),
            unknown_items=[
                UnknownItem(item_id=r.item_id, events=r.events, first_at=r.first_at, last_at=r.last_at)
                for r in unknown
            ],
        )
