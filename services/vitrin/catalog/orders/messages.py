"""An order as a message and back. The message without person and news, as JSON, is also the stored form."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message as ProtobufMessage

from vitrin.catalog.orders.domain import Line, Order, Refund, RefundLine
from vitrin.catalog.shop.values import Shop
from vitrin.events import topics
from vitrin.events.envelope import Event
from vitrin.kit.clock import EPOCH, from_us, to_us
from vitrin.kit.money import Money
from vitrin.platforms.shop import ShopOrder, ShopPerson, ShopRefund
from vitrin.protos.catalog.v1 import events_pb2, orders_pb2
from vitrin.protos.kit.v1.seal_pb2 import Sealed

CHANGED = "catalog.order_changed"
_MONEY = ("total", "subtotal", "discounts", "shipping", "tax")
_TEXTS = ("order_id", "name", "state", "cancel_reason", "source")


def order_of(seen: ShopOrder) -> Order:
    return Order(
        **{name: getattr(seen, name) for name in (*_TEXTS, *_MONEY)},
        created_at=seen.created_at,
        updated_at=seen.updated_at,
        cancelled_at=seen.cancelled_at,
        lines=tuple(
            Line(
                one.line_id,
                one.title,
                one.quantity,
                one.price,
                one.discount,
                product_id=one.product_id,
                variant_id=one.variant_id,
                sku=one.sku,
            )
            for one in seen.lines
        ),
        refunds=tuple(refund_of(one) for one in seen.refunds),
        discount_codes=seen.discount_codes,
        test=seen.test,
    )


def refund_of(seen: ShopRefund) -> Refund:
    lines = tuple(RefundLine(one.line_id, one.quantity, one.amount) for one in seen.lines)
    return Refund(seen.refund_id, seen.created_at, seen.amount, lines)


def personal(seen: ShopOrder) -> dict[str, str]:
    """What is sealed of an order: who bought, and where they came from. Empty: the shop names nobody."""
    person: ShopPerson = seen.person
    names = (
        *("customer_id", "email", "phone", "first_name", "last_name", "street", "city", "region"),
        *("postal_code", "country", "ip_address", "user_agent"),
    )
    found = {name: getattr(person, name) for name in names}
    found |= {"landing_site": seen.landing_site, "referring_site": seen.referring_site}
    if person.accepts_marketing is not None:
        found["accepts_marketing"] = "yes" if person.accepts_marketing else "no"
    return {name: value for name, value in found.items() if value}


def message_of(order: Order, *, connection_id: str, platform: str, version: int) -> orders_pb2.OrderChanged:
    message = orders_pb2.OrderChanged(
        connection_id=connection_id,
        platform=platform,
        version=version,
        created_at_us=to_us(order.created_at),
        updated_at_us=to_us(order.updated_at),
        cancelled_at_us=to_us(order.cancelled_at),
        discount_codes=order.discount_codes,
        test=order.test,
        order_id=order.order_id,
        name=order.name,
        state=order.state,
        cancel_reason=order.cancel_reason,
        source=order.source,
    )
    for name in (*_MONEY, "refunded"):
        getattr(message, name).CopyFrom(_money(getattr(order, name)))
    for line in order.lines:
        message.lines.add(
            line_id=line.line_id,
            item_id=line.item_id,
            product_id=line.product_id,
            variant_id=line.variant_id,
            sku=line.sku,
            title=line.title,
            quantity=line.quantity,
            price=_money(line.price),
            discount=_money(line.discount),
        )
    message.refunds.extend(refund_message(one) for one in order.refunds)
    return message


def refund_message(refund: Refund) -> orders_pb2.OrderRefund:
    return orders_pb2.OrderRefund(
        refund_id=refund.refund_id,
        created_at_us=to_us(refund.created_at),
        amount=_money(refund.amount),
        lines=[
            orders_pb2.RefundLine(line_id=one.line_id, quantity=one.quantity, amount=_money(one.amount))
            for one in refund.lines
        ],
    )


def stored(message: ProtobufMessage) -> dict[str, Any]:
    """As a column has it, and a brand's export: names as in the proto, numbers of 64 bits as text."""
    return MessageToDict(message, preserving_proto_field_name=True)


def refund_stored(document: Mapping[str, Any]) -> Refund:
    return Refund(
        document.get("refund_id", ""),
        _moment(document, "created_at_us") or EPOCH,
        _back(document["amount"]),
        tuple(
            RefundLine(one.get("line_id", ""), int(one.get("quantity", 0)), _back(one["amount"]))
            for one in document.get("lines", ())
        ),
    )


def order_from(document: Mapping[str, Any]) -> Order:
    """What `stored` wrote; read by hand, since a page has hundreds and `ParseDict` takes ten times as long."""
    plain: dict[str, Any] = {name: document.get(name, "") for name in _TEXTS}
    plain |= {name: _back(document[name]) for name in _MONEY}
    return Order(
        **plain,
        created_at=_moment(document, "created_at_us") or EPOCH,
        updated_at=_moment(document, "updated_at_us") or EPOCH,
        cancelled_at=_moment(document, "cancelled_at_us"),
        lines=tuple(
            Line(
                one.get("line_id", ""),
                one.get("title", ""),
                int(one.get("quantity", 0)),
                _back(one["price"]),
                _back(one["discount"]),
                product_id=one.get("product_id", ""),
                variant_id=one.get("variant_id", ""),
                sku=one.get("sku", ""),
                item_id=one.get("item_id", ""),
            )
            for one in document.get("lines", ())
        ),
        refunds=tuple(refund_stored(one) for one in document.get("refunds", ())),
        discount_codes=tuple(document.get("discount_codes", ())),
        test=bool(document.get("test", False)),
    )


def event_of(
    shop: Shop,
    message: orders_pb2.OrderChanged,
    *,
    news: Sequence[str],
    person: Sealed | None,
    received_at: datetime,
) -> Event:
    told = orders_pb2.OrderChanged()
    told.CopyFrom(message)
    told.news.extend(news)
    if person is not None:
        told.person.CopyFrom(person)
    return Event.of(
        topic=topics.ORDER,
        key=f"{shop.brand}/{shop.connection_id}/{message.order_id}",
        type=CHANGED,
        brand_id=shop.brand,
        message=told,
        occurred_at=min(from_us(message.updated_at_us) or received_at, received_at),
        received_at=received_at,
    )


def variants_of(order: Order) -> list[str]:
    """What items are bound by."""
    return sorted({one.variant_id or one.product_id for one in order.lines} - {""})


def _money(money: Money) -> events_pb2.Money:
    return events_pb2.Money(amount_minor=money.amount_minor, currency=money.currency)


def _back(money: Mapping[str, Any]) -> Money:
    return Money(int(money.get("amount_minor", 0)), money["currency"])


def _moment(document: Mapping[str, Any], name: str) -> datetime | None:
    return from_us(int(document.get(name, 0)))


def ids_text(order_ids: Iterable[str]) -> list[str]:
    return sorted(set(order_ids))
