"""Products and orders as GraphQL shows them. Pure; raises BodyInvalid with the path of what is not as documented."""

from collections.abc import Sequence

from vitrin.kit.money import Money
from vitrin.platforms.shop import (
    OrderLine,
    RefundLine,
    ShopOrder,
    ShopPerson,
    ShopProduct,
    ShopRefund,
    ShopVariant,
    StockLevel,
)
from vitrin.platforms.shop_bodies import Part, total
from vitrin.platforms.shopify.orders import state
from vitrin.platforms.shopify.products import NO_OPTION, reduced_from, status


def product(body: Part, variants: Sequence[Part], media: Sequence[Part], *, currency: str) -> ShopProduct:
    links = (part.part("image").text("url") for part in media)
    return ShopProduct(
        product_id=body.id(),
        handle=body.text("handle"),
        title=body.text("title"),
        updated_at=body.moment("updatedAt"),
        description_html=body.text("descriptionHtml"),
        vendor=body.text("vendor"),
        product_type=body.text("productType"),
        category=body.part("category").text("fullName"),
        tags=body.texts("tags"),
        status=status(body, body.text("status").lower()),
        published=body.has("publishedAt"),
        link=body.text("onlineStoreUrl"),
        images=tuple(link for link in links if link),
        variants=tuple(_variant(part, currency) for part in variants),
    )


def _variant(part: Part, currency: str) -> ShopVariant:
    item = part.part("inventoryItem")
    price = part.money("price", currency)
    options = [(one.text("name"), one.text("value")) for one in part.parts("selectedOptions")]
    plain = options in ([NO_OPTION], [])
    cost = item.part("unitCost")
    return ShopVariant(
        variant_id=part.id(),
        price=price,
        sku=part.text("sku"),
        barcode=part.text("barcode"),
        title="" if plain else part.text("title"),
        options=() if plain else tuple(options),
        compare_at=reduced_from(part.money_or_none("compareAtPrice", currency), price),
        cost=cost.money("amount", cost.text("currencyCode")) if cost.value else None,
        inventory_item_id=item.id(),
        quantity=part.integer_or_none("inventoryQuantity") if item.flag("tracked") else None,
        oversell=part.text("inventoryPolicy") == "CONTINUE",
        image_link=part.part("image").text("url"),
    )


def level(part: Part) -> StockLevel:
    found = [one.integer("quantity") for one in part.parts("quantities") if one.text("name") == "available"]
    return StockLevel(
        inventory_item_id=part.part("item").id(),
        location_id=part.part("location").id(),
        available=found[0] if found else None,
        updated_at=part.moment("updatedAt"),
    )


def order(body: Part, lines: Sequence[Part]) -> ShopOrder:
    currency = body.text("currencyCode")
    cancelled_at = body.moment_or_none("cancelledAt")
    visit = body.part("customerJourneySummary").part("lastVisit")
    order_id = body.id()
    return ShopOrder(
        order_id=order_id,
        name=body.text("name"),
        created_at=body.moment("createdAt"),
        updated_at=body.moment("updatedAt"),
        state=state(body.text("displayFinancialStatus"), cancelled=cancelled_at is not None),
        total=_amount(body, "totalPriceSet", currency),
        subtotal=_amount(body, "subtotalPriceSet", currency),
        discounts=_amount(body, "totalDiscountsSet", currency),
        shipping=_amount(body, "totalShippingPriceSet", currency),
        tax=_amount(body, "totalTaxSet", currency),
        cancelled_at=cancelled_at,
        cancel_reason=body.text("cancelReason").lower(),
        lines=tuple(_line(part, currency) for part in lines),
        refunds=tuple(_refund(part, currency, order_id) for part in body.parts("refunds")),
        discount_codes=body.texts("discountCodes"),
        person=_person(body),
        landing_site=visit.text("landingPage"),
        referring_site=visit.text("referrerUrl"),
        source=body.text("sourceName"),
        test=body.flag("test"),
    )


def _amount(part: Part, name: str, currency: str) -> Money:
    shop = part.part(name).part("shopMoney")
    return shop.money_or_none("amount", currency) or Money(0, currency)


def _line(part: Part, currency: str) -> OrderLine:
    allocated = [_amount(one, "allocatedAmountSet", currency) for one in part.parts("discountAllocations")]
    return OrderLine(
        line_id=part.id(),
        title=part.text("title"),
        quantity=part.integer("quantity"),
        price=_amount(part, "originalUnitPriceSet", currency),
        discount=total(allocated, currency),
        product_id=part.part("product").id_or_none("id"),
        variant_id=part.part("variant").id_or_none("id"),
        sku=part.text("sku"),
    )


def _refund(part: Part, currency: str, order_id: str) -> ShopRefund:
    return ShopRefund(
        refund_id=part.id(),
        order_id=order_id,
        created_at=part.moment("createdAt"),
        amount=_amount(part, "totalRefundedSet", currency),
        lines=tuple(
            RefundLine(
                line_id=one.part("lineItem").id(),
                quantity=one.integer("quantity"),
                amount=_amount(one, "subtotalSet", currency),
            )
            for one in part.part("refundLineItems").parts("nodes")
        ),
    )


def _person(body: Part) -> ShopPerson:
    customer = body.part("customer")
    shipping, billing = body.part("shippingAddress"), body.part("billingAddress")
    where = shipping if shipping.value else billing
    accepts = body.value.get("customerAcceptsMarketing")
    return ShopPerson(
        customer_id=customer.id_or_none("id"),
        email=body.text("email"),
        phone=body.text("phone") or where.text("phone"),
        first_name=customer.text("firstName") or where.text("firstName"),
        last_name=customer.text("lastName") or where.text("lastName"),
        street=" ".join(line for name in ("address1", "address2") if (line := where.text(name))),
        city=where.text("city"),
        region=where.text("provinceCode") or where.text("province"),
        postal_code=where.text("zip"),
        country=where.text("countryCodeV2"),
        ip_address=body.text("clientIp"),
        accepts_marketing=accepts if isinstance(accepts, bool) else None,
    )
