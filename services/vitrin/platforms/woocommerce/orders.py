"""An order of WooCommerce's REST v3. Pure.

Lines are written without tax, whatever the shop shows; where its prices include tax it is added again. The price of
one piece is the line's subtotal by its quantity: `price` of a line is a JSON float.
"""

from typing import Final, Literal

from vitrin.kit.money import Money
from vitrin.platforms.shop import OrderLine, ShopOrder, ShopPerson, ShopRefund
from vitrin.platforms.shop_bodies import Part, total

State = Literal["open", "paid", "partially_refunded", "refunded", "cancelled", "failed"]
STATES: Final[dict[str, State]] = {
    "pending": "open",
    "on-hold": "open",
    "checkout-draft": "open",
    "auto-draft": "open",
    "processing": "paid",
    "completed": "paid",
    "cancelled": "cancelled",
    "trash": "cancelled",
    "refunded": "refunded",
    "failed": "failed",
}
"""`processing` of cash on delivery counts as paid, as in WooCommerce's own reports. Statuses of plugins: by whether
there is a moment of payment."""
ATTRIBUTION: Final = "_wc_order_attribution_"


def order(body: Part) -> ShopOrder:
    currency = body.text("currency")
    if not currency:
        raise body.wrong("currency", "missing")
    created_at = body.moment("date_created_gmt", utc=True)
    updated_at = body.moment_or_none("date_modified_gmt", utc=True) or created_at
    whole = body.money("total", currency)
    order_id = body.id()
    refunds = tuple(
        ShopRefund(
            refund_id=part.id(),
            order_id=order_id,
            # An order does not say when; whoever keeps refunds keeps the first moment it heard.
            created_at=updated_at,
            amount=_positive(part.money("total", currency)),
        )
        for part in body.parts("refunds")
    )
    state = _state(body, whole, refunds)
    with_tax = body.flag("prices_include_tax")
    notes = _notes(body)
    lines = tuple(_line(part, currency, with_tax=with_tax) for part in body.parts("line_items"))
    return ShopOrder(
        order_id=order_id,
        name=body.text("number") or order_id,
        created_at=created_at,
        updated_at=updated_at,
        state=state,
        total=whole,
        subtotal=total(
            [_worth(part, "total", currency, with_tax=with_tax) for part in body.parts("line_items")],
            currency,
        ),
        discounts=_worth(body, "discount_total", currency, with_tax=with_tax, tax="discount_tax"),
        shipping=_worth(body, "shipping_total", currency, with_tax=with_tax, tax="shipping_tax"),
        tax=body.money_or_none("total_tax", currency) or Money(0, currency),
        cancelled_at=updated_at if state == "cancelled" else None,
        lines=lines,
        refunds=refunds,
        discount_codes=tuple(code for part in body.parts("coupon_lines") if (code := part.text("code"))),
        person=_person(body),
        landing_site=notes.get("session_entry", ""),
        referring_site=notes.get("referrer", ""),
        source=body.text("created_via"),
    )


def _notes(body: Part) -> dict[str, str]:
    """Where the shopper came from, as WooCommerce notes it since 8.5. Other notes may be of any shape."""
    return {
        key.removeprefix(ATTRIBUTION): part.text("value")
        for part in body.parts("meta_data")
        if (key := _key(part)).startswith(ATTRIBUTION)
    }


def _key(part: Part) -> str:
    found = part.value.get("key")
    return found if isinstance(found, str) else ""


def _state(body: Part, whole: Money, refunds: tuple[ShopRefund, ...]) -> State:
    paid: State = "paid" if body.has("date_paid_gmt") else "open"
    state = STATES.get(body.text("status"), paid)
    if state != "paid" or not refunds:
        return state
    given = total([one.amount for one in refunds], whole.currency)
    return "partially_refunded" if given < whole else "refunded"


def _positive(amount: Money) -> Money:
    """Refunds are written as negative amounts."""
    return -amount if amount.amount_minor < 0 else amount


def _worth(part: Part, name: str, currency: str, *, with_tax: bool, tax: str = "") -> Money:
    bare = part.money_or_none(name, currency) or Money(0, currency)
    taxed = part.money_or_none(tax or f"{name}_tax", currency) if with_tax else None
    return bare if taxed is None else bare + taxed


def _line(part: Part, currency: str, *, with_tax: bool) -> OrderLine:
    quantity = part.integer("quantity")
    before = _worth(part, "subtotal", currency, with_tax=with_tax)
    after = _worth(part, "total", currency, with_tax=with_tax)
    minor = before.amount_minor if quantity <= 1 else (2 * before.amount_minor + quantity) // (2 * quantity)
    return OrderLine(
        line_id=part.id(),
        title=part.text("name"),
        quantity=quantity,
        price=Money(minor, currency),
        discount=before - after,
        product_id=part.id_or_none("product_id"),
        variant_id=part.id_or_none("variation_id") or part.id_or_none("product_id"),
        sku=part.text("sku"),
    )


def _person(body: Part) -> ShopPerson:
    billing, shipping = body.part("billing"), body.part("shipping")
    where = shipping if shipping.text("address_1") or shipping.text("city") else billing
    return ShopPerson(
        customer_id=body.id_or_none("customer_id"),
        email=billing.text("email"),
        phone=billing.text("phone") or shipping.text("phone"),
        first_name=billing.text("first_name") or shipping.text("first_name"),
        last_name=billing.text("last_name") or shipping.text("last_name"),
        street=" ".join(line for name in ("address_1", "address_2") if (line := where.text(name))),
        city=where.text("city"),
        region=where.text("state"),
        postal_code=where.text("postcode"),
        country=where.text("country"),
        ip_address=body.text("customer_ip_address"),
        user_agent=body.text("customer_user_agent"),
    )
