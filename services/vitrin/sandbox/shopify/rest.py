"""Bodies of Shopify's webhooks: the shapes of its REST resources, orders as in the documented `orders/create`."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from vitrin.sandbox.shopify.order_nodes import status_of
from vitrin.sandbox.shopify.texts import gid, level_gid, local, money, rest_bag, utc
from vitrin.sandbox.shops.model import Level, Line, Order, Person, Product, Refund, Shop, Variant

VARIANTS_MAX = 100
"""A product's webhook holds so many variants; `variant_gids` names all."""


def product_body(shop: Shop, one: Product) -> dict[str, Any]:
    """`products/create` and `products/update`."""
    shown = one.variants[:VARIANTS_MAX]
    images = [
        {
            "id": image.id,
            "alt": image.alt or None,
            "position": place,
            "product_id": one.id,
            "created_at": local(shop, one.created_ms),
            "updated_at": local(shop, one.created_ms),
            "admin_graphql_api_id": gid("ProductImage", image.id),
            "width": 1000,
            "height": 1000,
            "src": image.src,
            "variant_ids": [variant.id for variant in one.variants if variant.image_id == image.id],
        }
        for place, image in enumerate(one.images, start=1)
    ]
    return {
        "admin_graphql_api_id": gid("Product", one.id),
        "body_html": one.body_html or None,
        "created_at": local(shop, one.created_ms),
        "handle": one.handle,
        "id": one.id,
        "product_type": one.product_type,
        "published_at": local(shop, one.created_ms) if one.status == "active" else None,
        "template_suffix": None,
        "title": one.title,
        "updated_at": local(shop, one.updated_ms),
        "vendor": one.vendor,
        "status": one.status,
        "published_scope": "global",
        "tags": ", ".join(one.tags),
        "variants": [_variant(shop, one, variant, place) for place, variant in enumerate(shown, start=1)],
        "options": [
            {
                "name": name,
                "id": one.id + 10_000_000_000 * place,
                "product_id": one.id,
                "position": place,
                "values": list(dict.fromkeys(variant.options[place - 1] for variant in one.variants)),
            }
            for place, name in enumerate(one.option_names, start=1)
        ],
        "images": images,
        "image": images[0] if images else None,
        "media": [],
        "variant_gids": [
            {
                "admin_graphql_api_id": gid("ProductVariant", variant.id),
                "updated_at": utc(variant.updated_ms).replace("Z", ".000Z"),
            }
            for variant in one.variants
        ],
        "has_variants_that_requires_components": False,
        "category": None,
    }


def _variant(shop: Shop, product: Product, one: Variant, place: int) -> dict[str, Any]:
    options = [*one.options, None, None, None]
    return {
        "admin_graphql_api_id": gid("ProductVariant", one.id),
        "barcode": one.barcode or None,
        "compare_at_price": money(one.compare_at) if one.compare_at is not None else None,
        "created_at": local(shop, one.created_ms),
        "id": one.id,
        "inventory_policy": one.policy,
        "position": place,
        "price": money(one.price),
        "product_id": product.id,
        "sku": one.sku or None,
        "taxable": True,
        "title": one.title,
        "updated_at": local(shop, one.updated_ms),
        "option1": options[0],
        "option2": options[1],
        "option3": options[2],
        "image_id": one.image_id,
        "inventory_item_id": one.inventory_item_id,
        "inventory_quantity": one.quantity,
        "old_inventory_quantity": one.quantity,
    }


def level_body(shop: Shop, variant: Variant, level: Level) -> dict[str, Any]:
    """`inventory_levels/update`: names neither the variant nor the product."""
    return {
        "inventory_item_id": variant.inventory_item_id,
        "location_id": level.location_id,
        "available": level.available,
        "updated_at": local(shop, level.updated_ms),
        "admin_graphql_api_id": level_gid(level.location_id, variant.inventory_item_id),
    }


