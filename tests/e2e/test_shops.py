"""A shop from the consent to the platform: loaded whole, followed by its webhooks, and never in two minds."""

import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.e2e.system import Brand, Document, System, equal, until

HOST = "holm.myshopify.com"
STORE = "holm.example"
HEAD = (
    "Handle,Title,Body (HTML),Vendor,Published,Option1 Name,Option1 Value,Variant SKU,Variant Inventory Tracker,"
    "Variant Inventory Qty,Variant Inventory Policy,Variant Price,Variant Barcode,Image Src,Status"
)
ROWS = (
    "apron,Apron,<p>Linen.</p>,Holm,true,Size,S,AP-S,shopify,4,deny,39.00,,https://cdn.example/apron.jpg,active",
    "apron,,,,,,L,AP-L,shopify,2,deny,39.00,,,",
    "mug,Mug,<p>Clay.</p>,Holm,true,Title,Default Title,MUG,shopify,9,deny,12.00,,https://cdn.example/mug.jpg,active",
)
CSV = "\n".join((HEAD, *ROWS, ""))
APP = {"app_id": "5a4d0b0c5a4d0b0c5a4d0b0c5a4d0b0c", "secret": "shpss_sandbox-secret-of-the-shopify-app"}
"""The house's, which every sandbox knows."""
SOURCE = {"shopify": f"shopify:{HOST}", "woocommerce": f"woocommerce:https://{STORE}"}


class Corner:
    """A shop of the sandbox, and the brand that it is connected to."""

    def __init__(self, system: System, brand: Brand, kind: str, host: str) -> None:
        self.system, self.brand, self.kind, self.host = system, brand, kind, host
        self.made = self.command(
            "POST", "/_sandbox/shops", kind=kind, host=host, currency="EUR", locations=["Berlin"]
        )

    def command(self, method: str, path: str, **body: Any) -> Any:
        answer = self.system.http["sandbox"].request(method, path, json=body or None)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def at(self, method: str, path: str, **body: Any) -> Any:
        return self.command(method, f"/_sandbox/shops/{self.kind}/{self.host}/{path}", **body)

    def seed(self, csv: str) -> None:
        answer = self.system.http["sandbox"].post(
            f"/_sandbox/shops/{self.kind}/{self.host}/seed", content=csv, headers={"content-type": "text/csv"}
        )
        assert answer.is_success, answer.text

    def consent(self) -> None:
        """As the merchant's browser does it."""
        started = self.brand.ok(
            "accounts",
            "POST",
            "/v1/connections:authorize",
            json={"platform": "shopify", "mode": "sandbox", "external_ids": {"shop": self.host}},
        )
        accounts = self.system.http["accounts"]
        screen = accounts.get(started["authorize_url"])  # the browser is marked here
        back = self.system.http["sandbox"].post(screen.headers["location"], data={"decision": "approve"})
        assert accounts.get(back.headers["location"]).is_success

    def shop(self) -> Document:
        """Nothing until catalog has heard of it."""
        shops = self.brand.ok("catalog", "GET", "/v1/shops")["data"]
        return next((one for one in shops if one["platform"] == self.kind), {})

    def item(self, item_id: str) -> Document:
        answer = self.brand.call("catalog", "GET", f"/v1/items/{item_id}")
        return answer.json() if answer.is_success else {}  # type: ignore[no-any-return]

    def quantity_and_price(self, item_id: str) -> tuple[Any, Any]:
        found = self.item(item_id)
        return found.get("quantity"), found.get("price")

    def ids(self) -> dict[str, str]:
        return {
            one["sku"]: one["id"]
            for one in self.brand.catalog().values()
            if one["external"]["source"] == SOURCE[self.kind]
        }


@pytest.fixture(scope="module")
def brand(system: System) -> Brand:
    return system.new_brand()


