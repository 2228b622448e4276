"""A product of WooCommerce's REST v3 with its variations. Pure.

Prices are text in the shop's currency, "" where there is none; `date_*_gmt` are UTC without saying so. A simple
product is its own one variant, under the product's id: that is what carts take. Grouped products sell nothing
themselves and products without a price cannot be bought: both have no variant. A variation that is not published was
switched off by the shop: it is none.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal

from vitrin.kit.money import Money
from vitrin.platforms.shop import ShopProduct, ShopVariant
from vitrin.platforms.shop_bodies import Part

VARIABLE: Final = frozenset({"variable", "variable-subscription"})
VARIATIONS: Final = frozenset({"variation", "subscription_variation"})
GROUPED: Final = "grouped"


def is_variable(body: Part) -> bool:
    """Extensions add types of their own: those with variations are read like variable ones."""
    return body.text("type") in VARIABLE or bool(body.ids("variations") if body.has("variations") else ())


def parent_of(body: Part) -> str:
    """The product of a variation; "" for what is none."""
    return body.id_or_none("parent_id") if body.text("type") in VARIATIONS else ""


def product(body: Part, variations: Sequence[Part], *, currency: str) -> ShopProduct:
    """`variations` all of a variable product, none for others. `updated_at` is the newest of them: WooCommerce does not
    always touch the parent."""
    status = _status(body.text("status"))
    moments = [updated_at(part) for part in (body, *variations)]
    brands = [name for part in body.parts("brands") if (name := part.text("name"))]
    categories = [name for part in body.parts("categories") if (name := part.text("name"))]
    return ShopProduct(
        product_id=body.id(),
        handle=body.text("slug"),
        title=body.text("name"),
        updated_at=max(moments),
        description_html=body.text("description") or body.text("short_description"),
        vendor=brands[0] if brands else "",
        category=categories[0] if categories else "",
        tags=tuple(name for part in body.parts("tags") if (name := part.text("name"))),
        status=status,
        published=status == "active" and body.text("catalog_visibility") != "hidden",
        link=body.text("permalink"),
        images=tuple(link for part in body.parts("images") if (link := part.text("src"))),
        variants=_variants(body, variations, currency),
        attributes=_attributes(body),
    )


def updated_at(body: Part) -> datetime:
    return body.moment_or_none("date_modified_gmt", utc=True) or body.moment("date_created_gmt", utc=True)


def _status(text: str) -> Literal["active", "draft", "archived"]:
    if text == "trash":
        return "archived"
    return "active" if text in ("publish", "") else "draft"


def _variants(body: Part, variations: Sequence[Part], currency: str) -> tuple[ShopVariant, ...]:
    if body.text("type") == GROUPED:
        return ()
    if not is_variable(body):
        only = _variant(body, currency, parent=None)
        return (only,) if only is not None else ()
    found = (
        _variant(part, currency, parent=body) for part in variations if part.text("status") in ("publish", "")
    )
    return tuple(one for one in found if one is not None)


def _variant(part: Part, currency: str, *, parent: Part | None) -> ShopVariant | None:
    price, before = _prices(part, currency)
    if price is None:
        return None
    reduced = before is not None
    quantity, oversell, on_backorder = _stock(part, parent)
    options = [(one.text("name"), one.text("option")) for one in part.parts("attributes")] if parent else []
    return ShopVariant(
        variant_id=part.id(),
        price=price,
        sku=part.text("sku"),
        barcode=part.text("global_unique_id"),
        title=" / ".join(value for _, value in options if value),
        options=tuple((name, value) for name, value in options if name and value),
        compare_at=before,
        sale_starts_at=part.moment_or_none("date_on_sale_from_gmt", utc=True) if reduced else None,
        sale_ends_at=part.moment_or_none("date_on_sale_to_gmt", utc=True) if reduced else None,
        quantity=quantity,
        oversell=oversell,
        on_backorder=on_backorder,
        image_link=part.part("image").text("src") if parent else "",
        link=part.text("permalink") if parent else "",
    )


def _prices(part: Part, currency: str) -> tuple[Money | None, Money | None]:
    """What it costs in a sale, and before it. `price` is only what holds now, and hides a sale that is planned."""
    regular = part.money_or_none("regular_price", currency)
    sale = part.money_or_none("sale_price", currency)
    if regular is None:
        return sale or part.money_or_none("price", currency), None
    return (sale, regular) if sale is not None and sale < regular else (regular, None)


def _stock(part: Part, parent: Part | None) -> tuple[int | None, bool, bool]:
    """Quantity, oversell, on backorder. Without managed stock only the status speaks: out of stock is a 0."""
    managed = part.value.get("manage_stock")
    status = part.text("stock_status")
    if managed == "parent" and parent is not None:
        quantity = part.integer_or_none("stock_quantity")
        quantity = parent.integer_or_none("stock_quantity") if quantity is None else quantity
        oversell = (part.text("backorders") or parent.text("backorders")) in ("yes", "notify")
    elif managed is True:
        quantity, oversell = (
            part.integer_or_none("stock_quantity"),
            part.text("backorders") in ("yes", "notify"),
        )
    else:
        quantity, oversell = (None, False) if status in ("instock", "") else (0, status == "onbackorder")
    return quantity, oversell, status == "onbackorder"


def _attributes(body: Part) -> dict[str, str]:
    """What does not tell variations apart, such as a material."""
    return {
        name: ", ".join(part.texts("options"))
        for part in body.parts("attributes")
        if not part.flag("variation") and (name := part.text("name"))
    }
