"""A shop's orders as GraphQL shows them."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from vitrin.sandbox.shopify.connections import Field, connection, searched
from vitrin.sandbox.shopify.nodes import Goods
from vitrin.sandbox.shopify.texts import bag, financial_status, gid, utc
from vitrin.sandbox.shops.model import Line, Order, Person, Refund

Node = dict[str, Any]
ORDER_FIELDS = {
    "id": Field(lambda one: one.id),
    "name": Field(lambda one: f"#{one.number}"),
    "updated_at": Field(lambda one: one.updated_ms, moment=True),
    "created_at": Field(lambda one: one.created_ms, moment=True),
    "processed_at": Field(lambda one: one.created_ms, moment=True),
    "financial_status": Field(lambda one: status_of(one)),  # noqa: PLW0108 - it is defined below
    "email": Field(lambda one: one.person.email),
    "test": Field(lambda one: str(one.test).lower()),
}
ORDER_SORTS: dict[str, Callable[[Order], Any]] = {
    "UPDATED_AT": lambda one: one.updated_ms // 1000,
    "CREATED_AT": lambda one: one.created_ms // 1000,
    "PROCESSED_AT": lambda one: one.created_ms // 1000,
}


def status_of(order: Order) -> str:
    """In REST's lower case."""
    return financial_status(
        order.paid_ms is not None, order.cancelled_ms is not None, order.refunded, order.total
    )