def test_a_shopify_shop(system: System, brand: Brand) -> None:
    """Its file came first: what the shop tells later is the same items."""
    imported = brand.ok("catalog", "POST", "/v1/imports", content=CSV, headers={"content-type": "text/csv"})
    until(lambda: brand.ok("catalog", "GET", f"/v1/imports/{imported['id']}")["state"], equal("done"))
    before = set(brand.catalog())
    corner = Corner(system, brand, "shopify", HOST)
    corner.seed(CSV)
    corner.consent()
    until(lambda: bool(corner.shop().get("loaded_at")), equal(True))
    ids = corner.ids()
    assert set(ids) == {"AP-S", "AP-L", "MUG"}
    assert set(brand.catalog()) == before, "no new item"
    until(lambda: corner.quantity_and_price(ids["MUG"]), equal((9, "12.00 EUR")))

    mug = corner.item(ids["MUG"])["external"]["variant_id"]
    corner.at("POST", "stock", variant_id=int(mug), available=3)
    until(lambda: corner.quantity_and_price(ids["MUG"]), equal((3, "12.00 EUR")))
    corner.at("PATCH", f"variants/{mug}", price="11.50")
    until(lambda: corner.quantity_and_price(ids["MUG"]), equal((3, "11.50 EUR")))
    shown = until(
        lambda: {one["item_id"]: one["fields"]["price"] for one in brand.shown("meta")}.get(ids["MUG"]),
        lambda price: price is not None and "11.5" in str(price),
    )
    assert "EUR" in str(shown)

    shop = corner.shop()["id"]
    corner.at("POST", "hook_faults", kind="drop", count=1)
    corner.at("PATCH", f"variants/{mug}", price="10.00")
    loaded = corner.shop()["loaded_at"]
    brand.ok("catalog", "POST", f"/v1/shops/{shop}:load")
    until(lambda: corner.quantity_and_price(ids["MUG"]), equal((3, "10.00 EUR")))
    until(lambda: corner.shop()["loaded_at"] != loaded, equal(True))

    sold(system, brand, corner, int(mug), ids["MUG"])

    product = corner.item(ids["AP-S"])["external"]["product_id"]
    corner.at("DELETE", f"products/{product}")
    until(lambda: set(corner.ids()), equal({"MUG"}))

    corner.at("POST", "uninstall")
    until(lambda: corner.shop()["state"], equal("uninstalled"))
    connection = brand.ok("accounts", "GET", f"/v1/connections/{shop}")
    assert connection["state"] == "uninstalled"
    assert set(corner.ids()) == {"MUG"}, "nothing leaves a shopfront because an app was taken out"


def sold(system: System, brand: Brand, corner: Corner, variant: int, item_id: str) -> None:
    """An order until its customer is forgotten."""
    doors = f"{str(system.http['catalog'].base_url).rstrip('/')}/v1/webhooks/shopify"
    corner.command("POST", "/_sandbox/shops/apps", **APP, privacy_address=doors)
    person = {"first_name": "Ada", "last_name": "Holm", "email": "ada@holm.example"}
    placed = corner.at("POST", "orders", lines=[{"variant_id": variant, "quantity": 2}], person=person)
    shown = until(
        lambda: brand.ok("catalog", "GET", "/v1/orders", params={"state": "paid"})["data"],
        lambda orders: len(orders) == 1,
    )[0]
    assert (shown["lines"][0]["item_id"], shown["lines"][0]["quantity"]) == (item_id, 2)
    path = f"/v1/orders/{shown['id']}"

    def who() -> Any:
        return brand.ok("catalog", "GET", path, params={"person": "true"})["person"]

    assert who()["email"] == "ada@holm.example"
    listed = system.vitrin("orders", "list", "--json", VITRIN_API_KEY=brand.key)
    assert [one["id"] for one in json.loads(listed.stdout)["data"]] == [shown["id"]]
    for_people = system.vitrin("orders", "show", shown["id"], "--person", VITRIN_API_KEY=brand.key)
    assert "ada@holm.example" in for_people.stdout, for_people.stderr
    corner.at("POST", f"orders/{placed['id']}/refund", amount="1.00")
    until(lambda: brand.ok("catalog", "GET", path)["refunded"], equal("1.00 EUR"))
    corner.at("POST", f"orders/{placed['id']}/ask", erase=True)
    until(who, equal(None))
    (request,) = brand.ok("catalog", "GET", "/v1/privacy_requests")["data"]
    assert (request["kind"], request["state"], request["receipt"]["orders"]) == ("erase", "done", 1)
    notices = until(
        lambda: brand.ok("notify", "GET", "/v1/notifications", params={"state": "open"})["data"],
        lambda seen: "privacy.asked" in {one["kind"] for one in seen},
    )
    assert "ada" not in str(notices).lower()
    answered = system.vitrin("privacy", "answered", request["id"], "--json", VITRIN_API_KEY=brand.key)
    assert json.loads(answered.stdout)["answered_at"], answered.stderr


