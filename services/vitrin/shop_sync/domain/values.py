"""Values that use cases and repository pass to each other. Immutable but for `ChannelItem`, a row being worked on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from vitrin.kit.delivery.bisect import Hunt
from vitrin.kit.ids import BrandId, ChannelId, ConnectionId
from vitrin.shop_sync.domain.sync import GONE, Facts, Hashes, Reason, Settled, State, Want

ChannelState = Literal["active", "needs_attention", "closed"]
StockState = Literal["none", "taking", "held"]
"""What a channel knows of the items that its catalog held before. taking: not yet, so nothing is decided or sent; held:
there are some, and new items of ours are matched with them; none: there are none, or nobody looked."""
Stage = Literal["sending", "polling", "unknown"]
HASH_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Times:
    """When a change was made in the shop, and when Vitrin received it."""

    occurred_at: datetime
    received_at: datetime

    def oldest(self, other: "Times | None") -> "Times":
        if other is None:
            return self
        return Times(min(self.occurred_at, other.occurred_at), min(self.received_at, other.received_at))


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A platform catalog for one market and language, opened by one connection."""

    brand_id: BrandId
    channel_id: ChannelId
    connection_id: ConnectionId
    platform: str
    mode: str
    base_url: str
    external_ids: Mapping[str, str]
    market: str
    language: str
    currency: str
    id_template: str
    state: ChannelState
    state_reason: str
    created_at: datetime
    opened_occurred_at: datetime
    sync_cursor: str | None
    sync_started_at: datetime | None
    sync_total: int
    sync_done: int
    sync_finished_at: datetime | None
    paused_at: datetime | None = None
    paused_by: str = ""
    paused_reason: str = ""
    stock: StockState = "none"

    @property
    def may_work(self) -> bool:
        return self.state == "active" and self.paused_at is None


@dataclass(slots=True, kw_only=True)
class ChannelItem:
    """An item on a channel. `changed`: the oldest change not sent yet; `flight`: that of the last send.

    `attributes` (JSON of `Rendering`) is written only when set; `stored` is what was read of it, only when taken.
    """

    brand_id: BrandId
    channel_id: ChannelId
    item_id: str
    facts: Facts = field(default_factory=lambda: Facts(want=Want.ABSENT))
    settled: Settled = field(default_factory=lambda: Settled(State.EXCLUDED))
    version: int = 0
    platform_item_id: str | None = None
    content_version: int = 0
    offer_version: int = 0
    actor: str = ""
    changed: Times | None = None
    flight: Times | None = None
    pending_at: datetime | None = None
    read_back_at: datetime | None = None
    read_back_tries: int = 0
    attributes: bytes | None = None
    stored: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One line of the timeline."""

    at: datetime
    brand_id: BrandId
    item_id: str
    channel_id: ChannelId
    platform: str
    step: str
    actor: str
    summary: str
    reasons: tuple[Reason, ...] = ()
    content_version: int = 0
    offer_version: int = 0
    attempt_id: UUID | None = None
    lag_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LagSample:
    at: datetime
    brand_id: BrandId
    channel_id: ChannelId
    item_id: str
    kind: Literal["accepted", "seen"]
    occurred_ms: int
    received_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A call under way. Rows live only as long as the outcome is open."""

    attempt_id: UUID
    brand_id: BrandId
    channel_id: ChannelId
    claim_id: UUID
    stage: Stage
    handle: str | None
    items: int
    tries: int
    due_at: datetime
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on a channel until it expires; at most one worker has it."""

    claim_id: UUID
    brand_id: BrandId
    channel_id: ChannelId


@dataclass(frozen=True, slots=True)
class Gate:
    """When a channel may send again, how many items at once, and how often it failed in a row."""

    send_after: datetime | None = None
    items_max: int | None = None
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Due:
    """Since when prices and stock wait to be sent, since when content does, since when a hunt can go on, when the
    next read-back is due, and when taking stock goes on (`stock_trouble`: the last try failed)."""

    prices_at: datetime | None = None
    content_at: datetime | None = None
    hunt_at: datetime | None = None
    read_back_at: datetime | None = None
    stock_at: datetime | None = None
    stock_trouble: bool = False

    def slow_at(self, now: datetime) -> datetime | None:
        """When content can go, or a hunt go on; None when neither waits."""
        if self.content_at is not None:
            return now
        return None if self.hunt_at is None else max(now, self.hunt_at)


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds until the platform's rate, or an endpoint that rests, lets a call of each lane through."""

    fast_s: float = 0.0
    slow_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredHunt:
    """The search for the culprits of a batch of `items` that was refused as a whole. `prices`: a batch of price and
    stock. `attempt_id`: its call under way. `reasons`: the platform's, of the last refusal. `due_at`: not before."""

    hunt_id: UUID
    brand_id: BrandId
    channel_id: ChannelId
    hunt: Hunt
    reasons: tuple[Reason, ...]
    items: int
    prices: bool
    calls: int
    attempt_id: UUID | None
    created_at: datetime
    updated_at: datetime
    due_at: datetime | None = None


def pack(hashes: Hashes | None) -> bytes | None:
    return None if hashes is None else hashes.content + hashes.offer


def unpack(value: bytes | None) -> Hashes | None:
    if value is None:
        return None
    if len(value) != 2 * HASH_BYTES:
        return GONE
    return Hashes(content=bytes(value[:HASH_BYTES]), offer=bytes(value[HASH_BYTES:]))
