"""What the HTTP doors say: documents of items and results, and their OpenAPI schemas with examples."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

from vitrin.catalog.changes import Outcome
from vitrin.catalog.domain import (
    AgeGroup,
    Availability,
    Condition,
    ExternalRefs,
    FieldProblem,
    Gender,
    InventoryPolicy,
    ItemContent,
    Offer,
    Status,
    content_document,
    effective_document,
    limits,
    offer_document,
    refs_document,
)
from vitrin.catalog.repository_read import ItemRow
from vitrin.catalog.service_items import EntryResult, Written

Schema = dict[str, Any]


def item_document(row: ItemRow) -> dict[str, object]:
    assert row.content is not None
    return {
        **_item(row.content, row.offer, row.refs, row.market),
        "content_version": row.content_version,
        "offer_version": row.offer_version,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }


def written_document(written: Written) -> dict[str, object]:
    """The item after a write, with what became of it. A deleted item is its id and versions only."""
    decision = written.decision
    body: dict[str, object] = {"id": decision.change.item_id}
    if decision.content is not None:
        body = _item(decision.content, decision.offer, decision.refs, written.place.market)
    return {
        **body,
        "outcome": decision.outcome,
        "content_version": decision.content_version,
        "offer_version": decision.offer_version,
    }


def _item(content: ItemContent, offer: Offer | None, refs: ExternalRefs, market: str) -> dict[str, object]:
    document = content_document(content)
    if offer is not None:
        document |= offer_document(offer) | effective_document(offer) | {"market": market}
    return document | {"external": refs_document(refs)}


def results_document(results: Sequence[EntryResult]) -> dict[str, object]:
    counts = Counter(result.outcome for result in results)
    return {
        "counts": {outcome.value: counts[outcome] for outcome in Outcome},
        "results": [
            {
                "index": result.index,
                "id": result.item_id,
                "outcome": result.outcome,
                "content_version": result.content_version,
                "offer_version": result.offer_version,
                "errors": problem_documents(result.problems),
            }
            for result in results
        ],
    }


def problem_documents(problems: Sequence[FieldProblem]) -> list[dict[str, str]]:
    return [
        {"field": one.field, "code": one.code, "message": one.message, "fix": one.fix} for one in problems
    ]


def _text(description: str, example: str = "", *, chars_max: int = limits.TEXT_CHARS_MAX) -> Schema:
    schema: Schema = {"type": ["string", "null"], "maxLength": chars_max, "description": description}
    return schema | ({"examples": [example]} if example else {})


def _word(words: Iterable[object], description: str) -> Schema:
    return {
        "type": ["string", "null"],
        "enum": [*(str(word) for word in words), None],
        "description": description,
    }


_MOMENT: Final[Schema] = {
    "type": "string",
    "format": "date-time",
    "description": "When it changed in the shop; the time of receipt where it is left out.",
}
_OFFER: Final[Schema] = {
    "price": _text("Amount with its currency, which must be the market's.", "24.90 EUR"),
    "sale_price": _text("Below the price; null ends the sale.", "19.90 EUR"),
    "sale_price_effective_date": _text(
        "Start and end, ISO 8601 with zone; either may be empty.",
        "2026-11-27T00:00:00+01:00/2026-12-01T00:00:00+01:00",
    ),
    "cost_of_goods_sold": _text("Cost with its currency.", "9.10 EUR"),
    "availability": _word(Availability, "What the shop declares; stock that is used up overrides it."),
    "quantity": {
        "type": ["integer", "null"],
        "minimum": 0,
        "maximum": limits.QUANTITY_MAX,
        "description": "Sum over all locations; null where stock is not tracked.",
    },
    "inventory_policy": _word(InventoryPolicy, "May it be sold when its stock is used up?"),
}
_CONTENT: Final[Schema] = {
    "item_group_id": _text("Of its product, the same for all variants.", "mug", chars_max=100),
    "title": _text("", "Mug, blue", chars_max=limits.TITLE_CHARS_MAX),
    "description": _text("Plain text.", "A blue mug.", chars_max=limits.DESCRIPTION_CHARS_MAX),
    "description_html": _text("Instead of description: HTML, kept as text.", chars_max=100_000),
    "link": _text("Its page.", "https://shop.example/p/mug", chars_max=limits.URL_CHARS_MAX),
    "image_link": _text("", "https://shop.example/i/mug.jpg", chars_max=limits.URL_CHARS_MAX),
    "additional_image_link": {"type": ["array", "null"], "items": {"type": "string"}},
    "video_link": _text("", chars_max=limits.URL_CHARS_MAX),
    "brand": _text("", "Keramik Nord"),
    "gtin": _text("With a right check digit.", "4006381333931"),
    "mpn": _text(""),
    "condition": _word(Condition, ""),
    "google_product_category": _text(""),
    "product_type": _text(""),
    "color": _text("", "blue"),
    "size": _text(""),
    "gender": _word(Gender, ""),
    "age_group": _word(AgeGroup, ""),
    "material": _text(""),
    "pattern": _text(""),
    "status": _word(Status, "Only active items are shown on platforms."),
    "shipping": _text(""),
    "checkout_url": _text("", chars_max=limits.URL_CHARS_MAX),
    **{f"custom_label_{number}": _text("") for number in range(5)},
    "sku": _text("", "MUG-BLUE"),
    "attributes": {
        "type": ["object", "null"],
        "additionalProperties": {"type": ["string", "null"]},
        "description": "What the shop has beyond the specification; merged, null removes one.",
    },
}
_ID: Final[Schema] = {
    "type": "string",
    "minLength": 1,
    "maxLength": limits.ITEM_ID_CHARS_MAX,
    "description": "The brand's own id, as pixels and ads name it. Slashes and any script are allowed.",
    "examples": ["mug/blue"],
}
_EXTERNAL: Final[Schema] = {
    "type": ["object", "null"],
    "description": "Where the item lives in the shop it came from.",
    "properties": {
        **{name: _text("") for name in ("source", "product_id", "variant_id", "inventory_item_id", "handle")},
        "options": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "value": {"type": "string"}},
            },
        },
    },
}
_VERSIONS: Final[Schema] = {
    "content_version": {
        "type": ["integer", "null"],
        "description": "Rises by one with each change of content.",
    },
    "offer_version": {
        "type": ["integer", "null"],
        "description": "Rises by one with each change of price or stock.",
    },
}
_ITEM_IN: Final[Schema] = {**_CONTENT, **_OFFER, "external": _EXTERNAL, "occurred_at": _MOMENT}
_EXAMPLE: Final[Schema] = {
    "id": "mug/blue",
    "title": "Mug, blue",
    "link": "https://shop.example/p/mug",
    "image_link": "https://shop.example/i/mug.jpg",
    "price": "24.90 EUR",
    "quantity": 12,
}


def _object(properties: Schema, *, required: Sequence[str] = (), example: object = None) -> Schema:
    schema: Schema = {"type": "object", "properties": properties, "required": list(required)}
    return schema | ({"example": example} if example is not None else {})


CREATE: Final = _object({"id": _ID, **_ITEM_IN}, required=("id", "title", "price"), example=_EXAMPLE)
PATCH: Final = _object(_ITEM_IN, example={"price": "22.90 EUR", "color": None})
_BATCH_ENTRY: Final = _object(
    {"op": {"type": "string", "enum": ["upsert", "delete"], "default": "upsert"}, "id": _ID, **_ITEM_IN},
    required=("id",),
)
ITEMS_BATCH: Final = _object(
    {"items": {"type": "array", "minItems": 1, "maxItems": 10_000, "items": _BATCH_ENTRY}},
    required=("items",),
    example={"items": [_EXAMPLE, {"op": "delete", "id": "mug/red"}]},
)
OFFERS_BATCH: Final = _object(
    {
        "items": {
            "type": "array",
            "minItems": 1,
            "maxItems": 10_000,
            "items": _object({"id": _ID, **_OFFER, "occurred_at": _MOMENT}, required=("id",)),
        }
    },
    required=("items",),
    example={"items": [{"id": "mug/blue", "price": "22.90 EUR", "quantity": 0}]},
)
_OUT: Final[Schema] = {
    "id": _ID,
    **{name: schema for name, schema in _CONTENT.items() if name != "description_html"},
    **_OFFER,
    "effective_availability": _word(Availability, "What a shopper can do now."),
    "market": {"type": "string"},
    "external": _EXTERNAL,
    **_VERSIONS,
}
ITEM: Final = _object({**_OUT, "created_at": _MOMENT, "updated_at": _MOMENT})
_WARNINGS: Final[Schema] = {
    "type": "array",
    "description": "What a shop told of the item and could not be read: the item is without it.",
    "items": {
        "type": "object",
        "properties": {name: {"type": "string"} for name in ("field", "code", "message", "fix")},
    },
}
ITEM_ALONE: Final = _object({**_OUT, "created_at": _MOMENT, "updated_at": _MOMENT, "warnings": _WARNINGS})
WRITTEN: Final = _object({**_OUT, "outcome": {"type": "string", "enum": [*map(str, Outcome)]}})
ITEM_PAGE: Final = _object(
    {"data": {"type": "array", "items": ITEM}, "next_cursor": {"type": ["string", "null"]}}
)
_PROBLEM: Final = _object({name: {"type": "string"} for name in ("field", "code", "message", "fix")})
_RESULT: Final = _object(
    {
        "index": {"type": "integer"},
        "id": {"type": ["string", "null"]},
        "outcome": {"type": "string", "enum": [*map(str, Outcome)]},
        **_VERSIONS,
        "errors": {"type": "array", "items": _PROBLEM},
    }
)
RESULTS: Final = _object(
    {
        "counts": _object({outcome.value: {"type": "integer"} for outcome in Outcome}),
        "results": {"type": "array", "items": _RESULT},
    },
    example={
        "counts": {"created": 1, "updated": 0, "unchanged": 0, "deleted": 0, "refused": 0},
        "results": [
            {
                "index": 0,
                "id": "mug/blue",
                "outcome": "created",
                "content_version": 1,
                "offer_version": 1,
                "errors": [],
            }
        ],
    },
)
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
IMPORT: Final = _object(
    {
        "id": {"type": "string", "format": "uuid"},
        "state": {
            "type": "string",
            "enum": [
                "fetching",
                "uploading",
                "staged",
                "verifying",
                "applying",
                "done",
                "refused",
                "failed",
                "aborted",
            ],
        },
        "format": {"type": ["string", "null"]},
        "file_name": {"type": ["string", "null"]},
        "url": {"type": ["string", "null"], "description": "Where it is fetched from, without the query."},
        "bytes": _COUNT,
        "bytes_total": {"type": ["integer", "null"], "description": "Of a fetch, where its server said it."},
        "rows": _object(
            dict.fromkeys(("total", "done", "created", "updated", "unchanged", "refused", "images"), _COUNT)
        ),
        "problem": {
            "type": ["object", "null"],
            "description": "Why the file was refused as a whole; while it is fetched, why the last attempt failed.",
        },
        **{
            name: {"type": ["string", "null"], "format": "date-time"}
            for name in ("created_at", "finished_at")
        },
    }
)
IMPORT_PAGE: Final = _object(
    {"data": {"type": "array", "items": IMPORT}, "next_cursor": {"type": ["string", "null"]}}
)
IMPORT_ROWS: Final = _object(
    {
        "data": {
            "type": "array",
            "items": _object(
                {
                    "row": {"type": "integer", "description": "As a spreadsheet counts; the header is 1."},
                    "id": {"type": ["string", "null"]},
                    "outcome": {"type": "string"},
                    "problems": {"type": "array", "items": _PROBLEM},
                }
            ),
        },
        "next_cursor": {"type": ["string", "null"]},
    }
)


def body_of(schema: Schema, media_type: str = "application/json") -> Schema:
    """`openapi_extra` of a route that reads its body itself."""
    return {"requestBody": {"required": True, "content": {media_type: {"schema": schema}}}}


FILE_OR_ADDRESS: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "text/csv": {"schema": {"type": "string", "format": "binary"}},
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["url"],
                    "additionalProperties": False,
                    "properties": {
                        "url": {"type": "string", "format": "uri"},
                        "sha256": {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"},
                        "format": {"type": "string", "description": "shopify, common or auto."},
                        "file_name": {"type": "string", "description": "Shown in lists."},
                    },
                    "examples": [{"url": "https://shop.example/feed.csv"}],
                }
            },
        },
    }
}


def answer_of(schema: Schema, description: str) -> Schema:
    """One entry of a route's `responses`."""
    return {"description": description, "content": {"application/json": {"schema": schema}}}
