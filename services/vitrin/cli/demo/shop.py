"""The scene with a shop: connected by consent, loaded, a sale followed to the platforms, a cart that comes back, and a
token that the shop refuses for a while: people are told, and a new consent ends it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vitrin.cli.client import ServiceClient
from vitrin.cli.connecting import approve_in_sandbox
from vitrin.cli.demo.changes import COLUMNS, Change, follow
from vitrin.cli.failures import CliFailure
from vitrin.cli.output import Output

HOST = "vitrin-demo.myshopify.com"
PRODUCTS = 3
WAIT_S = 60.0
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class ShopScene:
    """One row per platform for the sale; the cart as the hand-off judged it; the notification as it stood in the inbox
    while the shop refused the token."""

    rows: list[dict[str, object]]
    cart: Mapping[str, Any]
    notice: Mapping[str, Any]

    @property
    def arrived(self) -> bool:
        return all(row["arrived"] for row in self.rows) and self.cart["outcome"] == "partial"


def show_shop(
    output: Output,
    *,
    accounts: ServiceClient,
    catalog: ServiceClient,
    shop_sync: ServiceClient,
    notify: ServiceClient,
    sandbox: ServiceClient,
    currency: str,
) -> ShopScene:
    """The same on a second run: what is connected stays, and the sale is undone by the next."""
    began = time.monotonic()
    shop_id = _connected(accounts, sandbox, currency)
    _wait(lambda: bool(_shop(catalog, shop_id).get("loaded_at")), "the shop to be loaded")
    items = [one for one in catalog.pages("/v1/items") if one["external"]["source"] == f"shopify:{HOST}"]
    output.note(
        f"[green]✓[/green] connected shopify {HOST} by consent: {len(items)} items of it"
        f" after {time.monotonic() - began:.1f} s"
    )
    sold, kept, *_ = sorted(items, key=lambda one: str(one["id"]))
    channels = [one for one in shop_sync.pages("/v1/channels") if one["state"] == "active"]
    rows = _sale(output, sold["id"], catalog=catalog, shop_sync=shop_sync, sandbox=sandbox, channels=channels)
    cart = _cart(output, shop_sync, shop_id, channels, kept["id"])
    notice = _told(output, shop_id, accounts=accounts, catalog=catalog, notify=notify, sandbox=sandbox)
    return ShopScene(rows, cart, notice)


def _connected(accounts: ServiceClient, sandbox: ServiceClient, currency: str) -> str:
    shops = {one["host"] for one in sandbox.get("/_sandbox/shops")["shops"]}
    if HOST not in shops:
        seed = {"products": PRODUCTS, "variants_each": 1}
        sandbox.post("/_sandbox/shops", {"kind": "shopify", "host": HOST, "currency": currency, "seed": seed})
    for one in accounts.pages("/v1/connections"):
        if one["platform"] == "shopify" and one["state"] == "active":
            return str(one["id"])
    return _consented(accounts)


def _consented(accounts: ServiceClient, **again: str) -> str:
    body = {"platform": "shopify", "mode": "sandbox", "external_ids": {"shop": HOST}, **again}
    started = accounts.post("/v1/connections:authorize", body)
    approve_in_sandbox(started["authorize_url"], "shopify")
    attempt = accounts.get(f"/v1/oauth/attempts/{started['attempt_id']}")
    if attempt["state"] != "connected":
        raise CliFailure(f"the shop is not connected: {attempt}", code="shop_not_connected")
    return str(attempt["connection_id"])


def _shop(catalog: ServiceClient, shop_id: str) -> Mapping[str, Any]:
    found = catalog.get("/v1/shops")["data"]
    return next((one for one in found if one["id"] == shop_id), {})


def _sale(
    output: Output,
    item_id: str,
    *,
    catalog: ServiceClient,
    shop_sync: ServiceClient,
    sandbox: ServiceClient,
    channels: list[Any],
) -> list[dict[str, object]]:
    """The shop tells its stock by a signed webhook of its own."""
    from urllib.parse import quote

    path = f"/v1/items/{quote(item_id, safe='')}"

    def live() -> bool:
        states = shop_sync.get(f"{path}/timeline", {"limit": 1})["channels"]
        return len(states) == len(channels) and all(one["state"] == "live" for one in states)

    _wait(live, f"{item_id} to be live")
    before = catalog.get(path)
    left = 5 if before["quantity"] == 0 else 0
    variant = int(before["external"]["variant_id"])
    sandbox.post(f"/_sandbox/shops/shopify/{HOST}/stock", {"variant_id": variant, "available": left})
    change = Change({"id": item_id}, f"{item_id}: {left} left in the shop")
    output.note(f"in the shop: {change.words}")
    platforms = [str(one["platform"]) for one in channels]
    rows = follow(shop_sync, change, offer_version=int(before["offer_version"]) + 1, platforms=platforms)
    output.table(rows, columns=COLUMNS)
    return rows


def _cart(
    output: Output, shop_sync: ServiceClient, shop_id: str, channels: list[Any], item_id: str
) -> Mapping[str, Any]:
    """As Meta sends a shopper: something the shop has, and something it never had."""
    meta = next(one for one in channels if one["platform"] == "meta")
    setup = shop_sync.put(f"/v1/channels/{meta['id']}/checkout", {"shop": shop_id})
    path = str(setup["checkout_url"]).partition("/v1/")[2]
    query = {"products": f"{item_id}:1,never-was:1"}
    cart: Mapping[str, Any] = shop_sync.call(
        "GET", f"/v1/{path}", params=query, headers={"accept": "application/json"}
    )
    reasons = " ".join(str(one["message"]) for one in cart["troubles"])
    output.note(f"a cart from Meta goes on to {cart['cart_url']}; {reasons}")
    return cart


def _told(
    output: Output,
    shop_id: str,
    *,
    accounts: ServiceClient,
    catalog: ServiceClient,
    notify: ServiceClient,
    sandbox: ServiceClient,
) -> Mapping[str, Any]:
    """The inbox's item of the refused token, which is gone again when this returns."""
    asked = {"state": "open", "kind": "connection.failed"}
    found: list[Mapping[str, Any]] = []

    def told() -> bool:
        of_shop = f"connection:{shop_id}"
        found[:] = [
            one for one in notify.get("/v1/notifications", asked)["data"] if one["subject"] == of_shop
        ]
        return bool(found)

    fault = {"kind": "refuse", "platform": "shopify", "account": HOST, "error": "auth", "count": None}
    made = sandbox.post("/_sandbox/faults", fault)
    try:
        catalog.post(f"/v1/shops/{shop_id}:load", {})
        _wait(told, "a notification of the refused token")
    finally:
        sandbox.call("DELETE", f"/_sandbox/faults/{made['id']}")
    notice = found[0]
    output.note(f"the shop refuses the token, and people are told: {notice['title']}")
    _consented(accounts, connection_id=shop_id)
    _wait(lambda: not told(), "the notification to end")
    output.note(
        "[green]✓[/green] consented again: the notification is resolved, the load goes on where it was"
    )
    return notice


def _wait(true: Any, what: str) -> None:
    end = time.monotonic() + WAIT_S
    while not true():
        if time.monotonic() > end:
            raise CliFailure(f"waited {WAIT_S:.0f} s for {what}", code="too_slow")
        time.sleep(POLL_S)
