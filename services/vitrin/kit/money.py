"""Money: an integer of minor units and an ISO 4217 currency. No float enters or leaves.

Which currencies exist and how many decimals they have comes from Babel (Unicode CLDR). CLDR drops decimals
of some currencies whose coins are gone; an amount that is stored for years must follow ISO 4217 instead, so
these are corrected in `ISO_4217_DECIMALS` (ISO 4217 list one, column "minor unit").
"""

import re
from dataclasses import dataclass
from functools import cache
from typing import Final

from babel.core import get_global

AMOUNT_MINOR_MAX: Final = 2**53
"""Minor units; beyond it a JSON reader that uses doubles would change the amount."""

AMOUNT_TEXT_CHARS_MAX: Final = 40

ISO_4217_DECIMALS: Final = {
    "AFN": 2,
    "ALL": 2,
    "IQD": 3,
    "IRR": 2,
    "KPW": 2,
    "LAK": 2,
    "LBP": 2,
    "MGA": 2,
    "MMK": 2,
    "RSD": 2,
    "SOS": 2,
    "SYP": 2,
    "YER": 2,
}

_AMOUNT = re.compile(r"(?P<sign>[+-]?)(?P<whole>[0-9]+)(?:\.(?P<fraction>[0-9]+))?")
_PRICE = re.compile(
    r"(?P<amount>\S+)\s+(?P<currency>[A-Za-z]{3})|(?P<glued>[^\sA-Za-z]+)(?P<code>[A-Za-z]{3})"
)


