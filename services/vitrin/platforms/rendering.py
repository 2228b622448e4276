"""The checks that every platform makes of an item, with the same codes and the same words for all of them.

A platform gives its limits and enums as `ItemRules`; what differs in names and shapes stays in its own folder.
Nothing is cut silently: a text that is too long is a problem where the platform needs the field, otherwise the
field is left out with a warning; surplus pictures are left out with a warning.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Final
from urllib.parse import urlsplit

from vitrin.kit.money import Money, currency_decimals
from vitrin.platforms.base import ChannelItem, Problem

ID_HASH_BYTES: Final = 8
GTIN_DIGITS: Final = frozenset({8, 12, 13, 14})
CONDITION_DEFAULT: Final = "new"
"""The product data specification reads a missing condition as new."""
CUSTOM_LABELS_MAX: Final = 5
SALE_START_OPEN: Final = datetime(1970, 1, 1, tzinfo=UTC)
SALE_END_OPEN: Final = datetime(2099, 12, 31, tzinfo=UTC)
"""A window with one end only: platforms want both, so the other end is one that never matters (unverified)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemRules:
    """Limits in characters; enums map the events' words to the platform's; None means no published limit."""

    platform_title: str
    id_max: int
    title_max: int
    description_max: int
    link_max: int | None
    image_link_max: int | None
    additional_images_max: int
    additional_images_chars_max: int | None
    availability: Mapping[str, str]
    conditions: Mapping[str, str]
    genders: Mapping[str, str]
    age_groups: Mapping[str, str]
    text_max: Mapping[str, int] = field(default_factory=dict)
    identifier_required: bool
    price_decimals_max: int = 2


@dataclass(slots=True)
class Findings:
    rules: ItemRules
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def problem(self, code: str, name: str, message: str, fix: str) -> None:
        self.problems.append(Problem(code, name, message, fix))

    def warning(self, code: str, name: str, message: str, fix: str) -> None:
        self.warnings.append(Problem(code, name, message, fix))


def stable_item_id(raw: str, *, length_max: int) -> str:
    """`raw` itself where it fits, else its beginning and a hash of the whole, so that two never meet.

    Control characters and spaces at the ends do not survive the platforms' own trimming: such an id is hashed too.
    """
    if not raw:
        raise ValueError("an item id is never empty")
    if len(raw) <= length_max and raw == raw.strip() and raw.isprintable():
        return raw
    mark = "~" + blake2b(raw.encode(), digest_size=ID_HASH_BYTES).hexdigest()
    clean = "".join(char if char.isprintable() else "-" for char in raw.strip())
    return clean[: length_max - len(mark)].rstrip() + mark


def is_web_address(text: str) -> bool:
    if any(char.isspace() for char in text):
        return False
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        return False


def required_text(findings: Findings, name: str, value: str, *, length_max: int) -> None:
    platform = findings.rules.platform_title
    if not value.strip():
        findings.problem(
            f"missing_{name}",
            name,
            f"The item has no {name}; {platform} needs one.",
            f"Give the item a {name} in the shop.",
        )
    elif len(value) > length_max:
        findings.problem(
            f"{name}_too_long",
            name,
            f"The {name} has {len(value)} characters; {platform} takes at most {length_max}.",
            f"Shorten the {name} to {length_max} characters or fewer.",
        )


def required_link(findings: Findings, name: str, value: str, *, length_max: int | None) -> None:
    platform = findings.rules.platform_title
    words = {"link": "link to its page in the shop", "image_link": "picture"}[name]
    if not value.strip():
        findings.problem(
            f"missing_{name}",
            name,
            f"The item has no {words}; {platform} does not show items without one.",
            f"Add a {words} to the item.",
        )
    elif not is_web_address(value):
        findings.problem(
            f"{name}_invalid",
            name,
            f"The {name} is not a web address that begins with http:// or https:// and has no spaces.",
            f"Write the full address in {name}.",
        )
    elif length_max is not None and len(value) > length_max:
        findings.problem(
            f"{name}_too_long",
            name,
            f"The {name} has {len(value)} characters; {platform} takes at most {length_max}.",
            f"Use a shorter address, of {length_max} characters or fewer.",
        )


