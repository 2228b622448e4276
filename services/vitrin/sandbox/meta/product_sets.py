"""Product sets and single items. Names of parameters and fields are those of the SDK for Graph v26.0."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import orjson

from vitrin.sandbox.meta import params as read
from vitrin.sandbox.meta.errors import invalid_parameter, missing_object
from vitrin.sandbox.meta.filters import compile_filter
from vitrin.sandbox.meta.listing import SET_PRODUCTS_PARAMS, add_summary, list_items, one_page
from vitrin.sandbox.meta.reading import DEFAULT_FIELDS, FIELD_NAMES, node
from vitrin.sandbox.wire import Reply

if TYPE_CHECKING:
    from vitrin.sandbox.meta.platform import MetaPlatform, Request

SETS_MAX = 1_000
"""Sets per catalog; the platform's own limit is unverified."""

SET_PARAMS = frozenset({"filter", "metadata", "name", "ordering_info", "publish_to_shops", "retailer_id"})
LIST_PARAMS = frozenset({"ancestor_id", "has_children", "parent_id", "retailer_id"})
SET_FIELDS = ("id", "name", "filter", "retailer_id", "ordering_info", "product_count", "product_catalog")
ITEM_PARAMS = frozenset(
    {"catalog_id", "image_height", "image_width", "override_country", "override_language"}
)


def create_set(platform: MetaPlatform, request: Request) -> Reply:
    """``POST /{catalog}/product_sets``; without a filter the set has all items."""
    read.refuse_unknown(request.params, SET_PARAMS)
    catalog = platform.catalogs[request.object_id]
    if "name" not in request.params:
        raise invalid_parameter("The parameter name is required", "name")
    if len(catalog.groups) >= SETS_MAX:
        raise invalid_parameter(f"The catalog has {SETS_MAX} product sets already")
    set_id = platform.next_set_id(catalog.catalog_id, now_ms=request.call.received_ms)
    catalog.set_group(set_id, {"id": set_id} | _given(request))
    return Reply(200, {"id": set_id})


def list_sets(platform: MetaPlatform, request: Request) -> Reply:
    """``GET /{catalog}/product_sets``, in one page."""
    read.refuse_unknown(request.params, LIST_PARAMS)
    names = _names(request)
    wanted = request.params.get("retailer_id")
    chosen = [
        one
        for one in platform.catalogs[request.object_id].groups.values()
        if wanted is None or one.get("retailer_id") == wanted
    ]
    body = one_page([_shown(platform, request.object_id, one, names) for one in chosen])
    add_summary(request, body, count=lambda: len(chosen))
    return Reply(200, body)


def read_set(platform: MetaPlatform, request: Request) -> Reply:
    """``GET /{set}``."""
    read.refuse_unknown(request.params, ())
    group = platform.catalogs[request.catalog_id].groups[request.object_id]
    return Reply(200, _shown(platform, request.catalog_id, group, _names(request)))


def update_set(platform: MetaPlatform, request: Request) -> Reply:
    """``POST /{set}``."""
    read.refuse_unknown(request.params, SET_PARAMS)
    catalog = platform.catalogs[request.catalog_id]
    catalog.set_group(request.object_id, catalog.groups[request.object_id] | _given(request))
    return Reply(200, {"success": True})


def delete_set(platform: MetaPlatform, request: Request) -> Reply:
    """``DELETE /{set}``; its items stay."""
    read.refuse_unknown(request.params, {"allow_live_product_set_deletion"})
    platform.catalogs[request.catalog_id].set_group(request.object_id, None)
    return Reply(200, {"success": True})


def set_products(platform: MetaPlatform, request: Request) -> Reply:
    """``GET /{set}/products``."""
    read.refuse_unknown(request.params, SET_PRODUCTS_PARAMS)
    group = platform.catalogs[request.catalog_id].groups[request.object_id]
    return list_items(request, platform.seen(request), within=group.get("filter"))


def read_item(platform: MetaPlatform, request: Request) -> Reply:
    """``GET /{item}`` by the number that the platform gave it."""
    read.refuse_unknown(request.params, ITEM_PARAMS)
    names = read.field_names(request.params, allowed=FIELD_NAMES, default=DEFAULT_FIELDS, node="ProductItem")
    catalog = platform.seen(request)
    item = catalog.get(platform.retailer_id(request.object_id, catalog_id=request.catalog_id) or "")
    if item is None:
        raise missing_object(request.object_id, method=request.call.method)
    return Reply(200, node(item, catalog_id=catalog.catalog_id, names=names), item_ids=[item.key])


def set_id(catalog_id: str, *, now_ms: int, number: int) -> str:
    """A number of 16 digits that no other set has had."""
    digest = blake2b(f"set/{catalog_id}/{now_ms}/{number}".encode(), digest_size=6).digest()
    return str(800_000_000_000_000 + int.from_bytes(digest) % 99_000_000_000_000)


def _names(request: Request) -> tuple[str, ...]:
    return read.field_names(request.params, allowed=SET_FIELDS, default=("id", "name"), node="ProductSet")


def _given(request: Request) -> dict[str, Any]:
    """What the call says about the set, checked."""
    given: dict[str, Any] = {}
    params = request.params
    if "name" in params:
        if not isinstance(params["name"], str) or not params["name"].strip():
            raise invalid_parameter("Param name must be a non-empty string", "name")
        given["name"] = params["name"]
    rule = read.json_value(params, "filter")
    if rule is not None:
        compile_filter(rule)
        given["filter"] = rule
    if isinstance(params.get("retailer_id"), str):
        given["retailer_id"] = params["retailer_id"]
    ordering = read.json_value(params, "ordering_info")
    if ordering is not None:
        if not isinstance(ordering, list) or not all(isinstance(one, int) and one >= 0 for one in ordering):
            raise invalid_parameter(
                "Param ordering_info must be a list of unsigned integers", "ordering_info"
            )
        given["ordering_info"] = ordering
    return given


def _shown(
    platform: MetaPlatform, catalog_id: str, group: dict[str, Any], names: tuple[str, ...]
) -> dict[str, Any]:
    catalog = platform.catalogs[catalog_id]
    rule = group.get("filter")
    shown: dict[str, Any] = {}
    for name in names:
        if name == "filter" and rule is not None:
            shown[name] = orjson.dumps(rule).decode()
        elif name == "product_count":
            fits = compile_filter(rule) if rule is not None else None
            items = catalog.after(0, limit=len(catalog))
            shown[name] = sum(1 for one in items if fits is None or fits(one, one.fields()))
        elif name == "product_catalog":
            shown[name] = {"id": catalog_id, "name": catalog.name}
        elif name in group:
            shown[name] = group[name]
    return shown | {"id": group["id"]}
