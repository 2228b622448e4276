"""Meta's dialect: batches, their status, read-back, partial updates and refusals."""

from typing import Any
from urllib.parse import urlencode

import httpx
import orjson
import pytest

from tests.sandbox.conftest import PlatformAccount, load_spec, meta_item
from tests.support.sandbox import running_sandbox
from vitrin.sandbox.meta import edges, listing, product_sets, rules
from vitrin.sandbox.meta.reading import FIELD_NAMES, formatted_price

READ = "retailer_id,name,price,sale_price,currency,availability,image_url,url,visibility,condition,brand"


def update(item_id: str, **fields: Any) -> dict[str, Any]:
    return {"method": "UPDATE", "data": {"id": item_id, **fields}}


def create(item_id: str, **changes: Any) -> dict[str, Any]:
    return {"method": "CREATE", "data": meta_item(item_id, **changes)}


def error_of(answer: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = answer.json()["error"]
    return found


def test_item_arrives_and_is_read_back_in_the_node_shape(meta: PlatformAccount) -> None:
    answer = meta.batch(create("sku-1", sale_price="999 USD"))
    assert answer.status_code == 200
    assert list(answer.json()) == ["handles"]
    status = meta.status(answer.json()["handles"][0])
    assert status == {
        "handle": answer.json()["handles"][0],
        "status": "finished",
        "errors_total_count": 0,
        "errors": [],
        "warnings_total_count": 0,
        "warnings": [],
        "ids_of_invalid_requests": [],
    }
    (item,) = meta.products(fields=READ)["data"]
    assert item.pop("id").isdecimal()
    assert item == {
        "retailer_id": "sku-1",
        "name": "Linen shirt",
        "price": "$1,234.50",
        "sale_price": "$999.00",
        "currency": "USD",
        "availability": "in stock",
        "image_url": "https://cdn.example/shirt.jpg",
        "url": "https://shop.example/p/shirt",
        "visibility": "published",
        "condition": "new",
        "brand": "Holm",
    }


def test_partial_update_changes_only_what_it_carries(meta: PlatformAccount) -> None:
    meta.batch(create("sku-1", sale_price="999.00 USD"))
    meta.batch(update("sku-1", availability="out of stock", sale_price=""))
    (item,) = meta.products(fields=READ)["data"]
    assert (item["availability"], item["name"], item["price"]) == ("out of stock", "Linen shirt", "$1,234.50")
    assert "sale_price" not in item


def test_partial_update_of_a_missing_item_is_refused_in_the_poll(meta: PlatformAccount) -> None:
    answer = meta.batch(update("ghost", price="1.00 USD"), create("sku-1"))
    assert "validation_status" not in answer.json()
    status = meta.status(answer.json()["handles"][0])
    assert status["ids_of_invalid_requests"] == ["ghost"]
    assert status["errors_total_count"] == 7
    assert status["errors"][0] == {
        "line": 0,
        "id": "ghost",
        "message": "Invalid value: Value passed at position 0 (id=ghost) is invalid: "
        '"You cannot create a EntProductItem without required field Title"',
    }
    assert [one["retailer_id"] for one in meta.products()["data"]] == ["sku-1"]


def test_malformed_item_is_named_at_once_and_in_the_poll(meta: PlatformAccount) -> None:
    answer = meta.batch(create("bad", price="12,34 USD", gtin="123"), create("good"))
    (offender,) = answer.json()["validation_status"]
    assert offender["retailer_id"] == "bad"
    assert offender["warnings"] == []
    assert [one["message"].partition(":")[0] for one in offender["errors"]] == [
        "Invalid value for field price",
        "Invalid value for field gtin",
    ]
    status = meta.status(answer.json()["handles"][0])
    assert (status["errors_total_count"], status["ids_of_invalid_requests"]) == (2, ["bad"])
    assert [one["retailer_id"] for one in meta.products()["data"]] == ["good"]


def test_no_good_item_means_no_handle_and_no_change(meta: PlatformAccount) -> None:
    answer = meta.batch(create("bad", availability="plenty"))
    assert answer.status_code == 200
    assert answer.json()["handles"] == []
    assert meta.products()["data"] == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", "x" * 201),
        ("description", "x" * 10_000),
        ("price", "9.99"),
        ("price", "9.999 USD"),
        ("price", 999),
        ("sale_price", "1.00 EUR"),
        ("link", "ftp://shop.example/x"),
        ("link", "https://shop.example/a b"),
        ("image_link", "not a url"),
        ("additional_image_link", ["https://cdn.example/1.jpg"] * 21),
        ("availability", "In Stock"),
        ("condition", "mint"),
        ("gtin", "12345678901"),
        ("gender", "men"),
        ("age_group", "kid"),
        ("visibility", "on"),
        ("brand", "x" * 101),
        ("custom_number_0", -1),
        ("quantity_to_sell_on_facebook", "many"),
        ("sale_price_effective_date", "tomorrow"),
        ("title", ""),
    ],
)
def test_each_rule_refuses(meta: PlatformAccount, field: str, value: Any) -> None:
    answer = meta.batch(create("sku-1", **{field: value})).json()
    assert answer["handles"] == []
    (offender,) = answer["validation_status"]
    assert [one["message"].startswith(f"Invalid value for field {field}:") for one in offender["errors"]] == [
        True
    ]
    assert meta.products()["data"] == []


