"""Meta's official SDK, as it comes from PyPI, speaks with the sandbox as it would with graph.facebook.com."""

import importlib.metadata
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from facebook_business.adobjects.business import Business
from facebook_business.adobjects.productcatalog import ProductCatalog
from facebook_business.adobjects.productitem import ProductItem
from facebook_business.adobjects.productset import ProductSet
from facebook_business.api import FacebookAdsApi
from facebook_business.exceptions import FacebookRequestError
from facebook_business.session import FacebookSession

from tests.sandbox.conftest import PlatformAccount, create, fault, last_entry, load_spec

# The SDK's own table calls ``requests`` a map; Meta's documentation and wire have a list, and the SDK sends it.
pytestmark = pytest.mark.filterwarnings("ignore:value of requests might not be compatible:UserWarning")

PINNED = "26.0.3"
ITEM = {"id", "name", "retailer_id"}


def sdk(account: PlatformAccount, **session: Any) -> FacebookAdsApi:
    """The SDK with the account's token and nothing changed but where the Graph is."""
    chosen = {"access_token": account.token, "app_id": account.ids["app_id"], **session}
    speaker = FacebookSession(timeout=20, **chosen)
    speaker.GRAPH = account.url.rpartition("/")[0]
    return FacebookAdsApi(speaker)


@pytest.fixture
def api(meta: PlatformAccount, app_secret: str) -> Iterator[FacebookAdsApi]:
    made = sdk(meta, app_secret=app_secret)
    yield made
    made._session.requests.close()


@pytest.fixture
def app_secret(sandbox: httpx.Client, meta: PlatformAccount) -> str:
    accounts = sandbox.get("/_sandbox/accounts", params={"all": 1}).json()["meta"]
    (found,) = [one["app_secret"] for one in accounts if one["access_token"] == meta.token]
    assert len(found) == 32
    return str(found)


@pytest.fixture
def catalog(meta: PlatformAccount, api: FacebookAdsApi) -> ProductCatalog:
    return ProductCatalog(meta.catalog_id, api=api)


def send(catalog: ProductCatalog, *requests: dict[str, Any], **params: Any) -> dict[str, Any]:
    sent = catalog.create_items_batch(
        params={"item_type": "PRODUCT_ITEM", "requests": list(requests), **params}
    )
    answer: dict[str, Any] = sent.export_all_data()
    return answer


def refused(run: Any, *args: Any, **keywords: Any) -> FacebookRequestError:
    with pytest.raises(FacebookRequestError) as raised:
        run(*args, **keywords)
    return raised.value


def test_the_sdk_is_the_one_that_was_read() -> None:
    assert importlib.metadata.version("facebook_business") == PINNED
    assert FacebookAdsApi.API_VERSION == "v26.0"
    spec = load_spec("meta/sdk_v26_core.derived.json")["nodes"]
    for name, node in (("ProductCatalog", ProductCatalog), ("ProductSet", ProductSet)):
        for endpoint in spec[name]["endpoints"]:
            assert callable(getattr(node, endpoint["sdk"])), endpoint


def test_the_business_lists_and_makes_catalogs(meta: PlatformAccount, api: FacebookAdsApi) -> None:
    business = Business(meta.ids["business_id"], api=api)
    fields = ["id", "name", "vertical", "product_count"]
    owned = list(business.get_owned_product_catalogs(fields=fields))
    assert [one.export_all_data() for one in owned] == [
        {"id": meta.catalog_id, "name": owned[0]["name"], "vertical": "commerce", "product_count": 0}
    ]
    made = business.create_owned_product_catalog(params={"name": "Outlet", "vertical": "commerce"})
    assert {one["id"] for one in business.get_owned_product_catalogs()} == {meta.catalog_id, made["id"]}
    shown = ProductCatalog(made["id"], api=api).api_get(fields=["name", "business"])
    assert (shown["name"], shown["business"]["id"]) == ("Outlet", meta.ids["business_id"])


def test_items_are_created_changed_deleted_and_reported(catalog: ProductCatalog) -> None:
    handle = send(catalog, create("a"), create("b"), create("c"))["handles"][0]
    (status,) = catalog.get_check_batch_request_status(params={"handle": handle})
    assert (status["status"], status["errors_total_count"], status["handle"]) == ("finished", 0, handle)
    handle = send(
        catalog,
        {"method": "UPDATE", "data": {"id": "a", "price": "9.50 USD", "availability": "out of stock"}},
        {"method": "UPDATE", "data": {"id": "new", "price": "1.00 USD"}},
        {"method": "DELETE", "data": {"id": "b"}},
    )["handles"][0]
    (status,) = catalog.get_check_batch_request_status(
        params={"handle": handle, "load_ids_of_invalid_requests": True, "error_priority": "HIGH"}
    )
    assert status["ids_of_invalid_requests"] == ["new"]
    assert {one["id"] for one in status["errors"]} == {"new"}
    items = catalog.get_products(fields=["retailer_id", "price", "availability"])
    shown = {one["retailer_id"]: (one["price"], one["availability"]) for one in items}
    assert shown == {"a": ("$9.50", "out of stock"), "c": ("$1,234.50", "in stock")}