def test_twins_an_unknown_location_and_an_uninstall_in_a_load(system: System) -> None:
    brand = system.new_brand()
    corner = Corner(system, brand, "shopify", "twins.myshopify.com")
    twins = CSV.replace("AP-S", "AP").replace("AP-L", "AP")
    corner.seed(twins.replace("39.00,,", "39.00,4006381333932,", 1))  # and a wrong barcode
    corner.consent()
    until(lambda: bool(corner.shop().get("loaded_at")), equal(True))
    assert set(brand.catalog()) == {"apron-s", "apron-l", "mug"}, "two variants of one SKU are two items"
    shop = corner.shop()["id"]
    (warned,) = brand.ok("catalog", "GET", f"/v1/shops/{shop}/warnings")["data"]
    assert (warned["item_id"], warned["warnings"][0]["code"]) == ("apron-s", "gtin_check_digit")
    assert brand.ok("catalog", "GET", "/v1/items/apron-s")["warnings"] == warned["warnings"]

    large = int(corner.item("apron-l")["external"]["variant_id"])
    corner.at("PATCH", f"variants/{large}", price="41.00")
    until(lambda: corner.quantity_and_price("apron-l"), equal((2, "41.00 EUR")))
    corner.at("POST", "stock", variant_id=large, available=5, location_id=987_654)
    until(lambda: corner.quantity_and_price("apron-l"), equal((7, "41.00 EUR")))
    assert corner.quantity_and_price("apron-s") == (4, "39.00 EUR"), "the other of the same SKU"
    places = brand.ok("catalog", "GET", f"/v1/shops/{shop}/locations")["data"]
    assert ("987654", "", True) in {(one["id"], one["name"], one["counted"]) for one in places}

    corner.at("POST", "state", next_bulk="STUCK")
    brand.ok("catalog", "POST", f"/v1/shops/{shop}:load")

    def load() -> str:
        return str(brand.ok("catalog", "GET", f"/v1/shops/{shop}")["loads"][0]["state"])

    until(load, equal("preparing"))
    corner.at("POST", "uninstall")
    until(load, equal("stopped"))
    until(
        lambda: corner.shop()["state"], equal("uninstalled")
    )  # the load may have met the refused token first
    assert set(brand.catalog()) == {"apron-s", "apron-l", "mug"}


def test_a_woocommerce_shop(system: System, brand: Brand) -> None:
    corner = Corner(system, brand, "woocommerce", STORE)
    corner.at("POST", "seed", products=3, variants_each=2)
    made = brand.ok(
        "accounts",
        "POST",
        "/v1/connections",
        json={
            "platform": "woocommerce",
            "mode": "sandbox",
            "external_ids": {"store": f"https://{STORE}"},
            "access_token": corner.made["access_token"],
            "base_url": corner.made["base_url"],
        },
    )
    until(lambda: bool(corner.shop().get("loaded_at")), equal(True))
    ids = corner.ids()
    assert len(ids) == 6
    sku, item_id = sorted(ids.items())[0]
    variant = corner.item(item_id)["external"]["variant_id"]
    corner.at("PATCH", f"variants/{variant}", price="77.00")
    until(lambda: corner.item(item_id).get("price"), equal("77.00 EUR"))
    assert set(corner.ids()) == set(ids), sku
    listed = system.http["sandbox"].get(f"/_sandbox/shops/woocommerce/{STORE}").json()["subscriptions"]
    address = urlsplit(listed[0]["address"]).path
    assert made["id"] in address
    keys_that_are_refused(corner, made["id"], variant, item_id)
    forged = system.http["catalog"].post(
        address,
        content=b'{"id": 1}',
        headers={
            "x-wc-webhook-topic": "product.deleted",
            "x-wc-webhook-signature": "AAAA",
            "x-wc-webhook-id": "1",
            "x-wc-webhook-delivery-id": "1",
            "x-wc-webhook-source": f"https://{STORE}/",
            "x-wc-webhook-resource": "product",
            "x-wc-webhook-event": "deleted",
        },
    )
    assert forged.status_code == 401