def order_body(shop: Shop, one: Order) -> dict[str, Any]:
    """`orders/create`, `paid`, `updated`, `cancelled`."""
    person, discount = one.person, Decimal(one.discount)
    status = status_of(one)
    return {
        "id": one.id,
        "admin_graphql_api_id": gid("Order", one.id),
        "app_id": 580111,
        "browser_ip": one.browser_ip or None,
        "buyer_accepts_marketing": person.accepts_marketing,
        "cancel_reason": one.cancel_reason or None,
        "cancelled_at": local(shop, one.cancelled_ms) if one.cancelled_ms is not None else None,
        "cart_token": None,
        "checkout_id": one.id + 1,
        "checkout_token": f"{one.id:032x}",
        "client_details": {
            "accept_language": "en",
            "browser_height": None,
            "browser_ip": one.browser_ip or None,
            "browser_width": None,
            "session_hash": None,
            "user_agent": one.user_agent or None,
        },
        "closed_at": None,
        "confirmed": True,
        "contact_email": person.email or None,
        "created_at": local(shop, one.created_ms),
        "currency": shop.currency,
        "customer_locale": "en",
        "device_id": None,
        "discount_codes": (
            [{"code": one.discount_code, "amount": money(discount), "type": "fixed_amount"}]
            if one.discount_code
            else []
        ),
        "discount_applications": _applications(one),
        "email": person.email,
        "estimated_taxes": False,
        "financial_status": status,
        "fulfillment_status": None,
        "landing_site": one.landing_site or None,
        "landing_site_ref": None,
        "location_id": None,
        "merchant_business_entity_id": None,
        "name": f"#{one.number}",
        **_order_rest(shop, one),
        **_sums(shop, one),
    }


def _order_rest(shop: Shop, one: Order) -> dict[str, Any]:
    person, address = one.person, _address(one.person)
    gross = one.subtotal + Decimal(one.discount)
    left = _left(one)
    return {
        "note": None,
        "note_attributes": [],
        "number": one.number - 1000,
        "order_number": one.number,
        "order_status_url": f"{shop.storefront_url}/{shop.number}/orders/{one.id:032x}/authenticate?key=sandbox",
        "payment_gateway_names": ["bogus"],
        "phone": person.phone or None,
        "presentment_currency": shop.currency,
        "processed_at": local(shop, one.created_ms),
        "reference": None,
        "referring_site": one.referring_site or None,
        "source_identifier": None,
        "source_name": "web",
        "source_url": None,
        "tags": "",
        "tax_exempt": False,
        "tax_lines": [],
        "taxes_included": shop.taxes_included,
        "test": one.test,
        "token": f"{one.id:032x}",
        "total_shipping_price_set": rest_bag(shop, one.shipping),
        "total_outstanding": money(0 if one.paid_ms is not None else left),
        "total_tip_received": "0.00",
        "total_weight": 0,
        "updated_at": local(shop, one.updated_ms),
        "user_id": None,
        "billing_address": address,
        "customer": _customer(shop, one),
        "fulfillments": [],
        "line_items": [_line(shop, one, line, gross) for line in one.lines],
        "payment_terms": None,
        "refunds": [refund_body(shop, one, refund) for refund in one.refunds],
        "shipping_address": address,
        "shipping_lines": _shipping(shop, one),
    }


def _left(one: Order) -> Decimal:
    """What is still the shop's."""
    return Decimal(0) if one.cancelled_ms is not None else one.total - one.refunded


def _sums(shop: Shop, one: Order) -> dict[str, Any]:
    """Each as text and as a bag of money."""
    left, discount = _left(one), Decimal(one.discount)
    gross = one.subtotal + discount
    sums = {
        "total_line_items_price": gross,
        "total_discounts": discount,
        "subtotal_price": one.subtotal,
        "total_price": one.total,
        "total_tax": Decimal(0),
        "current_total_price": left,
        "current_subtotal_price": max(left - Decimal(one.shipping), Decimal(0)),
        "current_total_discounts": discount,
        "current_total_tax": Decimal(0),
    }
    body: dict[str, Any] = {}
    for name, amount in sums.items():
        body[name] = money(amount)
        body[f"{name}_set"] = rest_bag(shop, amount)
    return body


def refund_body(shop: Shop, order: Order, one: Refund) -> dict[str, Any]:
    """`refunds/create`."""
    by_id = {line.id: line for line in order.lines}
    gross = order.subtotal + Decimal(order.discount)
    return {
        "id": one.id,
        "admin_graphql_api_id": gid("Refund", one.id),
        "created_at": local(shop, one.created_ms),
        "note": one.note or None,
        "order_id": order.id,
        "processed_at": local(shop, one.created_ms),
        "restock": one.restock,
        "total_duties_set": rest_bag(shop, 0),
        "user_id": None,
        "order_adjustments": [],
        "transactions": [
            {
                "id": one.id + 1,
                "admin_graphql_api_id": gid("OrderTransaction", one.id + 1),
                "amount": money(one.amount),
                "created_at": local(shop, one.created_ms),
                "currency": shop.currency,
                "gateway": "bogus",
                "kind": "refund",
                "order_id": order.id,
                "parent_id": None,
                "processed_at": local(shop, one.created_ms),
                "status": "success",
                "test": order.test,
            }
        ],
        "refund_line_items": [
            {
                "id": each.id,
                "line_item_id": each.line_id,
                "location_id": by_id[each.line_id].location_id if one.restock else None,
                "quantity": each.quantity,
                "restock_type": "return" if one.restock else "no_restock",
                "subtotal": float(each.subtotal),
                "subtotal_set": rest_bag(shop, each.subtotal),
                "total_tax": 0.0,
                "total_tax_set": rest_bag(shop, 0),
                "line_item": _line(shop, order, by_id[each.line_id], gross),
            }
            for each in one.lines
        ],
        "duties": [],
        "return": None,
        "refund_shipping_lines": [],
    }


