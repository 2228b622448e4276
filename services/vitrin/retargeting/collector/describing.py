"""The door in OpenAPI: it answers before the application, whose document says so all the same."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from fastapi import FastAPI

from vitrin.kit.http.problems import MEDIA_TYPE
from vitrin.retargeting.collector.request import BODY_BYTES_MAX, BODY_S
from vitrin.retargeting.collector.wire import EVENTS_MAX, WireEvent

Schema = dict[str, Any]
_NAMES: Final = {
    "WireEvent": "StorefrontEvent",
    "Item": "EventItem",
    "User": "EventUser",
    "ClickIds": "EventClickIds",
    "Utm": "EventUtm",
    "EventName": "StorefrontEventName",
    "Choice": "ConsentChoice",
    "Consent": "EventConsent",
}
_DESCRIPTIONS: Final = {
    "event_id": "Yours, unique per brand; the same again counts once. Made before browser and server send it.",
    "occurred_at": "Milliseconds since 1970 or RFC 3339 with a zone; our clock where it is left out. At most 5 minutes"
    " ahead, and 90 days back (orders, refunds and leads: 10 years).",
    "visitor_id": "First-party id of the browser. It or `customer_id` is needed.",
    "url": "Stored without query and fragment; utm_* and click ids in it are taken.",
    "items": "What it is about, by the catalog's item ids.",
    "value": "In whole units of the currency, such as 12.99; rounded to its decimals.",
    "order_id": "Of a purchase, needed: it counts once for ever.",
    "refund_id": "Of a refund, needed: it counts once for ever.",
    "lead_id": "Of a lead, needed: it counts once for ever.",
    "custom_name": "Of a custom event, needed.",
    "consent": "What the shopper allowed, by purpose.",
    "gpc": "Global Privacy Control; a browser's own header counts too.",
    "user": "Personal fields: sealed before they are written anywhere, never answered.",
    "properties": "Your own, without personal data.",
}
_OUTCOMES: Final[Schema] = {
    "type": "object",
    "title": "EventsTaken",
    "required": ["accepted", "duplicate", "refused", "results", "problems"],
    "properties": {
        **{name: {"type": "integer", "minimum": 0} for name in ("accepted", "duplicate", "refused")},
        "results": {
            "type": "array",
            "description": "In the order of the events.",
            "items": {"type": "string", "enum": ["accepted", "duplicate", "refused"]},
        },
        "problems": {
            "type": "array",
            "description": "Of those that were refused.",
            "items": {
                "type": "object",
                "properties": {
                    "index": {"type": "integer"},
                    **{name: {"type": "string"} for name in ("code", "field", "message", "fix")},
                },
            },
        },
        "success": {"type": "boolean", "description": "At Segment's addresses."},
    },
}
_REFUSALS: Final = {
    "400": "`events_refused`: none of them is taken; `problems` says why.",
    "401": "`key_missing`, `key_unknown`, `key_revoked`, `key_expired`, `key_malformed`.",
    "403": "`origin_not_allowed`, `origin_missing`, `scope_missing`, `secret_key_in_address`.",
    "408": f"`body_too_slow`: the body did not arrive within {BODY_S:g} s.",
    "413": f"`body_too_large` (over {BODY_BYTES_MAX} bytes), `too_many_events` (over {EVENTS_MAX}).",
    "415": "`encoding_unknown`: the body is compressed.",
    "422": "`events_unreadable`: no JSON, or no events.",
    "429": "`rate_limited`: this key sends too often; wait as long as Retry-After says.",
    "503": "`spool_full`, `spool_failing`, `collector_crowded`, `access_unavailable`, `events_not_in_kafka`: send it"
    " again after Retry-After seconds.",
}
_KEY: Final[Schema] = {
    "name": "key",
    "in": "query",
    "required": False,
    "description": "A publishable key, for beacons, which send no header.",
    "schema": {"type": "string"},
}


def _operation(operation_id: str, summary: str, description: str, body: Schema, tag: str) -> Schema:
    refusals = {
        status: {
            "description": words,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status, words in _REFUSALS.items()
    }
    return {
        "tags": [tag],
        "summary": summary,
        "description": description,
        "operationId": operation_id,
        "security": [{"ApiKey": []}],
        "parameters": [_KEY],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "200": {
                "description": "Durable: what became of each.",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/EventsTaken"}}},
            },
            **refusals,
        },
    }


def _components() -> Mapping[str, Schema]:
    _, found = msgspec.json.schema_components([WireEvent], ref_template="#/components/schemas/{name}")
    renamed = {_NAMES[name]: {**schema, "title": _NAMES[name]} for name, schema in found.items()}
    for name, words in _DESCRIPTIONS.items():
        renamed["StorefrontEvent"]["properties"][name]["description"] = words
    whole: Mapping[str, Schema] = _fitted({**renamed, "EventsTaken": _OUTCOMES})
    return whole


def _fitted(value: Any) -> Any:
    """Defaults that mean "left out" say nothing."""
    if isinstance(value, dict):
        if isinstance(ref := value.get("$ref"), str):
            name = ref.rpartition("/")[2]
            return {**value, "$ref": f"#/components/schemas/{_NAMES.get(name, name)}"}
        return {
            name: _fitted(one)
            for name, one in value.items()
            if name != "default" or one not in (None, "", [], ())
        }
    return [_fitted(one) for one in value] if isinstance(value, list) else value


def _paths() -> Mapping[str, Schema]:
    one: Schema = {"$ref": "#/components/schemas/StorefrontEvent"}
    many: Schema = {
        "type": "object",
        "required": ["events"],
        "properties": {"events": {"type": "array", "maxItems": EVENTS_MAX, "items": one}},
    }
    segment = {"type": "object", "additionalProperties": True}
    calls = {
        "track": "What somebody did: shop events by Segment's names, anything else as a custom event",
        "page": "A page was seen",
        "identify": "Who a visitor is",
        "batch": f"Up to {EVENTS_MAX} calls in one",
    }
    paths: dict[str, Schema] = {
        "/v1/events": {
            "post": _operation(
                "send_events",
                "Send one event, or a batch",
                "With a secret key, or with a publishable one from an origin of the brand. 200 means durable;"
                " each event counts once, and one that is refused holds up no other.",
                {"anyOf": [one, many]},
                "events",
            )
        }
    }
    for name, words in calls.items():
        paths[f"/v1/{name}"] = {
            "post": _operation(
                f"segment_{name}",
                words,
                "In the shape of Segment's HTTP API; the key is the user of basic authentication.",
                segment,
                "segment",
            )
        }
    return paths


def describe_door(app: FastAPI) -> None:
    inner: Callable[[], dict[str, Any]] = app.openapi

    def openapi() -> dict[str, Any]:
        document = inner()
        for path, operations in _paths().items():
            document["paths"].setdefault(path, {}).update(operations)
        document["components"]["schemas"].update(_components())
        return document

    app.openapi = openapi  # type: ignore[method-assign]
