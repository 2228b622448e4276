"""A product as Shopify's webhooks hold it: the REST shape of the Admin API. Pure.

Prices are text in the shop's currency, which the body does not name. `inventory_quantity` is the sum over locations.
The first of `images` is the main one; a variant names its own by `image_id`.
"""

from collections.abc import Mapping
from typing import Final, Literal

from vitrin.kit.money import Money
from vitrin.platforms.shop import ShopProduct, ShopVariant, StockLevel
from vitrin.platforms.shop_bodies import Part
from vitrin.platforms.shopify.rules import VARIANTS_IN_WEBHOOK

NO_OPTION: Final = ("Title", "Default Title")
"""How Shopify writes the one variant of a product without options."""


def whole(body: Part) -> bool:
    """Whether the body holds all variants. `variant_gids` names every one (in some versions only those beyond)."""
    if not body.has("variants"):
        return False
    held = {part.id() for part in body.parts("variants")}
    named = {part.id("admin_graphql_api_id") for part in body.parts("variant_gids")}
    if named - held:
        return False
    return bool(named) or len(held) < VARIANTS_IN_WEBHOOK


def product(body: Part, *, currency: str) -> ShopProduct:
    pictures = list(body.parts("images"))
    links = {part.id_or_none("id"): part.text("src") for part in pictures}
    names = [part.text("name") for part in body.parts("options")]
    return ShopProduct(
        product_id=body.id(),
        handle=body.text("handle"),
        title=body.text("title"),
        updated_at=body.moment("updated_at"),
        description_html=body.text("body_html"),
        vendor=body.text("vendor"),
        product_type=body.text("product_type"),
        category=body.part("category").text("full_name"),
        tags=tags(body.text("tags")),
        status=status(body, body.text("status").lower() or "active"),
        published=body.has("published_at"),
        images=tuple(link for part in pictures if (link := part.text("src"))),
        variants=tuple(_variant(part, names, links, currency) for part in body.parts("variants")),
    )


def _variant(part: Part, names: list[str], links: Mapping[str, str], currency: str) -> ShopVariant:
    price = part.money("price", currency)
    values = [part.text(f"option{number}") for number in (1, 2, 3)]
    pairs = [(name, value) for name, value in zip(names, values, strict=False) if value]
    # Newer versions tell it by the inventory item only, which the webhook does not hold: the word is left out there.
    told = tells_tracking(part)
    tracked = not told or part.text("inventory_management") != ""
    return ShopVariant(
        variant_id=part.id(),
        price=price,
        sku=part.text("sku"),
        barcode=part.text("barcode"),
        title="" if _plain(pairs) else part.text("title"),
        options=() if _plain(pairs) else tuple(pairs),
        compare_at=reduced_from(part.money_or_none("compare_at_price", currency), price),
        inventory_item_id=part.id_or_none("inventory_item_id"),
        quantity=part.integer_or_none("inventory_quantity") if tracked else None,
        tracking_told=told,
        oversell=part.text("inventory_policy").lower() == "continue",
        image_link=links.get(part.id_or_none("image_id"), ""),
    )


def tells_tracking(variant: Part) -> bool:
    """Whether the body says if the variant's stock is tracked; null says that it is not."""
    return "inventory_management" in variant.value


def _plain(pairs: list[tuple[str, str]]) -> bool:
    return pairs in ([NO_OPTION], [])


def reduced_from(before: Money | None, price: Money) -> Money | None:
    """Shops leave 0.00 or the price itself behind when a sale ends."""
    return before if before is not None and price < before else None


def tags(text: str) -> tuple[str, ...]:
    return tuple(tag for part in text.split(",") if (tag := part.strip()))


def status(body: Part, text: str) -> Literal["active", "draft", "archived"]:
    """`unlisted` (since 2025-10) is sold by link only: published, and not listed; it is no offer for platforms."""
    if text in ("draft", "unlisted"):
        return "draft"
    if text == "active":
        return "active"
    if text == "archived":
        return "archived"
    raise body.wrong("status", "neither active nor draft, archived, unlisted")


def level(body: Part) -> StockLevel:
    """`inventory_levels/update`. `available` null: no longer stocked there, or not tracked."""
    return StockLevel(
        inventory_item_id=body.id("inventory_item_id"),
        location_id=body.id("location_id"),
        available=body.integer_or_none("available"),
        updated_at=body.moment("updated_at"),
    )