def test_gtin_or_mpn_stands_for_the_brand(meta: PlatformAccount) -> None:
    handle = meta.batch(create("a", brand="", mpn="M1"), create("b", brand="")).json()["handles"][0]
    assert meta.status(handle)["ids_of_invalid_requests"] == ["b"]


def test_unknown_field_is_a_warning(meta: PlatformAccount) -> None:
    answer = meta.batch(create("sku-1", colour="red")).json()
    assert answer["validation_status"] == [
        {"retailer_id": "sku-1", "errors": [], "warnings": [{"message": "Unknown field: colour"}]}
    ]
    assert meta.status(answer["handles"][0])["warnings_total_count"] == 1
    assert meta.status(answer["handles"][0], error_priority="HIGH")["warnings_total_count"] == 0


def test_allow_upsert_off(meta: PlatformAccount) -> None:
    meta.batch(create("there"))
    handle = meta.batch(
        {"method": "UPDATE", "data": meta_item("ghost")}, create("there"), allow_upsert=False
    ).json()["handles"][0]
    assert meta.status(handle)["ids_of_invalid_requests"] == ["ghost", "there"]


def test_delete_and_delete_of_nothing(meta: PlatformAccount) -> None:
    meta.batch(create("sku-1"))
    gone = {"method": "DELETE", "data": {"id": "sku-1"}}
    status = meta.status(meta.batch(gone, gone).json()["handles"][0])
    assert (status["errors_total_count"], status["warnings_total_count"]) == (0, 1)
    assert meta.products()["data"] == []


@pytest.mark.parametrize("encoding", ["form", "multipart", "query_token"])
def test_the_encodings_of_the_sdk(meta: PlatformAccount, encoding: str) -> None:
    fields = {
        "item_type": "PRODUCT_ITEM",
        "allow_upsert": "true",
        "requests": orjson.dumps([create("é1")]).decode(),
    }
    url = f"{meta.url}/{meta.catalog_id}/items_batch"
    if encoding == "form":
        answer = httpx.post(url, data={**fields, "access_token": meta.token})
    elif encoding == "multipart":
        parts = {name: (None, value) for name, value in {**fields, "access_token": meta.token}.items()}
        answer = httpx.post(url, files=parts)
    else:
        answer = httpx.post(f"{url}?{urlencode({**fields, 'access_token': meta.token})}")
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["handles"]) == 1
    assert [one["retailer_id"] for one in meta.products()["data"]] == ["é1"]


