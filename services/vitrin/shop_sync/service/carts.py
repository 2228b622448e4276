"""What a platform's ids are in the shop, and the address that a cart goes on to. No I/O."""

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from sqlalchemy import Row

from vitrin.platforms.registry import SHOPS
from vitrin.platforms.shop import CartLine, ShopSpec, source_of_shop
from vitrin.protos.accounts.v1.events_pb2 import ConnectionChanged
from vitrin.protos.catalog.v1.events_pb2 import ItemContent, OfferChanged
from vitrin.shop_sync.domain.checkout import Handoff, Sellable, Wanted
from vitrin.shop_sync.errors import StorefrontInvalid

PASSED_ON: Final = ("fbclid", "cart_origin", "ref")
"""What says where a shopper came from goes on to the shop, with everything that begins with utm_."""
PASSED_CHARS_MAX: Final = 2_000

_ODD: Final = frozenset("\\\"'<>")
"""No address holds these as they are, and browsers read a backslash as a slash: the host would be another."""


def cart_url(spec: ShopSpec, storefront_url: str, handoff: Handoff, query: Sequence[tuple[str, str]]) -> str:
    """The shop's cart, with what says where the shopper came from."""
    lines = [CartLine(one.product_id, one.variant_id, one.quantity) for one in handoff.lines]
    where = spec.cart_url(storefront_url, lines, handoff.coupons) if lines else storefront_url
    parts = urlsplit(where)
    kept = [(name, value) for name, value in query if name in PASSED_ON or name.startswith("utm_")]
    more = urlencode(kept)
    if not kept or len(more) > PASSED_CHARS_MAX:
        return where
    # The shop's own part stays as it was written: a comma or a colon of its is no other than it looks.
    return urlunsplit(parts._replace(query="&".join(part for part in (parts.query, more) if part)))


def content_of(row: Row[Any]) -> ItemContent:
    return ItemContent.FromString(row.content) if row.content else ItemContent()


def sellable(row: Row[Any], shop: ConnectionChanged, spec: ShopSpec, *, alone: bool) -> Sellable:
    """The item as the shop of this checkout sells it; of another shop's it has no variant."""
    content = content_of(row)
    offer = OfferChanged.FromString(row.offer) if row.offer is not None else None
    product_id, variant_id = shop_ids(content, shop, spec, alone=alone)
    tracked = offer is not None and offer.HasField("quantity") and offer.inventory_policy != "continue"
    return Sellable(
        item_id=row.item_id,
        title=content.title,
        deleted=row.deleted or content.status not in ("", "active"),
        product_id=product_id,
        variant_id=variant_id,
        availability=offer.availability if offer is not None else "",
        quantity=max(0, offer.quantity) if offer is not None and tracked else None,
    )


def shop_ids(
    content: ItemContent, shop: ConnectionChanged, spec: ShopSpec, *, alone: bool
) -> tuple[str, str]:
    """Product and variant in this shop; empty where the item came from elsewhere.

    Events of before `shop_source` name the ids and no shop: they are of this one where the brand never had another."""
    source = source_of_shop(spec, shop.external_ids, shop.connection_id)
    if content.shop_source != source and not (alone and not content.shop_source):
        return "", ""
    return content.shop_product_id, content.shop_variant_id


def storefront(url: str, *, sandbox: bool) -> str:
    """Raises StorefrontInvalid. http only for a shop of the sandbox."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        raise StorefrontInvalid("This is no address.", field="storefront_url") from None
    schemes = ("https", "http") if sandbox else ("https",)
    wrong = (
        parts.scheme not in schemes or not parts.hostname or parts.username or parts.query or parts.fragment
    )
    if (
        wrong
        or len(url) > 500
        or any(ord(letter) <= 32 or letter in _ODD for letter in url.strip())
        or port == 0
    ):
        raise StorefrontInvalid(f"{url[:200]!r} is not an address of a shop.", field="storefront_url")
    return url.strip().rstrip("/")


def known(
    wanted: Sequence[Wanted], found: Sequence[Row[Any]], shop: ConnectionChanged, alone: bool
) -> dict[str, Sellable]:
    """By the id as the platform wrote it."""
    rows = {row.platform_item_id: row for row in found}
    named = {
        one.platform_item_id: next((name for name in one.spellings if name in rows), None) for one in wanted
    }
    return {
        written: sellable(rows[name], shop, SHOPS[shop.platform], alone=alone)
        for written, name in named.items()
        if name is not None
    }


def query_of(text: str) -> list[tuple[str, str]]:
    """Decoded pairs of a query, blank values too; a query that is none is empty."""
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=100)
    except ValueError:
        return []
