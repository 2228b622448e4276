"""Readers: one JSON or CSV value in, a clean value out, or `Invalid` with the exact problem."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import urlsplit

from stdnum import ean

from vitrin.catalog.domain import limits
from vitrin.catalog.domain.problems import FieldProblem, shown
from vitrin.catalog.domain.vocabulary import ALIASES, Word
from vitrin.kit.money import Money, MoneyInvalid, parse_price

WordT = TypeVar("WordT", bound=Word)

_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_ID_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_LINK_COMMA = re.compile(r"\s*,\s*(?=https?://)", re.IGNORECASE)
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_TOO_LONG = {
    "title": "title_too_long",
    "description": "description_too_long",
    "description_html": "description_too_long",
}
_URL_FORBIDDEN = re.compile(r"[\x00-\x20\x7f<>\"]")


class Invalid(Exception):
    """A value that is refused; never leaves `catalog.domain`."""

    def __init__(self, field: str, code: str, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.problem = FieldProblem(field, code, message, fix)


def raw_text(field: str, value: object) -> str:
    """A string that PostgreSQL and every platform can hold."""
    if not isinstance(value, str):
        raise Invalid(field, "not_text", f"{shown(value)} is not a text", "Send it as a JSON string.")
    if _SURROGATE.search(value):
        raise Invalid(field, "not_unicode", "the text has half of a surrogate pair", "Send valid Unicode.")
    found = _CONTROL.search(value)
    if found is not None:
        raise Invalid(
            field,
            "control_character",
            f"the text has the control character {found[0]!r}",
            "Remove that character.",
        )
    return value


def read_line(field: str, value: object, *, chars_max: int = limits.TEXT_CHARS_MAX) -> str:
    """One line: runs of blanks and line breaks become one blank."""
    text = " ".join(raw_text(field, value).split())
    return _within(field, text, chars_max=chars_max)


def _within(field: str, text: str, *, chars_max: int) -> str:
    if len(text) > chars_max:
        raise Invalid(
            field,
            _TOO_LONG.get(field, "text_too_long"),
            f"{field} has {len(text)} characters; the limit is {chars_max}",
            f"Shorten it to {chars_max} characters.",
        )
    return text


def read_item_id(field: str, value: object) -> str:
    """Refused, not repaired: pixels, ads and existing catalogs must name the very same id."""
    if value is None or value == "":
        raise Invalid(field, f"{field}_missing", f"{field} is empty", "Give every item its own id.")
    text = value if isinstance(value, str) else raw_text(field, value)
    if len(text) > limits.ITEM_ID_CHARS_MAX:
        raise Invalid(
            field,
            f"{field}_too_long",
            f"{field} has {len(text)} characters; the limit is {limits.ITEM_ID_CHARS_MAX}",
            "Use a shorter id.",
        )
    if _ID_FORBIDDEN.search(text) or _SURROGATE.search(text):
        raise Invalid(field, f"{field}_control_character", f"{field} has a control character", "Remove it.")
    if text != text.strip():
        raise Invalid(
            field, f"{field}_blank_at_end", f"{field} begins or ends with a blank", "Remove the blank."
        )
    return text


def read_description(field: str, value: object) -> str:
    """Plain text of several lines; trailing blanks of lines are dropped."""
    text = (
        raw_text(field, value)
        .replace("\r\n", "\n")
        .replace("\r", "\n")
        .replace("\v", "\n")
        .replace("\f", "\n")
    )
    text = "\n".join(line.rstrip() for line in text.split("\n")).strip()
    return _within(field, text, chars_max=limits.DESCRIPTION_CHARS_MAX)


def read_url(field: str, value: object) -> str:
    text = raw_text(field, value).strip()
    if not text:
        return ""
    if len(text) > limits.URL_CHARS_MAX:
        raise Invalid(
            field,
            "url_too_long",
            f"the address has {len(text)} characters; the limit is {limits.URL_CHARS_MAX}",
            "Use a shorter address.",
        )
    fix = "Use a full web address such as https://shop.example/products/1, with blanks written as %20."
    if _URL_FORBIDDEN.search(text):
        raise Invalid(field, "url_invalid", f"{shown(text)} has a character that no address may have", fix)
    try:
        parts = urlsplit(text)
        host, _port = parts.hostname, parts.port
    except ValueError as error:
        raise Invalid(field, "url_invalid", f"{shown(text)} is not a web address", fix) from error
    if parts.scheme not in {"http", "https"}:
        raise Invalid(field, "url_scheme", f"{shown(text)} does not begin with https:// or http://", fix)
    if not host:
        raise Invalid(field, "url_no_host", f"{shown(text)} names no host", fix)
    return text


def split_links(text: str) -> list[str]:
    """Feeds put several addresses into one cell; a comma inside an address is not a separator."""
    return [link for link in _LINK_COMMA.split(text.strip()) if link]


def read_links(field: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        value = split_links(value)
    if not isinstance(value, Sequence):
        raise Invalid(
            field, "not_a_list", f"{shown(value)} is not a list of addresses", "Send a list of strings."
        )
    if len(value) > limits.ADDITIONAL_IMAGES_MAX:
        raise Invalid(
            field,
            "too_many_images",
            f"{len(value)} addresses; the limit is {limits.ADDITIONAL_IMAGES_MAX}",
            "Keep the most useful ones.",
        )
    links = [read_url(f"{field}[{index}]", link) for index, link in enumerate(value)]
    return tuple(dict.fromkeys(link for link in links if link))


def read_gtin(field: str, value: object) -> str:
    """A GS1 number of 8, 12, 13 or 14 digits whose check digit is right; blanks and hyphens are dropped."""
    text = raw_text(field, value).replace(" ", "").replace("-", "")
    if not text:
        return ""
    if not (text.isascii() and text.isdigit()):
        raise Invalid(
            field,
            "gtin_not_digits",
            f"{shown(text)} has characters that are not digits",
            "Copy the barcode's digits as text; a spreadsheet may have turned them into 7.1E+11.",
        )
    if len(text) not in {8, 12, 13, 14}:
        raise Invalid(
            field,
            "gtin_length",
            f"{shown(text)} has {len(text)} digits; a GTIN has 8, 12, 13 or 14",
            "Check that a spreadsheet has not dropped leading zeros.",
        )
    if not ean.is_valid(text):
        raise Invalid(
            field,
            "gtin_check_digit",
            f"{text} ends in {text[-1]}, but its check digit is {ean.calc_check_digit(text[:-1])}",
            "Compare it with the barcode on the product; leave it empty if the product has none.",
        )
    return text


def read_word(field: str, value: object, words: type[WordT]) -> WordT | None:
    text = raw_text(field, value).strip()
    if not text:
        return None
    key = text.lower().replace(" ", "_").replace("-", "_")
    try:
        return words(ALIASES.get(words, {}).get(key, key))
    except ValueError as error:
        allowed = ", ".join(word.value for word in words)
        raise Invalid(
            field, "value_not_allowed", f"{shown(text)} is not a value of {field}", f"Use one of: {allowed}."
        ) from error


def read_money(field: str, value: object, *, default_currency: str | None) -> Money:
    """A text "12.34 EUR", or an object with amount and currency as texts."""
    if isinstance(value, Mapping):
        amount, currency = value.get("amount"), value.get("currency")
        unknown = sorted(str(key) for key in value if key not in {"amount", "currency"})
        if unknown or not isinstance(currency, str):
            raise Invalid(
                field,
                "price_shape",
                f"unknown keys {', '.join(unknown)}" if unknown else "the currency is missing or not a text",
                'Send {"amount": "12.34", "currency": "EUR"}.',
            )
        value, default_currency = amount, currency
    if not isinstance(value, str):
        raise Invalid(
            field,
            "price_not_text",
            f"{shown(value)} is not a text; JSON numbers are read as floats and lose cents",
            'Send "12.34 EUR" or {"amount": "12.34", "currency": "EUR"}.',
        )
    try:
        return parse_price(value, default_currency=default_currency)
    except MoneyInvalid as error:
        raise Invalid(field, error.reason_code, error.message, error.fix) from error


def read_quantity(field: str, value: object) -> int | None:
    if isinstance(value, str) and not value.strip():
        return None
    if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        value = int(value)
    if type(value) is not int:
        raise Invalid(
            field,
            "quantity_not_integer",
            f"{shown(value)} is not a whole number",
            "Send a whole number of pieces.",
        )
    if value < 0:
        raise Invalid(
            field,
            "quantity_negative",
            f"the quantity {value} is below 0",
            "Send 0 when it is sold out; for overselling set inventory_policy to continue.",
        )
    if value > limits.QUANTITY_MAX:
        raise Invalid(
            field, "quantity_too_large", f"the limit is {limits.QUANTITY_MAX}", "Check the quantity."
        )
    return value


SaleWindow = tuple[datetime | None, datetime | None]

_WINDOW_FIX = "Write 2026-11-24T00:00:00+01:00/2026-11-30T23:59:59+01:00."


def read_sale_window(field: str, value: object) -> SaleWindow:
    """`start/end` in ISO 8601 with time zones, or an object with start and end; an empty side is open."""
    if isinstance(value, Mapping):
        start, end = value.get("start"), value.get("end")
        if any(key not in {"start", "end"} for key in value):
            raise Invalid(field, "sale_window_shape", "only start and end are known", _WINDOW_FIX)
    else:
        text = raw_text(field, value).strip()
        if not text:
            return None, None
        if text.count("/") != 1:
            raise Invalid(field, "sale_window_shape", f"{shown(text)} is not start/end", _WINDOW_FIX)
        start, end = text.split("/")
    return _read_time(field, start), _read_time(field, end)


def _read_time(field: str, value: object) -> datetime | None:
    if value is None or value == "":
        return None
    text = raw_text(field, value).strip()
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Invalid(
            field, "sale_window_shape", f"{shown(text)} is not an ISO 8601 time", _WINDOW_FIX
        ) from error
    raise Invalid(field, "sale_window_without_zone", f"{shown(text)} has no time zone", _WINDOW_FIX)


def read_attributes(field: str, value: object) -> dict[str, str | None]:
    """Names and texts; None clears one. Merged into what the item has."""
    if not isinstance(value, Mapping):
        raise Invalid(
            field, "not_an_object", f"{shown(value)} is not an object", "Send names with text values."
        )
    read: dict[str, str | None] = {}
    for name, text in value.items():
        key = read_line(f"{field} name", name, chars_max=limits.ATTRIBUTE_NAME_CHARS_MAX)
        if not key:
            raise Invalid(field, "attribute_unnamed", "an attribute has an empty name", "Name it.")
        where = f"{field}.{key}"
        cleaned = None if text is None else raw_text(where, text).strip()
        if cleaned is not None:
            _within(where, cleaned, chars_max=limits.ATTRIBUTE_VALUE_CHARS_MAX)
        read[key] = cleaned or None
    return read
