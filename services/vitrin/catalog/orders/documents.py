"""Orders and privacy requests as the API shows them; money as "12.34 EUR". Pure."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from vitrin.catalog.orders.domain import Order, Refund
from vitrin.catalog.orders.messages import order_from

Document = dict[str, object]
_MONEY = ("total", "subtotal", "discounts", "shipping", "tax", "refunded")


def id_of(connection: UUID, order_id: str) -> str:
    """An order's id at a shop is its own only there."""
    return f"{connection}:{order_id}"


def place_of(text: str) -> tuple[UUID, str] | None:
    """The reverse; None for what is no id."""
    connection, colon, order_id = text.partition(":")
    if not colon or not order_id or "\x00" in order_id:
        return None
    try:
        return UUID(connection), order_id
    except ValueError:
        return None


def order_document(row: Any) -> Document:
    order = order_from(row.document)
    return {
        "id": id_of(row.connection_id, order.order_id),
        "shop": str(row.connection_id),
        "platform": row.document["platform"],
        "order_id": order.order_id,
        "name": order.name,
        "state": order.state,
        "version": int(row.document["version"]),
        "test": order.test,
        "created_at": order.created_at,
        "updated_at": order.updated_at,
        "cancelled_at": order.cancelled_at,
        "cancel_reason": order.cancel_reason or None,
        **{name: str(getattr(order, name)) for name in _MONEY},
        "discount_codes": list(order.discount_codes),
        "source": order.source,
        "lines": _lines(order),
        "unknown_lines": sum(1 for one in order.lines if not one.item_id),
        "refunds": [_refund(one) for one in order.refunds],
    }


def _lines(order: Order) -> Sequence[Mapping[str, object]]:
    return [
        {
            "line": one.line_id,
            "item_id": one.item_id or None,
            "product_id": one.product_id,
            "variant_id": one.variant_id,
            "sku": one.sku,
            "title": one.title,
            "quantity": one.quantity,
            "price": str(one.price),
            "discount": str(one.discount),
        }
        for one in order.lines
    ]


def _refund(refund: Refund) -> Mapping[str, object]:
    return {
        "id": refund.refund_id,
        "created_at": refund.created_at,
        "amount": str(refund.amount),
        "lines": [
            {"line": one.line_id, "quantity": one.quantity, "amount": str(one.amount)} for one in refund.lines
        ],
    }


def request_document(row: Any) -> Document:
    return {
        "id": str(row.request_id),
        "shop": str(row.connection_id),
        "kind": row.kind,
        "state": row.state,
        "orders_named": [id_of(row.connection_id, one) for one in row.order_ids],
        "received_at": row.received_at,
        "due_at": row.due_at,
        "done_at": row.done_at,
        "answered_at": row.answered_at,
        "answered_by": row.answered_by,
        "receipt": row.receipt,
    }
