"""Conversion events as the OpenAPI description 5.23 wants them: what refuses the call, and what only the event."""

import re
from typing import Any

from vitrin.sandbox.ads.conversions import SERVER
from vitrin.sandbox.ads.pixels import EVENT_NAMES
from vitrin.sandbox.pinterest.errors import invalid_request

EVENTS_MAX = 1_000
REQUIRED = ("event_name", "action_source", "event_time", "user_data", "event_id")
FIELDS = frozenset(
    {
        *REQUIRED,
        "app_id",
        "app_info",
        "app_name",
        "app_version",
        "custom_data",
        "device_brand",
        "device_carrier",
    }
    | {"device_info", "device_model", "device_type", "event_source_url", "language", "opt_out", "os_version"}
    | {"partner_name", "wifi"}
)
ACTION_SOURCES = frozenset({"app_android", "app_ios", "web", "offline"})
HASHED = ("em", "ph", "ge", "db", "ln", "fn", "ct", "st", "zp", "country", "external_id", "hashed_maids")
USER_FIELDS = frozenset({*HASHED, "click_id", "client_ip_address", "client_user_agent", "partner_id"})
TEXT = ("value", "currency", "order_id", "search_string", "content_name", "content_category", "content_brand")
CUSTOM_FIELDS = frozenset(
    {*TEXT, "content_ids", "contents", "num_items", "opt_out_type", "predicted_ltv", "np"}
    | {"external_measurement_id", "external_measurement_vendor_id"}
)
CONTENT_FIELDS = frozenset({"id", "item_brand", "item_category", "item_name", "item_price", "quantity"})
HASH = re.compile(r"[a-f0-9]{64}")
NUMBER = re.compile(r"-?\d+(\.\d+)?")


def check_envelope(body: Any) -> list[dict[str, Any]]:
    """The events of a body whose shape is right. Raises 400 for all of them."""
    data = body.get("data") if isinstance(body, dict) else None
    if not isinstance(data, list):
        raise invalid_request("'data' is a required property")
    if not 1 <= len(data) <= EVENTS_MAX:
        raise invalid_request(f"'data' must have 1 to {EVENTS_MAX} items, not {len(data)}")
    for event in data:
        if not isinstance(event, dict):
            raise invalid_request("an event must be an object")
        missing = [name for name in REQUIRED if name not in event]
        if missing:
            raise invalid_request(f"'{missing[0]}' is a required property")
        strange = sorted(event.keys() - FIELDS)
        if strange:
            raise invalid_request(f"additional properties are not allowed ('{strange[0]}' was unexpected)")
        _check_types(event)
    return data


def _check_types(event: dict[str, Any]) -> None:
    for name in ("event_name", "action_source", "event_id"):
        if not isinstance(event[name], str):
            raise invalid_request(f"'{name}' must be a string")
    if not isinstance(event["event_time"], int) or isinstance(event["event_time"], bool):
        raise invalid_request("'event_time' must be an integer")
    user, custom = event["user_data"], event.get("custom_data", {})
    if not isinstance(user, dict) or not isinstance(custom, dict):
        raise invalid_request("'user_data' and 'custom_data' must be objects")
    browser = "client_ip_address" in user and "client_user_agent" in user
    if not ("em" in user or "hashed_maids" in user or browser):
        raise invalid_request("user_data needs em, hashed_maids, or client_ip_address with client_user_agent")
    for name in HASHED:
        value = user.get(name, [])
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise invalid_request(f"'{name}' must be an array of strings")
    strange = sorted(custom.keys() - CUSTOM_FIELDS)
    if strange:
        raise invalid_request(f"additional properties are not allowed ('{strange[0]}' was unexpected)")
    for name in TEXT:
        if custom.get(name) is not None and not isinstance(custom[name], str):
            raise invalid_request(f"'{name}' must be a string")
    for content in custom.get("contents", []):
        if not isinstance(content, dict) or not content.keys() <= CONTENT_FIELDS:
            raise invalid_request("'contents' has an unexpected property")
        if not isinstance(content.get("item_price", ""), str):
            raise invalid_request("'item_price' must be a string")


def wrong_words(event: dict[str, Any]) -> str:
    """Why this event alone is not processed, "" where it is (the words are unverified)."""
    if event["event_name"].replace("_", "") not in EVENT_NAMES:
        return f"'{event['event_name']}' is not a valid event_name"
    if event["action_source"] not in ACTION_SOURCES:
        return f"'{event['action_source']}' is not a valid action_source"
    if not event["event_id"]:
        return "event_id must not be empty"
    user, custom = event["user_data"], event.get("custom_data", {})
    for name in HASHED:
        if not all(HASH.fullmatch(one) for one in user.get(name, [])):
            return f"user_data.{name} must be SHA-256 hashes in lower case"
    if custom.get("value") is not None and not NUMBER.fullmatch(custom["value"]):
        return "custom_data.value must be a number"
    currency = custom.get("currency")
    if currency is not None and not re.fullmatch(r"[A-Z]{3}", currency):
        return "custom_data.currency must be an ISO 4217 code"
    return ""


def kept_event(event: dict[str, Any], tag_id: str, test: str) -> dict[str, Any]:
    """What the book keeps of it."""
    user, custom = event["user_data"], event.get("custom_data", {})
    return {
        "source_id": tag_id,
        "way": SERVER,
        "name": EVENT_NAMES[event["event_name"].replace("_", "")],
        "event_id": event["event_id"],
        "event_ms": event["event_time"] * 1000,
        "order_id": str(custom.get("order_id") or ""),
        "value": str(custom.get("value") or ""),
        "currency": str(custom.get("currency") or ""),
        "action_source": event["action_source"],
        "keys": [key for name in ("em", "hashed_maids") for key in user.get(name, [])],
        "has_email": bool(user.get("em")),
        "test": test,
        "body": event,
    }
