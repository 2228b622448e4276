"""What an event must be, beyond its shape. Amounts become minor units here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Final, NamedTuple, Protocol

from vitrin.kit.money import currency_decimals, is_currency
from vitrin.retargeting.domain.vocabulary import BUSINESS_KEYS, EventName

FUTURE_MS_MAX: Final = 5 * 60 * 1000
"""A shopper's clock may be ahead of ours by so much."""
DAY_MS: Final = 24 * 3600 * 1000
AGE_DAYS_MAX: Final = 90
"""Event ids are kept so long: what is older could be a repetition that nobody remembers."""
AMOUNT_MAX: Final = 10**11
"""Of any currency, in whole units: its minor units are exact in a double, which JSON readers use."""
KEYED_AGE_DAYS_MAX: Final = 3_650
"""Orders, refunds and leads count once for ever, so old ones may be brought in."""


class Item(Protocol):
    """`price`: of one."""

    @property
    def price(self) -> Decimal | None: ...


class Checked(Protocol):
    """What is looked at of an event."""

    @property
    def name(self) -> EventName: ...
    @property
    def occurred_at(self) -> int | datetime | None: ...
    @property
    def visitor_id(self) -> str: ...
    @property
    def customer_id(self) -> str: ...
    @property
    def value(self) -> Decimal | None: ...
    @property
    def currency(self) -> str: ...
    @property
    def custom_name(self) -> str: ...
    @property
    def order_id(self) -> str: ...
    @property
    def refund_id(self) -> str: ...
    @property
    def lead_id(self) -> str: ...
    @property
    def items(self) -> Sequence[Item]: ...


class Refusal(NamedTuple):
    """Why one event is not taken: a stable code, the field, what is wrong and what to do."""

    code: str
    field: str
    message: str
    fix: str


@dataclass(frozen=True, slots=True)
class Moment:
    """When a request came, and between which moments its events may have happened, in ms since 1970."""

    received_ms: int
    newest_ms: int
    oldest_ms: int
    oldest_keyed_ms: int

    @classmethod
    def of(cls, received_ms: int) -> "Moment":
        return cls(
            received_ms,
            received_ms + FUTURE_MS_MAX,
            received_ms - AGE_DAYS_MAX * DAY_MS,
            received_ms - KEYED_AGE_DAYS_MAX * DAY_MS,
        )


def occurred_ms(event: Checked, received_ms: int) -> int:
    at = event.occurred_at
    if at is None:
        return received_ms
    return at if isinstance(at, int) else int(at.timestamp() * 1000)


def refusal_of(event: Checked, moment: Moment) -> Refusal | None:
    """None: it is taken. Called for every event, so what is usual is decided first."""
    at = event.occurred_at
    key = BUSINESS_KEYS.get(event.name)
    if at is not None:
        at_ms = at if isinstance(at, int) else occurred_ms(event, 0)
        oldest_ms = moment.oldest_ms if key is None else moment.oldest_keyed_ms
        if not oldest_ms <= at_ms <= moment.newest_ms:
            return _of_another_time(at_ms > moment.newest_ms, keyed=key is not None)
    if not event.visitor_id and not event.customer_id:
        return Refusal(
            "nobody",
            "visitor_id",
            "The event names neither a visitor nor a customer.",
            "Send 'visitor_id' (the first-party id of the browser) or 'customer_id'.",
        )
    if key is not None and not getattr(event, key):
        return Refusal(
            f"{key}_missing",
            key,
            f"A {event.name} is counted once by its '{key}', which is missing.",
            f"Send '{key}'.",
        )
    if event.name is EventName.CUSTOM and not event.custom_name:
        return Refusal(
            "custom_name_missing", "custom_name", "A custom event has no name.", "Send 'custom_name'."
        )
    if event.value is None and not event.items:
        return None if not event.currency or is_currency(event.currency) else _unknown_currency()
    return _amount_refusal(event)


def _amount_refusal(event: Checked) -> Refusal | None:
    currency = event.currency
    if currency and not is_currency(currency):
        return _unknown_currency()
    if event.value is not None and (wrong := _amount_wrong("value", event.value, currency)):
        return wrong
    for number, item in enumerate(event.items):
        if item.price is not None and (wrong := _amount_wrong("price", item.price, currency)):
            return wrong._replace(field=f"items[{number}].price") if wrong.field == "price" else wrong
    return None


def _amount_wrong(field: str, amount: Decimal, currency: str) -> Refusal | None:
    if not currency:
        return Refusal(
            "currency_missing",
            "currency",
            "An amount without a currency says nothing.",
            "Send 'currency', three upper-case letters of ISO 4217.",
        )
    if amount.is_finite() and 0 <= amount <= AMOUNT_MAX:
        return None
    return Refusal(
        "amount_invalid",
        field,
        f"An amount is between 0 and {AMOUNT_MAX}.",
        "Check the amount. A refund has a positive value too: its name says that money went back.",
    )


def _unknown_currency() -> Refusal:
    return Refusal(
        "currency_unknown",
        "currency",
        "This is no currency in use.",
        "Send the three upper-case letters of ISO 4217, for example EUR.",
    )


def _of_another_time(future: bool, *, keyed: bool) -> Refusal:
    if future:
        return Refusal(
            "in_future",
            "occurred_at",
            f"It lies more than {FUTURE_MS_MAX // 60_000} minutes ahead of our clock.",
            "Check the sender's clock, and that the number is milliseconds; or leave 'occurred_at' out.",
        )
    days = KEYED_AGE_DAYS_MAX if keyed else AGE_DAYS_MAX
    return Refusal(
        "too_old",
        "occurred_at",
        f"It lies more than {days} days back.",
        "Only orders, refunds and leads may be older than 90 days. Check that the number is milliseconds.",
    )


def minor_units(amount: Decimal, currency: str) -> int:
    """Rounded half up to the currency's own exponent: browsers add with doubles and send 35.980000000000004."""
    return int(amount.scaleb(currency_decimals(currency)).to_integral_value(ROUND_HALF_UP))


def business_key(event: Mapping[str, str], name: str) -> str:
    """Of an event's ids by name; empty where its event id alone counts."""
    key = BUSINESS_KEYS.get(EventName(name))
    return "" if key is None else event[key]
