"""What the world's standards know: currencies, markets, languages, time zones. From Babel's and zoneinfo's data."""

import re
import zoneinfo
from functools import cache

from babel import Locale, UnknownLocaleError
from babel.core import get_global

from vitrin.kit.errors import FieldError
from vitrin.kit.money import is_currency

_NO_ISO_COUNTRIES = frozenset(
    {"AC", "CP", "CQ", "DG", "EA", "EU", "EZ", "IC", "QO", "TA", "UN", "XA", "XB", "ZZ"}
)
"""Codes that CLDR uses for regions which ISO 3166-1 does not list (Kosovo's XK stays: platforms sell there)."""


@cache
def _countries() -> frozenset[str]:
    known = {code for code in get_global("territory_currencies") if re.fullmatch("[A-Z]{2}", code)}
    return frozenset(known - _NO_ISO_COUNTRIES - set(get_global("territory_aliases")))


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def currency_error(field: str, code: str) -> FieldError | None:
    if is_currency(code):
        return None
    return FieldError(
        field, "currency_unknown", f"{code[:20]!r} is no ISO 4217 currency.", "For example 'EUR'."
    )


def market_error(field: str, code: str) -> FieldError | None:
    if code in _countries():
        return None
    message = f"{code[:20]!r} is no ISO 3166-1 country."
    return FieldError(field, "market_unknown", message, "Two capital letters, for example 'DE'.")


def language_error(field: str, tag: str) -> FieldError | None:
    try:
        if re.fullmatch(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}", tag):
            Locale.parse(tag, sep="-")
            return None
    except (UnknownLocaleError, ValueError):
        pass
    message = f"{tag[:20]!r} is no language that we know."
    return FieldError(field, "language_unknown", message, "A BCP 47 tag, for example 'en' or 'pt-BR'.")


def time_zone_error(field: str, name: str) -> FieldError | None:
    if name in _time_zones():
        return None
    message = f"{name[:40]!r} is no IANA time zone."
    return FieldError(field, "time_zone_unknown", message, "For example 'Europe/Berlin'.")
