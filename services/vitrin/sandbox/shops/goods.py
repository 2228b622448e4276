"""Changes of goods and stock, each with what a shop would tell about it. Pure but for the shop that they change."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from vitrin.sandbox.shops.happened import Happened
from vitrin.sandbox.shops.model import Image, Level, Location, Product, Shop, Variant


class NotThere(LookupError):
    """The shop has no such thing; the message says what and which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVariant:
    """What a variant is made of. `stock` lies at the shop's first location unless `levels` names others."""

    price: str
    options: tuple[str, ...] = ("Default Title",)
    sku: str = ""
    barcode: str = ""
    compare_at: str | None = None
    stock: int = 0
    tracked: bool = True
    deny: bool = True
    grams: int = 0
    image: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewProduct:
    """What a product is made of."""

    title: str
    variants: tuple[NewVariant, ...]
    handle: str = ""
    option_names: tuple[str, ...] = ("Title",)
    body_html: str = ""
    vendor: str = ""
    product_type: str = ""
    tags: tuple[str, ...] = ()
    status: str = "active"
    images: tuple[tuple[str, str], ...] = ()


def slug(text: str) -> str:
    """As shops make handles of titles."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "product"


def add_product(shop: Shop, new: NewProduct, *, now_ms: int) -> list[Happened]:
    """A product; its handle gets a number where another has it."""
    handles = {one.handle for one in shop.products.values()}
    return [_add(shop, new, handles, now_ms=now_ms)]


def add_products(shop: Shop, many: Iterable[NewProduct], *, now_ms: int) -> int:
    """Many at once, as they were there before anybody listened: nothing is told. The count."""
    handles = {one.handle for one in shop.products.values()}
    count = 0
    for new in many:
        _add(shop, new, handles, now_ms=now_ms)
        count += 1
    return count


def _add(shop: Shop, new: NewProduct, handles: set[str], *, now_ms: int) -> Happened:
    product_id = shop.new_id()
    handle = new.handle or slug(new.title)
    number = 0
    while handle in handles:
        number += 1
        handle = f"{new.handle or slug(new.title)}-{number}"
    handles.add(handle)
    sources = dict(new.images) | {one.image: "" for one in new.variants if one.image}
    images = {src: Image(shop.new_id(), src, alt) for src, alt in sources.items() if src}
    product = Product(
        id=product_id,
        title=new.title,
        handle=handle,
        option_names=new.option_names,
        variants=tuple(_variant(shop, one, images, now_ms=now_ms) for one in new.variants),
        created_ms=now_ms,
        updated_ms=now_ms,
        body_html=new.body_html,
        vendor=new.vendor,
        product_type=new.product_type,
        tags=new.tags,
        status=new.status,  # type: ignore[arg-type]
        images=tuple(images.values()),
    )
    shop.products[product_id] = product
    return Happened(what="product_created", at_ms=now_ms, product=product)


def _variant(shop: Shop, new: NewVariant, images: dict[str, Image], *, now_ms: int) -> Variant:
    first = next(iter(shop.locations))
    return Variant(
        id=shop.new_id(),
        inventory_item_id=shop.new_id(),
        options=new.options,
        price=new.price,
        created_ms=now_ms,
        updated_ms=now_ms,
        sku=new.sku,
        barcode=new.barcode,
        compare_at=new.compare_at,
        tracked=new.tracked,
        policy="deny" if new.deny else "continue",
        grams=new.grams,
        image_id=images[new.image].id if new.image in images else None,
        levels=(Level(first, new.stock, now_ms),),
    )


def change_product(
    shop: Shop, product_id: int, changes: dict[str, Any], *, now_ms: int, touch: bool = True
) -> list[Happened]:
    """Title, body, vendor, status, ... of one product. Without `touch` its moment stays (for tests of staleness)."""
    product = _product(shop, product_id)
    changed = replace(product, **changes, updated_ms=now_ms if touch else product.updated_ms)
    shop.products[product_id] = changed
    return [Happened(what="product_updated", at_ms=now_ms, product=changed)]


def change_variant(shop: Shop, variant_id: int, changes: dict[str, Any], *, now_ms: int) -> list[Happened]:
    """Price, SKU, barcode, ... of one variant; the product has changed with it."""
    product, variant = find(shop, variant_id)
    changed = put_variant(shop, product, replace(variant, **changes, updated_ms=now_ms), now_ms=now_ms)
    return [
        Happened(what="product_updated", at_ms=now_ms, product=changed, variant=changed.variant(variant.id))
    ]


def add_variant(shop: Shop, product_id: int, new: NewVariant, *, now_ms: int) -> list[Happened]:
    """One more variant of a product."""
    product = _product(shop, product_id)
    variant = _variant(shop, new, {}, now_ms=now_ms)
    changed = replace(product, variants=(*product.variants, variant), updated_ms=now_ms)
    shop.products[product_id] = changed
    return [Happened(what="product_updated", at_ms=now_ms, product=changed)]


def delete_variant(shop: Shop, variant_id: int, *, now_ms: int) -> list[Happened]:
    """One variant less; the last one stays, as in real shops."""
    product, variant = find(shop, variant_id)
    if len(product.variants) == 1:
        raise NotThere("a product keeps its last variant: delete the product")
    kept = tuple(one for one in product.variants if one.id != variant.id)
    changed = replace(product, variants=kept, updated_ms=now_ms)
    shop.products[product.id] = changed
    return [Happened(what="product_updated", at_ms=now_ms, product=changed)]


def delete_product(shop: Shop, product_id: int, *, now_ms: int) -> list[Happened]:
    """Gone with all variants."""
    _product(shop, product_id)
    del shop.products[product_id]
    return [Happened(what="product_deleted", at_ms=now_ms, product_id=product_id)]


def set_stock(
    shop: Shop,
    variant_id: int,
    available: int,
    *,
    location_id: int | None,
    now_ms: int,
    by: bool = False,
) -> list[Happened]:
    """Stock at one location (the first by default), absolute or `by` an amount. A location that the shop does not
    have is made, hidden: the webhook names what no listing does."""
    product, variant = find(shop, variant_id)
    location_id = next(iter(shop.locations)) if location_id is None else location_id
    if location_id not in shop.locations:
        shop.locations[location_id] = Location(
            location_id, f"Hidden {location_id}", shop.country, hidden=True
        )
    levels = {level.location_id: level for level in variant.levels}
    before = levels[location_id].available if location_id in levels else 0
    level = Level(location_id, available + before if by else available, now_ms)
    levels[location_id] = level
    changed = replace(variant, levels=tuple(levels.values()))
    put_variant(shop, product, changed, now_ms=None)
    return [Happened(what="stock", at_ms=now_ms, product=product, variant=changed, level=level)]


def put_variant(shop: Shop, product: Product, variant: Variant, *, now_ms: int | None) -> Product:
    """Store a changed variant; with a moment the product has changed then too."""
    variants = tuple(variant if one.id == variant.id else one for one in product.variants)
    changed = replace(product, variants=variants, updated_ms=product.updated_ms if now_ms is None else now_ms)
    shop.products[product.id] = changed
    return changed


def find(shop: Shop, variant_id: int) -> tuple[Product, Variant]:
    """By the id of the variant or of its inventory item. Raises NotThere."""
    found = shop.find_variant(variant_id)
    if found is None:
        raise NotThere(f"the shop has no variant or inventory item {variant_id}")
    return found


def _product(shop: Shop, product_id: int) -> Product:
    product = shop.products.get(product_id)
    if product is None:
        raise NotThere(f"the shop has no product {product_id}")
    return product


def generated(count: int, *, variants_each: int) -> Iterable[NewProduct]:
    """A catalog of any size, always the same."""
    for number in range(1, count + 1):
        yield NewProduct(
            title=f"Product {number}",
            handle=f"product-{number}",
            vendor="Holm",
            product_type="Shirts",
            body_html=f"<p>The product number {number}.</p>",
            tags=("generated",),
            option_names=("Size",) if variants_each > 1 else ("Title",),
            images=((f"https://cdn.shop.example/product-{number}.jpg", f"Product {number}"),),
            variants=tuple(_generated_variants(number, variants_each)),
        )


def _generated_variants(number: int, count: int) -> Sequence[NewVariant]:
    return [
        NewVariant(
            price=f"{10 + number % 90}.{place % 100:02}",
            options=(f"Size {place + 1}" if count > 1 else "Default Title",),
            sku=f"P{number}-{place + 1}",
            stock=(number + place) % 20,
        )
        for place in range(count)
    ]
