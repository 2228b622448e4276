"""Request bodies of Pinterest's catalog calls, checked against the schemas of the OpenAPI 5.23.

A body that breaks its schema is refused as a whole with 400 and code 1; what is wrong with a well-formed item is
said per item by the batch.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vitrin.sandbox.pinterest import vocabulary as words
from vitrin.sandbox.pinterest.errors import NAMED, invalid_request
from vitrin.sandbox.pinterest.rules import ITEM_ID_CHARS_MAX

ITEMS_MAX = 1_000
CUSTOM_LABEL_CHARS_MAX = 511
UINT32_MAX = 4_294_967_295
OPERATIONS = frozenset({"CREATE", "UPDATE", "UPSERT", "DELETE"})
LEGACY_OPERATIONS = OPERATIONS | {"DELETE_DISCONTINUED"}
DIGITS = re.compile(r"\d+")
AD_MEDIA = re.compile(r"ad_(image_1?\d|video_[012])_(link|tag)")


@dataclass(slots=True)
class Operation:
    """One item of a batch. ``update_mask`` is None when there is none."""

    operation: str
    item_id: str
    attributes: dict[str, Any]
    update_mask: list[str] | None


@dataclass(slots=True)
class BatchRequest:
    """A batch in the shape that both request forms share; ``language`` is the language's code in upper case."""

    country: str
    language: str
    catalog_id: str | None
    operations: list[Operation]


@dataclass(slots=True)
class ItemsRequest:
    """Body of ``POST /catalogs/items``."""

    country: str
    language: str
    catalog_id: str | None
    item_ids: list[str]


