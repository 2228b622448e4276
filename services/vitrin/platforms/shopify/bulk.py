"""Cutting the JSON Lines of a bulk operation into whole products. Pure.

A line without `__parentId` is a product; its media, variants and their levels follow it until the next product. A
window of the file is cut after its last whole product: the cursor is where the next one begins, in bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from vitrin.platforms.shop import BodyInvalid, ShopProduct, StockLevel
from vitrin.platforms.shop_bodies import Part
from vitrin.platforms.shopify import graph


@dataclass(slots=True)
class Group:
    """One product with the lines of its children."""

    root: Part
    media: list[Part] = field(default_factory=list)
    variants: list[Part] = field(default_factory=list)
    levels: list[Part] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Cut:
    products: tuple[ShopProduct, ...]
    levels: tuple[StockLevel, ...]
    unreadable: Mapping[str, str]
    used_bytes: int
    """0: the window does not hold one whole product."""


def cut(window: bytes, *, at_end: bool, currency: str) -> Cut:
    """`window` begins with a product's line. `at_end`: nothing comes behind it, so its last product is whole."""
    groups: list[Group] = []
    position = last = 0
    while (end := window.find(b"\n", position)) >= 0 or (at_end and position < len(window)):
        stop = end + 1 if end >= 0 else len(window)
        line = window[position:stop].strip()
        if line:
            part = _line(line, position)
            if part.has("__parentId"):
                _child(part, groups)
            else:
                last = position
                groups.append(Group(part))
        position = stop
    used = len(window) if at_end else last
    whole = groups if at_end else groups[:-1]
    products: list[ShopProduct] = []
    levels: list[StockLevel] = []
    unreadable: dict[str, str] = {}
    for group in whole:
        try:
            product = graph.product(group.root, group.variants, group.media, currency=currency)
            stocked = [graph.level(part) for part in group.levels]
        except BodyInvalid as error:
            unreadable[group.root.id()] = str(error)
        else:
            products.append(product)
            levels += stocked
    return Cut(tuple(products), tuple(levels), unreadable, used)


def _line(line: bytes, position: int) -> Part:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise BodyInvalid(f"byte {position}: no JSON") from None
    if not isinstance(value, dict):
        raise BodyInvalid(f"byte {position}: no object")
    return Part(value, f"byte {position}")


def _child(part: Part, groups: list[Group]) -> None:
    if not groups:
        raise part.wrong("__parentId", "a child before any product")
    kind = part.text("id").removeprefix("gid://shopify/").partition("/")[0]
    group = groups[-1]
    if kind == "ProductVariant":
        if part.id("__parentId") != group.root.id():
            raise part.wrong("__parentId", "a variant behind another product")
        group.variants.append(part)
    elif kind == "InventoryLevel":
        group.levels.append(part)
    elif kind == "MediaImage":
        group.media.append(part)
