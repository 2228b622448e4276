"""Shopify's Admin API as the sandbox plays it: validation, paging, search, points, scopes, bulk operations, consent."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest

from tests.sandbox.shop_support import TheShop, new_shop, until
from tests.support.sandbox import running_sandbox
from vitrin.sandbox.grants import HOUSE_APPS

PRODUCTS = """query($after: String) { products(first: 2, after: $after, sortKey: UPDATED_AT) {
  edges { cursor node { id title handle status totalInventory variants(first: 3) { nodes { id sku price
    selectedOptions { name value } inventoryItem { id tracked inventoryLevels(first: 5) { nodes { location { id name }
      quantities(names: ["available"]) { name quantity } } } } } } } }
  pageInfo { hasNextPage endCursor } } }"""
BULK = """{ products { edges { node { id title variants { edges { node { id sku price inventoryItem { id
  inventoryLevels { edges { node { id location { id }
    quantities(names: ["available"]) { quantity } } } } } } } } } } } }"""
RUN = """mutation($query: String!) { bulkOperationRunQuery(query: $query) {
  bulkOperation { id status } userErrors { code field message } } }"""
CURRENT = (
    "{ currentBulkOperation { id status errorCode objectCount rootObjectCount fileSize url partialDataUrl } }"
)


@pytest.fixture(scope="module")
def root() -> Iterator[httpx.Client]:
    with running_sandbox(bulk_latency_ms=0) as url, httpx.Client(base_url=url, timeout=20) as client:
        yield client


@pytest.fixture
def shop(root: httpx.Client) -> TheShop:
    return new_shop(root, seed={"products": 5, "variants_each": 2}, locations=["Berlin", "Wien"])


def bulk(shop: TheShop, query: str = BULK) -> dict[str, Any]:
    done: dict[str, Any] = shop.graphql(RUN, query=query)["data"]["bulkOperationRunQuery"]
    return done


def finished(shop: TheShop) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        one: dict[str, Any] = shop.graphql(CURRENT)["data"]["currentBulkOperation"]
        return one if one["status"] not in ("CREATED", "RUNNING", "CANCELING") else None

    found: dict[str, Any] = until(look, what="the bulk operation")
    return found


def test_products_are_paged_by_cursors_that_hold(shop: TheShop) -> None:
    titles: list[str] = []
    after = None
    while True:
        page = shop.graphql(PRODUCTS, after=after)["data"]["products"]
        titles += [edge["node"]["title"] for edge in page["edges"]]
        if not page["pageInfo"]["hasNextPage"]:
            break
        after = page["pageInfo"]["endCursor"]
    assert titles == [f"Product {number}" for number in range(1, 6)]
    node = shop.graphql(PRODUCTS)["data"]["products"]["edges"][0]["node"]
    variant = node["variants"]["nodes"][0]
    assert variant["sku"] == "P1-1"
    assert variant["selectedOptions"] == [{"name": "Size", "value": "Size 1"}]
    level = variant["inventoryItem"]["inventoryLevels"]["nodes"][0]
    assert (level["location"]["name"], level["quantities"]) == (
        "Berlin",
        [{"name": "available", "quantity": 1}],
    )


def test_a_query_is_held_to_the_schema(shop: TheShop) -> None:
    for query in (
        "{ products(first: 1) { nodes { colour } } }",
        "{ products { nodes }",
        "{ shop { name(a: 1) } }",
    ):
        assert "errors" in shop.graphql(query)
        assert "data" not in shop.graphql(query)
    unpaged = shop.graphql("{ products { nodes { id } } }")
    assert "first or last" in unpaged["errors"][0]["message"]


def test_search_by_moment_and_refusal_of_what_is_not_understood(shop: TheShop) -> None:
    query = "query($q: String) { products(first: 10, query: $q) { nodes { title } } }"
    assert len(shop.graphql(query, q="updated_at:>='2020-01-01T00:00:00Z'")["data"]["products"]["nodes"]) == 5
    assert shop.graphql(query, q="updated_at:>'2999-01-01T00:00:00Z' AND status:active")["data"][
        "products"
    ] == {"nodes": []}
    assert "does not know" in shop.graphql(query, q="colour:red")["errors"][0]["message"]


def test_tokens_versions_and_a_frozen_shop(shop: TheShop) -> None:
    url = f"{shop.made['base_url']}/admin/api/2026-07/graphql.json"
    right = {"X-Shopify-Access-Token": shop.made["access_token"]}
    body = {"query": "{ shop { name } }"}
    assert shop.root.post(url, json=body).status_code == 401
    assert shop.root.post(url.replace("2026-07", "2026-02"), json=body, headers=right).status_code == 404
    for plan, status in (("frozen", 402), ("locked", 423), ("ok", 200)):
        shop.do("state", plan=plan)
        assert shop.root.post(url, json=body, headers=right).status_code == status
    shop.do("uninstall")
    assert shop.root.post(url, json=body, headers=right).status_code == 401


def test_a_fault_may_name_one_shop(root: httpx.Client, shop: TheShop) -> None:
    """Its token is refused until the fault is taken away; the shop next door is asked as before."""
    other = new_shop(root)
    fault = {
        "kind": "refuse",
        "platform": "shopify",
        "account": shop.made["host"],
        "error": "auth",
        "count": None,
    }
    made = root.post("/_sandbox/faults", json=fault)
    assert made.status_code == 201, made.text
    url = f"{shop.made['base_url']}/admin/api/2026-07/graphql.json"
    right = {"X-Shopify-Access-Token": shop.made["access_token"]}
    body = {"query": "{ shop { name } }"}
    assert root.post(url, json=body, headers=right).status_code == 401
    assert other.graphql(body["query"])["data"]
    root.delete(f"/_sandbox/faults/{made.json()['id']}").raise_for_status()
    assert root.post(url, json=body, headers=right).status_code == 200
    unknown = root.post("/_sandbox/faults", json=fault | {"account": "nobody.myshopify.com"})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "unknown_account")


def test_points_run_out_and_say_so(shop: TheShop) -> None:
    cost = shop.graphql("{ shop { name } }")["extensions"]["cost"]
    assert cost["throttleStatus"]["maximumAvailable"] == 2000
    shop.do("state", points=0)
    refused = shop.graphql("{ products(first: 250) { nodes { id variants(first: 50) { nodes { id } } } } }")
    assert refused["errors"][0]["extensions"]["code"] == "THROTTLED"
    assert refused["extensions"]["cost"]["actualQueryCost"] is None
    media = "media(first: 9) { nodes { id } }"
    deep = f"{{ products(first: 250) {{ nodes {{ variants(first: 250) {{ nodes {{ id {media} }} }} }} }} }}"
    assert shop.graphql(deep)["errors"][0]["extensions"]["code"] == "MAX_COST_EXCEEDED"


def test_a_bulk_operation_ends_as_lines_whose_children_name_their_parents(shop: TheShop) -> None:
    assert bulk(shop)["userErrors"] == []
    done = finished(shop)
    assert (done["status"], done["objectCount"], done["rootObjectCount"]) == ("COMPLETED", "25", "5")
    raw = shop.root.get(done["url"]).content
    assert len(raw) == int(done["fileSize"])
    lines = [json.loads(line) for line in raw.splitlines()]
    by_id = {line["id"]: line for line in lines}
    kinds = [line["id"].split("/")[3] for line in lines]
    assert [kinds.count(kind) for kind in ("Product", "ProductVariant", "InventoryLevel")] == [5, 10, 10]
    for line in lines:
        if "Product/" not in line["id"]:
            assert line["__parentId"] in by_id
    part = shop.root.get(done["url"], headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, raw[10:20])


def test_what_cannot_be_run_in_bulk(shop: TheShop) -> None:
    for query in (
        "{ shop { name } }",
        "{ nonsense }",
        '{ node(id: "gid://shopify/Product/1") { id } }',
        "{ products { edges { node { title variants { edges { node { id } } } } } } }",
        "mutation { bulkOperationCancel(id: 1) { userErrors { message } } }",
    ):
        refused = bulk(shop, query)
        assert refused["bulkOperation"] is None
        assert refused["userErrors"][0]["field"] == ["query"]


def test_bulk_operations_one_at_a_time_before_2026_01(shop: TheShop) -> None:
    shop.do("state", next_bulk="STUCK")
    started = shop.graphql(RUN, version="2025-10", query=BULK)["data"]["bulkOperationRunQuery"]
    again = shop.graphql(RUN, version="2025-10", query=BULK)["data"]["bulkOperationRunQuery"]
    assert again["userErrors"][0]["code"] == "OPERATION_IN_PROGRESS"
    assert started["bulkOperation"]["id"] in again["userErrors"][0]["message"]
    cancel = "mutation($id: ID!) { bulkOperationCancel(id: $id) { bulkOperation { status } userErrors { message } } }"
    stopping = shop.graphql(cancel, id=started["bulkOperation"]["id"])["data"]["bulkOperationCancel"]
    assert stopping["bulkOperation"]["status"] in ("CANCELING", "CANCELED")
    assert finished(shop)["status"] == "CANCELED"
    shop.do("state", next_bulk="FAILED")
    assert bulk(shop)["userErrors"] == []
    assert finished(shop)["errorCode"] == "INTERNAL_SERVER_ERROR"
    assert finished(shop)["url"] is None


def authorize(shop: str, **changes: str) -> str:
    query = {
        "client_id": HOUSE_APPS["shopify"][0],
        "scope": "read_products,read_inventory",
        "redirect_uri": "http://127.0.0.1:9/back?tenant=1",
        "state": "s&1",
    }
    return f"/shopify/{shop}/admin/oauth/authorize?{urlencode(query | changes)}"


def test_consent_makes_the_shop_and_signs_what_it_says(root: httpx.Client) -> None:
    app_id, secret = HOUSE_APPS["shopify"]
    host = "consented.myshopify.com"
    assert "Install" in root.get(authorize(host)).text
    answer = root.post(authorize(host), data={"decision": "install"})
    assert answer.status_code == 302
    back = dict(parse_qsl(urlsplit(answer.headers["location"]).query))
    signature = back.pop("hmac")
    text = urlencode(sorted(back.items()))
    assert signature == hmac.new(secret.encode(), text.encode(), sha256).hexdigest()
    assert (back["shop"], back["state"]) == (host, "s&1")
    url = f"/shopify/{host}/admin/oauth/access_token"
    ask = {"client_id": app_id, "client_secret": secret, "code": back["code"]}
    given = root.post(url, json=ask).json()
    assert given["scope"] == "read_products,read_inventory"
    assert root.post(url, data=ask).json()["error"] == "invalid_request"
    assert root.post(url, json=ask | {"client_secret": "wrong"}).status_code == 400
    made = root.get(f"/_sandbox/shops/shopify/{host}").json()
    shop = TheShop(root, made)
    token = given["access_token"]
    refused = shop.graphql("{ orders(first: 1) { nodes { id } } }", token=token)
    assert refused["errors"][0]["extensions"]["code"] == "ACCESS_DENIED"
    scopes = shop.graphql("{ currentAppInstallation { accessScopes { handle } } }", token=token)["data"]
    assert [one["handle"] for one in scopes["currentAppInstallation"]["accessScopes"]] == [
        "read_inventory",
        "read_products",
    ]


def test_tokens_that_end_are_refreshed_by_a_token_that_is_used_once(root: httpx.Client) -> None:
    app_id, secret = HOUSE_APPS["shopify"]
    host = "expiring.myshopify.com"
    answer = root.post(authorize(host), data={"decision": "install"})
    code = dict(parse_qsl(urlsplit(answer.headers["location"]).query))["code"]
    url = f"/shopify/{host}/admin/oauth/access_token"
    app = {"client_id": app_id, "client_secret": secret}
    first = root.post(url, data=app | {"code": code, "expiring": "1"}).json()
    assert (first["expires_in"], first["refresh_token_expires_in"]) == (3_600, 7_776_000)
    ask = app | {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    second = root.post(url, data=ask).json()
    assert second["access_token"] != first["access_token"]
    assert root.post(url, data=ask).json()["error"] == "invalid_grant"
    scopes = f"/shopify/{host}/admin/oauth/access_scopes.json"
    for token, status in ((first, 401), (second, 200)):
        headers = {"X-Shopify-Access-Token": token["access_token"]}
        assert root.get(scopes, headers=headers).status_code == status


def test_consent_denied_and_nonsense(root: httpx.Client) -> None:
    denied = root.post(authorize("new.myshopify.com"), data={"decision": "deny"})
    assert dict(parse_qsl(urlsplit(denied.headers["location"]).query))["error"] == "access_denied"
    assert root.get("/_sandbox/shops/shopify/new.myshopify.com").status_code == 404
    for bad in (
        authorize("evil.example"),
        authorize("new.myshopify.com", client_id="1"),
        authorize("new.myshopify.com", scope="everything"),
        authorize("new.myshopify.com", redirect_uri="javascript:alert(1)"),
    ):
        assert root.get(bad).status_code == 400
