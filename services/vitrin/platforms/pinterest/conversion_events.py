"""Pinterest's conversion events, the pure half. Source: its OpenAPI description 5.23.0, unless marked."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
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
from vitrin.platforms.personal.lint import prepare, problem
from vitrin.platforms.personal.model import Field
from vitrin.platforms.personal.rules import PINTEREST
from vitrin.platforms.pinterest.ads_errors import event_rows
from vitrin.platforms.records import Limits, RecordVerdict

EVENTS_MAX: Final = 1_000
BYTES_MAX: Final = 2_000_000
"""What another vendor's connector sends at most; none is published (unverified)."""

CAPABILITIES: Final = ConversionCapabilities(
    platform="pinterest",
    limits=Limits(records_max=EVENTS_MAX, bytes_max=BYTES_MAX),
    names={
        # A product's page and any other page are both a page visit there: whoever sends view_item leaves out the
        # page_view of the same page.
        ConversionName.PAGE_VIEW: "page_visit",
        ConversionName.VIEW_ITEM: "page_visit",
        ConversionName.VIEW_COLLECTION: "view_category",
        ConversionName.SEARCH: "search",
        ConversionName.ADD_TO_CART: "add_to_cart",
        ConversionName.ADD_TO_WISHLIST: "add_to_wishlist",
        ConversionName.BEGIN_CHECKOUT: "initiate_checkout",
        ConversionName.ADD_PAYMENT_INFO: "add_payment_info",
        ConversionName.PURCHASE: "checkout",
        ConversionName.LEAD: "lead",
        ConversionName.SIGN_UP: "signup",
        ConversionName.CUSTOM: "custom",
    },
    # No age limit is published; events that come later than an hour count as offline there (unverified).
    age_max={Where.WEB: timedelta(days=7)},
    future_max=timedelta(minutes=1),
    # How long a repeat is recognised is not published (unverified).
    dedupe=timedelta(hours=24),
    dedupe_by=("event_name", "event_id"),
    dedupes_offline=False,
    whole_batch=False,
    per_event=True,
    test=TestKind.FLAG,
    concurrency_max=4,
    # 5,000 calls a minute per ad account.
    rates={
        ConversionEndpoint.SEND: Rate(endpoint="ads_conversions", calls=3_000, per_s=60.0),
        ConversionEndpoint.REPORT: Rate(endpoint="conversion_eqs", calls=60, per_s=60.0),
    },
)
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
    Field.MOBILE_AD_ID: "hashed_maids",
}
LIMITED: Final = "LDP"


def render(event: Conversion, *, now: datetime) -> RenderedConversion:
    problems = list(problems_of(event, CAPABILITIES, now=now))
    prepared = prepare(event.person, PINTEREST)
    user: dict[str, object] = {
        name: list(prepared.values[field]) for field, name in USER_FIELDS.items() if field in prepared.values
    }
    plain = {
        "client_ip_address": event.client_ip,
        "client_user_agent": event.user_agent,
        "click_id": event.clicks.get("epik", ""),
    }
    user |= {name: value for name, value in plain.items() if value}
    browser = event.client_ip and event.user_agent
    if not (user.get("em") or user.get("hashed_maids") or browser):
        problems.append(problem("no_identifier", "user_data"))
    body: dict[str, object] = {
        "event_name": CAPABILITIES.names.get(event.name, ""),
        "action_source": "web" if event.where is Where.WEB else "offline",
        "event_time": int(event.occurred_at.timestamp()),
        "event_id": event.event_id,
        "user_data": user,
    }
    if event.url:
        body["event_source_url"] = event.url
    custom = _custom(event)
    if custom:
        body["custom_data"] = custom
    return RenderedConversion(
        event.event_id,
        body,
        len(orjson.dumps(body)) + 1,
        tuple(problems),
        (*prepared.left_out, *prepared.warnings),
    )


def _custom(event: Conversion) -> dict[str, object]:
    custom: dict[str, object] = {}
    if event.value is not None:
        custom |= {"value": event.value.decimal_text(), "currency": event.value.currency}
    if event.items:
        custom |= {
            "content_ids": [item.item_id for item in event.items],
            "contents": [_content(item) for item in event.items],
            "num_items": sum(item.quantity for item in event.items),
        }
    words = {
        "order_id": event.order_id,
        "search_string": event.search_term,
        "content_name": event.custom_name,
        "opt_out_type": LIMITED if event.limited else "",
    }
    return custom | {name: value for name, value in words.items() if value}


def _content(item: ConversionItem) -> dict[str, object]:
    content: dict[str, object] = {"id": item.item_id, "quantity": item.quantity}
    words = {
        "item_price": item.price.decimal_text() if item.price is not None else "",
        "item_name": item.title,
        "item_brand": item.brand,
        "item_category": item.category,
    }
    return content | {name: value for name, value in words.items() if value}


def result(answer: object, ids: Sequence[str]) -> ConversionResult:
    """The events of the answer stand in the order of the request; what is missing at the end is unknown."""
    rows = event_rows(answer)
    verdicts = [_verdict(one, rows[at] if at < len(rows) else {}) for at, one in enumerate(ids)]
    return ConversionResult(tuple(verdicts))


def _verdict(event_id: str, row: Mapping[str, Any]) -> RecordVerdict:
    status = row.get("status")
    warning = row.get("warning_message")
    warnings = (
        (Problem("network_message", "", str(warning), "Follow what Pinterest says."),) if warning else ()
    )
    if status == "processed":
        return RecordVerdict(event_id, Outcome.ACCEPTED, warnings=warnings)
    if status == "failed":
        words = str(row.get("error_message") or "Pinterest gave no reason")
        reason = Problem("event_refused", "", words, "Correct what Pinterest names.")
        return RecordVerdict(event_id, Outcome.REFUSED, (reason,), warnings)
    reason = Problem(
        "no_answer_for_event",
        "",
        "Pinterest's answer does not have this event.",
        "Vitrin sends it again under the same event id.",
    )
    return RecordVerdict(event_id, Outcome.UNKNOWN, (reason,))


def lookback(since: date, until: date) -> tuple[str, date]:
    """Pinterest knows the last day and the last fourteen: the word, and the first day that it covers."""
    if since >= until:
        return "1d", until
    return "14d", until - timedelta(days=13)


def reported(answer: object, *, since: date, until: date) -> tuple[Reported, ...]:
    """The event quality score: shares in percent per event type, no counts. `overlap` of the event id is the share of
    events that came both ways, which is what was merged."""
    found: dict[str, dict[str, float]] = {}
    for score in answer if isinstance(answer, list) else []:
        parts = score.get("quality_components") if isinstance(score, dict) else None
        for part, figure, name in (
            ("external_event_id", "overlap", "merged"),
            ("hashed_email", "coverage", "identified"),
        ):
            of_part = parts.get(part) if isinstance(parts, dict) else None
            for event_name, details in of_part.items() if isinstance(of_part, dict) else ():
                share = details.get(figure) if isinstance(details, dict) else None
                if isinstance(share, int | float) and not isinstance(share, bool):
                    found.setdefault(str(event_name), {})[name] = share / 100
    return tuple(
        Reported(
            event_name=event_name,
            since=since,
            until=until,
            identified_share=shares.get("identified"),
            merged_share=shares.get("merged"),
        )
        for event_name, shares in sorted(found.items())
    )
