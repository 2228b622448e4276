"""A shop's product in the words of `domain.patch`: pure, by the rules that files of shops go by too.

What a shop has and has emptied is cleared (None); what it does not have at all is absent, so that a webhook wipes
nothing that only a file or the API knew.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from urllib.parse import quote, urlsplit, urlunsplit

from vitrin.catalog.domain import ExternalRefs, FieldProblem
from vitrin.catalog.domain.leaving_out import leave_out
from vitrin.catalog.domain.limits import ATTRIBUTE_NAME_CHARS_MAX, QUANTITY_MAX
from vitrin.catalog.domain.products import (
    Options,
    digest,
    field_of_option,
    fitted,
    meaningful,
    pictures_of,
    read_barcode,
    status_of,
    variant_ids,
    variant_title,
)
from vitrin.platforms.shop import ShopProduct, ShopVariant

SHOPIFY: Final = "shopify"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What an item already is: the options it had, and its group, which a renamed handle does not change."""

    options: Options = ()
    item_group_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """A variant by the rules. `item_id` is what a file of the shop would call it; `quantity` is in no values: it is
    decided with the stock levels."""

    variant: ShopVariant
    item_id: str
    options: Options
    values: Mapping[str, object]
    refs: ExternalRefs
    attributes: Mapping[str, str | None] = field(default_factory=dict)
    warnings: tuple[FieldProblem, ...] = ()
    """What of the variant could not be read and was left out."""

    @property
    def own_id(self) -> str:
        """For an item whose plain id belongs to another variant."""
        return fitted_with(self.item_id, self.refs.source, self.variant.variant_id)


def fitted_with(item_id: str, source: str, variant_id: str) -> str:
    tail = digest(f"{source}/{variant_id}")
    whole = f"{item_id}-{tail}"
    return whole if whole == fitted(whole) else f"{item_id[: -len(tail) - 1]}-{tail}"


def handle_of(product: ShopProduct) -> str:
    """Drafts of some shops have none yet."""
    return product.handle or f"product-{product.product_id}"


def map_product(product: ShopProduct, *, kind: str, source: str, storefront_url: str) -> list[Mapped]:
    """One per variant, in order. `kind` as in files ("shopify"), `source` names the shop too."""
    options = [meaningful(variant.options) for variant in product.variants]
    ids = variant_ids(handle_of(product), options)
    shared = _shared(product, kind)
    mapped = []
    for variant, item_id, own in zip(product.variants, ids, options, strict=True):
        values = {**shared, **_prices(variant, kind), **pictures_of(variant.image_link, product.images)}
        values["title"] = variant_title(product.title, own)
        values["sku"] = variant.sku or None
        values["inventory_policy"] = "continue" if variant.oversell else "deny"
        if kind != SHOPIFY:
            values["availability"] = "available_for_order" if variant.on_backorder else None
        link = _link(product, variant, kind, storefront_url)
        if link:
            values["link"] = link
        attributes = _attributes(product, kind)
        _barcode(variant, kind, values, attributes)
        for name, value in own:
            option_field = field_of_option(name)
            if option_field is None:
                attributes[name[:ATTRIBUTE_NAME_CHARS_MAX]] = value
            else:
                values[option_field] = value
        left = leave_out(values, attributes)
        if left.values.get("gtin") is None and values.get("gtin"):
            left.attributes["barcode"] = variant.barcode.strip()
        refs = ExternalRefs(
            source=source,
            product_id=product.product_id,
            variant_id=variant.variant_id,
            inventory_item_id=variant.inventory_item_id,
            handle=product.handle,
            options=own,
            sku=variant.sku,
            gtin=str(left.values.get("gtin") or ""),
        )
        mapped.append(
            Mapped(
                variant=variant,
                item_id=item_id,
                options=own,
                values=left.values,
                refs=refs,
                attributes=left.attributes,
                warnings=left.left_out,
            )
        )
    return mapped


