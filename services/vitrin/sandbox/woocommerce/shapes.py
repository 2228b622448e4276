"""WooCommerce's REST v3 resources of a shop's goods and orders."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from vitrin.sandbox.shops.model import (
    Image,
    Line,
    Order,
    Person,
    Product,
    Refund,
    Shop,
    Subscription,
    Variant,
)

STATUSES = {"active": "publish", "draft": "draft", "archived": "private"}


def moments(shop: Shop, name: str, at_ms: int | None) -> dict[str, str | None]:
    """Both spellings of a moment: the store's own time and UTC, each without a zone."""
    if at_ms is None:
        return {name: None, f"{name}_gmt": None}
    moment = datetime.fromtimestamp(at_ms // 1000, UTC)
    own = moment.astimezone(ZoneInfo(shop.time_zone)).replace(tzinfo=None)
    return {name: own.isoformat(), f"{name}_gmt": moment.replace(tzinfo=None).isoformat()}


def modified_ms(one: Product) -> int:
    """Stock that changes modifies a product in WooCommerce."""
    return max(
        one.updated_ms,
        *(variant.updated_ms for variant in one.variants),
        *(level.updated_ms for variant in one.variants for level in variant.levels),
    )


def product(shop: Shop, one: Product) -> dict[str, Any]:
    """`GET /products/{id}`: simple when it has no options, else variable."""
    simple = one.only_default
    first = one.variants[0]
    own = _prices(first) if simple else {"price": min((v.price for v in one.variants), key=Decimal)}
    stock = (
        _stock(first)
        if simple
        else {
            "manage_stock": False,
            "stock_quantity": None,
            "stock_status": "instock" if any(_in_stock(v) for v in one.variants) else "outofstock",
            "backorders": "no",
            "backorders_allowed": False,
            "backordered": False,
        }
    )
    return {
        "id": one.id,
        "name": one.title,
        "slug": one.handle,
        "permalink": f"{shop.storefront_url}/product/{one.handle}/",
        **moments(shop, "date_created", one.created_ms),
        **moments(shop, "date_modified", modified_ms(one)),
        "type": "simple" if simple else "variable",
        "status": STATUSES[one.status],
        "featured": False,
        "catalog_visibility": "visible",
        "description": one.body_html,
        "short_description": "",
        "sku": first.sku if simple else "",
        "global_unique_id": first.barcode if simple else "",
        "regular_price": "",
        "sale_price": "",
        "on_sale": any(variant.compare_at is not None for variant in one.variants),
        **own,
        "purchasable": True,
        "total_sales": 0,
        "virtual": False,
        "downloadable": False,
        "downloads": [],
        "external_url": "",
        "button_text": "",
        "tax_status": "taxable",
        "tax_class": "",
        **stock,
        "sold_individually": False,
        **_product_rest(shop, one),
    }


def _product_rest(shop: Shop, one: Product) -> dict[str, Any]:
    simple, first = one.only_default, one.variants[0]
    return {
        "weight": str(first.grams / 1000) if first.grams else "",
        "dimensions": {"length": "", "width": "", "height": ""},
        "parent_id": 0,
        "categories": [{"id": 15, "name": one.product_type, "slug": "c"}] if one.product_type else [],
        "brands": [{"id": 16, "name": one.vendor, "slug": "b"}] if one.vendor else [],
        "tags": [{"id": 17 + at, "name": tag, "slug": tag} for at, tag in enumerate(one.tags)],
        "images": [_image(shop, one, image) for image in one.images],
        "attributes": []
        if simple
        else [
            {
                "id": 0,
                "name": name,
                "slug": name,
                "position": at,
                "visible": True,
                "variation": True,
                "options": list(dict.fromkeys(variant.options[at] for variant in one.variants)),
            }
            for at, name in enumerate(one.option_names)
        ],
        "default_attributes": [],
        "variations": [] if simple else [variant.id for variant in one.variants],
        "grouped_products": [],
        "menu_order": 0,
        "meta_data": [],
    }


def variation(shop: Shop, one: Product, variant: Variant) -> dict[str, Any]:
    """`GET /products/{id}/variations/{id}`."""
    images = [image for image in one.images if image.id == variant.image_id]
    modified = max(variant.updated_ms, *(level.updated_ms for level in variant.levels))
    return {
        "id": variant.id,
        "type": "variation",
        "parent_id": one.id,
        "name": ", ".join(variant.options),
        "permalink": f"{shop.storefront_url}/product/{one.handle}/",
        **moments(shop, "date_created", variant.created_ms),
        **moments(shop, "date_modified", modified),
        "description": "",
        "sku": variant.sku,
        "global_unique_id": variant.barcode,
        "on_sale": variant.compare_at is not None,
        **_prices(variant),
        "status": STATUSES[one.status],
        "purchasable": True,
        "virtual": False,
        "downloadable": False,
        "tax_status": "taxable",
        "tax_class": "",
        **_stock(variant),
        "weight": str(variant.grams / 1000) if variant.grams else "",
        "dimensions": {"length": "", "width": "", "height": ""},
        "shipping_class": "",
        "shipping_class_id": 0,
        "image": _image(shop, one, images[0]) if images else None,
        "attributes": [
            {"id": 0, "name": name, "slug": name, "option": value}
            for name, value in zip(one.option_names, variant.options, strict=False)
        ],
        "menu_order": one.variants.index(variant) + 1,
        "meta_data": [],
    }


def _prices(one: Variant) -> dict[str, str]:
    regular = one.compare_at if one.compare_at is not None else one.price
    return {
        "price": one.price,
        "regular_price": regular,
        "sale_price": one.price if one.compare_at is not None else "",
    }


def _in_stock(one: Variant) -> bool:
    return not one.tracked or one.quantity > 0 or one.policy == "continue"


def _stock(one: Variant) -> dict[str, Any]:
    may = one.policy == "continue"
    status = "instock" if not one.tracked or one.quantity > 0 else "onbackorder" if may else "outofstock"
    return {
        "manage_stock": one.tracked,
        "stock_quantity": one.quantity if one.tracked else None,
        "stock_status": status,
        "backorders": "yes" if may else "no",
        "backorders_allowed": may,
        "backordered": one.tracked and one.quantity < 0,
        "low_stock_amount": None,
    }


def _image(shop: Shop, one: Product, image: Image) -> dict[str, Any]:
    return {
        "id": image.id,
        **moments(shop, "date_created", one.created_ms),
        **moments(shop, "date_modified", one.created_ms),
        "src": image.src,
        "name": image.alt,
        "alt": image.alt,
    }


def status_of(one: Order) -> str:
    """WooCommerce's word for where an order is."""
    if one.cancelled_ms is not None:
        return "cancelled"
    if one.paid_ms is None:
        return "pending"
    return "refunded" if one.refunded >= one.total else "processing"


def order(shop: Shop, one: Order) -> dict[str, Any]:
    """`GET /orders/{id}`."""
    person = one.person
    return {
        "id": one.id,
        "parent_id": 0,
        "number": str(one.number),
        "order_key": f"wc_order_{one.id}",
        "created_via": "checkout",
        "version": "10.3.0",
        "status": status_of(one),
        "currency": shop.currency,
        "currency_symbol": shop.currency,
        **moments(shop, "date_created", one.created_ms),
        **moments(shop, "date_modified", one.updated_ms),
        "discount_total": one.discount,
        "discount_tax": "0.00",
        "shipping_total": one.shipping,
        "shipping_tax": "0.00",
        "cart_tax": "0.00",
        "total": f"{one.total:.2f}",
        "total_tax": "0.00",
        "prices_include_tax": shop.taxes_included,
        "customer_id": person.customer_id or 0,
        "customer_ip_address": one.browser_ip,
        "customer_user_agent": one.user_agent,
        "customer_note": "",
        "billing": _address(person) | {"email": person.email},
        "shipping": _address(person),
        "payment_method": "bacs",
        "payment_method_title": "Direct bank transfer",
        "transaction_id": "",
        **moments(shop, "date_paid", one.paid_ms),
        **moments(shop, "date_completed", None),
        "cart_hash": "",
        "meta_data": [
            {
                "id": 1,
                "key": "_wc_order_attribution_session_entry",
                "value": shop.storefront_url + one.landing_site,
            },
            {"id": 2, "key": "_wc_order_attribution_referrer", "value": one.referring_site},
        ],
        "line_items": [_line(one, line) for line in one.lines],
        **_order_rest(one),
    }


def _order_rest(one: Order) -> dict[str, Any]:
    return {
        "tax_lines": [],
        "shipping_lines": [
            {
                "id": one.id + 2,
                "method_title": "Flat rate",
                "method_id": "flat_rate",
                "instance_id": "1",
                "total": one.shipping,
                "total_tax": "0.00",
                "taxes": [],
                "meta_data": [],
            }
        ],
        "fee_lines": [],
        "coupon_lines": (
            [{"id": one.id + 3, "code": one.discount_code, "discount": one.discount, "discount_tax": "0"}]
            if one.discount_code
            else []
        ),
        "refunds": [{"id": each.id, "reason": each.note, "total": f"-{each.amount}"} for each in one.refunds],
        "payment_url": "",
        "is_editable": one.paid_ms is None,
        "needs_payment": one.paid_ms is None,
        "needs_processing": True,
    }


def _line(order: Order, one: Line) -> dict[str, Any]:
    subtotal = Decimal(one.price) * one.quantity
    gross = order.subtotal + Decimal(order.discount)
    total = subtotal - (Decimal(order.discount) * subtotal / gross if gross else Decimal(0))
    return {
        "id": one.id,
        "name": f"{one.title} - {one.variant_title}" if one.variant_title else one.title,
        "product_id": one.product_id,
        "variation_id": one.variant_id if one.variant_title else 0,
        "quantity": one.quantity,
        "tax_class": "",
        "subtotal": f"{subtotal:.2f}",
        "subtotal_tax": "0.00",
        "total": f"{total:.2f}",
        "total_tax": "0.00",
        "taxes": [],
        "meta_data": [],
        "sku": one.sku,
        "price": float(total / one.quantity),
        "image": {"id": "", "src": ""},
        "parent_name": one.title if one.variant_title else None,
    }


def refund(shop: Shop, order: Order, one: Refund) -> dict[str, Any]:
    """`GET /orders/{id}/refunds`; quantities and totals of lines are negative."""
    by_id = {line.id: line for line in order.lines}
    return {
        "id": one.id,
        "parent_id": order.id,
        **moments(shop, "date_created", one.created_ms),
        "amount": f"{Decimal(one.amount):.2f}",
        "reason": one.note,
        "refunded_by": 1,
        "refunded_payment": False,
        "meta_data": [],
        "line_items": [
            _line(order, by_id[each.line_id])
            | {
                "id": each.id,
                "quantity": -each.quantity,
                "subtotal": f"-{each.subtotal}",
                "total": f"-{each.subtotal}",
                "meta_data": [{"id": each.id + 1, "key": "_refunded_item_id", "value": str(each.line_id)}],
            }
            for each in one.lines
        ],
        "shipping_lines": [],
        "tax_lines": [],
        "fee_lines": [],
    }


def _address(person: Person) -> dict[str, str]:
    return {
        "first_name": person.first_name,
        "last_name": person.last_name,
        "company": "",
        "address_1": person.address1,
        "address_2": "",
        "city": person.city,
        "state": "",
        "postcode": person.zip,
        "country": person.country,
        "phone": person.phone,
    }


def webhook(shop: Shop, one: Subscription) -> dict[str, Any]:
    """`GET /webhooks/{id}`; the secret is never shown."""
    resource, _, event = one.topic.partition(".")
    return {
        "id": one.id,
        "name": one.name,
        "status": one.status,
        "topic": one.topic,
        "resource": resource,
        "event": event,
        "hooks": [],
        "delivery_url": one.address,
        **moments(shop, "date_created", one.created_ms),
        **moments(shop, "date_modified", one.updated_ms),
    }