def optional_text(findings: Findings, name: str, value: str) -> str:
    """The value, or "" with a warning where it is too long for the platform."""
    limit = findings.rules.text_max.get(name)
    if limit is not None and len(value) > limit:
        findings.warning(
            f"{name}_too_long",
            name,
            f"The {name} has {len(value)} characters; {findings.rules.platform_title} takes at most {limit}. "
            "The item is sent without it.",
            f"Shorten the {name} to {limit} characters or fewer.",
        )
        return ""
    return value


def same_words(*words: str) -> Mapping[str, str]:
    """The events' words where the platform writes the same with blanks instead of underscores."""
    return {word: word.replace("_", " ") for word in words}


def optional_choice(findings: Findings, name: str, value: str, *, choices: Mapping[str, str]) -> str:
    """The value in the platform's words, or "" with a warning."""
    if not value or value in choices:
        return choices.get(value, "")
    findings.warning(
        f"{name}_unknown",
        name,
        f"{findings.rules.platform_title} does not know {_shown(value)} as {name}. The item is sent without it.",
        f"Use one of: {', '.join(sorted(choices))}.",
    )
    return ""


def condition_of(findings: Findings, value: str) -> str:
    condition = value or CONDITION_DEFAULT
    if condition not in findings.rules.conditions:
        findings.problem(
            "condition_unknown",
            "condition",
            f"{findings.rules.platform_title} does not know the condition {_shown(condition)}.",
            f"Use one of: {', '.join(sorted(findings.rules.conditions))}.",
        )
    return findings.rules.conditions.get(condition, "")


def availability_of(findings: Findings, value: str) -> str:
    shown = findings.rules.availability.get(value)
    if shown is None:
        findings.problem(
            "availability_unknown",
            "availability",
            f"{_shown(value)} is not an availability.",
            f"Use one of: {', '.join(findings.rules.availability)}.",
        )
        return ""
    return shown


def gtin_of(findings: Findings, value: str) -> str:
    if not value or (value.isascii() and value.isdigit() and len(value) in GTIN_DIGITS):
        return value
    findings.warning(
        "gtin_invalid",
        "gtin",
        f"{_shown(value)} is not a GTIN: it needs 8, 12, 13 or 14 digits. The item is sent without it.",
        "Correct the barcode, or leave it empty.",
    )
    return ""


def needs_identifier(findings: Findings, *, brand: str, gtin: str, mpn: str) -> None:
    if findings.rules.identifier_required and not (brand or gtin or mpn):
        findings.problem(
            "missing_brand_or_identifier",
            "brand",
            f"{findings.rules.platform_title} needs a brand, a GTIN or a manufacturer part number; the item has none.",
            "Fill in the brand (the vendor, in Shopify), the barcode or the part number.",
        )


def more_images(findings: Findings, item: ChannelItem) -> list[str]:
    """The further pictures that the platform takes, in the shop's order."""
    rules = findings.rules
    usable: list[str] = []
    chars = 0
    left_out = 0
    for link in item.additional_image_links:
        too_long = rules.image_link_max is not None and len(link) > rules.image_link_max
        if not is_web_address(link) or too_long:
            findings.warning(
                "image_link_invalid",
                "additional_image_link",
                f"A further picture has no usable web address ({_shown(link)}). The item is sent without it.",
                "Correct the picture's address.",
            )
            continue
        limit = rules.additional_images_chars_max
        if len(usable) == rules.additional_images_max or (limit is not None and chars + len(link) > limit):
            left_out += 1
            continue
        usable.append(link)
        chars += len(link)
    if left_out:
        findings.warning(
            "too_many_images",
            "additional_image_link",
            f"{rules.platform_title} takes {len(usable)} of the {len(usable) + left_out} further pictures; "
            f"{left_out} are left out.",
            "Put the most important pictures first.",
        )
    return usable