def _object(value: Any, *, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise invalid_request(f"{what} is not of type object")
    return value


def _text(value: Any, *, what: str) -> str:
    if not isinstance(value, str):
        raise invalid_request(f"{what} is not of type string")
    return value


def _only(body: Mapping[str, Any], allowed: frozenset[str]) -> None:
    unknown = sorted(body.keys() - allowed)
    if unknown:
        raise invalid_request(f"Additional properties are not allowed ('{unknown[0]}' was unexpected)")


def _required(body: Mapping[str, Any], *names: str) -> None:
    for name in names:
        if name not in body:
            raise invalid_request(f"'{name}' is a required property")


def _locale(body: Mapping[str, Any]) -> tuple[str, str]:
    country, language = body["country"], body["language"]
    if country not in words.COUNTRIES:
        raise invalid_request(f"{country!r} is not one of the supported countries")
    if language not in words.LANGUAGES and language not in words.LOCALES:
        raise invalid_request(f"{language!r} is not one of the supported languages")
    return str(country), str(language).partition("-")[0].upper()


def _catalog_id(value: Any) -> str | None:
    if value is not None and (not isinstance(value, str) or not DIGITS.fullmatch(value)):
        raise invalid_request(rf"{value!r} does not match '^\d+$'")
    return value


def _items(body: Mapping[str, Any]) -> list[Any]:
    items = body["items"]
    if not isinstance(items, list):
        raise invalid_request("items is not of type array")
    if not items:
        raise invalid_request("items is too short")
    if len(items) > ITEMS_MAX:
        raise invalid_request(f"items is too long: {len(items)}, the maximum is {ITEMS_MAX}")
    return items


def parse_batch(body: Any) -> BatchRequest:
    """Body of ``POST /catalogs/items/batch`` in either form. Raises ``ApiError``."""
    envelope = _object(body, what="body")
    if "catalog_type" not in envelope:
        return _parse_legacy(envelope)
    if envelope["catalog_type"] in ("HOTEL", "CREATIVE_ASSETS"):
        raise NAMED["permission"]
    if envelope["catalog_type"] != "RETAIL":
        raise invalid_request(
            f"{envelope['catalog_type']!r} is not one of ['RETAIL', 'HOTEL', 'CREATIVE_ASSETS']"
        )
    _required(envelope, "catalog_type", "country", "language", "items")
    _only(envelope, frozenset({"catalog_id", "catalog_type", "country", "items", "language"}))
    country, language = _locale(envelope)
    operations = []
    for value in _items(envelope):
        item = _object(value, what="item")
        _required(item, "item_id", "operation")
        if item["operation"] not in OPERATIONS:
            raise invalid_request(f"{item['operation']!r} is not one of {sorted(OPERATIONS)}")
        operations.append(_operation(item, operation=item["operation"]))
    return BatchRequest(country, language, _catalog_id(envelope.get("catalog_id")), operations)


def _parse_legacy(envelope: dict[str, Any]) -> BatchRequest:
    _required(envelope, "country", "language", "operation", "items")
    operation = envelope["operation"]
    if operation not in LEGACY_OPERATIONS:
        raise invalid_request(f"{operation!r} is not one of {sorted(LEGACY_OPERATIONS)}")
    _only(envelope, frozenset({"country", "items", "language", "operation"}))
    country, language = _locale(envelope)
    operations = []
    for value in _items(envelope):
        item = _object(value, what="item")
        _required(item, "item_id")
        operations.append(_operation(item, operation=operation))
    return BatchRequest(country, language, None, operations)


def _operation(item: Mapping[str, Any], *, operation: str) -> Operation:
    item_id = _text(item["item_id"], what="item_id")
    if not 0 < len(item_id) <= ITEM_ID_CHARS_MAX:
        raise invalid_request(f"item_id {item_id!r} must have 1 to {ITEM_ID_CHARS_MAX} characters")
    if operation in ("DELETE", "DELETE_DISCONTINUED"):
        return Operation(operation, item_id, {}, None)
    _required(item, "attributes")
    attributes = _object(item["attributes"], what="attributes")
    for name, value in attributes.items():
        _check_type(name, value)
    mask = item.get("update_mask") if operation == "UPDATE" else None
    if mask is not None:
        if not isinstance(mask, list):
            raise invalid_request("update_mask is not of type array")
        for name in mask:
            if name not in words.UPDATE_MASK_FIELDS:
                raise invalid_request(f"{name!r} is not one of the attributes that update_mask supports")
    return Operation(operation, item_id, attributes, mask)


def _check_type(name: str, value: Any) -> None:
    if value is None:
        if name in words.NEVER_NULL:
            raise invalid_request(f"{name}: None is not of the expected type")
        return
    if name in words.TEXT_ATTRIBUTES or AD_MEDIA.fullmatch(name):
        fits = isinstance(value, str)
        if name.startswith("custom_label_") and fits and len(value) > CUSTOM_LABEL_CHARS_MAX:
            raise invalid_request(f"{name} is too long")
    elif name in words.INTEGER_ATTRIBUTES:
        fits = isinstance(value, int) and not isinstance(value, bool)
        if name.startswith("custom_number_") and fits and not 0 <= value <= UINT32_MAX:
            raise invalid_request(f"{name} must be an integer from 0 to {UINT32_MAX}")
    elif name in words.NUMBER_ATTRIBUTES:
        fits = isinstance(value, int | float) and not isinstance(value, bool)
    elif name in words.BOOLEAN_ATTRIBUTES:
        fits = isinstance(value, bool)
    elif name in words.LIST_ATTRIBUTES:
        fits = isinstance(value, list) and all(isinstance(one, str) for one in value)
    elif name == "image_link":
        _check_image_link(value)
        return
    elif name == "gtin":
        fits = isinstance(value, str | int) and not isinstance(value, bool)
    else:
        return
    if not fits:
        raise invalid_request(f"{name}: {value!r} is not of the expected type")


def _check_image_link(value: Any) -> None:
    if isinstance(value, str):
        return
    if not isinstance(value, list) or len(value) != 1 or not isinstance(value[0], str):
        raise invalid_request(f"image_link: {value!r} is neither a string nor an array of one string")


def parse_items_request(body: Any) -> ItemsRequest:
    """Body of ``POST /catalogs/items``. Raises ``ApiError``."""
    envelope = _object(body, what="body")
    _required(envelope, "country", "language", "filters")
    _only(envelope, frozenset({"country", "language", "filters"}))
    country, language = _locale(envelope)
    filters = _object(envelope["filters"], what="filters")
    _required(filters, "catalog_type")
    if filters["catalog_type"] in ("HOTEL", "CREATIVE_ASSETS"):
        raise NAMED["permission"]
    if filters["catalog_type"] != "RETAIL":
        raise invalid_request(
            f"{filters['catalog_type']!r} is not one of ['RETAIL', 'HOTEL', 'CREATIVE_ASSETS']"
        )
    _required(filters, "item_ids")
    ids = filters["item_ids"]
    if not isinstance(ids, list):
        raise invalid_request(f"{ids!r} is not of type array")
    if not 0 < len(ids) <= ITEMS_MAX:
        raise invalid_request(f"item_ids must have 1 to {ITEMS_MAX} elements")
    item_ids = [_text(one, what="item_ids") for one in ids]
    return ItemsRequest(country, language, _catalog_id(filters.get("catalog_id")), item_ids)
