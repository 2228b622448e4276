"""Calls in the shape of Segment's HTTP API, as shops have them already, become our events.

The shape: segment.com/docs/connections/sources/catalog/libraries/server/http-api; the names of shop events and their
properties: segment.com/docs/connections/spec/ecommerce/v2. A name that is not among them is a custom event.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from vitrin.retargeting.collector.wire import EVENTS_MAX, BodyUnreadable

PATHS: Final = {"/v1/track": "track", "/v1/identify": "identify", "/v1/page": "page", "/v1/batch": "batch"}
NAMES: Final = {
    "product viewed": "view_item",
    "product list viewed": "view_collection",
    "products searched": "search",
    "product added": "add_to_cart",
    "product removed": "remove_from_cart",
    "product added to wishlist": "add_to_wishlist",
    "checkout started": "begin_checkout",
    "payment info entered": "add_payment_info",
    "order completed": "purchase",
    "order refunded": "refund",
    "lead captured": "lead",
    "signed up": "sign_up",
}
IDENTIFY: Final = "identify"
_TRAITS: Final = {
    "email": "email",
    "phone": "phone",
    "firstName": "first_name",
    "first_name": "first_name",
    "lastName": "last_name",
    "last_name": "last_name",
    "birthday": "birth_date",
    "gender": "gender",
}
_ADDRESS: Final = {
    "street": "street",
    "city": "city",
    "state": "region",
    "postalCode": "postal_code",
    "country": "country",
}
_PROPERTIES_MAX: Final = 32
_TEXT_MAX: Final = 256
_URL_MAX: Final = 2_048
_decode: Final = msgspec.json.Decoder().decode
Json = Mapping[str, Any]


def events_of(kind: str, body: bytes, *, received_ms: int) -> list[dict[str, Any]]:
    """Our events as JSON values, for `wire` to check. Raises BodyUnreadable."""
    try:
        document = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BodyUnreadable("It is no JSON.") from None
    if not isinstance(document, dict):
        raise BodyUnreadable("It is no object.")
    if kind != "batch":
        return [_event({**document, "type": kind}, {}, document.get("sentAt"), received_ms)]
    batch = document.get("batch")
    if not isinstance(batch, list) or not batch:
        raise BodyUnreadable("'batch' is no list of calls.")
    context, sent_at = _object(document, "context"), document.get("sentAt")
    return [
        _event(call if isinstance(call, dict) else {}, context, sent_at, received_ms)
        for call in batch[: EVENTS_MAX + 1]
    ]


def _event(call: Json, shared: Json, sent_at: Any, received_ms: int) -> dict[str, Any]:
    context = {**shared, **_object(call, "context")}
    properties = _object(call, "properties")
    traits = {**_object(context, "traits"), **_object(call, "traits")}
    page, campaign = _object(context, "page"), _object(context, "campaign")
    event: dict[str, Any] = {
        "event_id": call.get("messageId"),
        "visitor_id": _text(call.get("anonymousId"), 64),
        "customer_id": _text(call.get("userId"), 128),
        "occurred_at": _occurred(call.get("timestamp"), call.get("sentAt") or sent_at, received_ms),
        "url": _text(properties.get("url") or page.get("url"), _URL_MAX),
        "referrer": _text(properties.get("referrer") or page.get("referrer"), _URL_MAX),
        "user": _user(traits, context),
        "utm": _utm(campaign),
        **_named(call, properties),
    }
    return {name: value for name, value in event.items() if value not in (None, "", {})}


def _named(call: Json, properties: Json) -> dict[str, Any]:
    kind = call.get("type")
    if kind == "page":
        return {"name": "page_view", "properties": _flat(properties)}
    if kind == "identify":
        return {"name": "custom", "custom_name": IDENTIFY}
    if kind != "track":
        return {"name": _text(kind, 64) or "none"}
    said = _text(call.get("event"), _TEXT_MAX)
    name = NAMES.get(said.lower())
    if name is None:
        return {"name": "custom", "custom_name": said, "properties": _flat(properties)}
    order_id = _text(properties.get("order_id"), 128)
    found: dict[str, Any] = {
        "name": name,
        "items": _items(properties),
        "value": _number(_first(properties, "value", "total", "revenue")),
        "currency": _text(properties.get("currency"), 3),
        "order_id": order_id,
        "search_term": _text(properties.get("query"), _TEXT_MAX),
    }
    if name == "refund":
        found["refund_id"] = _text(properties.get("refund_id"), 128) or order_id
    if name == "lead":
        found["lead_id"] = _text(properties.get("lead_id"), 128)
    return found


def _items(properties: Json) -> list[dict[str, Any]]:
    listed = properties.get("products")
    products: Sequence[Any] = listed if isinstance(listed, list) else [properties]
    items = []
    for product in products:
        if not isinstance(product, dict):
            continue
        item_id = _text(_first(product, "product_id", "sku", "variant"), 100)
        if item_id:
            quantity, price = product.get("quantity"), product.get("price")
            item: dict[str, Any] = {"item_id": item_id}
            if isinstance(quantity, int) and quantity > 0:
                item["quantity"] = quantity
            if price is not None:
                item["price"] = _number(price)
            items.append(item)
    return items


def _occurred(timestamp: Any, sent_at: Any, received_ms: int) -> Any:
    """The sender's clock, put right by what it showed when the call was sent: received + (timestamp - sentAt)."""
    happened, sent = _moment(timestamp), _moment(sent_at)
    if happened is None:
        return timestamp  # what is no time is refused as such
    if sent is None:
        return int(happened.timestamp() * 1000)
    return received_ms - max(0, int((sent - happened).total_seconds() * 1000))


