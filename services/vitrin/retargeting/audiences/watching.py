"""Price drops and returns to stock, as events of the visitors who looked at the item. Pure.

A rule asks for `price_dropped` or `back_in_stock` like for any other event, so the engine stays a function of accepted
events. What makes such an event is defined here, independent of the order in which views and changes arrive: a visitor
has one for a change if a view of the item lies within LOOKED_MS before the change or at it. The service calls `fan_out`
when a change arrives and `catch_up` when a view arrives; the same pair makes the same event id, so doing both is safe,
and together they miss nothing (a test permutes arrivals). The events are the visitor's and not the person's: a merge or
its reversal moves them with the visitor's own.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from vitrin.retargeting.audiences.language.words import DAY_MS

LOOKED_MS: Final = 30 * DAY_MS


@dataclass(frozen=True, slots=True)
class Offer:
    """Of an item in one market: the price a shopper pays now, and whether it can be bought."""

    currency: str
    price_minor: int
    available: bool


@dataclass(frozen=True, slots=True)
class ItemChange:
    """`change_id` is unique per change of an item, for example item, market and offer version."""

    change_id: str
    item: str
    kind: str
    at: int


@dataclass(frozen=True, slots=True)
class View:
    visitor: int
    item: str
    at: int


@dataclass(frozen=True, slots=True)
class ItemEvent:
    """To be accepted like an arrived event; the item's attributes are copied in as with all events."""

    event_id: str
    visitor: int
    item: str
    kind: str
    at: int


def changes_between(
    before: Offer | None, after: Offer, *, item: str, version: str, at: int
) -> list[ItemChange]:
    """What a shopper who looked would want to hear. A new item, a new currency, a price while sold out: nothing."""
    if before is None or not after.available:
        return []
    found = []
    if not before.available:
        found.append(ItemChange(f"{version}:back_in_stock", item, "back_in_stock", at))
    if before.currency == after.currency and after.price_minor < before.price_minor:
        found.append(ItemChange(f"{version}:price_dropped", item, "price_dropped", at))
    return found


def fan_out(change: ItemChange, views: Iterable[View]) -> list[ItemEvent]:
    """`views`: those of the item at least since LOOKED_MS before the change; others do no harm."""
    visitors = {view.visitor for view in views if _concerns(change, view)}
    return [_event(change, visitor) for visitor in sorted(visitors)]


def catch_up(view: View, changes: Iterable[ItemChange]) -> list[ItemEvent]:
    """`changes`: those of the item since the view, which arrived before it did."""
    return [_event(change, view.visitor) for change in changes if _concerns(change, view)]


def _concerns(change: ItemChange, view: View) -> bool:
    return view.item == change.item and change.at - LOOKED_MS < view.at <= change.at


def _event(change: ItemChange, visitor: int) -> ItemEvent:
    return ItemEvent(f"{change.change_id}:{visitor}", visitor, change.item, change.kind, change.at)