class MoneyInvalid(ValueError):
    """Text that is no exact amount of a known currency. `reason_code` is stable, `fix` says what to do."""

    def __init__(self, reason_code: str, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.reason_code = reason_code
        self.message = message
        self.fix = fix


class CurrencyMismatch(ValueError):
    """Two amounts of different currencies were added or compared."""

    def __init__(self, left: str, right: str) -> None:
        super().__init__(f"{left} and {right} do not add up or compare")
        self.left = left
        self.right = right


@cache
def _decimals_by_currency() -> dict[str, int]:
    """Currencies that are legal tender somewhere today, each with its number of decimals."""
    fractions = get_global("currency_fractions")
    default = fractions["DEFAULT"][0]
    current = {
        currency
        for periods in get_global("territory_currencies").values()
        for currency, _start, end, tender in periods
        if end is None and tender
    }
    return {
        currency: ISO_4217_DECIMALS.get(currency, fractions.get(currency, (default,))[0])
        for currency in current
    }


def currencies() -> frozenset[str]:
    """Codes of all that are legal tender somewhere today."""
    return frozenset(_decimals_by_currency())


def is_currency(code: str) -> bool:
    return code in _decimals_by_currency()


def currency_decimals(code: str) -> int:
    """JPY 0, EUR 2, OMR 3. Raises `MoneyInvalid` (currency_unknown)."""
    decimals = _decimals_by_currency().get(code)
    if decimals is None:
        raise MoneyInvalid(
            "currency_unknown",
            f"{_shown(code)} is not a currency in use",
            "Use the three upper-case letters of ISO 4217, for example EUR.",
        )
    return decimals


def _shown(text: str) -> str:
    return repr(text if len(text) <= AMOUNT_TEXT_CHARS_MAX else text[:AMOUNT_TEXT_CHARS_MAX] + "…")


@dataclass(frozen=True, slots=True)
class Money:
    """`amount_minor` may be negative (refunds, ledgers); where it must not be, `parse` refuses it."""

    amount_minor: int
    currency: str

    def __post_init__(self) -> None:
        currency_decimals(self.currency)
        if type(self.amount_minor) is not int:
            raise TypeError(f"amount_minor is an int of minor units, not {type(self.amount_minor).__name__}")
        if abs(self.amount_minor) > AMOUNT_MINOR_MAX:
            raise MoneyInvalid(
                "price_too_large",
                f"{self.amount_minor} minor units is more than {AMOUNT_MINOR_MAX}",
                "Check the amount.",
            )

    @classmethod
    def parse(cls, text: str, currency: str, *, negative_allowed: bool = False) -> "Money":
        """Exact: "12.34" of EUR is 1234. Zeros beyond the currency's decimals lose nothing and are accepted.

        Raises `MoneyInvalid`: price_empty, price_comma, price_not_decimal, price_negative,
        price_too_many_decimals, price_too_large, currency_unknown.
        """
        decimals = currency_decimals(currency)
        amount = text.strip(" \t")
        found = _checked(amount)
        if found["sign"] == "-" and not negative_allowed:
            raise MoneyInvalid(
                "price_negative", f"{_shown(amount)} is negative", "Use an amount of 0 or more."
            )
        fraction = (found["fraction"] or "").rstrip("0")
        if len(fraction) > decimals:
            raise MoneyInvalid(
                "price_too_many_decimals",
                f"{_shown(amount)} has {len(fraction)} decimals; {currency} has {decimals}",
                f"Round the amount to {decimals} decimals.",
            )
        minor = int(found["whole"]) * 10**decimals + int(fraction.ljust(decimals, "0") or "0")
        return cls(-minor if found["sign"] == "-" else minor, currency)

    def decimal_text(self) -> str:
        """ "12.34"; "1000" for a currency without decimals. `parse` reads it back to the same amount."""
        decimals = currency_decimals(self.currency)
        sign = "-" if self.amount_minor < 0 else ""
        digits = str(abs(self.amount_minor)).rjust(decimals + 1, "0")
        return f"{sign}{digits}" if decimals == 0 else f"{sign}{digits[:-decimals]}.{digits[-decimals:]}"

    def __str__(self) -> str:
        return f"{self.decimal_text()} {self.currency}"

    def _same(self, other: "Money") -> None:
        if self.currency != other.currency:
            raise CurrencyMismatch(self.currency, other.currency)

    def __add__(self, other: "Money") -> "Money":
        self._same(other)
        return Money(self.amount_minor + other.amount_minor, self.currency)

    def __sub__(self, other: "Money") -> "Money":
        self._same(other)
        return Money(self.amount_minor - other.amount_minor, self.currency)

    def __neg__(self) -> "Money":
        return Money(-self.amount_minor, self.currency)

    def __lt__(self, other: "Money") -> bool:
        self._same(other)
        return self.amount_minor < other.amount_minor

    def __le__(self, other: "Money") -> bool:
        self._same(other)
        return self.amount_minor <= other.amount_minor

    def __gt__(self, other: "Money") -> bool:
        return other < self

    def __ge__(self, other: "Money") -> bool:
        return other <= self


def _checked(amount: str) -> re.Match[str]:
    if not amount:
        raise MoneyInvalid("price_empty", "the amount is empty", "Write an amount such as 12.34.")
    if len(amount) > AMOUNT_TEXT_CHARS_MAX:
        raise MoneyInvalid(
            "price_too_large",
            f"{_shown(amount)} is longer than {AMOUNT_TEXT_CHARS_MAX} characters",
            "Check the amount.",
        )
    if "," in amount:
        raise MoneyInvalid(
            "price_comma",
            f"{_shown(amount)} has a comma",
            "Write decimals with a point and no thousands separator: 1234.50.",
        )
    found = _AMOUNT.fullmatch(amount)
    if found is None:
        raise MoneyInvalid(
            "price_not_decimal",
            f"{_shown(amount)} is not a decimal number",
            "Write digits with at most one point, without symbols, spaces or exponents: 1234.50.",
        )
    return found


def parse_price(text: str, *, default_currency: str | None = None, negative_allowed: bool = False) -> Money:
    """A price as feeds write it: "12.34 USD" (or "12.34USD", which some platforms' feeds have).

    A bare amount takes `default_currency`; without one it is refused as price_without_currency.
    """
    price = text.strip(" \t")
    found = _PRICE.fullmatch(price) if len(price) <= AMOUNT_TEXT_CHARS_MAX + 4 else None
    if found is not None:
        amount, currency = found["amount"] or found["glued"], found["currency"] or found["code"]
        return Money.parse(amount, currency, negative_allowed=negative_allowed)
    if default_currency is not None:
        return Money.parse(price, default_currency, negative_allowed=negative_allowed)
    _checked(price)
    raise MoneyInvalid(
        "price_without_currency", f"{_shown(price)} has no currency", f"Write the currency too: {price} EUR."
    )