class Sales:
    """The nodes of one shop's orders."""

    def __init__(self, goods: Goods) -> None:
        self.goods = goods
        self.shop = goods.shop

    def orders(self, args: dict[str, Any]) -> Node:
        """`QueryRoot.orders`."""
        found = searched(self.shop.orders.values(), args.get("query"), ORDER_FIELDS)
        key = ORDER_SORTS.get(args.get("sortKey") or "PROCESSED_AT", lambda one: one.id)
        return connection(found, self.order, args, whole=self.goods.whole, key=key)

    def order(self, one: Order) -> Node:
        """`Order`."""
        shop = self.shop

        def money(amount: Decimal | str | int) -> Node:
            return bag(shop, amount)

        person = one.person
        left = one.total - one.refunded
        address = _address(person, one.id)
        cancelled = one.cancelled_ms is not None
        return {
            "__typename": "Order",
            "id": gid("Order", one.id),
            "legacyResourceId": str(one.id),
            "name": f"#{one.number}",
            "number": one.number,
            "createdAt": utc(one.created_ms),
            "updatedAt": utc(one.updated_ms),
            "processedAt": utc(one.created_ms),
            "cancelledAt": utc(one.cancelled_ms) if one.cancelled_ms is not None else None,
            "cancelReason": one.cancel_reason.upper() or None,
            "closedAt": None,
            "closed": False,
            "confirmed": True,
            "test": one.test,
            "displayFinancialStatus": status_of(one).upper(),
            "displayFulfillmentStatus": "UNFULFILLED",
            "currencyCode": shop.currency,
            "presentmentCurrencyCode": shop.currency,
            "taxesIncluded": shop.taxes_included,
            "fullyPaid": one.paid_ms is not None,
            "unpaid": one.paid_ms is None,
            "totalPriceSet": money(one.total),
            "originalTotalPriceSet": money(one.total),
            "currentTotalPriceSet": money(0 if cancelled else left),
            "subtotalPriceSet": money(one.subtotal),
            "currentSubtotalPriceSet": money(0 if cancelled else one.subtotal),
            "totalDiscountsSet": money(one.discount),
            "totalShippingPriceSet": money(one.shipping),
            "totalTaxSet": money(0),
            "totalRefundedSet": money(one.refunded),
            "totalReceivedSet": money(one.total if one.paid_ms is not None else 0),
            "netPaymentSet": money(left if one.paid_ms is not None else 0),
            "discountCode": one.discount_code or None,
            "discountCodes": [one.discount_code] if one.discount_code else [],
            "email": person.email or None,
            "phone": person.phone or None,
            "note": None,
            "tags": [],
            "customer": self._customer(person, one),
            "customerAcceptsMarketing": person.accepts_marketing,
            "customerLocale": "en",
            "clientIp": one.browser_ip or None,
            "sourceName": "web",
            "sourceIdentifier": None,
            "landingPageUrl": f"{shop.storefront_url}{one.landing_site}" if one.landing_site else None,
            "referrerUrl": one.referring_site or None,
            "customerJourneySummary": self._journey(one),
            "billingAddress": address,
            "shippingAddress": address,
            "refunds": lambda _info, **args: [
                self.refund(one, refund) for refund in one.refunds[: args.get("first")]
            ],
            "lineItems": lambda _info, **args: connection(
                one.lines, lambda line: self.line(one, line), args, whole=self.goods.whole
            ),
        }

    def line(self, order: Order, one: Line) -> Node:
        """`LineItem`."""
        shop, goods = self.shop, self.goods
        product = shop.products.get(one.product_id)
        variant = product.variant(one.variant_id) if product is not None else None
        gone = sum(
            each.quantity for refund in order.refunds for each in refund.lines if each.line_id == one.id
        )
        total = Decimal(one.price) * one.quantity
        return {
            "id": gid("LineItem", one.id),
            "title": one.title,
            "name": f"{one.title} - {one.variant_title}" if one.variant_title else one.title,
            "variantTitle": one.variant_title or None,
            "sku": one.sku or None,
            "quantity": one.quantity,
            "currentQuantity": one.quantity - gone,
            "product": goods.product(product) if product is not None else None,
            "variant": goods.variant(product, variant)
            if product is not None and variant is not None
            else None,
            "vendor": product.vendor if product is not None else None,
            "originalUnitPriceSet": bag(shop, one.price),
            "discountedUnitPriceSet": bag(shop, one.price),
            "originalTotalSet": bag(shop, total),
            "discountedTotalSet": lambda _info, **_args: bag(shop, total),
            "totalDiscountSet": bag(shop, 0),
            "discountAllocations": self._allocations(order, total),
            "isGiftCard": False,
            "requiresShipping": True,
            "taxable": True,
        }

    def refund(self, order: Order, one: Refund) -> Node:
        """`Refund`."""
        shop = self.shop
        by_id = {line.id: line for line in order.lines}

        def lines(_info: Any, **args: Any) -> Node:
            return connection(
                one.lines,
                lambda each: {
                    "id": gid("RefundLineItem", each.id),
                    "lineItem": self.line(order, by_id[each.line_id]),
                    "quantity": each.quantity,
                    "restocked": one.restock,
                    "restockType": "RETURN" if one.restock else "NO_RESTOCK",
                    "priceSet": bag(shop, by_id[each.line_id].price),
                    "subtotalSet": bag(shop, each.subtotal),
                    "totalTaxSet": bag(shop, 0),
                    "location": None,
                },
                args,
                whole=self.goods.whole,
            )

        return {
            "__typename": "Refund",
            "id": gid("Refund", one.id),
            "legacyResourceId": str(one.id),
            "createdAt": utc(one.created_ms),
            "updatedAt": utc(one.created_ms),
            "note": one.note or None,
            "totalRefundedSet": bag(shop, one.amount),
            "order": lambda _info: self.order(order),
            "refundLineItems": lines,
        }

    def _allocations(self, order: Order, total: Decimal) -> list[Node]:
        """The order's discount, spread over its lines by what they cost."""
        gross = order.subtotal + Decimal(order.discount)
        if not Decimal(order.discount) or not gross:
            return []
        return [{"allocatedAmountSet": bag(self.shop, Decimal(order.discount) * total / gross)}]

    def _customer(self, person: Person, order: Order) -> Node | None:
        if person.customer_id is None:
            return None
        state = "SUBSCRIBED" if person.accepts_marketing else "NOT_SUBSCRIBED"
        return {
            "__typename": "Customer",
            "id": gid("Customer", person.customer_id),
            "legacyResourceId": str(person.customer_id),
            "firstName": person.first_name or None,
            "lastName": person.last_name or None,
            "displayName": f"{person.first_name} {person.last_name}".strip(),
            "email": person.email or None,
            "phone": person.phone or None,
            "defaultEmailAddress": {"emailAddress": person.email, "marketingState": state},
            "defaultPhoneNumber": {"phoneNumber": person.phone} if person.phone else None,
            "defaultAddress": _address(person, person.customer_id),
            "emailMarketingConsent": {"marketingState": state},
            "createdAt": utc(order.created_ms),
            "updatedAt": utc(order.created_ms),
        }

    def _journey(self, order: Order) -> Node:
        if not order.landing_site:
            return {"firstVisit": None, "lastVisit": None, "ready": True}
        visit = {
            "id": gid("CustomerVisit", order.id),
            "landingPage": f"{self.shop.storefront_url}{order.landing_site}",
            "referrerUrl": order.referring_site or None,
            "source": "direct",
            "occurredAt": utc(order.created_ms),
            "utmParameters": None,
        }
        return {"firstVisit": visit, "lastVisit": visit, "ready": True}


def _address(person: Person, number: int) -> Node | None:
    if not person.address1:
        return None
    return {
        "id": gid("MailingAddress", number),
        "firstName": person.first_name,
        "lastName": person.last_name,
        "name": f"{person.first_name} {person.last_name}".strip(),
        "address1": person.address1,
        "address2": None,
        "city": person.city,
        "zip": person.zip,
        "country": person.country,
        "countryCodeV2": person.country or None,
        "phone": person.phone or None,
    }
