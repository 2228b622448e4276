"""Whose an order is: the names by which accounts knows the keys of personal data (ADR 20). Pure."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from vitrin.catalog.shop.values import Shop
from vitrin.kit.seal import Person, Receipt
from vitrin.platforms.shop import PersonAsked, ShopSpec


def address(spec: ShopSpec, external_ids: Mapping[str, str]) -> str:
    """The shop, by the external id that names it."""
    return f"{spec.name}:{external_ids[spec.required_external_ids[0]]}"


def customer(where: str, customer_id: str) -> Person:
    return Person(f"{where}:customer:{customer_id}")


def guest(where: str, order_id: str) -> Person:
    """Who bought without an account is known by the order."""
    return Person(f"{where}:order:{order_id}")


def buyer(shop: Shop, customer_id: str, order_id: str) -> Person:
    where = address(shop.spec, shop.external_ids)
    return customer(where, customer_id) if customer_id else guest(where, order_id)


def asker(shop: Shop, asked: PersonAsked) -> Person:
    """Whose key seals who asked: the customer's, so that their erasure covers it."""
    where = address(shop.spec, shop.external_ids)
    if asked.customer_id:
        return customer(where, asked.customer_id)
    if asked.order_ids:
        return guest(where, asked.order_ids[0])
    return Person(f"{where}:asked:{asked.email}")


def named(shop: Shop, asked: PersonAsked) -> list[Person]:
    """Everybody that the request names."""
    where = address(shop.spec, shop.external_ids)
    people = [guest(where, one) for one in asked.order_ids]
    return [customer(where, asked.customer_id), *people] if asked.customer_id else people


def told(asked: PersonAsked) -> str:
    """The same for the same request, whatever its delivery is called."""
    words = "\n".join((asked.request_id, asked.customer_id, *sorted(set(asked.order_ids))))
    return hashlib.sha256(words.encode()).hexdigest()


def receipt_of(
    receipts: Sequence[Receipt], *, orders: int, before: Mapping[str, Any] | None = None
) -> dict[str, object]:
    """`before`: what was erased until now. `last_at`: after it no lease and no backup can open anything of theirs."""
    past = before or {}
    moments = [one.last_at for one in receipts]
    if past.get("last_at"):
        moments.append(datetime.fromisoformat(past["last_at"]))
    return {
        "orders": past.get("orders", 0) + orders,
        "keys": past.get("keys", 0) + sum(one.keys for one in receipts),
        "last_at": max(moments).isoformat() if moments else None,
    }