def test_a_cart_goes_on_to_the_shop(system: System, brand: Brand) -> None:
    """Set up, followed and stopped by the command line, as a person would."""
    channels = brand.ok("shop_sync", "GET", "/v1/channels")["data"]
    channel = next(one["id"] for one in channels if one["platform"] == "meta")
    shops = brand.ok("catalog", "GET", "/v1/shops")["data"]
    shop = next(one["id"] for one in shops if one["platform"] == "woocommerce")
    theirs = [one for one in brand.catalog().values() if one["external"]["source"] == SOURCE["woocommerce"]]
    item = next(one for one in theirs if one["effective_availability"] == "in_stock")
    item_id, variant = item["id"], item["external"]["variant_id"]

    def ask(*arguments: str) -> Any:
        done = system.vitrin("checkout", *arguments, "--json", VITRIN_API_KEY=brand.key)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    setup = ask("set", channel, "--shop", shop, "--coupon", "SUN")
    assert brand.ok("shop_sync", "GET", f"/v1/channels/{channel}/checkout") == setup
    assert setup["storefront_url"] == f"https://{STORE}"
    door = urlsplit(setup["checkout_url"])
    query = {"products": f"{item_id}:1", "coupon": "sun"}
    whole = until(lambda: system.http["shop_sync"].get(door.path, params=query), lambda it: it.is_redirect)
    address = f"https://{STORE}/checkout-link/?products={variant}:1&coupon=sun"
    assert (whole.status_code, whole.headers["location"]) == (302, address)
    nothing = system.http["shop_sync"].get(door.path, params={"products": "a-stranger:1"})
    assert "a-stranger: the shop no longer has this product." in nothing.text
    carts = ask("carts", channel)["data"]
    assert [one["outcome"] for one in carts[:2]] == ["nothing", "whole"]
    assert [one["code"] for one in carts[0]["troubles"]] == ["item_unknown"]
    assert ask("stop", channel) == {"channel_id": channel, "deleted": True}
    assert system.http["shop_sync"].get(door.path, params=query).status_code == 404
    assert brand.call("shop_sync", "GET", f"/v1/channels/{channel}/checkout").status_code == 404


def keys_that_are_refused(corner: Corner, shop: str, variant: str, item_id: str) -> None:
    """The load rests and says why, people are told what to do, and with a key that works all of it goes on."""
    brand, sandbox = corner.brand, corner.system.http["sandbox"]
    fault = {"kind": "refuse", "platform": "woocommerce", "account": STORE, "error": "auth", "count": None}
    refusing = sandbox.post("/_sandbox/faults", json=fault).json()["id"]
    brand.ok("catalog", "POST", f"/v1/shops/{shop}:load")

    def load() -> tuple[bool, bool]:
        """Whether the latest one has a reason to rest, and is over."""
        latest = brand.ok("catalog", "GET", f"/v1/shops/{shop}")["loads"][0]
        return latest["problem"] is not None, latest["finished_at"] is not None

    until(load, equal((True, False)))
    assert corner.shop()["state"] == "needs_attention"

    def told() -> list[str]:
        found = brand.ok("notify", "GET", "/v1/notifications", params={"state": "open"})["data"]
        return [one["fix"] for one in found if one["subject"] == f"connection:{shop}"]

    until(told, equal([f"Connect again: vitrin connection renew {shop}, with a new key"]))
    corner.at("PATCH", f"variants/{variant}", price="78.00")
    sandbox.delete(f"/_sandbox/faults/{refusing}").raise_for_status()
    renewed = {"access_token": corner.made["access_token"]}
    brand.ok("accounts", "PATCH", f"/v1/connections/{shop}", json=renewed)
    until(load, equal((False, True)))
    until(told, equal([]))
    until(lambda: corner.item(item_id).get("price"), equal("78.00 EUR"))
