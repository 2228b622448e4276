"""National phone numbers of a person whose country is known become international ones. Pure.

A shop has "089 123456" and a billing country, the networks want the country code: which digits of a national number go
and which stay (Italy keeps its 0) is in libphonenumber's tables, not in ours.
"""

from typing import Final

import phonenumbers

from vitrin.platforms.personal.text import international

_MARKED: Final = ("+", "00")


def is_marked(raw: str) -> bool:
    """Whether the number says itself that it begins with a country code."""
    return raw.strip().startswith(_MARKED) and bool(international(raw))


def with_country(raw: str, country: str) -> str:
    """ "+" and digits (E.164) of a number without "+" or "00" in a person's country (ISO 3166-1 alpha-2): read as a
    national number first, then as one whose "+" was lost. "" where neither is a number that exists."""
    region = country.strip().upper()
    for text, where in ((raw, region), (f"+{international(raw)}", None)):
        try:
            number = phonenumbers.parse(text, where)
        except phonenumbers.NumberParseException:
            continue
        of = phonenumbers.region_code_for_number(number)
        if phonenumbers.is_valid_number(number) and of == region:
            return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
    return ""
