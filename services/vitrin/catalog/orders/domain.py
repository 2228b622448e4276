"""What news of an order does to what is known of it. Pure: whoever calls holds the order's row lock.

Webhooks come late, twice and in any order, so an order is a register: the shop's own `updated_at` decides, refunds are
a set by their id, and whatever is older changes nothing. A refund may come before its order; it is kept, and joins it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from vitrin.kit.money import Money

PAID: Final = frozenset({"paid", "partially_refunded", "refunded"})
STEPS: Final = {"open": 0, "paid": 1, "partially_refunded": 2, "refunded": 3, "failed": 4, "cancelled": 5}
"""Shops write moments in seconds: of two bodies of one second the one that is further on is the later."""


@dataclass(frozen=True, slots=True)
class RefundLine:
    line_id: str
    quantity: int
    amount: Money


@dataclass(frozen=True, slots=True)
class Refund:
    refund_id: str
    created_at: datetime
    amount: Money
    lines: tuple[RefundLine, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """`item_id` "": no item is bound to the variant."""

    line_id: str
    title: str
    quantity: int
    price: Money
    discount: Money
    product_id: str = ""
    variant_id: str = ""
    sku: str = ""
    item_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """As the shop has it. Who bought is sealed, and not here."""

    order_id: str
    name: str
    created_at: datetime
    updated_at: datetime
    state: str
    total: Money
    subtotal: Money
    discounts: Money
    shipping: Money
    tax: Money
    cancelled_at: datetime | None = None
    cancel_reason: str = ""
    lines: tuple[Line, ...] = ()
    refunds: tuple[Refund, ...] = ()
    discount_codes: tuple[str, ...] = ()
    source: str = ""
    test: bool = False

    @property
    def refunded(self) -> Money:
        return Money(sum(one.amount.amount_minor for one in self.refunds), self.total.currency)


@dataclass(frozen=True, slots=True)
class Change:
    """`news` in the words of OrderChanged. None of it: it was known, or older than what is known (`stale`).

    `moved`: nothing new but the moment, which is kept, so that what is older than it stays older."""

    order: Order
    news: tuple[str, ...] = ()
    stale: bool = False
    moved: bool = False


def take(known: Order | None, seen: Order, *, refunds: Sequence[Refund] = ()) -> Change:
    """`refunds`: those of the order that came before it, or by themselves."""
    if known is not None:
        # What a line was bound to stays, also where its product is gone since.
        seen = _with_items(seen, {one.line_id: one.item_id for one in known.lines})
    if known is not None and _older(seen, known):
        # Older knowledge of the order may still name a refund that nothing else told.
        changed = with_refunds(known, (*seen.refunds, *refunds))
        news = _news(known, changed)
        return Change(changed, news, stale=not news)
    fresh = with_refunds(seen, (*(known.refunds if known is not None else ()), *refunds))
    news = _news(known, fresh)
    moved = not news and known is not None and fresh.updated_at > known.updated_at
    return Change(fresh, news, moved=moved)


def _with_items(order: Order, items: Mapping[str, str]) -> Order:
    return replace(
        order, lines=tuple(replace(one, item_id=items.get(one.line_id, "")) for one in order.lines)
    )


def _older(seen: Order, known: Order) -> bool:
    if seen.updated_at != known.updated_at:
        return seen.updated_at < known.updated_at
    return STEPS.get(seen.state, 0) < STEPS.get(known.state, 0)


def refund(known: Order, refunds: Sequence[Refund]) -> Change:
    changed = with_refunds(known, refunds)
    news = _news(known, changed)
    return Change(changed, news, stale=not news)


def with_refunds(order: Order, more: Collection[Refund]) -> Order:
    """Each refund once, the oldest first; the state follows their sum where the shop has not said it yet.

    The order's own words of a refund win, but for its moment: a shop without one gives that of the order's change, so
    the first that was heard stays."""
    found: dict[str, Refund] = {}
    for one in (*more, *order.refunds):
        held = found.get(one.refund_id)
        found[one.refund_id] = (
            one if held is None else replace(one, created_at=min(one.created_at, held.created_at))
        )
    refunds = tuple(sorted(found.values(), key=lambda one: (one.created_at, one.refund_id)))
    whole = replace(order, refunds=refunds)
    if order.state in PAID and refunds:
        given = whole.refunded.amount_minor
        if given >= order.total.amount_minor > 0:
            whole = replace(whole, state="refunded")
        elif given > 0 and order.state == "paid":
            whole = replace(whole, state="partially_refunded")
    return whole


def _news(before: Order | None, after: Order) -> tuple[str, ...]:
    news: list[str] = []
    if before is None:
        news.append("created")
    if after.state in PAID and (before is None or before.state not in PAID):
        news.append("paid")
    if len(after.refunds) > (0 if before is None else len(before.refunds)):
        news.append("refunded")
    if after.state == "cancelled" and (before is None or before.state != "cancelled"):
        news.append("cancelled")
    if after.state == "failed" and (before is None or before.state != "failed"):
        news.append("failed")
    if not news and before is not None and replace(before, updated_at=after.updated_at) != after:
        news.append("updated")
    return tuple(news)


def bound(order: Order, items: Mapping[str, str]) -> Order:
    """With the catalog's item of each variant. `items`: item id by variant id, or by product id where a shop has no
    variants of it."""
    lines = tuple(
        replace(one, item_id=items.get(one.variant_id or one.product_id, one.item_id)) for one in order.lines
    )
    return replace(order, lines=lines)
