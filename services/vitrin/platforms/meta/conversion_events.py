"""Meta's server events, the pure half: events in, verdicts and counts out.

Source: platforms.md 1.5 and the SDK's server side classes (v26).
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import orjson

from vitrin.kit.http_client import Rate
from vitrin.platforms.base import Outcome, Problem
from vitrin.platforms.conversion import (
    Conversion,
    ConversionCapabilities,
    ConversionEndpoint,
    ConversionItem,
    ConversionName,
    ConversionResult,
    RenderedConversion,
    Reported,
    TestKind,
    Where,
)
from vitrin.platforms.conversion_checks import problems_of
from vitrin.platforms.meta.errors import number_of
from vitrin.platforms.personal.lint import prepare, problem
from vitrin.platforms.personal.model import Field
from vitrin.platforms.personal.rules import META_EVENTS
from vitrin.platforms.records import Limits, RecordVerdict, all_of

EVENTS_MAX: Final = 1_000
BYTES_MAX: Final = 10_000_000
"""Chosen by us: Meta publishes no limit (unverified)."""

CAPABILITIES: Final = ConversionCapabilities(
    platform="meta",
    limits=Limits(records_max=EVENTS_MAX, bytes_max=BYTES_MAX),
    names={
        ConversionName.PAGE_VIEW: "PageView",
        ConversionName.VIEW_ITEM: "ViewContent",
        # Meta has no standard event for these two; custom events of these names are what its own plugins send.
        ConversionName.VIEW_COLLECTION: "ViewCategory",
        ConversionName.REMOVE_FROM_CART: "RemoveFromCart",
        ConversionName.SEARCH: "Search",
        ConversionName.ADD_TO_CART: "AddToCart",
        ConversionName.ADD_TO_WISHLIST: "AddToWishlist",
        ConversionName.BEGIN_CHECKOUT: "InitiateCheckout",
        ConversionName.ADD_PAYMENT_INFO: "AddPaymentInfo",
        ConversionName.PURCHASE: "Purchase",
        ConversionName.LEAD: "Lead",
        ConversionName.SIGN_UP: "CompleteRegistration",
        ConversionName.CUSTOM: "",
    },
    age_max={Where.WEB: timedelta(days=7), Where.STORE: timedelta(days=62)},
    future_max=timedelta(minutes=1),
    dedupe=timedelta(hours=48),
    dedupe_by=("event_name", "event_id"),
    dedupes_offline=True,
    whole_batch=True,
    per_event=False,
    test=TestKind.CODE,
    concurrency_max=4,
    # The Conversions API has no published limit; this many calls carry 300,000 events a minute (unverified).
    rates={
        ConversionEndpoint.SEND: Rate(endpoint="events", calls=300, per_s=60.0),
        ConversionEndpoint.REPORT: Rate(endpoint="pixel_stats", calls=10, per_s=60.0),
    },
)
ACTION_SOURCES: Final = {
    Where.WEB: "website",
    Where.STORE: "physical_store",
    Where.PHONE: "phone_call",
    Where.EMAIL: "email",
    Where.OTHER: "other",
}
USER_FIELDS: Final[Mapping[Field, str]] = {
    Field.EMAIL: "em",
    Field.PHONE: "ph",
    Field.FIRST_NAME: "fn",
    Field.LAST_NAME: "ln",
    Field.GENDER: "ge",
    Field.BIRTH_DATE: "db",
    Field.CITY: "ct",
    Field.STATE: "st",
    Field.POSTAL_CODE: "zp",
    Field.COUNTRY: "country",
    Field.EXTERNAL_ID: "external_id",
}
_IDENTIFIES: Final = ("em", "ph", "external_id", "fbc", "fbp", "madid", "lead_id")


PARTLY_RECEIVED: Final = Problem(
    "partly_received",
    "",
    "Meta counted fewer events than it was sent.",
    "Vitrin sends them again under the same event ids; what arrived counts once.",
)


def render(event: Conversion, *, now: datetime) -> RenderedConversion:
    problems = list(problems_of(event, CAPABILITIES, now=now))
    user, warnings = _user(event)
    if not any(user.get(name) for name in _IDENTIFIES) and not (
        user.get("client_ip_address") and user.get("client_user_agent")
    ):
        problems.append(problem("no_identifier", "user_data"))
    if event.where is Where.WEB:
        problems += [
            Problem(f"missing_{name}", name, f"An event of a website needs {words}.", f"Send {words}.")
            for name, given, words in (
                ("event_source_url", event.url, "the page's address"),
                ("client_user_agent", event.user_agent, "the browser's user agent"),
            )
            if not given
        ]
    body: dict[str, object] = {
        "event_name": CAPABILITIES.names.get(event.name, "") or event.custom_name,
        "event_time": int(event.occurred_at.timestamp()),
        "event_id": event.event_id,
        "action_source": ACTION_SOURCES[event.where],
        "event_source_url": event.url,
        "referrer_url": event.referrer,
        "user_data": user,
        "custom_data": _custom(event),
    }
    sent = {name: value for name, value in body.items() if value not in ("", {})}
    if event.limited:
        # Country and state 0: Meta finds out by itself where the person is.
        sent |= {
            "data_processing_options": ["LDU"],
            "data_processing_options_country": 0,
            "data_processing_options_state": 0,
        }
    return RenderedConversion(event.event_id, sent, len(orjson.dumps(sent)) + 1, tuple(problems), warnings)


def _user(event: Conversion) -> tuple[dict[str, object], tuple[Problem, ...]]:
    prepared = prepare(event.person, META_EVENTS)
    user: dict[str, object] = {
        name: list(prepared.values[field]) for field, name in USER_FIELDS.items() if field in prepared.values
    }
    devices = prepared.values.get(Field.MOBILE_AD_ID, ())
    plain = {
        "client_ip_address": event.client_ip,
        "client_user_agent": event.user_agent,
        "fbc": event.clicks.get("fbc") or _fbc(event),
        "fbp": event.clicks.get("fbp", ""),
        "madid": devices[0] if devices else "",
        # A lead id of Meta's own forms is a number; another one is not its.
        "lead_id": int(event.lead_id) if event.lead_id.isascii() and event.lead_id.isdigit() else "",
    }
    user |= {name: value for name, value in plain.items() if value}
    return user, (*prepared.left_out, *prepared.warnings)


def _fbc(event: Conversion) -> str:
    """The click id as Meta's own pixel would have kept it: with the time when the page was opened by the click."""
    click_id = event.clicks.get("fbclid", "")
    at = event.clicked_at or event.occurred_at
    return f"fb.1.{int(at.timestamp() * 1000)}.{click_id}" if click_id else ""


