"""What a person's token can reach: permissions, businesses, ad accounts, pages, pixels. Edges of the SDK for v26.0."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vitrin.sandbox.meta import params as read
from vitrin.sandbox.meta.listing import one_page
from vitrin.sandbox.meta.login import SCOPES
from vitrin.sandbox.wire import Reply

if TYPE_CHECKING:
    from vitrin.sandbox.meta.platform import MetaPlatform, Request

EDGE_SCOPES = {
    "businesses": ("business_management",),
    "owned_product_catalogs": ("business_management", "catalog_management"),
    "client_product_catalogs": ("business_management", "catalog_management"),
    "owned_pixels": ("business_management", "ads_management", "ads_read"),
    "adaccounts": ("ads_management", "ads_read"),
    "accounts": ("pages_show_list",),
    **dict.fromkeys(("customaudiences", "users", "usersreplace", "events"), ("ads_management",)),
    "stats": ("ads_management", "ads_read"),
}


def needed_scopes(object_id: str, edge: str, *, in_catalog: bool, for_ads: bool = False) -> tuple[str, ...]:
    """One of these permissions is needed for the edge; none for what everybody may see of himself."""
    if for_ads:
        return EDGE_SCOPES.get(edge, ("ads_management",))
    if in_catalog:
        return ("catalog_management",)
    if object_id == "me" and edge in ("", "permissions"):
        return ()
    return EDGE_SCOPES.get(edge, ("business_management",))


def permissions(platform: MetaPlatform, request: Request) -> Reply:
    """``GET /me/permissions``: every permission that was asked about, declined ones too."""
    read.refuse_unknown(request.params, {"permission"})
    granted = SCOPES if request.account.scopes is None else request.account.scopes
    rows: list[dict[str, Any]] = [
        {"permission": name, "status": "granted" if name in granted else "declined"} for name in SCOPES
    ]
    return Reply(200, one_page(rows))


def businesses(platform: MetaPlatform, request: Request) -> Reply:
    """``GET /me/businesses``."""
    return _page(request, [(request.account.external_ids["business_id"], request.account.name)])


def client_product_catalogs(platform: MetaPlatform, request: Request) -> Reply:
    """``GET /{business}/client_product_catalogs``: nobody shares a catalog here."""
    return _page(request, [])


def owned_pixels(platform: MetaPlatform, request: Request) -> Reply:
    """``GET /{business}/owned_pixels``."""
    ids = request.account.external_ids
    return _page(request, [(ids["pixel_id"], f"{request.account.name} pixel")])


def pages(platform: MetaPlatform, request: Request) -> Reply:
    """``GET /me/accounts``: Facebook pages."""
    number = request.account.number
    return _page(request, [(str(600_000_000_000_000 + number), request.account.name)])


def ad_accounts(platform: MetaPlatform, request: Request) -> Reply:
    """``GET /me/adaccounts``: the id is ``act_`` and the account's number."""
    allowed = ("id", "account_id", "name", "currency")
    names = read.field_names(request.params, allowed=allowed, default=("id", "account_id"), node="AdAccount")
    number = request.account.external_ids["ad_account_id"]
    shown = {
        "id": f"act_{number}",
        "account_id": number,
        "name": f"{request.account.name} ads",
        "currency": "EUR",
    }
    return Reply(200, one_page([{name: shown[name] for name in names} | {"id": shown["id"]}]))


def _page(request: Request, nodes: list[tuple[str, str]]) -> Reply:
    names = read.field_names(request.params, allowed=("id", "name"), default=("id", "name"), node="Node")
    rows = [{"id": one, "name": name} for one, name in nodes]
    return Reply(200, one_page([{name: row[name] for name in names} | {"id": row["id"]} for row in rows]))
