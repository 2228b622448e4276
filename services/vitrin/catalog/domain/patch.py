"""The one way a request or a row becomes an item: absent = unchanged, null = cleared."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from functools import partial
from typing import Any, Final, NamedTuple

from vitrin.catalog.domain import limits, readers
from vitrin.catalog.domain.entities import ItemContent, Offer
from vitrin.catalog.domain.html_text import html_to_text
from vitrin.catalog.domain.problems import FieldProblem, shown
from vitrin.catalog.domain.readers import Invalid
from vitrin.catalog.domain.vocabulary import (
    AgeGroup,
    Availability,
    Condition,
    Gender,
    InventoryPolicy,
    Status,
)
from vitrin.kit.money import Money

Reader = Callable[[str, object], object]


class Patched(NamedTuple):
    """With problems, `content` and `offer` are what was passed in: nothing is half applied."""

    content: ItemContent | None
    offer: Offer | None
    problems: tuple[FieldProblem, ...]


class PatchedOffer(NamedTuple):
    offer: Offer | None
    problems: tuple[FieldProblem, ...]


def _html(field: str, value: object) -> str:
    html = readers.raw_text(field, value)
    if len(html) > limits.DESCRIPTION_HTML_CHARS_MAX:
        raise Invalid(
            field,
            "description_too_long",
            f"the HTML has {len(html)} characters; the limit is {limits.DESCRIPTION_HTML_CHARS_MAX}",
            "Shorten the description.",
        )
    return readers.read_description(field, html_to_text(html))


_title = partial(readers.read_line, chars_max=limits.TITLE_CHARS_MAX)

_CONTENT: Final[Mapping[str, tuple[str, Reader, object]]] = {
    "title": ("title", _title, ""),
    "description": ("description", readers.read_description, ""),
    "description_html": ("description", _html, ""),
    "link": ("link", readers.read_url, ""),
    "image_link": ("image_link", readers.read_url, ""),
    "additional_image_link": ("additional_image_links", readers.read_links, ()),
    "video_link": ("video_link", readers.read_url, ""),
    "checkout_url": ("checkout_url", readers.read_url, ""),
    "gtin": ("gtin", readers.read_gtin, ""),
    "condition": ("condition", partial(readers.read_word, words=Condition), None),
    "gender": ("gender", partial(readers.read_word, words=Gender), None),
    "age_group": ("age_group", partial(readers.read_word, words=AgeGroup), None),
    "status": ("status", partial(readers.read_word, words=Status), Status.ACTIVE),
    **{
        name: (name, readers.read_line, "")
        for name in (
            *(
                "brand",
                "mpn",
                "google_product_category",
                "product_type",
                "color",
                "size",
                "material",
                "pattern",
            ),
            *("shipping", "sku", "custom_label_0", "custom_label_1", "custom_label_2", "custom_label_3"),
            "custom_label_4",
        )
    },
}
"""Input field: attribute of ItemContent, its reader, and what null means."""

_PRICES: Final = ("price", "sale_price", "cost_of_goods_sold")
_STOCK: Final[Mapping[str, tuple[Reader, object]]] = {
    "availability": (partial(readers.read_word, words=Availability), None),
    "quantity": (readers.read_quantity, None),
    "inventory_policy": (partial(readers.read_word, words=InventoryPolicy), InventoryPolicy.DENY),
}

OFFER_FIELDS: Final = frozenset({*_PRICES, *_STOCK, "sale_price_effective_date"})
CONTENT_FIELDS: Final = frozenset({*_CONTENT, "id", "item_group_id", "attributes"})
FIELDS: Final = CONTENT_FIELDS | OFFER_FIELDS
"""What `apply_patch` takes; an HTTP layer takes its own fields (market, occurred_at, ...) out first."""


def apply_patch(
    current_content: ItemContent | None,
    current_offer: Offer | None,
    patch: Mapping[str, object],
    *,
    market_currency: str,
    default_currency: str | None = None,
) -> Patched:
    """Create (current None; id, title and price are required) or change an item and its offer.

    `market_currency` is what all prices must be in. A price without a currency takes `default_currency`; over
    HTTP there is none and it is refused. Every problem is reported, not only the first.
    """
    problems = _unknown(patch, FIELDS)
    content = _apply_content(current_content, patch, problems)
    wants_offer = current_content is None or current_offer is not None or not OFFER_FIELDS.isdisjoint(patch)
    offer = current_offer
    if wants_offer:
        offer, found = _apply_offer(current_offer, patch, market_currency, default_currency)
        problems += found
    if problems:
        return Patched(current_content, current_offer, tuple(problems))
    return Patched(content, offer, ())


def apply_offer_patch(
    current: Offer | None,
    patch: Mapping[str, object],
    *,
    market_currency: str,
    default_currency: str | None = None,
) -> PatchedOffer:
    """The fast path: only the fields of `OFFER_FIELDS`. Without a current offer a price is required."""
    offer, found = _apply_offer(current, patch, market_currency, default_currency)
    problems = _unknown(patch, OFFER_FIELDS) + found
    return PatchedOffer(current if problems else offer, tuple(problems))


def problem_of(field: str, value: object) -> FieldProblem | None:
    """What is wrong with the value of one field by itself; of prices only that they cannot be read."""
    found = _CONTENT.get(field)
    try:
        if found is not None:
            found[1](field, value)
        elif field in _STOCK:
            _STOCK[field][0](field, value)
        else:
            readers.read_money(field, value, default_currency=None)
    except Invalid as invalid:
        return invalid.problem
    return None


def check_item_id(value: object, *, field: str = "id") -> FieldProblem | None:
    """What is wrong with an id in a path or a delete; None when it can exist."""
    try:
        readers.read_item_id(field, value)
    except Invalid as invalid:
        return invalid.problem
    return None


def _unknown(patch: Mapping[str, object], known: frozenset[str]) -> list[FieldProblem]:
    problems = []
    for name in patch:
        if name not in known:
            near = get_close_matches(str(name)[: limits.ATTRIBUTE_NAME_CHARS_MAX], known, n=1)
            fix = (
                f"Did you mean {near[0]}?"
                if near
                else "Put what is beyond the specification into attributes."
            )
            problems.append(
                FieldProblem(shown(name).strip("'"), "unknown_field", "there is no such field", fix)
            )
    return problems


def _apply_content(
    current: ItemContent | None, patch: Mapping[str, object], problems: list[FieldProblem]
) -> ItemContent | None:
    changes: dict[str, Any] = {}
    _read_ids(current, patch, changes, problems)
    for name, value in patch.items():
        found = _CONTENT.get(name)
        if found is None or (name == "description_html" and patch.get("description")):
            continue
        attribute, reader, cleared = found
        try:
            read = cleared if value is None else reader(name, value)
            changes[attribute] = cleared if read is None else read
        except Invalid as invalid:
            problems.append(invalid.problem)
    if changes.get("title", current.title if current else "") == "" and not _blames(problems, "title"):
        problems.append(FieldProblem("title", "title_missing", "the item has no title", "Give it a title."))
    if "attributes" in patch:
        _merge_attributes(current, patch["attributes"], changes, problems)
    if problems:
        return current
    return ItemContent(**changes) if current is None else replace(current, **changes)


def _blames(problems: list[FieldProblem], field: str) -> bool:
    return any(problem.field == field for problem in problems)


def _read_ids(
    current: ItemContent | None,
    patch: Mapping[str, object],
    changes: dict[str, Any],
    problems: list[FieldProblem],
) -> None:
    try:
        if current is None:
            changes["id"] = readers.read_item_id("id", patch.get("id"))
        elif patch.get("id", current.id) != current.id:
            raise Invalid(
                "id", "id_mismatch", f"the item's id is {shown(current.id)}", "An id cannot be changed."
            )
    except Invalid as invalid:
        problems.append(invalid.problem)
    if "item_group_id" in patch:
        try:
            group = patch["item_group_id"]
            changes["item_group_id"] = readers.read_item_id("item_group_id", group) if group else ""
        except Invalid as invalid:
            problems.append(invalid.problem)


def _merge_attributes(
    current: ItemContent | None, value: object, changes: dict[str, Any], problems: list[FieldProblem]
) -> None:
    try:
        given = {} if value is None else readers.read_attributes("attributes", value)
    except Invalid as invalid:
        problems.append(invalid.problem)
        return
    before: Mapping[str, str | None] = current.attributes if current is not None and value is not None else {}
    merged = {name: text for name, text in {**before, **given}.items() if text is not None}
    if len(merged) > limits.ATTRIBUTES_MAX:
        problems.append(
            FieldProblem(
                "attributes",
                "too_many_attributes",
                f"{len(merged)} attributes; the limit is {limits.ATTRIBUTES_MAX}",
                "Keep those that somebody reads.",
            )
        )
    changes["attributes"] = merged


def _apply_offer(
    current: Offer | None, patch: Mapping[str, object], market_currency: str, default_currency: str | None
) -> tuple[Offer | None, list[FieldProblem]]:
    problems: list[FieldProblem] = []
    changes: dict[str, Any] = {}
    for name in _PRICES:
        if name in patch:
            try:
                changes[name] = _read_price(name, patch[name], market_currency, default_currency)
            except Invalid as invalid:
                problems.append(invalid.problem)
    for name, (reader, cleared) in _STOCK.items():
        if name in patch:
            try:
                read = cleared if patch[name] is None else reader(name, patch[name])
                changes[name] = cleared if read is None else read
            except Invalid as invalid:
                problems.append(invalid.problem)
    try:
        changes.update(_read_window(patch))
    except Invalid as invalid:
        problems.append(invalid.problem)
    if changes.get("price", current.price if current else None) is None and not _blames(problems, "price"):
        problems.append(
            FieldProblem(
                "price", "price_missing", "the item has no price", f'Write "12.34 {market_currency}".'
            )
        )
    if problems:
        return current, problems
    offer = Offer(**changes) if current is None else replace(current, **changes)
    problems = _offer_contradictions(offer, market_currency)
    return (current if problems else offer), problems


def _read_price(name: str, value: object, market_currency: str, default_currency: str | None) -> Money | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    money = readers.read_money(name, value, default_currency=default_currency)
    if money.currency != market_currency:
        raise Invalid(
            name,
            "currency_mismatch",
            f"{name} is in {money.currency}, but the market's currency is {market_currency}",
            f"Send the price in {market_currency}, or to a market that sells in {money.currency}.",
        )
    return money


def _read_window(patch: Mapping[str, object]) -> dict[str, Any]:
    if "sale_price_effective_date" in patch:
        value = patch["sale_price_effective_date"]
        start, end = (
            (None, None) if value is None else readers.read_sale_window("sale_price_effective_date", value)
        )
        return {"sale_starts_at": start, "sale_ends_at": end}
    if "sale_price" in patch and patch["sale_price"] in (None, ""):
        return {"sale_starts_at": None, "sale_ends_at": None}
    return {}


def _offer_contradictions(offer: Offer, market_currency: str) -> list[FieldProblem]:
    problems = []
    if offer.price.currency != market_currency:
        problems.append(
            FieldProblem(
                "price",
                "currency_mismatch",
                f"the stored price is in {offer.price.currency}, but the market's currency is {market_currency}",
                f"Send the price in {market_currency}.",
            )
        )
    elif offer.sale_price is not None and (
        offer.sale_price.currency != offer.price.currency or offer.sale_price >= offer.price
    ):
        problems.append(
            FieldProblem(
                "sale_price",
                "sale_price_not_below_price",
                f"the sale price {offer.sale_price} is not below the price {offer.price}",
                "Lower the sale price, or clear it with null.",
            )
        )
    if (
        offer.sale_starts_at is not None
        and offer.sale_ends_at is not None
        and offer.sale_ends_at <= offer.sale_starts_at
    ):
        problems.append(
            FieldProblem(
                "sale_price_effective_date",
                "sale_window_order",
                f"the sale ends at {offer.sale_ends_at.isoformat()}, not after its start",
                "Put the earlier time first.",
            )
        )
    return problems
