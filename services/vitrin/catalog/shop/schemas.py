"""OpenAPI of the shops' routes, and of the door that stands before the application."""

from collections.abc import Callable
from typing import Any, Final

from fastapi import FastAPI

from vitrin.kit.http.problems import MEDIA_TYPE

Schema = dict[str, Any]
_TEXT: Final[Schema] = {"type": "string"}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_MOMENT: Final[Schema] = {"type": ["string", "null"], "format": "date-time"}
_PROBLEM: Final[Schema] = {
    "type": ["object", "null"],
    "description": "code, message and fix.",
}


def _object(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties}


def _page(entry: Schema) -> Schema:
    return _object({"data": {"type": "array", "items": entry}, "next_cursor": {"type": ["string", "null"]}})


LOAD: Final = _object(
    {
        "id": {"type": "string", "format": "uuid"},
        "kind": {"type": "string", "enum": ["first", "reconcile", "manual"]},
        "state": {
            "type": "string",
            "enum": ["asked", "preparing", "reading", "checking", "done", "failed", "stopped"],
        },
        "actor": _TEXT,
        **dict.fromkeys(
            ("pages", "products", "created", "updated", "unchanged", "deleted", "refused"), _COUNT
        ),
        "objects": {
            **_COUNT,
            "description": "What the shop says there is to read: Shopify's products and variants, WooCommerce's"
            " products; 0 where it does not say. `products` have been read.",
        },
        "problem": _PROBLEM,
        **dict.fromkeys(("created_at", "updated_at", "finished_at"), _MOMENT),
    }
)
_SHOP: Final[Schema] = {
    "id": {"type": "string", "format": "uuid", "description": "That of its connection."},
    "platform": _TEXT,
    "mode": {"type": "string", "enum": ["live", "sandbox"]},
    "external_ids": {"type": "object", "additionalProperties": _TEXT},
    "state": {
        "type": "string",
        "enum": ["new", "ready", "refused", "needs_attention", "uninstalled", "closed"],
    },
    "problem": _PROBLEM,
    "name": _TEXT,
    "currency": _TEXT,
    "storefront_url": _TEXT,
    "webhooks": _object(
        {
            "state": {"type": "string", "enum": ["none", "ready", "needs_public_url", "failing"]},
            "problem": _PROBLEM,
            "checked_at": _MOMENT,
        }
    ),
    **dict.fromkeys(
        ("last_delivery_at", "loaded_at", "next_delta_at", "next_load_at", "created_at"), _MOMENT
    ),
}
SHOP_PAGE: Final = _page(_object(_SHOP))
SHOP: Final = _object(
    {
        **_SHOP,
        "deliveries": {
            "type": "object",
            "additionalProperties": _COUNT,
            "description": "How many, by state.",
        },
        "loads": {"type": "array", "items": LOAD, "description": "The latest five."},
        "warnings": {
            **_COUNT,
            "description": "Items that lack something which could not be read, counted up to 10,000; `/warnings` lists"
            " them.",
        },
    }
)
DELIVERY: Final = _object(
    {
        "id": {"type": "string", "description": "The shop's own id of the webhook."},
        "topic": _TEXT,
        "kind": _TEXT,
        "subject": {"type": "string", "description": "What it is about: product:42. In order per subject."},
        "state": {
            "type": "string",
            "enum": ["pending", "failed", "dead", "waiting", "applied", "stale", "nothing"],
        },
        "tries": _COUNT,
        **dict.fromkeys(("received_at", "next_try_at", "finished_at"), _MOMENT),
        "problem": _PROBLEM,
        "bytes": _COUNT,
        "replayable": {"type": "boolean"},
    }
)
DELIVERY_PAGE: Final = _page(DELIVERY)

WARNING_PAGE: Final = _page(
    _object(
        {
            **dict.fromkeys(("item_id", "product_id", "variant_id"), _TEXT),
            "warnings": {
                "type": "array",
                "items": _object(dict.fromkeys(("field", "code", "message", "fix"), _TEXT)),
            },
        }
    )
)

_REFUSALS: Final = {
    "400": "`webhook_head_wrong`: these are not the headers of a webhook.",
    "401": "`webhook_signature_wrong`: not signed, over the raw body, with a secret of this shop;"
    " `webhook_of_another_shop`: signed by the app, and not for this shop. Nothing is kept.",
    "404": "`webhook_connection_unknown`: no shop is connected here.",
    "408": "`webhook_too_slow`: the body did not arrive within 10 s.",
    "413": "`webhook_too_large`: over 4 MiB.",
    "503": "`spool_full`, `spool_failing`, `webhooks_crowded`, `webhooks_unverified_full`: send it again after"
    " Retry-After seconds.",
}


def _operation(operation_id: str, summary: str, parameters: list[Schema]) -> Schema:
    refusals = {
        status: {
            "description": words,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status, words in _REFUSALS.items()
    }
    return {
        "post": {
            "tags": ["webhooks of shops"],
            "summary": summary,
            "description": "For shops, not for API keys: the signature over the raw body opens it. 200 means durable on"
            " disk; it is applied afterwards, each delivery id once.",
            "operationId": operation_id,
            "parameters": parameters,
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"type": "object"}}},
            },
            "responses": {"200": {"description": "Taken."}, **refusals},
        }
    }


def _parameter(name: str, description: str) -> Schema:
    return {"name": name, "in": "path", "required": True, "description": description, "schema": _TEXT}


_PLATFORM: Final = _parameter("platform", "shopify, woocommerce.")
DOOR: Final[Schema] = {
    "/v1/webhooks/{platform}/{connection_id}/{mark}": _operation(
        "shop_webhook",
        "A webhook of a connected shop",
        [
            _PLATFORM,
            _parameter("connection_id", "Id of the connection."),
            _parameter("mark", "Binds the address to the connection; Vitrin makes it when it subscribes."),
        ],
    ),
    "/v1/webhooks/{platform}": _operation(
        "shop_app_webhook", "A webhook that an app gets for all shops that installed it", [_PLATFORM]
    ),
}


def describe_door(app: FastAPI) -> None:
    """The door answers before the application, whose document says so all the same."""
    inner: Callable[[], dict[str, Any]] = app.openapi

    def openapi() -> dict[str, Any]:
        document = inner()
        document["paths"].update(DOOR)
        return document

    app.openapi = openapi  # type: ignore[method-assign]
