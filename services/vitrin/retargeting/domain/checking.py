"""What an event must be, beyond its shape. Amounts become minor units here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Final, NamedTuple, Protocol

from vitrin.kit.money import currencies, currency_decimals, is_currency
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


_PLAIN: Final = frozenset(set(EventName) - set(BUSINESS_KEYS) - {EventName.CUSTOM})
_CURRENCIES: Final = currencies()


class Item(Protocol):
    """`price`: of one, between 0 and AMOUNT_MAX."""

    @property
    def price(self) -> float | None: ...


class Checked(Protocol):
    """What is looked at of an event. Its shape was looked at before: lengths, and the bounds of amounts."""

    @property
    def name(self) -> EventName: ...
    @property
    def occurred_at(self) -> int | datetime | None: ...
    @property
    def visitor_id(self) -> str: ...
    @property
    def customer_id(self) -> str: ...
    @property
    def value(self) -> float | None: ...
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


def refused_of(events: Sequence[Checked | None], moment: Moment) -> dict[int, Refusal]:
    """By index, those that are not taken; None was refused before. Every event comes by here, and mostly all of a batch
    are good: that is decided over the batch, in a few passes."""
    if None not in events and _all_good(events, moment):  # type: ignore[arg-type]
        return {}
    refused = {}
    for index, event in enumerate(events):
        why = None if event is None else refusal_of(event, moment)
        if why is not None:
            refused[index] = why
    return refused


def _all_good(events: Sequence[Checked], moment: Moment) -> bool:
    """False also where it takes a closer look."""
    if not _PLAIN.issuperset([event.name for event in events]):
        return False
    if not _CURRENCIES.issuperset([event.currency for event in events]):
        return False
    if "" in [event.visitor_id for event in events]:
        return False
    times = [at for event in events if (at := event.occurred_at) is not None]
    try:
        return not times or (moment.oldest_ms <= min(times) and max(times) <= moment.newest_ms)  # type: ignore[operator]
    except TypeError:  # some are no numbers
        return False


def refusal_of(event: Checked, moment: Moment) -> Refusal | None:
    """None: it is taken."""
    key = BUSINESS_KEYS.get(event.name)
    at_ms = occurred_ms(event, moment.received_ms)
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
    return _amount_refusal(event)


def _amount_refusal(event: Checked) -> Refusal | None:
    currency = event.currency
    if currency:
        return None if is_currency(currency) else _unknown_currency()
    if event.value is None and all(item.price is None for item in event.items):
        return None
    return Refusal(
        "currency_missing",
        "currency",
        "An amount without a currency says nothing.",
        "Send 'currency', three upper-case letters of ISO 4217.",
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


def minor_units(amount: float, currency: str) -> int:
    """Rounded half up to the currency's own exponent: browsers add with doubles and send 35.980000000000004."""
    exact = Decimal(repr(amount)).scaleb(currency_decimals(currency))
    return int(exact.to_integral_value(ROUND_HALF_UP))


def business_key(event: Mapping[str, str], name: str) -> str:
    """Of an event's ids by name; empty where its event id alone counts."""
    key = BUSINESS_KEYS.get(name)  # type: ignore[call-overload]
    return "" if key is None else event[key]