def test_envelope_errors_blame_the_parameter(meta: PlatformAccount) -> None:
    path = f"/{meta.catalog_id}/items_batch"
    cases: list[tuple[dict[str, Any], str]] = [
        ({"requests": [create("a")]}, "item_type"),
        ({"item_type": "HOTEL", "requests": [create("a")]}, "item_type"),
        ({"item_type": "PRODUCT_ITEM"}, "requests"),
        ({"item_type": "PRODUCT_ITEM", "requests": []}, "requests"),
        ({"item_type": "PRODUCT_ITEM", "requests": "[{"}, "requests"),
        ({"item_type": "PRODUCT_ITEM", "requests": [create("a")], "alow_upsert": True}, "alow_upsert"),
        ({"item_type": "PRODUCT_ITEM", "requests": [create("a")], "allow_upsert": "maybe"}, "allow_upsert"),
        ({"item_type": "PRODUCT_ITEM", "requests": [{"method": "PATCH", "data": {}}]}, "requests[0].method"),
        ({"item_type": "PRODUCT_ITEM", "requests": [create("a"), create("")]}, "requests[1].data.id"),
        ({"item_type": "PRODUCT_ITEM", "requests": [create(str(n)) for n in range(5_001)]}, "requests"),
    ]
    for body, blamed in cases:
        answer = meta.http.post(path, json=body)
        error = error_of(answer)
        assert answer.status_code == 400
        assert (error["code"], error["type"], error["is_transient"]) == (100, "OAuthException", False)
        assert error["error_data"] == {"blame_field_specs": [[blamed]]}
        assert error["message"].startswith("(#100) ")
        assert error["fbtrace_id"].startswith("A")
    assert meta.products()["data"] == []


def test_refusals_before_the_edge(meta: PlatformAccount) -> None:
    root = meta.url.removesuffix("/v26.0")
    catalog = meta.catalog_id
    cases = [
        (f"{root}/v19.0/{catalog}", meta.token, 400, 2635, None),
        (f"{root}/v31.0/{catalog}", meta.token, 400, 2500, None),
        (f"{root}/{catalog}", meta.token, 400, 2500, None),
        (f"{root}/v26.0/{catalog}", None, 400, 104, None),
        (f"{root}/v26.0/{catalog}", "EAAnobody", 400, 190, 467),
        (f"{root}/v26.0/999", meta.token, 400, 100, 33),
        (f"{root}/v26.0/{catalog}/nonsense", meta.token, 400, 2500, None),
        (f"{root}/v26.0/{catalog}?fields=colour", meta.token, 400, 100, None),
    ]
    for url, token, status, code, subcode in cases:
        answer = httpx.get(url, headers={"Authorization": f"Bearer {token}"} if token else {})
        error = error_of(answer)
        assert (answer.status_code, error["code"], error.get("error_subcode")) == (status, code, subcode), url
        assert "x-app-usage" in answer.headers
    assert (
        httpx.get(f"{root}/v25.0/{catalog}", headers={"Authorization": f"OAuth {meta.token}"}).status_code
        == 200
    )


def test_another_accounts_catalog_is_not_there(sandbox: httpx.Client, meta: PlatformAccount) -> None:
    first = sandbox.get("/_sandbox/accounts").json()["meta"]
    assert first["external_ids"]["catalog_id"] != meta.catalog_id
    answer = meta.http.post(
        f"/{first['external_ids']['catalog_id']}/items_batch",
        json={"item_type": "PRODUCT_ITEM", "requests": [create("a")]},
    )
    assert (error_of(answer)["code"], error_of(answer)["error_subcode"]) == (100, 33)
    state = sandbox.get(f"/_sandbox/state/meta/{first['external_ids']['catalog_id']}").json()
    assert state["total"] == 0


@pytest.mark.parametrize(("state", "status", "subcode"), [("expired", 401, 463), ("removed", 400, 458)])
def test_token_states(
    sandbox: httpx.Client, meta: PlatformAccount, state: str, status: int, subcode: int
) -> None:
    command = {"platform": "meta", "access_token": meta.token}
    sandbox.post("/_sandbox/tokens", json={**command, "state": state}).raise_for_status()
    answer = meta.batch(create("a"))
    assert (answer.status_code, error_of(answer)["code"], error_of(answer)["error_subcode"]) == (
        status,
        190,
        subcode,
    )
    sandbox.post("/_sandbox/tokens", json={**command, "state": "valid"}).raise_for_status()
    assert meta.products()["data"] == []


def test_catalogs_can_be_made_and_read(meta: PlatformAccount) -> None:
    business = meta.ids["business_id"]
    made = meta.http.post(
        f"/{business}/owned_product_catalogs", json={"name": "Second", "vertical": "commerce"}
    ).json()
    read = meta.http.get(f"/{made['id']}", params={"fields": "id,name,product_count,vertical"}).json()
    assert read == {"id": made["id"], "name": "Second", "product_count": 0, "vertical": "commerce"}
    listed = meta.http.get(f"/{business}/owned_product_catalogs").json()["data"]
    assert [one["id"] for one in listed] == [meta.catalog_id, made["id"]]
    assert meta.http.get("/me").json()["id"].isdecimal()