def test_a_malformed_item_is_named_at_once(catalog: ProductCatalog) -> None:
    answer = send(catalog, create("good"), create("bad", price="a lot"))
    assert len(answer["handles"]) == 1
    (named,) = answer["validation_status"]
    assert named["retailer_id"] == "bad"
    assert "price" in named["errors"][0]["message"]
    assert send(catalog, create("bad", price="a lot"))["handles"] == []


def test_products_are_paged_filtered_and_counted(catalog: ProductCatalog) -> None:
    send(
        catalog, *[create(f"sku-{number:02}", brand="Holm" if number % 2 else "Vik") for number in range(23)]
    )
    found = catalog.get_products(fields=["retailer_id", "brand"], params={"limit": 10})
    assert len(found) == 10
    assert found.total() == 23
    assert [one["retailer_id"] for one in found] == [f"sku-{number:02}" for number in range(23)]
    rule = {"brand": {"eq": "Vik"}, "retailer_id": {"is_any": ["sku-01", "sku-02", "sku-04"]}}
    chosen = catalog.get_products(params={"filter": rule})
    assert [one["retailer_id"] for one in chosen] == ["sku-02", "sku-04"]
    assert all(set(one.export_all_data()) == ITEM for one in chosen)


def test_an_item_is_read_by_its_number(catalog: ProductCatalog, api: FacebookAdsApi) -> None:
    send(catalog, create("a"), create("b"))
    numbers = {one["retailer_id"]: one["id"] for one in catalog.get_products()}
    item = ProductItem(numbers["a"], api=api).api_get(fields=["retailer_id", "name", "price", "image_url"])
    assert item.export_all_data() == {
        "id": numbers["a"],
        "retailer_id": "a",
        "name": "Linen shirt",
        "price": "$1,234.50",
        "image_url": "https://cdn.example/shirt.jpg",
    }
    send(catalog, {"method": "DELETE", "data": {"id": "a"}}, create("later"))
    error = refused(ProductItem(numbers["a"], api=api).api_get)
    assert (error.api_error_code(), error.api_error_subcode()) == (100, 33)


def test_product_sets(catalog: ProductCatalog, api: FacebookAdsApi, meta: PlatformAccount) -> None:
    send(catalog, create("a", brand="Vik"), create("b"), create("c", brand="Vik"))
    rule = {"brand": {"eq": "Vik"}}
    made = catalog.create_product_set(params={"name": "Vik", "filter": rule, "retailer_id": "set-1"})
    group = ProductSet(made["id"], api=api)
    shown = group.api_get(fields=["name", "filter", "product_count", "retailer_id", "product_catalog"])
    assert (shown["name"], json.loads(shown["filter"]), shown["product_count"]) == ("Vik", rule, 2)
    assert (shown["retailer_id"], shown["product_catalog"]["id"]) == ("set-1", meta.catalog_id)
    assert [one["retailer_id"] for one in group.get_products()] == ["a", "c"]
    everything = catalog.create_product_set(params={"name": "All"})
    assert len(list(ProductSet(everything["id"], api=api).get_products())) == 3
    listed = catalog.get_product_sets(fields=["name"])
    assert [one["name"] for one in listed] == ["Vik", "All"]
    group.api_update(params={"name": "Vik and friends", "filter": {"retailer_id": {"eq": "b"}}})
    assert [one["retailer_id"] for one in group.get_products()] == ["b"]
    assert group.api_get(fields=["name"])["name"] == "Vik and friends"
    group.api_delete()
    assert refused(group.api_get).api_error_subcode() == 33
    wrong = refused(catalog.create_product_set, params={"name": "X", "filter": {"shape": {"eq": "round"}}})
    assert (wrong.api_error_code(), wrong.api_blame_field_specs()) == (100, [["filter"]])


def test_the_app_secret_is_checked(meta: PlatformAccount, api: FacebookAdsApi) -> None:
    assert ProductCatalog(meta.catalog_id, api=api).api_get()["id"] == meta.catalog_id
    assert "appsecret_proof" in api._session.requests.params
    other = sdk(meta, app_secret="0" * 32)
    error = refused(ProductCatalog(meta.catalog_id, api=other).api_get)
    assert (error.api_error_code(), error.api_error_type()) == (100, "GraphMethodException")
    assert "appsecret_proof" in error.api_error_message()
    other._session.requests.close()


