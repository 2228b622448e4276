"""Comparing what was sent with what a platform shows, tolerant only where platforms rewrite a value's form."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from vitrin.kit.money import MoneyInvalid, currency_decimals
from vitrin.platforms.base import Difference

SHOWN_CHARS_MAX: Final = 200
_NUMBER = re.compile(r"[0-9][0-9.,'’\u00a0\u202f ]*")
_CODE = re.compile(r"\b[A-Z]{3}\b")


def amount_minor(text: str, *, decimals: int) -> int | None:
    """Minor units of a formatted amount such as "$1,234.50", "12,34 €" or "1.250,00"; None where it has no number.

    The last separator is the decimal point when as many digits follow as the currency has decimals, or when it
    cannot group thousands (fewer than three digits follow).
    """
    found = _NUMBER.search(text)
    if found is None:
        return None
    number = found.group().rstrip(".,'’\u00a0\u202f ")
    parts = re.split(r"[.,'’\u00a0\u202f ]", number)
    fraction = ""
    if len(parts) > 1 and (len(parts[-1]) == decimals or len(parts[-1]) < 3):
        fraction = parts.pop()
    if len(fraction) > decimals:
        if fraction[decimals:].strip("0"):
            return None
        fraction = fraction[:decimals]
    scale: int = 10**decimals
    return int("".join(parts) or "0") * scale + int(fraction.ljust(decimals, "0") or "0")


def same_price(sent: str, seen: str, *, seen_currency: str = "") -> bool:
    """`sent` as "12.34 USD"; `seen` in any form, with its currency in the text, apart, or nowhere."""
    amount, _, currency = sent.partition(" ")
    named = seen_currency or next(iter(_CODE.findall(seen)), "")
    if named and named != currency:
        return False
    try:
        decimals = currency_decimals(currency)
    except MoneyInvalid:
        return sent == seen
    return amount_minor(seen, decimals=decimals) == amount_minor(amount, decimals=decimals)


def same_text(sent: str, seen: str) -> bool:
    return " ".join(sent.split()) == " ".join(seen.split())


def same_window(sent: str, seen: str) -> bool:
    """Two `from/to` windows name the same moments, whatever their offset; unreadable ones are compared as text."""
    left, right = _moments(sent), _moments(seen)
    return sent == seen if left is None or right is None else left == right


def _moments(window: str) -> list[datetime] | None:
    try:
        moments = [datetime.fromisoformat(part) for part in window.split("/")]
        return [moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC) for moment in moments]
    except (ValueError, OverflowError):
        return None


def as_text(value: object) -> str:
    """A JSON value as one line of text: absent, null and empty are all ""."""
    if value is None:
        return ""
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return " ".join(as_text(part) for part in value)
    return str(value)


def difference(name: str, sent: object, seen: object) -> Difference:
    return Difference(name, as_text(sent)[:SHOWN_CHARS_MAX], as_text(seen)[:SHOWN_CHARS_MAX])