def test_pages_and_filters(meta: PlatformAccount) -> None:
    meta.batch(*[create(f"sku-{n}", title=f"Shirt {n}") for n in range(7)])
    meta.batch({"method": "DELETE", "data": {"id": "sku-2"}})
    seen: list[str] = []
    page = meta.products(limit=2, fields="retailer_id")
    while True:
        seen += [one["retailer_id"] for one in page["data"]]
        if "next" not in page["paging"]:
            break
        page = meta.http.get(page["paging"]["next"]).json()
    assert seen == ["sku-0", "sku-1", "sku-3", "sku-4", "sku-5", "sku-6"]

    def ids(rule: Any) -> list[str]:
        data = meta.products(filter=orjson.dumps(rule).decode(), fields="retailer_id")["data"]
        return [one["retailer_id"] for one in data]

    assert ids({"retailer_id": {"is_any": ["sku-5", "sku-2", "sku-1"]}}) == ["sku-1", "sku-5"]
    assert ids({"retailer_id": {"eq": "sku-6"}}) == ["sku-6"]
    assert ids({"name": {"i_contains": "SHIRT 4"}}) == ["sku-4"]
    assert ids({"or": [{"name": {"eq": "Shirt 0"}}, {"retailer_id": {"contains": "-3"}}]}) == [
        "sku-0",
        "sku-3",
    ]
    answer = meta.http.get(f"/{meta.catalog_id}/products", params={"filter": '{"name":{"like":"x"}}'})
    assert error_of(answer)["code"] == 100


def test_status_counts_polls() -> None:
    with running_sandbox(quota=False, batch_latency_ms=0, polls_before_finished=2) as url:
        account = httpx.get(f"{url}/_sandbox/accounts").json()["meta"]
        with httpx.Client(headers={"Authorization": f"Bearer {account['access_token']}"}) as client:
            catalog = f"{account['base_url']}/{account['external_ids']['catalog_id']}"
            body = {"item_type": "PRODUCT_ITEM", "requests": [create("a")]}
            handle = client.post(f"{catalog}/items_batch", json=body).json()["handles"][0]
            seen = [
                client.get(f"{catalog}/check_batch_request_status", params={"handle": handle}).json()["data"][
                    0
                ]["status"]
                for _ in range(3)
            ]
            assert seen == ["scheduled", "started", "finished"]


def test_an_idle_catalog_has_eight_batches_a_minute() -> None:
    with running_sandbox(quota=True) as url:
        account = httpx.get(f"{url}/_sandbox/accounts").json()["meta"]
        business = account["external_ids"]["business_id"]
        with httpx.Client(headers={"Authorization": f"Bearer {account['access_token']}"}) as client:
            catalog = f"{account['base_url']}/{account['external_ids']['catalog_id']}"
            body = {"item_type": "PRODUCT_ITEM", "requests": [create("a")]}
            answers = [client.post(f"{catalog}/items_batch", json=body) for _ in range(9)]
            assert [one.status_code for one in answers] == [200] * 8 + [400]
            usage = orjson.loads(answers[-1].headers["x-business-use-case-usage"])[business][0]
            assert error_of(answers[-1])["code"] == 80014
            assert (usage["type"], usage["call_count"], usage["estimated_time_to_regain_access"]) == (
                "catalog_batch",
                100,
                1,
            )
            half = orjson.loads(answers[3].headers["x-business-use-case-usage"])[business][0]
            assert (half["call_count"], half["estimated_time_to_regain_access"]) == (50, 0)
            assert client.get(f"{catalog}/products").status_code == 200


def test_body_over_the_cap_asks_for_less_data() -> None:
    with running_sandbox(quota=False, meta_body_bytes_max=20_000) as url:
        account = httpx.get(f"{url}/_sandbox/accounts").json()["meta"]
        catalog = f"{account['base_url']}/{account['external_ids']['catalog_id']}"
        headers = {"Authorization": f"Bearer {account['access_token']}"}
        body = {"item_type": "PRODUCT_ITEM", "requests": [create(str(n)) for n in range(100)]}
        answer = httpx.post(f"{catalog}/items_batch", json=body, headers=headers)
        assert error_of(answer)["code"] == 1
        assert "reduce the amount of data" in error_of(answer)["message"]
        assert httpx.get(f"{catalog}/products", headers=headers).json() == {"data": []}


