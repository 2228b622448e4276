"""The edges: one function per call that Meta offers for catalogs.

Parameter names are those of the SDK for Graph v26.0; anything else is refused with code 100.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vitrin.sandbox.meta import params as read
from vitrin.sandbox.meta.batches import METHODS, Batch, ItemRequest, Screened, screen
from vitrin.sandbox.meta.errors import NAMED, invalid_parameter
from vitrin.sandbox.meta.listing import PRODUCTS_PARAMS, add_summary, list_items, one_page
from vitrin.sandbox.meta.quota import BATCH
from vitrin.sandbox.meta.rules import ID_CHARS_MAX
from vitrin.sandbox.wire import Reply

if TYPE_CHECKING:
    from vitrin.sandbox.meta.platform import MetaPlatform, Request

REQUESTS_MAX = 5_000
BATCH_PARAMS = frozenset({"allow_upsert", "item_sub_type", "item_type", "requests", "version"})
STATUS_PARAMS = frozenset({"handle", "load_ids_of_invalid_requests", "error_priority"})
STATUS_FIELDS = (
    "handle",
    "status",
    "errors_total_count",
    "errors",
    "warnings_total_count",
    "warnings",
    "ids_of_invalid_requests",
)
CATALOG_PARAMS = frozenset(
    {
        "additional_vertical_option",
        "business_metadata",
        "catalog_segment_filter",
        "catalog_segment_product_set_id",
        "da_display_settings",
        "destination_catalog_settings",
        "flight_catalog_settings",
        "name",
        "parent_catalog_id",
        "partner_integration",
        "store_catalog_settings",
        "vertical",
    }
)
VERTICALS = frozenset(
    {
        "adoptable_pets",
        "apps_and_software",
        "articles_and_publications",
        "commerce",
        "destinations",
        "flights",
        "generic",
        "home_listings",
        "hotels",
        "local_service_businesses",
        "media_titles",
        "offer_items",
        "offline_commerce",
        "services",
        "transactable_items",
        "vehicles",
    }
)
CATALOG_FIELDS = ("id", "name", "vertical", "product_count", "business", "feed_count", "is_catalog_segment")
PRIORITIES = frozenset({"HIGH", "MEDIUM", "LOW"})
ITEM_TYPE = "PRODUCT_ITEM"


def me(platform: MetaPlatform, request: Request) -> Reply:
    """``GET /me``: whom the token belongs to."""
    names = read.field_names(request.params, allowed=("id", "name"), default=("id", "name"), node="User")
    shown = {"id": str(400_000_000_000_000 + request.account.number), "name": request.account.name}
    return Reply(200, {name: shown[name] for name in names} | {"id": shown["id"]})


def read_business(platform: MetaPlatform, request: Request) -> Reply:
    """``GET /{business}``."""
    names = read.field_names(request.params, allowed=("id", "name"), default=("id", "name"), node="Business")
    shown = {"id": request.object_id, "name": request.account.name}
    return Reply(200, {name: shown[name] for name in names} | {"id": request.object_id})


def _catalog_node(
    platform: MetaPlatform, request: Request, catalog_id: str, names: tuple[str, ...]
) -> dict[str, Any]:
    catalog = platform.catalogs[catalog_id]
    shown: dict[str, Any] = {
        "id": catalog_id,
        "name": catalog.name,
        "vertical": "commerce",
        "product_count": len(catalog),
        "business": {"id": request.account.external_ids["business_id"], "name": request.account.name},
        "feed_count": 0,
        "is_catalog_segment": False,
    }
    return {name: shown[name] for name in names} | {"id": catalog_id}


def read_catalog(platform: MetaPlatform, request: Request) -> Reply:
    """``GET /{catalog}``."""
    read.refuse_unknown(request.params, {"segment_use_cases"})
    names = read.field_names(
        request.params, allowed=CATALOG_FIELDS, default=("id", "name"), node="ProductCatalog"
    )
    return Reply(200, _catalog_node(platform, request, request.object_id, names))


def owned_product_catalogs(platform: MetaPlatform, request: Request) -> Reply:
    """``GET /{business}/owned_product_catalogs``; an account has few, so there is one page."""
    read.refuse_unknown(request.params, ())
    names = read.field_names(
        request.params, allowed=CATALOG_FIELDS, default=("id", "name"), node="ProductCatalog"
    )
    nodes = [_catalog_node(platform, request, one, names) for one in request.account.catalog_ids]
    body = one_page(nodes)
    add_summary(request, body, count=lambda: len(nodes))
    return Reply(200, body)


def create_catalog(platform: MetaPlatform, request: Request) -> Reply:
    """``POST /{business}/owned_product_catalogs``."""
    read.refuse_unknown(request.params, CATALOG_PARAMS)
    name = request.params.get("name")
    if not isinstance(name, str) or not name.strip():
        raise invalid_parameter("The parameter name is required", "name")
    if (read.choice(request.params, "vertical", VERTICALS) or "commerce") != "commerce":
        raise NAMED["permission"]
    account = request.account
    catalog_id = str(210_000_000_000_000 + account.number * 1_000 + len(account.catalog_ids))
    platform.add_catalog(catalog_id, name=name)
    account.catalog_ids.append(catalog_id)
    return Reply(200, {"id": catalog_id})


def items_batch(platform: MetaPlatform, request: Request) -> Reply:
    """``POST /{catalog}/items_batch``: up to 5,000 changes.

    A malformed item is named in ``validation_status`` and left out (or empties the batch, by setting); what only
    the catalog can tell, such as a required field that a new item lacks, comes with the poll. ``validation_status``
    is absent when there is nothing to say, and ``handles`` is empty when nothing was accepted.
    """
    now_ms = request.call.received_ms
    if not platform.take(BATCH, request):
        raise NAMED["throttle"]
    read.refuse_unknown(request.params, BATCH_PARAMS)
    item_type = request.params.get("item_type")
    if item_type is None:
        raise invalid_parameter("The parameter item_type is required", "item_type")
    if item_type != ITEM_TYPE:
        raise invalid_parameter(
            f"Param item_type must be one of {{{ITEM_TYPE}}} for this catalog", "item_type"
        )
    allow_upsert = read.boolean(request.params, "allow_upsert", default=True)
    effects = request.call.effects
    screened = screen(_parse_requests(read.json_value(request.params, "requests")), effects=effects)
    dropped = bool(screened.refused) and platform.settings.meta_validation == "whole_batch"
    body: dict[str, Any] = {"handles": []}
    if screened.accepted and not dropped:
        batch = platform.batches.accept(
            request.object_id,
            screened.accepted,
            allow_upsert=allow_upsert,
            due_ms=now_ms + platform.settings.batch_latency_ms,
            fate=effects.fate([one.retailer_id for one in screened.accepted], now_ms=now_ms),
        )
        _note(batch, screened)
        body["handles"] = [batch.handle]
    if screened.statuses:
        body["validation_status"] = screened.statuses
    everyone = screened.accepted + [one for one, _ in screened.refused]
    return Reply(
        200,
        body,
        outcome="ok" if body["handles"] else "refused",
        item_ids=[one.retailer_id for one in sorted(everyone, key=lambda one: one.position)],
        operations=dict(screened.operations),
        handle=body["handles"][0] if body["handles"] else None,
        accepted_count=len(screened.accepted) if body["handles"] else 0,
    )


def _note(batch: Batch, screened: Screened) -> None:
    for item, messages in screened.refused:
        for message in messages:
            batch.refuse(item, message)
    for item, messages in screened.warned:
        for message in messages:
            batch.warn(item, message)


def _parse_requests(value: Any) -> list[ItemRequest]:
    if value is None:
        raise invalid_parameter("The parameter requests is required", "requests")
    if not isinstance(value, list) or not value:
        raise invalid_parameter("Param requests must be a non-empty array", "requests")
    if len(value) > REQUESTS_MAX:
        raise invalid_parameter(
            f"Param requests has {len(value)} elements, at most {REQUESTS_MAX} are allowed", "requests"
        )
    return [_parse_request(position, one) for position, one in enumerate(value)]


def _parse_request(position: int, value: Any) -> ItemRequest:
    where = f"requests[{position}]"
    if not isinstance(value, dict):
        raise invalid_parameter(f"Param {where} must be an object", where)
    unknown = sorted(value.keys() - {"method", "data"})
    if unknown:
        raise invalid_parameter(
            f"Param {where} has an unexpected key: {', '.join(unknown)}", f"{where}.{unknown[0]}"
        )
    if value.get("method") not in METHODS:
        raise invalid_parameter(
            f"Param {where}[method] must be one of {{CREATE, UPDATE, DELETE}}", f"{where}.method"
        )
    data = value.get("data")
    if not isinstance(data, dict):
        raise invalid_parameter(f"Param {where}[data] must be an object", f"{where}.data")
    retailer_id = data.get("id")
    if not isinstance(retailer_id, str) or not retailer_id or len(retailer_id) > ID_CHARS_MAX:
        raise invalid_parameter(
            f"Param {where}[data][id] must be a string of 1 to {ID_CHARS_MAX} characters", f"{where}.data.id"
        )
    return ItemRequest(position, value["method"], retailer_id, data)


def check_batch_request_status(platform: MetaPlatform, request: Request) -> Reply:
    """``GET /{catalog}/check_batch_request_status``.

    ``errors`` and ``warnings`` are samples, the totals are exact. HIGH shows errors only, MEDIUM and LOW warnings
    only. ``ids_of_invalid_requests`` stays empty unless asked for.
    """
    read.refuse_unknown(request.params, STATUS_PARAMS)
    names = read.field_names(
        request.params, allowed=STATUS_FIELDS, default=STATUS_FIELDS, node="CheckBatchRequestStatus"
    )
    priority = read.choice(request.params, "error_priority", PRIORITIES)
    with_ids = read.boolean(request.params, "load_ids_of_invalid_requests", default=False)
    handle = request.params.get("handle")
    if not isinstance(handle, str) or not handle:
        raise invalid_parameter("The parameter handle is required", "handle")
    batch = platform.batches.find(handle, catalog_id=request.object_id)
    if batch is None:
        raise invalid_parameter("Invalid parameter: no batch request has this handle", "handle")
    polls_before_finished = platform.settings.polls_before_finished
    platform.batches.count_poll(batch, enough=polls_before_finished + 1)
    errors = batch.errors if batch.done and priority in (None, "HIGH") else []
    warnings = batch.warnings if batch.done and priority != "HIGH" else []
    samples_max = platform.settings.meta_error_samples_max
    shown = {
        "handle": handle,
        "status": platform.batches.status(
            batch, polls_before_finished=polls_before_finished, now_ms=request.call.received_ms
        ),
        "errors_total_count": len(errors),
        "errors": errors[:samples_max],
        "warnings_total_count": len(warnings),
        "warnings": warnings[:samples_max],
        "ids_of_invalid_requests": list(batch.invalid_ids) if batch.done and with_ids else [],
    }
    return Reply(200, {"data": [{name: shown[name] for name in names}]}, handle=handle)


def products(platform: MetaPlatform, request: Request) -> Reply:
    """``GET /{catalog}/products``: the items as the platform shows them, a page at a time."""
    read.refuse_unknown(request.params, PRODUCTS_PARAMS)
    return list_items(request, platform.seen(request))
