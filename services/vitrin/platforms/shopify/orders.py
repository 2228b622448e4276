"""An order and a refund as Shopify's webhooks hold them: the REST shape of the Admin API. Pure.

All amounts are in the shop's currency (`*_set.shop_money`); what the shopper saw (`presentment_money`) is not used,
since sums over orders and what an ad brought in are counted in one currency.
"""

from typing import Final, Literal

from vitrin.kit.money import Money
from vitrin.platforms.shop import OrderLine, PersonAsked, RefundLine, ShopOrder, ShopPerson, ShopRefund
from vitrin.platforms.shop_bodies import Part, total

State = Literal["open", "paid", "partially_refunded", "refunded", "cancelled", "failed"]
STATES: Final[dict[str, State]] = {
    "paid": "paid",
    "partially_refunded": "partially_refunded",
    "refunded": "refunded",
    "voided": "failed",
    "expired": "failed",
}
"""pending, authorized, partially_paid and what comes new are open."""


def state(financial: str, *, cancelled: bool) -> State:
    return "cancelled" if cancelled else STATES.get(financial.lower(), "open")


def order(body: Part) -> ShopOrder:
    currency = body.text("currency")
    if not currency:
        raise body.wrong("currency", "missing")
    cancelled_at = body.moment_or_none("cancelled_at")
    order_id = body.id()
    return ShopOrder(
        order_id=order_id,
        name=body.text("name"),
        created_at=body.moment("created_at"),
        updated_at=body.moment("updated_at"),
        state=state(body.text("financial_status"), cancelled=cancelled_at is not None),
        total=amount(body, "total_price", currency),
        subtotal=amount(body, "subtotal_price", currency),
        discounts=amount(body, "total_discounts", currency),
        shipping=_shipping(body, currency),
        tax=amount(body, "total_tax", currency),
        cancelled_at=cancelled_at,
        cancel_reason=body.text("cancel_reason"),
        lines=tuple(_line(part, currency) for part in body.parts("line_items")),
        refunds=tuple(refund(part, currency, order_id=order_id) for part in body.parts("refunds")),
        discount_codes=tuple(code for part in body.parts("discount_codes") if (code := part.text("code"))),
        person=_person(body),
        landing_site=body.text("landing_site"),
        referring_site=body.text("referring_site"),
        source=body.text("source_name"),
        test=body.flag("test"),
    )


def amount(part: Part, name: str, currency: str) -> Money:
    """`<name>_set.shop_money` where it is there, else the plain text; 0 where neither is."""
    shop = part.part(f"{name}_set").part("shop_money")
    found = shop.money_or_none("amount", currency) if shop.value else part.money_or_none(name, currency)
    if shop.value and shop.text("currency_code") != currency:
        raise shop.wrong("currency_code", "not the currency of the order")
    return found if found is not None else Money(0, currency)


def _shipping(body: Part, currency: str) -> Money:
    if body.has("total_shipping_price_set"):
        return amount(body, "total_shipping_price", currency)
    lines = [amount(part, "discounted_price", currency) for part in body.parts("shipping_lines")]
    return total(lines, currency)


def _line(part: Part, currency: str) -> OrderLine:
    """Discounts of a whole order are spread over `discount_allocations`; `total_discount` holds only those of the line
    itself."""
    allocated = [amount(one, "amount", currency) for one in part.parts("discount_allocations")]
    return OrderLine(
        line_id=part.id(),
        title=part.text("title"),
        quantity=part.integer("quantity"),
        price=amount(part, "price", currency),
        discount=total(allocated, currency) if allocated else amount(part, "total_discount", currency),
        product_id=part.id_or_none("product_id"),
        variant_id=part.id_or_none("variant_id"),
        sku=part.text("sku"),
    )


def refund(part: Part, currency: str, *, order_id: str = "") -> ShopRefund:
    """`amount` is what successful transactions of kind refund gave back; without any transaction (money comes back
    outside of Shopify) the subtotals of the lines with their tax. Transactions that wait give nothing yet: the order
    is updated when they succeed."""
    lines, worth = [], []
    for one in part.parts("refund_line_items"):
        subtotal = amount(one, "subtotal", currency)
        line = RefundLine(line_id=one.id("line_item_id"), quantity=one.integer("quantity"), amount=subtotal)
        lines.append(line)
        worth.append(subtotal + amount(one, "total_tax", currency))
    transactions = list(part.parts("transactions"))
    given = [
        _given_back(one, currency)
        for one in transactions
        if one.text("kind") == "refund" and one.text("status") == "success"
    ]
    return ShopRefund(
        refund_id=part.id(),
        order_id=order_id or part.id("order_id"),
        created_at=part.moment("created_at"),
        amount=total(given if transactions else worth, currency),
        lines=tuple(lines),
    )


def _given_back(part: Part, currency: str) -> Money:
    """A transaction's plain `amount` is in its own currency, which may be the shopper's."""
    named = part.text("currency")
    if part.has("amount_set") or named in ("", currency):
        return amount(part, "amount", currency)
    raise part.wrong("currency", "not the currency of the shop")


def _person(body: Part) -> ShopPerson:
    """The shipping address is where the shopper is; billing, then the customer's own, where there is none."""
    customer = body.part("customer")
    where = next(
        (
            part
            for part in (
                body.part("shipping_address"),
                body.part("billing_address"),
                customer.part("default_address"),
            )
            if part.value
        ),
        body.part("shipping_address"),
    )
    client = body.part("client_details")
    accepts = body.value.get("buyer_accepts_marketing")
    return ShopPerson(
        customer_id=customer.id_or_none("id"),
        email=body.text("email") or body.text("contact_email") or customer.text("email"),
        phone=body.text("phone") or customer.text("phone") or where.text("phone"),
        first_name=customer.text("first_name") or where.text("first_name"),
        last_name=customer.text("last_name") or where.text("last_name"),
        street=" ".join(line for name in ("address1", "address2") if (line := where.text(name))),
        city=where.text("city"),
        region=where.text("province_code") or where.text("province"),
        postal_code=where.text("zip"),
        country=where.text("country_code"),
        ip_address=body.text("browser_ip") or client.text("browser_ip"),
        user_agent=client.text("user_agent"),
        accepts_marketing=accepts if isinstance(accepts, bool) else None,
    )


def asked(body: Part) -> PersonAsked:
    """customers/data_request (`orders_requested`) and customers/redact (`orders_to_redact`)."""
    customer = body.part("customer")
    return PersonAsked(
        customer_id=customer.id_or_none("id"),
        request_id=body.part("data_request").id_or_none("id"),
        email=customer.text("email"),
        phone=customer.text("phone"),
        order_ids=body.ids("orders_requested") or body.ids("orders_to_redact"),
    )