def _line(shop: Shop, order: Order, one: Line, gross: Decimal) -> dict[str, Any]:
    total = Decimal(one.price) * one.quantity
    share = Decimal(order.discount) * total / gross if gross else Decimal(0)
    allocations = [
        {"amount": money(share), "amount_set": rest_bag(shop, share), "discount_application_index": 0}
    ]
    gone = sum(each.quantity for refund in order.refunds for each in refund.lines if each.line_id == one.id)
    return {
        "id": one.id,
        "admin_graphql_api_id": gid("LineItem", one.id),
        "current_quantity": one.quantity - gone,
        "discount_allocations": allocations if share else [],
        "fulfillable_quantity": one.quantity - gone,
        "fulfillment_service": "manual",
        "fulfillment_status": None,
        "gift_card": False,
        "grams": 0,
        "name": f"{one.title} - {one.variant_title}" if one.variant_title else one.title,
        "price": money(one.price),
        "price_set": rest_bag(shop, one.price),
        "product_exists": one.product_id in shop.products,
        "product_id": one.product_id if one.product_id in shop.products else None,
        "properties": [],
        "quantity": one.quantity,
        "requires_shipping": True,
        "sku": one.sku or None,
        "tax_lines": [],
        "taxable": True,
        "title": one.title,
        "total_discount": "0.00",
        "total_discount_set": rest_bag(shop, 0),
        "variant_id": one.variant_id,
        "variant_inventory_management": "shopify",
        "variant_title": one.variant_title or None,
        "vendor": None,
    }


def _applications(order: Order) -> list[dict[str, Any]]:
    if not Decimal(order.discount):
        return []
    one = {
        "target_type": "line_item",
        "type": "discount_code" if order.discount_code else "manual",
        "value": money(order.discount),
        "value_type": "fixed_amount",
        "allocation_method": "across",
        "target_selection": "all",
    }
    named = {"code": order.discount_code} if order.discount_code else {"title": "Discount"}
    return [one | named]


def _shipping(shop: Shop, order: Order) -> list[dict[str, Any]]:
    return [
        {
            "id": order.id + 2,
            "code": "Standard",
            "discounted_price": money(order.shipping),
            "discounted_price_set": rest_bag(shop, order.shipping),
            "is_removed": False,
            "phone": None,
            "price": money(order.shipping),
            "price_set": rest_bag(shop, order.shipping),
            "requested_fulfillment_service_id": None,
            "source": "shopify",
            "title": "Standard",
            "tax_lines": [],
            "discount_allocations": [],
        }
    ]


def _customer(shop: Shop, order: Order) -> dict[str, Any] | None:
    person = order.person
    if person.customer_id is None:
        return None
    return {
        "id": person.customer_id,
        "admin_graphql_api_id": gid("Customer", person.customer_id),
        "created_at": local(shop, order.created_ms),
        "updated_at": local(shop, order.created_ms),
        "email": person.email or None,
        "first_name": person.first_name or None,
        "last_name": person.last_name or None,
        "state": "disabled",
        "note": None,
        "verified_email": True,
        "multipass_identifier": None,
        "tax_exempt": False,
        "phone": person.phone or None,
        "currency": shop.currency,
        "tax_exemptions": [],
        "tags": "",
        "email_marketing_consent": {
            "state": "subscribed" if person.accepts_marketing else "not_subscribed",
            "opt_in_level": "single_opt_in",
            "consent_updated_at": None,
        },
        "sms_marketing_consent": None,
        "default_address": _address(person),
    }


def _address(person: Person) -> dict[str, Any] | None:
    if not person.address1:
        return None
    return {
        "first_name": person.first_name,
        "address1": person.address1,
        "phone": person.phone or None,
        "city": person.city,
        "zip": person.zip,
        "province": None,
        "country": person.country,
        "last_name": person.last_name,
        "address2": None,
        "company": None,
        "latitude": None,
        "longitude": None,
        "name": f"{person.first_name} {person.last_name}".strip(),
        "country_code": person.country,
        "province_code": None,
    }