def _moment(value: Any) -> datetime | None:
    try:
        found = msgspec.convert(value, datetime)
    except msgspec.ValidationError:
        return None
    return found if found.tzinfo is not None else None


def _user(traits: Json, context: Json) -> dict[str, Any]:
    address = _object(traits, "address")
    user = {
        ours: _text(traits.get(theirs), _TEXT_MAX) for theirs, ours in _TRAITS.items() if theirs in traits
    }
    user |= {ours: _text(address.get(theirs), _TEXT_MAX) for theirs, ours in _ADDRESS.items()}
    user["ip"] = _text(context.get("ip"), _TEXT_MAX)
    user["user_agent"] = _text(context.get("userAgent"), 512)
    return {name: value for name, value in user.items() if value}


def _utm(campaign: Json) -> dict[str, Any]:
    found = {"campaign": campaign.get("name"), **{name: campaign.get(name) for name in _UTM}}
    return {name: _text(value, _TEXT_MAX) for name, value in found.items() if value}


_UTM: Final = ("source", "medium", "term", "content")


def _flat(properties: Json) -> dict[str, Any]:
    """What can be kept of a call's own properties: texts, numbers and truth values."""
    kept = {
        str(name)[:64]: value[:_TEXT_MAX] if isinstance(value, str) else value
        for name, value in properties.items()
        if isinstance(value, (str, int, float, bool)) and name not in ("url", "referrer") and name
    }
    return dict(list(kept.items())[:_PROPERTIES_MAX])


def _first(values: Json, *names: str) -> Any:
    return next((values[name] for name in names if values.get(name) not in (None, "")), None)


def _number(value: Any) -> Any:
    """Amounts are texts at times; what is none is left for `wire` to refuse."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _object(values: Json, name: str) -> dict[str, Any]:
    found = values.get(name)
    return found if isinstance(found, dict) else {}


def _text(value: Any, at_most: int) -> str:
    """Ids are sometimes numbers. What is too long is left for `wire` to refuse, not cut."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return ""
    text = str(value)
    return text if len(text) <= at_most or at_most < _TEXT_MAX else text[:at_most]
