"""Server events of a pixel: ``POST /{pixel}/events``, and what it counts: ``GET /{pixel}/stats``.

One event that is not right refuses the whole request. Field names are those of the SDK's server side classes for v26.0;
of the subcodes only 2804003 (too old) and 2804009 (a purchase without value) have a published meaning.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from vitrin.sandbox.ads.conversions import BROWSER, SERVER
from vitrin.sandbox.meta import params as read
from vitrin.sandbox.meta.errors import NAMED, GraphError, invalid_parameter
from vitrin.sandbox.meta.listing import one_page
from vitrin.sandbox.wire import Reply

if TYPE_CHECKING:
    from vitrin.sandbox.meta.platform import MetaPlatform, Request

EVENTS_MAX = 1_000
DAY_S = 86_400
AGE_DAYS_MAX, STORE_AGE_DAYS_MAX = 7, 62
FUTURE_S_MAX = 600
EVENT_PARAMS = frozenset(
    {"data", "test_event_code", "namespace_id", "partner_agent", "platforms", "progress", "trace"}
    | {"upload_id", "upload_source", "upload_tag"}
)
EVENT_FIELDS = frozenset(
    {"event_name", "event_time", "event_source_url", "opt_out", "event_id", "data_processing_options"}
    | {"data_processing_options_country", "data_processing_options_state", "advanced_measurement_table"}
    | {"referrer_url", "user_data", "custom_data", "app_data", "action_source", "messaging_channel"}
    | {"original_event_data", "attribution_data"}
)
ACTION_SOURCES = frozenset(
    {"email", "website", "app", "phone_call", "chat", "physical_store", "system_generated"}
    | {"business_messaging", "other"}
)
HASHED = ("em", "ph", "fn", "ln", "ge", "db", "ct", "st", "zp", "country")
HASHED_ONE = ("f5first", "f5last", "fi", "dobd", "dobm", "doby")
PLAIN = (
    *(
        "external_id",
        "client_ip_address",
        "client_user_agent",
        "fbc",
        "fbp",
        "subscription_id",
        "fb_login_id",
    ),
    *("lead_id", "madid", "anon_id", "ctwa_clid", "page_id", "ig_sid", "partner_id"),
)
USER_FIELDS = frozenset({*HASHED, *HASHED_ONE, *PLAIN})
IDENTIFIES = ("em", "ph", "external_id", "fbc", "fbp", "madid", "lead_id", "fb_login_id", "anon_id")
HASH = re.compile(r"[a-f0-9]{64}")
CLICK = re.compile(r"fb\.[012]\.\d{10,13}\..+")
CURRENCY = re.compile(r"[A-Za-z]{3}")
STATS_PARAMS = frozenset({"agent", "aggregation", "end_time", "event", "event_source", "start_time"})
AGGREGATIONS = frozenset(
    {"browser_type", "custom_data_field", "device_os", "device_type", "event", "event_detection_method"}
    | {"event_processing_results", "event_source", "event_total_counts", "event_value_count", "had_pii"}
    | {"host", "match_keys", "pixel_fire", "url", "url_by_rule"}
)
PLAYED = ("event", "event_source", "event_total_counts", "pixel_fire")


def read_pixel(platform: MetaPlatform, request: Request) -> Reply:
    """``GET /{pixel}``."""
    names = read.field_names(
        request.params, allowed=("id", "name", "is_unavailable"), default=("id",), node="AdsPixel"
    )
    shown = {"id": request.object_id, "name": f"{request.account.name} pixel", "is_unavailable": False}
    return Reply(200, {name: shown[name] for name in names} | {"id": request.object_id})


def create(platform: MetaPlatform, request: Request) -> Reply:
    """``POST /{pixel}/events``."""
    read.refuse_unknown(request.params, EVENT_PARAMS)
    events = parse_events(read.json_value(request.params, "data"))
    for number, event in enumerate(events):
        check(event, number, now_s=request.call.received_ms // 1000)
    effects = request.call.effects
    ids = [str(event.get("event_id", "")) for event in events]
    if any(effects.refusal_of(one, in_answer=False) for one in ids):
        raise invalid_parameter("Invalid parameter", "data")
    heard = [event for event, one in zip(events, ids, strict=True) if not effects.is_silent(one)]
    test = str(request.params.get("test_event_code") or "")
    platform.ads.conversions.take(
        [_kept(event, request.object_id, test) for event in heard],
        no_match=effects.match_share is not None,
    )
    body = {"events_received": len(heard), "messages": [], "fbtrace_id": f"A{request.call.received_ms:x}"}
    return Reply(200, body, item_ids=ids, operations={"event": len(events)}, accepted_count=len(heard))


def parse_events(data: Any) -> list[dict[str, Any]]:
    """The events, each an object or (as the SDK sends them) its JSON. Raises code 100."""
    if not isinstance(data, list) or not data:
        raise invalid_parameter("The parameter data is required", "data")
    if len(data) > EVENTS_MAX:
        raise invalid_parameter(f"Param data has more than {EVENTS_MAX} events", "data")
    events = []
    for number, told in enumerate(data):
        event = told
        if isinstance(told, str):
            try:
                event = orjson.loads(told)
            except orjson.JSONDecodeError:
                event = None
        if not isinstance(event, dict):
            raise invalid_parameter(f"Param data[{number}] must be an object", f"data[{number}]")
        events.append(event)
    return events


def check(event: dict[str, Any], number: int, *, now_s: int) -> None:
    """Raise for an event that Meta would not take."""
    where = f"data[{number}]"

    def refuse(message: str, name: str) -> GraphError:
        return invalid_parameter(f"Param {where}[{name}]: {message}", f"{where}.{name}")

    unknown = sorted(event.keys() - EVENT_FIELDS)
    if unknown:
        raise refuse("unexpected key", unknown[0])
    if not isinstance(event.get("event_name"), str) or not event["event_name"]:
        raise refuse("is required", "event_name")
    source = event.get("action_source", "other")
    if source not in ACTION_SOURCES:
        raise refuse(f"must be one of {{{', '.join(sorted(ACTION_SOURCES))}}}", "action_source")
    _check_time(event, source, now_s=now_s)
    user = event.get("user_data")
    if not isinstance(user, dict):
        raise refuse("is required", "user_data")
    if source == "website":
        if not event.get("event_source_url"):
            raise refuse("is required for website events", "event_source_url")
        if not user.get("client_user_agent"):
            raise refuse("is required for website events", "user_data")
    _check_user(user, refuse)
    _check_custom(event, refuse)


def _check_time(event: dict[str, Any], source: str, *, now_s: int) -> None:
    time_s = event.get("event_time")
    if not isinstance(time_s, int) or isinstance(time_s, bool):
        raise invalid_parameter("Param event_time must be a unix time in seconds", "event_time")
    days = STORE_AGE_DAYS_MAX if source == "physical_store" else AGE_DAYS_MAX
    if now_s - time_s > days * DAY_S:
        raise NAMED["event_too_old"]
    if time_s - now_s > FUTURE_S_MAX:
        raise invalid_parameter("Param event_time lies in the future", "event_time")


def _check_user(user: dict[str, Any], refuse: Any) -> None:
    unknown = sorted(user.keys() - USER_FIELDS)
    if unknown:
        raise refuse(f"unexpected key {unknown[0]}", "user_data")
    for name in (*HASHED, *HASHED_ONE):
        for value in _values(user.get(name)):
            if not isinstance(value, str) or not HASH.fullmatch(value):
                raise refuse(f"{name} must be hashed with SHA-256", "user_data")
    if user.get("fbc") and not CLICK.fullmatch(str(user["fbc"])):
        raise refuse("fbc has a wrong format", "user_data")
    browser = user.get("client_ip_address") and user.get("client_user_agent")
    if not browser and not any(user.get(name) for name in IDENTIFIES):
        raise refuse("has no customer information parameter", "user_data")


def _check_custom(event: dict[str, Any], refuse: Any) -> None:
    custom = event.get("custom_data", {})
    if not isinstance(custom, dict):
        raise refuse("must be an object", "custom_data")
    value, currency = custom.get("value"), custom.get("currency")
    if event["event_name"] == "Purchase" and (value is None or not currency):
        raise NAMED["purchase_without_value"]
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value < 0):
        raise refuse("value must be a number", "custom_data")
    if currency is not None and not CURRENCY.fullmatch(str(currency)):
        raise refuse("currency must be an ISO 4217 code", "custom_data")


def _values(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _kept(event: dict[str, Any], pixel_id: str, test: str) -> dict[str, Any]:
    user, custom = event["user_data"], event.get("custom_data", {})
    keys = [value for name in ("em", "ph", "fbc", "fbp", "madid") for value in _values(user.get(name))]
    return {
        "source_id": pixel_id,
        "way": SERVER,
        "name": event["event_name"],
        "event_id": str(event.get("event_id") or ""),
        "event_ms": event["event_time"] * 1000,
        "order_id": str(custom.get("order_id") or ""),
        "value": str(custom.get("value", "")),
        "currency": str(custom.get("currency", "")),
        "action_source": event.get("action_source", "other"),
        "keys": [str(key) for key in keys],
        "has_email": bool(user.get("em")),
        "test": test,
        "body": event,
    }


def stats(platform: MetaPlatform, request: Request) -> Reply:
    """``GET /{pixel}/stats``: hours with what was received in each."""
    read.refuse_unknown(request.params, STATS_PARAMS)
    aggregation = read.choice(request.params, "aggregation", AGGREGATIONS) or "event"
    if aggregation not in PLAYED:
        raise invalid_parameter(f"Only {', '.join(PLAYED)} are played here", "aggregation")
    now_s = request.call.received_ms // 1000
    begin_s = _time(request.params.get("start_time"), now_s - DAY_S)
    end_s = _time(request.params.get("end_time"), now_s)
    counts = platform.ads.conversions.counts(
        request.object_id, late=True, since_ms=begin_s * 1000, until_ms=end_s * 1000
    )
    hours: dict[int, dict[str, int]] = {}
    for (hour_ms, name), one in sorted(counts.items()):
        row = hours.setdefault(0 if aggregation == "event_total_counts" else hour_ms, {})
        shown = {name: one.received}
        if aggregation == "event_source":
            shown = {BROWSER.upper(): one.browser, SERVER.upper(): one.server}
        elif aggregation == "pixel_fire":
            shown = {"pixel_fire": one.received}
        for value, count in shown.items():
            row[value] = row.get(value, 0) + count
    rows = [
        {
            "start_time": _stamp(hour_ms or begin_s * 1000),
            "aggregation": aggregation,
            "data": [{"value": value, "count": count} for value, count in row.items() if count],
        }
        for hour_ms, row in sorted(hours.items())
    ]
    return Reply(200, one_page(rows))


def _time(value: Any, default_s: int) -> int:
    if value in (None, ""):
        return default_s
    text = str(value)
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except ValueError as error:
        raise invalid_parameter("Param must be a time", "start_time") from error


def _stamp(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")