@pytest.mark.parametrize(
    ("state", "status", "subcode"), [("expired", 401, 463), ("removed", 400, 458), (None, 400, 467)]
)
def test_a_wrong_token_is_refused(
    *,
    sandbox: httpx.Client,
    meta: PlatformAccount,
    catalog: ProductCatalog,
    state: str | None,
    status: int,
    subcode: int,
) -> None:
    if state is None:
        api = sdk(meta, access_token="EAAnobodys")
        catalog = ProductCatalog(meta.catalog_id, api=api)
    else:
        command = {"platform": "meta", "access_token": meta.token, "state": state}
        sandbox.post("/_sandbox/tokens", json=command).raise_for_status()
    error = refused(send, catalog, create("a"))
    assert (error.http_status(), error.api_error_code(), error.api_error_subcode()) == (status, 190, subcode)
    assert error.api_error_type() == "OAuthException"
    assert "invalid_token" in error.http_headers()["WWW-Authenticate"]
    assert not error.api_transient_error()
    assert last_entry(sandbox)["accepted_count"] == 0
    catalog.get_api()._session.requests.close()


def test_a_token_without_the_permission_is_refused(
    sandbox: httpx.Client, meta: PlatformAccount, catalog: ProductCatalog
) -> None:
    command = {"platform": "meta", "access_token": meta.token, "state": "limited"}
    sandbox.post("/_sandbox/tokens", json=command).raise_for_status()
    error = refused(send, catalog, create("a"))
    assert (error.http_status(), error.api_error_code()) == (403, 200)
    error = refused(catalog.get_products)
    assert (error.http_status(), error.api_error_code()) == (403, 10)


def test_wrong_parameters_are_blamed(catalog: ProductCatalog) -> None:
    error = refused(catalog.create_items_batch, params={"requests": [create("a")]})
    assert (error.api_error_code(), error.api_blame_field_specs()) == (100, [["item_type"]])
    error = refused(send, catalog, {"method": "ERASE", "data": {"id": "a"}})
    assert (error.api_error_code(), error.api_blame_field_specs()) == (100, [["requests[0].method"]])
    error = refused(catalog.get_check_batch_request_status, params={"handle": "nobodys"})
    assert (error.api_error_code(), error.api_blame_field_specs()) == (100, [["handle"]])
    error = refused(catalog.api_get, fields=["name"], params={"colour": "red"})
    assert (error.api_error_code(), error.api_blame_field_specs()) == (100, [["colour"]])


def test_what_is_not_there_or_not_ours(
    sandbox: httpx.Client, api: FacebookAdsApi, meta: PlatformAccount
) -> None:
    neighbours = sandbox.get("/_sandbox/accounts").json()["meta"]["external_ids"]["catalog_id"]
    for object_id in ("123456789012345", neighbours):
        error = refused(ProductCatalog(object_id, api=api).api_get)
        assert (error.http_status(), error.api_error_code(), error.api_error_subcode()) == (400, 100, 33)
        assert error.api_error_type() == "GraphMethodException"


def test_a_batch_over_the_limit(sandbox: httpx.Client, catalog: ProductCatalog) -> None:
    requests = [{"method": "DELETE", "data": {"id": f"{number}"}} for number in range(5_001)]
    error = refused(send, catalog, *requests)
    assert (error.api_error_code(), error.api_blame_field_specs()) == (100, [["requests"]])
    entry = last_entry(sandbox)
    assert (entry["item_count"], entry["accepted_count"]) == (5_001, 0)
    assert len(send(catalog, *requests[:5_000])["handles"]) == 1


def test_throttles_as_the_sdk_sees_them(
    sandbox: httpx.Client, meta: PlatformAccount, catalog: ProductCatalog
) -> None:
    limit = {"platform": "meta", "category": "catalog_batch", "account": meta.catalog_id, "calls": 2}
    sandbox.post("/_sandbox/quota", json={**limit, "window_s": 3_600}).raise_for_status()
    for name in ("a", "b"):
        send(catalog, create(name))
    error = refused(send, catalog, create("c"))
    assert (error.http_status(), error.api_error_code(), error.api_transient_error()) == (400, 80014, False)
    usage = json.loads(error.http_headers()["X-Business-Use-Case-Usage"])[meta.ids["business_id"]]
    assert [(one["type"], one["call_count"]) for one in usage] == [
        ("catalog_batch", 100),
        ("catalog_management", 0),
    ]
    assert 50 <= usage[0]["estimated_time_to_regain_access"] <= 60
    sandbox.delete("/_sandbox/quota").raise_for_status()
    fault(sandbox, kind="throttle", platform="meta", code=17, regain_s=300)
    error = refused(catalog.get_products)
    assert (error.api_error_code(), error.api_error_subcode()) == (17, 2446079)
    assert json.loads(error.http_headers()["X-Ad-Account-Usage"])["acc_id_util_pct"] == 100
    assert {one["retailer_id"] for one in catalog.get_products()} == {"a", "b"}


def test_a_transient_error_is_called_transient(sandbox: httpx.Client, catalog: ProductCatalog) -> None:
    fault(sandbox, kind="refuse", platform="meta", error="transient")
    error = refused(send, catalog, create("a"))
    assert (error.http_status(), error.api_error_code(), error.api_transient_error()) == (500, 2, True)
    assert error.body()["error"]["fbtrace_id"].startswith("A")
    assert list(catalog.get_products()) == []
