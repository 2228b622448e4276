"""OpenAPI of the routes of orders and privacy requests."""

from typing import Any, Final

Schema = dict[str, Any]
_TEXT: Final[Schema] = {"type": "string"}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_MOMENT: Final[Schema] = {"type": ["string", "null"], "format": "date-time"}
_MONEY: Final[Schema] = {"type": "string", "description": "Such as '12.34 EUR', in the shop's currency."}
_PERSON: Final[Schema] = {
    "type": ["object", "null"],
    "additionalProperties": _TEXT,
    "description": "customer_id, email, phone, first_name, last_name, street, city, region, postal_code, country,"
    " ip_address, user_agent, accepts_marketing, landing_site, referring_site: those that the shop told. null: nobody"
    " was named, or they were erased. Only where it was asked for.",
}


def _object(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties}


def _list(entry: Schema, description: str) -> Schema:
    return {"type": "array", "items": entry, "description": description}


def _page(entry: Schema) -> Schema:
    return _object({"data": {"type": "array", "items": entry}, "next_cursor": {"type": ["string", "null"]}})


_LINE: Final = _object(
    {
        "line": _TEXT,
        "item_id": {
            "type": ["string", "null"],
            "description": "Of the catalog; null: no item is bound to the variant.",
        },
        **dict.fromkeys(("product_id", "variant_id", "sku", "title"), _TEXT),
        "quantity": {"type": "integer"},
        "price": {**_MONEY, "description": "Of one piece, before discounts."},
        "discount": {**_MONEY, "description": "Of the whole line."},
    }
)
_REFUND: Final = _object(
    {
        "id": _TEXT,
        "created_at": _MOMENT,
        "amount": _MONEY,
        "lines": _list(
            _object({"line": _TEXT, "quantity": {"type": "integer"}, "amount": _MONEY}), "What came back."
        ),
    }
)
_ORDER: Final[Schema] = {
    "id": {"type": "string", "description": "Id of the shop, a colon, and the shop's own id of the order."},
    "shop": {"type": "string", "format": "uuid"},
    "platform": _TEXT,
    "order_id": {"type": "string", "description": "The shop's own."},
    "name": {"type": "string", "description": "As the shop shows it: #1001."},
    "state": {
        "type": "string",
        "enum": ["open", "paid", "partially_refunded", "refunded", "cancelled", "failed"],
    },
    "version": _COUNT,
    "test": {"type": "boolean", "description": "A trial of the shop's owner."},
    **dict.fromkeys(("created_at", "updated_at", "cancelled_at"), _MOMENT),
    "cancel_reason": {"type": ["string", "null"]},
    **dict.fromkeys(("total", "subtotal", "discounts", "shipping", "tax", "refunded"), _MONEY),
    "discount_codes": {"type": "array", "items": _TEXT},
    "source": {"type": "string", "description": "web, pos, ... as the shop calls it."},
    "lines": _list(_LINE, "What was bought."),
    "unknown_lines": {**_COUNT, "description": "Lines without an item of the catalog."},
    "refunds": _list(_REFUND, "The oldest first."),
}
ORDER_PAGE: Final = _page(_object(_ORDER))
ORDER: Final = _object(
    {
        **_ORDER,
        "timeline": _list(
            _object(
                {
                    "version": _COUNT,
                    "news": {"type": "array", "items": _TEXT},
                    "at": {**_MOMENT, "description": "By the shop's clock."},
                    "received_at": _MOMENT,
                }
            ),
            "Each version, with what was new in it; the first and the last hundred.",
        ),
        "person_seen": _list(
            _object({"at": _MOMENT, "by": _TEXT}), "Who saw who bought: the latest twenty times."
        ),
        "person": _PERSON,
    }
)
_REQUEST: Final[Schema] = {
    "id": {"type": "string", "format": "uuid"},
    "shop": {"type": "string", "format": "uuid"},
    "kind": {"type": "string", "enum": ["export", "erase", "shop_erase"]},
    "state": {"type": "string", "enum": ["open", "running", "done"]},
    "orders_named": {"type": "array", "items": _TEXT},
    **dict.fromkeys(("received_at", "due_at", "done_at", "answered_at"), _MOMENT),
    "answered_by": {"type": ["string", "null"]},
    "receipt": {
        "type": ["object", "null"],
        "description": "Of an erasure: orders, keys, and last_at, after which no backup opens anything of theirs.",
    },
}
REQUEST_PAGE: Final = _page(_object(_REQUEST))
REQUEST: Final = _object(
    {
        **_REQUEST,
        "person": {**_PERSON, "description": "Of an export: who asks."},
        "orders": _list(_object({**_ORDER, "person": _PERSON}), "Of an export: the orders that it names."),
    }
)
