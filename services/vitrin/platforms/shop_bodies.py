"""Reading a shop's JSON: every value by its path, so that a body that is not what it promises says where. Pure.

Amounts are text or whole numbers: a JSON number with a fraction has been a float on its way and is refused. Amounts
with more decimals than the currency has are rounded half up, as shops show them.
"""

import hashlib
import hmac
import re
from base64 import b64encode
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from math import floor
from typing import Any, Final

import orjson

from vitrin.kit.money import Money, MoneyInvalid, currency_decimals
from vitrin.platforms.shop import BodyInvalid

QUANTITY_MAX: Final = 2**31 - 1
ID_DIGITS_MAX: Final = 20
ITEMS_MAX: Final = 10_000
"""Of one list in one body."""
_AMOUNT: Final = re.compile(r"[+-]?[0-9]{1,20}(\.[0-9]{1,20})?")
_DIGITS: Final = re.compile(rf"[0-9]{{1,{ID_DIGITS_MAX}}}")


def base64_signed(given: str, body: bytes, secrets: Collection[str]) -> bool:
    """Whether one of the secrets made this base64 HMAC-SHA256 of exactly these bytes; all are tried, in constant
    time."""
    sent = given.strip().encode("utf-8", "surrogatepass")
    fits = [
        hmac.compare_digest(b64encode(hmac.digest(secret.encode(), body, hashlib.sha256)), sent)
        for secret in secrets
        if secret
    ]
    return any(fits)


def parse(body: bytes) -> "Part":
    """The whole body, an object. Raises BodyInvalid."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BodyInvalid("$: no JSON") from None
    if not isinstance(value, dict):
        raise BodyInvalid("$: no object")
    return Part(value, "$")


@dataclass(frozen=True, slots=True, repr=False)
class Part:
    """One object of a body, with where it stands. Absent and null are the same."""

    value: Mapping[str, Any]
    path: str

    def wrong(self, name: str, what: str) -> BodyInvalid:
        return BodyInvalid(f"{self.path}.{name}: {what}")

    def has(self, name: str) -> bool:
        return self.value.get(name) is not None

    def part(self, name: str) -> "Part":
        """The object there; an empty one where there is none."""
        found = self.value.get(name)
        if found is None:
            return Part({}, f"{self.path}.{name}")
        if not isinstance(found, dict):
            raise self.wrong(name, "no object")
        return Part(found, f"{self.path}.{name}")

    def parts(self, name: str) -> Iterator["Part"]:
        """The objects of a list; none where there is no list."""
        for index, one in enumerate(self._list(name)):
            if not isinstance(one, dict):
                raise self.wrong(f"{name}[{index}]", "no object")
            yield Part(one, f"{self.path}.{name}[{index}]")

    def texts(self, name: str) -> tuple[str, ...]:
        found = self._list(name)
        if not all(isinstance(one, str) for one in found):
            raise self.wrong(name, "not all are text")
        return tuple(_clean(one) for one in found)

    def _list(self, name: str) -> list[Any]:
        found = self.value.get(name)
        if found is None:
            return []
        if not isinstance(found, list):
            raise self.wrong(name, "no list")
        if len(found) > ITEMS_MAX:
            raise self.wrong(name, f"more than {ITEMS_MAX}")
        return found

    def text(self, name: str) -> str:
        """ "" where there is none. Numbers, which some shops write for codes, become their digits."""
        found = self.value.get(name)
        if found is None:
            return ""
        if isinstance(found, str):
            return _clean(found)
        if isinstance(found, int) and not isinstance(found, bool):
            return str(found)
        raise self.wrong(name, "no text")

    def flag(self, name: str) -> bool:
        """False where there is none."""
        found = self.value.get(name)
        if found is None:
            return False
        if not isinstance(found, bool):
            raise self.wrong(name, "neither true nor false")
        return found

    def id(self, name: str = "id") -> str:
        found = self.id_or_none(name)
        if not found:
            raise self.wrong(name, "missing")
        return found

    def id_or_none(self, name: str) -> str:
        """Digits, of a number, a text or the end of a gid; "" where there is none, or 0, which means none."""
        found = self.value.get(name)
        if found is None:
            return ""
        written = found.rpartition("/")[2].partition("?")[0] if isinstance(found, str) else str(found)
        if isinstance(found, bool) or not _DIGITS.fullmatch(written):
            raise self.wrong(name, "no id of digits")
        return written.lstrip("0")

    def ids(self, name: str) -> tuple[str, ...]:
        found = self._list(name)
        return tuple(Part({"id": one}, f"{self.path}.{name}[{at}]").id() for at, one in enumerate(found))

    def integer(self, name: str) -> int:
        found = self.integer_or_none(name)
        if found is None:
            raise self.wrong(name, "missing")
        return found

    def integer_or_none(self, name: str) -> int | None:
        found = self.value.get(name)
        if found is None:
            return None
        if isinstance(found, float) and abs(found) <= QUANTITY_MAX:
            # WooCommerce writes stock as 3.5 where a plugin allows parts of a piece: whole pieces are sold.
            found = floor(found)
        if not isinstance(found, int) or isinstance(found, bool) or abs(found) > QUANTITY_MAX:
            raise self.wrong(name, "no whole number")
        return found

    def moment(self, name: str, *, utc: bool = False) -> datetime:
        found = self.moment_or_none(name, utc=utc)
        if found is None:
            raise self.wrong(name, "missing")
        return found

    def moment_or_none(self, name: str, *, utc: bool = False) -> datetime | None:
        """`utc`: the text has no zone and means UTC."""
        found = self.value.get(name)
        if found is None or found == "":
            return None
        try:
            read = datetime.fromisoformat(found)
            if read.tzinfo is None and utc:
                read = read.replace(tzinfo=UTC)
            if read.tzinfo is None:
                raise self.wrong(name, "a moment without a zone")
            return read.astimezone(UTC)
        except BodyInvalid:
            raise
        except (TypeError, ValueError, OverflowError):
            raise self.wrong(name, "no moment") from None

    def money(self, name: str, currency: str) -> Money:
        found = self.money_or_none(name, currency)
        if found is None:
            raise self.wrong(name, "missing")
        return found

    def money_or_none(self, name: str, currency: str) -> Money | None:
        found = self.decimal_or_none(name)
        return None if found is None else self.rounded(name, found, currency)

    def decimal_or_none(self, name: str) -> Decimal | None:
        found = self.value.get(name)
        if found is None or found == "":
            return None
        if isinstance(found, int) and not isinstance(found, bool):
            found = str(found)
        if not isinstance(found, str) or not _AMOUNT.fullmatch(found):
            raise self.wrong(name, "no amount")
        return Decimal(found)

    def rounded(self, name: str, amount: Decimal, currency: str) -> Money:
        try:
            minor = amount.scaleb(currency_decimals(currency)).to_integral_value(rounding=ROUND_HALF_UP)
            return Money(int(minor), currency)
        except MoneyInvalid as error:
            raise self.wrong(name, error.reason_code) from None


def _clean(text: str) -> str:
    """PostgreSQL holds no NUL."""
    return text.replace("\x00", "") if "\x00" in text else text


def total(amounts: Collection[Money], currency: str) -> Money:
    return Money(sum(one.amount_minor for one in amounts), currency)