def patch_of(mapped: Mapped, item_id: str, known: Known, *, group: str) -> dict[str, object]:
    """The whole patch for the item that the variant turned out to be. Options that the item had and the variant has no
    more are cleared."""
    values: dict[str, object] = {"id": item_id, **mapped.values, "item_group_id": group or None}
    attributes = dict(mapped.attributes)
    names = {name for name, _value in mapped.options}
    for name, _value in known.options:
        if name in names:
            continue
        option_field = field_of_option(name)
        if option_field is None:
            attributes.setdefault(name[:ATTRIBUTE_NAME_CHARS_MAX], None)
        else:
            values.setdefault(option_field, None)
    values["attributes"] = attributes
    return values


def group_of(product: ShopProduct, mapped: Sequence[Mapped], known: Mapping[str, Known]) -> str:
    """One for all variants; "" for a product of one variant without options."""
    if len(mapped) == 1 and not mapped[0].options:
        return ""
    stored = sorted(one.item_group_id for one in known.values() if one.item_group_id)
    return stored[0] if stored else fitted(handle_of(product))


def pieces(available: int) -> int:
    """Shops count below zero what they sold too much of; nothing is there then."""
    return min(max(available, 0), QUANTITY_MAX)


def _shared(product: ShopProduct, kind: str) -> dict[str, object]:
    values: dict[str, object] = {
        "description_html": product.description_html or None,
        "status": status_of(product.status, published=product.published),
    }
    if product.vendor or kind == SHOPIFY:
        values["brand"] = product.vendor or None
    if product.product_type or kind == SHOPIFY:
        values["product_type"] = product.product_type or None
    return values


def _attributes(product: ShopProduct, kind: str) -> dict[str, str | None]:
    attributes: dict[str, str | None] = {"tags": ", ".join(product.tags) or None}
    if product.category:
        attributes[f"{kind}_category"] = product.category
    attributes.update((name[:ATTRIBUTE_NAME_CHARS_MAX], text) for name, text in product.attributes.items())
    return attributes


def _barcode(
    variant: ShopVariant, kind: str, values: dict[str, object], attributes: dict[str, str | None]
) -> None:
    """Older WooCommerce has no barcode at all: there an empty one says nothing."""
    if not variant.barcode and kind != SHOPIFY:
        return
    barcode = read_barcode(variant.barcode.strip())
    values["gtin"] = barcode.gtin or None
    attributes["barcode"] = barcode.own or None


def _prices(variant: ShopVariant, kind: str) -> dict[str, object]:
    """A compare-at price above the price is the regular price. Webhooks do not name the cost, so None is no news;
    Shopify has no sale window, so one that somebody set stays as long as the sale does."""
    regular = variant.compare_at
    on_sale = regular is not None and regular.currency == variant.price.currency and regular > variant.price
    values: dict[str, object] = {
        "price": str(regular if on_sale else variant.price),
        "sale_price": str(variant.price) if on_sale else None,
    }
    starts, ends = variant.sale_starts_at, variant.sale_ends_at
    if on_sale and (kind != SHOPIFY or starts or ends):
        values["sale_price_effective_date"] = {"start": _moment(starts), "end": _moment(ends)}
    if variant.cost is not None:
        values["cost_of_goods_sold"] = str(variant.cost)
    return values


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _link(product: ShopProduct, variant: ShopVariant, kind: str, storefront_url: str) -> str:
    if variant.link:
        return variant.link
    base = product.link
    if not base and kind == SHOPIFY and storefront_url and product.handle:
        base = f"{storefront_url.rstrip('/')}/products/{quote(product.handle, safe='')}"
    if not base or kind != SHOPIFY:
        return base
    parts = urlsplit(base)
    query = "&".join(part for part in (parts.query, f"variant={variant.variant_id}") if part)
    return urlunsplit(parts._replace(query=query))