def price_text(findings: Findings, name: str, price: Money) -> str:
    """ "12.34 USD", or "" with a problem where the platform cannot write the amount exactly."""
    limit = findings.rules.price_decimals_max
    surplus = currency_decimals(price.currency) - limit
    text = price.decimal_text()
    if surplus > 0:
        if price.amount_minor % 10**surplus:
            findings.problem(
                "price_decimals",
                name,
                f"{text} {price.currency} has {limit + surplus} decimals; {findings.rules.platform_title} takes "
                f"at most {limit}.",
                f"Round the {name.replace('_', ' ')} so that it ends in 0 after {limit} decimals.",
            )
            return ""
        text = text[:-surplus]
    return f"{text} {price.currency}"


@dataclass(frozen=True, slots=True)
class Offer:
    """Prices as the platform's text; "" where there is no (valid) sale."""

    price: str
    sale_price: str
    sale_start: datetime | None
    sale_end: datetime | None


def offer_of(findings: Findings, item: ChannelItem, *, currency: str) -> Offer:
    price = item.price
    if price is None:
        findings.problem(
            "missing_price",
            "price",
            f"The item has no price; {findings.rules.platform_title} needs one.",
            "Give the item a price in the shop.",
        )
        return Offer("", "", None, None)
    if price.amount_minor == 0:
        # Whether a platform would refuse it is unverified; a shop's own "not for sale" or a slip must not be sold.
        findings.problem(
            "price_zero",
            "price",
            f"The price is {price}; nothing is offered on {findings.rules.platform_title} for nothing.",
            "Give the item a price above zero in the shop.",
        )
    if currency and price.currency != currency:
        findings.problem(
            "currency_mismatch",
            "price",
            f"The price is in {price.currency}, but the channel sells in {currency}.",
            f"Give the item a price in {currency}, or connect a catalog that sells in {price.currency}.",
        )
    text = price_text(findings, "price", price)
    if item.sale_price is None or not _sale_is_valid(findings, item, price=price, sale=item.sale_price):
        return Offer(text, "", None, None)
    return Offer(text, price_text(findings, "sale_price", item.sale_price), item.sale_start, item.sale_end)


def _sale_is_valid(findings: Findings, item: ChannelItem, *, price: Money, sale: Money) -> bool:
    if sale.currency != price.currency:
        findings.problem(
            "currency_mismatch",
            "sale_price",
            f"The sale price is in {sale.currency}, the price in {price.currency}.",
            f"Write the sale price in {price.currency}.",
        )
        return False
    if sale >= price:
        findings.warning(
            "sale_price_not_below_price",
            "sale_price",
            f"The sale price {sale} is not below the price {price}. The item is sent without it.",
            "Lower the sale price, or remove it.",
        )
        return False
    if item.sale_start is not None and item.sale_end is not None and item.sale_end <= item.sale_start:
        findings.warning(
            "sale_window_invalid",
            "sale_price_effective_date",
            "The sale ends before it begins. The item is sent without the sale price.",
            "Correct the sale's dates.",
        )
        return False
    return True


def sale_window(offer: Offer, *, timespec: str) -> str:
    """`from/to` in UTC, or "" where the sale has no window. The end of a minute-wise window is rounded up."""
    if not offer.sale_price or (offer.sale_start is None and offer.sale_end is None):
        return ""
    start = (offer.sale_start or SALE_START_OPEN).astimezone(UTC)
    end = (offer.sale_end or SALE_END_OPEN).astimezone(UTC)
    if timespec == "minutes" and (end.second or end.microsecond):
        end = end.replace(second=0, microsecond=0) + timedelta(minutes=1)
    return f"{start.isoformat(timespec=timespec)}/{end.isoformat(timespec=timespec)}"


def _shown(value: str) -> str:
    return repr(value if len(value) <= 80 else value[:80] + "…")