def _custom(event: Conversion) -> dict[str, object]:
    custom: dict[str, object] = {}
    if event.value is not None:
        custom |= {"value": float(event.value.decimal_text()), "currency": event.value.currency}
    if event.items:
        custom |= {
            "content_type": "product",
            "content_ids": [item.item_id for item in event.items],
            "contents": [_content(item) for item in event.items],
            "num_items": sum(item.quantity for item in event.items),
        }
    if event.order_id:
        custom["order_id"] = event.order_id
    if event.search_term:
        custom["search_string"] = event.search_term
    return custom


def _content(item: ConversionItem) -> dict[str, object]:
    content: dict[str, object] = {"id": item.item_id, "quantity": item.quantity}
    if item.price is not None:
        content["item_price"] = float(item.price.decimal_text())
    return content


def result(answer: Mapping[str, Any], ids: Sequence[str]) -> ConversionResult:
    """`{events_received, messages, fbtrace_id}`: a count and no names. All or nobody, as far as it is documented."""
    received = number_of(answer.get("events_received"))
    trace = str(answer.get("fbtrace_id") or "")
    if received != len(ids):
        return ConversionResult(all_of(ids, Outcome.UNKNOWN, reason=PARTLY_RECEIVED), trace)
    messages = answer.get("messages")
    warnings = tuple(
        Problem("network_message", "", str(message), "Follow what Meta says.")
        for message in (messages if isinstance(messages, list) else [])
    )
    return ConversionResult(
        tuple(RecordVerdict(one, Outcome.ACCEPTED, warnings=warnings) for one in ids), trace
    )


def stats_params(since: date, until: date, aggregation: str) -> dict[str, str]:
    """`GET /{pixel}/stats`: hours, in UTC."""
    begin = datetime(since.year, since.month, since.day, tzinfo=UTC)
    end = datetime(until.year, until.month, until.day, tzinfo=UTC) + timedelta(days=1)
    return {
        "aggregation": aggregation,
        "start_time": str(int(begin.timestamp())),
        "end_time": str(int(end.timestamp())),
    }


def reported(answers: Sequence[Mapping[str, Any]]) -> tuple[Reported, ...]:
    """`{data: [{start_time, aggregation, data: [{value, count}]}]}` by the hour, added up to days. Meta says neither
    here how many were matched nor how many were merged (Events Manager shows both)."""
    counts: dict[tuple[date, str], int] = {}
    for hour in (row for answer in answers for row in _list(answer.get("data"))):
        day = _day(hour.get("start_time"))
        for row in _list(hour.get("data")) if day else []:
            assert day is not None
            key = (day, str(row.get("value") or ""))
            counts[key] = counts.get(key, 0) + number_of(row.get("count"))
    return tuple(
        Reported(event_name=name, since=day, until=day, received=count)
        for (day, name), count in sorted(counts.items())
    )


def _list(rows: object) -> list[dict[str, Any]]:
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _day(text: object) -> date | None:
    try:
        return datetime.fromisoformat(str(text)).astimezone(UTC).date()
    except ValueError:
        return None
