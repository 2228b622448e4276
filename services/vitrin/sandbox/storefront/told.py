"""What Shopify tells a custom pixel of goods, carts and orders, as far as pixels read it (*unverified*)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vitrin.sandbox.shops.model import Order, Product, Shop, Variant
from vitrin.sandbox.storefront.html import CartLine, total


def money(shop: Shop, amount: object) -> dict[str, Any]:
    """An amount is a number here, and a text in webhooks."""
    return {"amount": float(str(amount)), "currencyCode": shop.currency}


def variant(shop: Shop, product: Product, one: Variant) -> dict[str, Any]:
    """A ProductVariant."""
    return {
        "id": str(one.id),
        "sku": one.sku,
        "title": one.title,
        "price": money(shop, one.price),
        "product": {
            "id": str(product.id),
            "title": product.title,
            "vendor": product.vendor,
            "type": product.product_type,
        },
    }


def collection(products: Sequence[Product]) -> dict[str, Any]:
    """The page with everything."""
    return {"collection": {"id": "0", "title": "All", "productVariants": [str(one.id) for one in products]}}


def cart(shop: Shop, lines: Sequence[CartLine]) -> dict[str, Any]:
    """A Checkout that has begun."""
    items = [
        {
            "quantity": one.quantity,
            "variant": variant(shop, one.product, one.variant),
            "title": one.product.title,
        }
        for one in lines
    ]
    return {
        "token": "",
        "currencyCode": shop.currency,
        "lineItems": items,
        "totalPrice": money(shop, total(lines)),
        "email": None,
        "phone": None,
        "order": None,
    }


def order(shop: Shop, one: Order) -> dict[str, Any]:
    """A Checkout that is paid."""
    found = [(shop.find_variant(line.variant_id), line.quantity) for line in one.lines]
    lines = [CartLine(*there, quantity) for there, quantity in found if there is not None]
    customer = one.person.customer_id
    return cart(shop, lines) | {
        "token": f"t{one.id}",
        "totalPrice": money(shop, one.total),
        "email": one.person.email,
        "phone": one.person.phone or None,
        "order": {"id": str(one.id), "customer": {"id": str(customer) if customer else None}},
    }