def test_whole_batch_validation_leaves_nothing_in() -> None:
    with running_sandbox(quota=False, batch_latency_ms=0, meta_validation="whole_batch") as url:
        account = httpx.get(f"{url}/_sandbox/accounts").json()["meta"]
        catalog = f"{account['base_url']}/{account['external_ids']['catalog_id']}"
        headers = {"Authorization": f"Bearer {account['access_token']}"}
        body = {"item_type": "PRODUCT_ITEM", "requests": [create("good"), create("bad", price="x")]}
        answer = httpx.post(f"{catalog}/items_batch", json=body, headers=headers).json()
        assert answer["handles"] == []
        assert [one["retailer_id"] for one in answer["validation_status"]] == ["bad"]
        assert httpx.get(f"{catalog}/products", headers=headers).json() == {"data": []}


@pytest.mark.parametrize(
    ("price", "shown"),
    [
        ("12.34 USD", "$12.34"),
        ("5 EUR", "€5.00"),
        ("1200 JPY", "¥1,200"),
        ("1999.9 GBP", "£1,999.90"),
        ("7.00 CHF", "CHF 7.00"),
    ],
)
def test_prices_are_read_back_formatted(price: str, shown: str) -> None:
    assert formatted_price(price) == shown


def _endpoint(node: str, method: str, edge: str) -> set[str]:
    spec = load_spec("meta/sdk_v26_core.derived.json")["nodes"][node]
    (found,) = [one for one in spec["endpoints"] if (one["method"], one["edge"]) == (method, edge)]
    return set(found["params"])


def test_parameters_fields_and_enums_are_those_of_the_sdk() -> None:
    nodes = load_spec("meta/sdk_v26_core.derived.json")["nodes"]
    catalog, item = "ProductCatalog", nodes["ProductItem"]
    assert _endpoint(catalog, "POST", "/items_batch") == edges.BATCH_PARAMS
    assert _endpoint(catalog, "GET", "/check_batch_request_status") == edges.STATUS_PARAMS
    assert _endpoint(catalog, "GET", "/products") == listing.PRODUCTS_PARAMS
    assert _endpoint("ProductSet", "GET", "/products") == listing.SET_PRODUCTS_PARAMS
    assert _endpoint(catalog, "GET", "/product_sets") == product_sets.LIST_PARAMS
    assert _endpoint(catalog, "POST", "/product_sets") == product_sets.SET_PARAMS
    assert _endpoint("ProductSet", "POST", "/") == product_sets.SET_PARAMS
    assert _endpoint("ProductItem", "GET", "/") == product_sets.ITEM_PARAMS
    assert set(product_sets.SET_FIELDS) <= set(nodes["ProductSet"]["fields"])
    assert _endpoint("Business", "POST", "/owned_product_catalogs") == edges.CATALOG_PARAMS
    assert set(nodes[catalog]["enums"]["Vertical"]) == edges.VERTICALS
    assert set(edges.CATALOG_FIELDS) <= set(nodes[catalog]["fields"])
    assert set(nodes["CheckBatchRequestStatus"]["fields"]) == set(edges.STATUS_FIELDS)
    assert set(item["fields"]) >= FIELD_NAMES
    enums = {
        "availability": "Availability",
        "condition": "Condition",
        "gender": "Gender",
        "age_group": "AgeGroup",
    }
    for name, theirs in enums.items():
        assert set(item["enums"][theirs]) == rules.ENUMS[name], name
    assert set(item["enums"]["Visibility"]) <= rules.ENUMS["visibility"]


def test_lengths_are_those_of_the_field_rules() -> None:
    published = load_spec("product_feed_rules.json")["rules"]["meta"]
    assert {*rules.REQUIRED, "id", "brand"} == set(published["required"])
    for name, rule in published["fields"].items():
        if "max" in rule and name in rules.LENGTHS_MAX:
            assert rules.LENGTHS_MAX[name] == rule["max"], name
    assert published["fields"]["additional_image_link"]["list_max"] == rules.ADDITIONAL_IMAGES_MAX
