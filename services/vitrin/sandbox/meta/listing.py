"""Lists of items and their pages, for the edges that have them."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from vitrin.sandbox.meta import params as read
from vitrin.sandbox.meta.errors import invalid_parameter
from vitrin.sandbox.meta.filters import Matches, compile_filter, wanted_ids
from vitrin.sandbox.meta.reading import DEFAULT_FIELDS, FIELD_NAMES, node
from vitrin.sandbox.state import CatalogState, PastCatalog, StoredItem
from vitrin.sandbox.wire import Reply

if TYPE_CHECKING:
    from vitrin.sandbox.meta.platform import Request

PAGE_DEFAULT, PAGE_MAX = 25, 5_000
"""Items per page of ``products``; the largest page is unverified."""

SET_PRODUCTS_PARAMS = frozenset({"bulk_pagination", "error_priority", "error_type", "filter"})
PRODUCTS_PARAMS = SET_PRODUCTS_PARAMS | {"return_only_approved_products"}

Catalog = CatalogState | PastCatalog


def list_items(request: Request, catalog: Catalog, *, within: Any = None) -> Reply:
    """A page of the items that the request's filter takes, and the rule ``within`` of a product set."""
    names = read.field_names(request.params, allowed=FIELD_NAMES, default=DEFAULT_FIELDS, node="ProductItem")
    limit = read.integer(request.params, "limit", default=PAGE_DEFAULT, min_value=1, max_value=PAGE_MAX)
    after = position(request.params.get("after"))
    rules = [rule for rule in (within, read.json_value(request.params, "filter")) if rule is not None]
    found = _found(catalog, rules, after=after, wanted=limit + 1)
    page = found[:limit]
    body: dict[str, Any] = {"data": [node(one, catalog_id=catalog.catalog_id, names=names) for one in page]}
    if page:
        cursors = {"before": cursor(page[0].seq), "after": cursor(page[-1].seq)}
        body["paging"] = {"cursors": cursors}
        if len(found) > limit:
            body["paging"]["next"] = _next_url(request, cursors["after"])
    add_summary(request, body, count=lambda: len(_found(catalog, rules, after=0, wanted=len(catalog) + 1)))
    return Reply(200, body, item_ids=[one.key for one in page])


def add_summary(request: Request, body: dict[str, Any], *, count: Callable[[], int]) -> None:
    """``summary``, which the SDK asks for with every page; for products it is unverified."""
    if request.params.get("summary") in (True, "true", "1", "total_count"):
        body["summary"] = {"total_count": count()}


def one_page(nodes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A list that is short enough for one page."""
    if not nodes:
        return {"data": []}
    return {"data": list(nodes), "paging": {"cursors": {"before": cursor(1), "after": cursor(len(nodes))}}}


def _found(catalog: Catalog, rules: list[Any], *, after: int, wanted: int) -> list[StoredItem]:
    if not rules:
        return list(catalog.after(after, limit=wanted))
    conditions = [compile_filter(rule) for rule in rules]
    ids = wanted_ids(rules[-1])
    if ids is not None:
        named = [item for one in ids if (item := catalog.get(one)) is not None and item.seq > after]
        chosen = [item for item in named if _fits(item, conditions)]
        return sorted(chosen, key=lambda item: item.seq)[:wanted]
    found: list[StoredItem] = []
    for item in catalog.after(after, limit=len(catalog)):
        if _fits(item, conditions):
            found.append(item)
            if len(found) == wanted:
                break
    return found


def _fits(item: StoredItem, conditions: list[Matches]) -> bool:
    fields = item.fields()
    return all(fits(item, fields) for fits in conditions)


def cursor(seq: int) -> str:
    """An opaque place in a list."""
    return urlsafe_b64encode(f"QVFI{seq}".encode()).decode().rstrip("=")


def position(value: Any) -> int:
    """The place that a cursor stands for."""
    if value in (None, ""):
        return 0
    try:
        text = urlsafe_b64decode(f"{value}{'=' * (-len(str(value)) % 4)}").decode()
        return int(text.removeprefix("QVFI"))
    except ValueError as error:
        raise invalid_parameter("Invalid cursor for param after", "after") from error


def _next_url(request: Request, after: str) -> str:
    query = {name: value for name, value in request.call.query.items() if name != "after"}
    return f"{request.call.base_url}{request.call.path}?{urlencode(query | {'after': after})}"
