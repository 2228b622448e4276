"""Orders: placed, paid, changed, cancelled, refunded; and what is said of persons. Pure but for the shop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from msgspec.structs import replace

from vitrin.sandbox.shops.goods import NotThere, find, set_stock
from vitrin.sandbox.shops.happened import Happened
from vitrin.sandbox.shops.model import Line, Order, Person, Refund, RefundedLine, Shop

FIRST_NUMBER = 1001
CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOrder:
    """What an order is made of: variant id and quantity per line."""

    lines: Sequence[tuple[int, int]]
    person: Person
    paid: bool = True
    shipping: str = "0.00"
    discount: str = "0.00"
    discount_code: str = ""
    landing_site: str = ""
    referring_site: str = ""
    browser_ip: str = ""
    user_agent: str = ""
    test: bool = False


def place_order(shop: Shop, new: NewOrder, *, now_ms: int) -> list[Happened]:
    """An order; what it takes leaves the stock of the first location, below zero if it must."""
    found = [(find(shop, variant_id), quantity) for variant_id, quantity in new.lines]
    order_id = shop.new_id()
    location_id = next(iter(shop.locations))
    lines = tuple(
        Line(
            id=shop.new_id(),
            product_id=product.id,
            variant_id=variant.id,
            title=product.title,
            variant_title="" if product.only_default else variant.title,
            sku=variant.sku,
            quantity=quantity,
            price=variant.price,
            location_id=location_id,
        )
        for (product, variant), quantity in found
    )
    order = Order(
        id=order_id,
        number=FIRST_NUMBER + len(shop.orders),
        created_ms=now_ms,
        updated_ms=now_ms,
        lines=lines,
        person=new.person,
        paid_ms=now_ms if new.paid else None,
        shipping=new.shipping,
        discount=new.discount,
        discount_code=new.discount_code,
        landing_site=new.landing_site,
        referring_site=new.referring_site,
        browser_ip=new.browser_ip,
        user_agent=new.user_agent,
        test=new.test,
    )
    shop.orders[order_id] = order
    told = [Happened(what="order_created", at_ms=now_ms, order=order)]
    if new.paid:
        told.append(Happened(what="order_paid", at_ms=now_ms, order=order))
    for (_product, variant), quantity in found:
        if variant.tracked:
            told += set_stock(shop, variant.id, -quantity, location_id=location_id, now_ms=now_ms, by=True)
    return told


def pay_order(shop: Shop, order_id: int, *, now_ms: int) -> list[Happened]:
    """The money is there."""
    order = _open(shop, order_id)
    return _put(shop, replace(order, paid_ms=now_ms, updated_ms=now_ms), "order_paid", now_ms=now_ms)


def touch_order(shop: Shop, order_id: int, *, now_ms: int) -> list[Happened]:
    """Changed in a way that nobody asks about (a note, a tag)."""
    order = _order(shop, order_id)
    return _put(shop, replace(order, updated_ms=now_ms), "order_updated", now_ms=now_ms)[:1]


def cancel_order(shop: Shop, order_id: int, *, reason: str, now_ms: int) -> list[Happened]:
    """Cancelled; what was paid is given back, and the goods are in stock again."""
    order = _open(shop, order_id)
    told: list[Happened] = []
    if order.paid_ms is not None and order.refunded < order.total:
        left = {line.id: line.quantity for line in order.lines}
        for refund in order.refunds:
            for one in refund.lines:
                left[one.line_id] -= one.quantity
        amount = str(order.total - order.refunded)
        told += refund_order(
            shop, order_id, [(a, b) for a, b in left.items() if b], amount=amount, restock=True, now_ms=now_ms
        )
        order = shop.orders[order_id]
    cancelled = replace(order, cancelled_ms=now_ms, cancel_reason=reason, updated_ms=now_ms)
    return told + _put(shop, cancelled, "order_cancelled", now_ms=now_ms)


def refund_order(
    shop: Shop,
    order_id: int,
    lines: Sequence[tuple[int, int]],
    *,
    now_ms: int,
    amount: str | None = None,
    restock: bool = False,
) -> list[Happened]:
    """Lines (id and quantity) and money given back; the money is that of the lines unless it is named."""
    order = _open(shop, order_id)
    if order.paid_ms is None:
        raise NotThere(f"order {order_id} was not paid: there is nothing to give back")
    by_id = {line.id: line for line in order.lines}
    refunded: list[RefundedLine] = []
    for line_id, quantity in lines:
        if line_id not in by_id:
            raise NotThere(f"order {order_id} has no line {line_id}; it has {', '.join(map(str, by_id))}")
        worth = (Decimal(by_id[line_id].price) * quantity).quantize(CENT, ROUND_HALF_UP)
        refunded.append(RefundedLine(shop.new_id(), line_id, quantity, str(worth)))
    money = (
        amount if amount is not None else str(sum((Decimal(one.subtotal) for one in refunded), Decimal(0)))
    )
    if Decimal(money) + order.refunded > order.total:
        raise NotThere(
            f"order {order_id}: {money} is more than the {order.total - order.refunded} that is left"
        )
    refund = Refund(shop.new_id(), now_ms, money, tuple(refunded), restock)
    changed = replace(order, refunds=(*order.refunds, refund), updated_ms=now_ms)
    shop.orders[order_id] = changed
    told = [
        Happened(what="refunded", at_ms=now_ms, order=changed, refund=refund),
        Happened(what="order_updated", at_ms=now_ms, order=changed),
    ]
    for one in refunded if restock else ():
        line = by_id[one.line_id]
        if shop.find_variant(line.variant_id) is not None:
            told += set_stock(
                shop,
                line.variant_id,
                one.quantity,
                location_id=line.location_id,
                now_ms=now_ms,
                by=True,
            )
    return told


def ask_person(shop: Shop, order_id: int, *, erase: bool, app_id: str, now_ms: int) -> list[Happened]:
    """The person of an order wants to know, or to be forgotten: what the privacy topics say."""
    order = _order(shop, order_id)
    person = order.person
    orders = [
        one.id for one in shop.orders.values() if one.person.email == person.email or one.id == order_id
    ]
    customer = {"id": person.customer_id, "email": person.email, "phone": person.phone}
    asked: dict[str, Any] = {"shop_id": shop.number, "shop_domain": shop.host, "customer": customer}
    if erase:
        asked["orders_to_redact"] = orders
    else:
        asked |= {"orders_requested": orders, "data_request": {"id": shop.new_id()}}
    what = "customer_redact" if erase else "data_request"
    return [Happened(what=what, at_ms=now_ms, asked=asked, app_id=app_id)]  # type: ignore[arg-type]


def _put(shop: Shop, order: Order, what: Any, *, now_ms: int) -> list[Happened]:
    shop.orders[order.id] = order
    told = [Happened(what=what, at_ms=now_ms, order=order)]
    if what != "order_updated":
        told.append(Happened(what="order_updated", at_ms=now_ms, order=order))
    return told


def _order(shop: Shop, order_id: int) -> Order:
    order = shop.orders.get(order_id)
    if order is None:
        raise NotThere(f"the shop has no order {order_id}")
    return order


def _open(shop: Shop, order_id: int) -> Order:
    order = _order(shop, order_id)
    if order.cancelled_ms is not None:
        raise NotThere(f"order {order_id} was cancelled already")
    return order
