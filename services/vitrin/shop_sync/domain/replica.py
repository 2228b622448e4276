"""The replica of an item as max-registers: both lanes may arrive in any order, twice or late, and end equal.

`content` and `offer` payloads are opaque bytes here (the Protobuf messages of catalog). `join` is commutative,
associative and idempotent; a delete is a versioned tombstone that raises the content register and the offer floor.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import reduce
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, order=True)
class Stamp:
    """When a change was made in the shop, when Vitrin received it, and who made it."""

    occurred_at: datetime = EPOCH
    received_at: datetime = EPOCH
    actor: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Content:
    """The content register. `version` 0: nothing was heard yet. Ordered, so that even a broken tie joins one way."""

    version: int = 0
    deleted: bool = False
    payload: bytes = b""
    stamp: Stamp = Stamp()


@dataclass(frozen=True, slots=True, order=True)
class Offer:
    """The offer register of one market."""

    version: int
    payload: bytes
    stamp: Stamp = Stamp()


@dataclass(frozen=True, slots=True)
class ItemReplica:
    """What is known of one item. `offers` by market; `offer_floor`: offers up to this version are void."""

    content: Content = Content()
    offer_floor: int = 0
    offers: Mapping[str, Offer] = field(default_factory=dict)

    @property
    def exists(self) -> bool:
        return self.content.version > 0 and not self.content.deleted


def content_changed(version: int, payload: bytes, stamp: Stamp) -> ItemReplica:
    return ItemReplica(content=Content(version=version, payload=payload, stamp=stamp))


def item_deleted(content_version: int, offer_version: int, stamp: Stamp) -> ItemReplica:
    return ItemReplica(
        content=Content(version=content_version, deleted=True, stamp=stamp), offer_floor=offer_version
    )


def offer_changed(market: str, version: int, payload: bytes, stamp: Stamp) -> ItemReplica:
    return ItemReplica(offers={market: Offer(version=version, payload=payload, stamp=stamp)})


def join(left: ItemReplica, right: ItemReplica) -> ItemReplica:
    """The least state that knows what both know."""
    floor = max(left.offer_floor, right.offer_floor)
    offers = dict(left.offers)
    for market, offer in right.offers.items():
        held = offers.get(market)
        offers[market] = offer if held is None else max(held, offer)
    return ItemReplica(
        content=max(left.content, right.content),
        offer_floor=floor,
        offers={market: offer for market, offer in offers.items() if offer.version > floor},
    )


def join_all(parts: Iterable[ItemReplica]) -> ItemReplica:
    return reduce(join, parts, ItemReplica())
