"""What stands against sending an event to any network, found before it is sent. Pure."""

from datetime import datetime
from typing import Final

from vitrin.platforms.base import Problem
from vitrin.platforms.conversion import Conversion, ConversionCapabilities, ConversionName

CUSTOM_NAME_MAX: Final = 50
EVENT_ID_MAX: Final = 64


def problems_of(
    event: Conversion, capabilities: ConversionCapabilities, *, now: datetime
) -> tuple[Problem, ...]:
    """The reasons of a dead letter; () where nothing stands against it."""
    found = [
        _of_name(event, capabilities),
        _of_time(event, capabilities, now),
        _of_value(event, capabilities),
    ]
    if not event.event_id or len(event.event_id) > EVENT_ID_MAX:
        found.append(
            Problem(
                "event_id_invalid",
                "event_id",
                f"The event id must have 1 to {EVENT_ID_MAX} characters.",
                "Make one id per event, before the browser and the server send it.",
            )
        )
    return tuple(one for one in found if one is not None)


def _of_name(event: Conversion, capabilities: ConversionCapabilities) -> Problem | None:
    if event.name not in capabilities.names:
        return Problem(
            "event_not_taken",
            "event_name",
            f"{capabilities.platform} takes no event for {event.name}.",
            "Nothing: the event is kept here and is not sent there.",
        )
    if event.name is ConversionName.CUSTOM and not 0 < len(event.custom_name) <= CUSTOM_NAME_MAX:
        return Problem(
            "custom_name_invalid",
            "custom_name",
            f"A custom event needs a name of 1 to {CUSTOM_NAME_MAX} characters.",
            "Give the event a custom_name.",
        )
    return None


def _of_time(event: Conversion, capabilities: ConversionCapabilities, now: datetime) -> Problem | None:
    age_max = capabilities.age_max_of(event.where)
    if now - event.occurred_at > age_max:
        return Problem(
            "event_too_old",
            "event_time",
            f"It happened {(now - event.occurred_at).days} days ago; {capabilities.platform} takes events of the last "
            f"{age_max.days} days.",
            "Send events sooner; what is older cannot be counted there.",
        )
    if event.occurred_at - now > capabilities.future_max:
        return Problem(
            "event_in_future",
            "event_time",
            "It lies in the future.",
            "Check the clock of the shop's server.",
        )
    return None


def _of_value(event: Conversion, capabilities: ConversionCapabilities) -> Problem | None:
    if event.value is not None and event.value.amount_minor < 0:
        return Problem(
            "value_negative",
            "value",
            "The value is below zero.",
            "Send refunds as refunds, not as purchases.",
        )
    if event.value is None and event.name in capabilities.value_needed:
        return Problem(
            "value_missing",
            "value",
            f"A {event.name} needs value and currency.",
            "Send the order's total and its currency.",
        )
    currencies = {item.price.currency for item in event.items if item.price is not None}
    if event.value is not None and currencies - {event.value.currency}:
        return Problem(
            "currency_mixed",
            "currency",
            "Prices of items and the event's value are in different currencies.",
            "Send an order in the one currency that it was paid in.",
        )
    return None
