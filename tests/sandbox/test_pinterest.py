"""Pinterest's dialect, every body checked against the published OpenAPI."""

import re
from functools import cache
from typing import Any

import httpx
import pytest
from jsonschema import Draft4Validator
from referencing import Registry
from referencing.jsonschema import DRAFT4

from tests.sandbox.conftest import PlatformAccount, load_spec, pinterest_item
from tests.support.sandbox import running_sandbox
from vitrin.sandbox.pinterest import requests, rules, vocabulary

OPENAPI = "pinterest/openapi-5.23.0.json"
BATCH = "/catalogs/items/batch"
REQUEST_SCHEMAS = {
    None: "CatalogsRetailBatchRequest",
    "CREATE": "CatalogsItemsCreateBatchRequest",
    "DELETE": "CatalogsItemsDeleteBatchRequest",
    "DELETE_DISCONTINUED": "CatalogsItemsDeleteDiscontinuedBatchRequest",
}


def _nullable(schema: Any) -> Any:
    """OpenAPI 3.0 as JSON schema: ``nullable`` becomes a type, everything else stays."""
    if isinstance(schema, list):
        return [_nullable(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    changed = {
        name: _nullable(value) for name, value in schema.items() if name not in ("example", "discriminator")
    }
    if schema.get("nullable") is True and isinstance(schema.get("type"), str):
        changed["type"] = [schema["type"], "null"]
    return changed


@cache
def _validator(name: str) -> Draft4Validator:
    return Draft4Validator({"$ref": f"urn:p#/components/schemas/{name}"}, registry=_registry())


@cache
def _registry() -> Registry[Any]:
    document = _nullable(load_spec(OPENAPI))
    registry: Registry[Any] = Registry()
    found: Registry[Any] = registry.with_resource("urn:p", DRAFT4.create_resource(document))
    return found


def conforms(body: Any, name: str) -> None:
    """Fail unless the body is valid for a schema of the OpenAPI document."""
    validator = _validator(name)
    errors = [f"{list(error.absolute_path)}: {error.message}" for error in validator.iter_errors(body)]
    assert errors == []


def retail(*items: dict[str, Any], **envelope: Any) -> dict[str, Any]:
    return {"catalog_type": "RETAIL", "country": "US", "language": "EN", "items": list(items), **envelope}


def upsert(item_id: str, **changes: Any) -> dict[str, Any]:
    return {"operation": "UPSERT", "item_id": item_id, "attributes": pinterest_item(**changes)}


def send(account: PlatformAccount, body: dict[str, Any]) -> dict[str, Any]:
    """Post a batch and poll it to its end; both bodies and the request conform."""
    conforms(body, REQUEST_SCHEMAS[body.get("operation")])
    answer = account.http.post(BATCH, json=body, params={"ad_account_id": account.ids["ad_account_id"]})
    assert answer.status_code == 200, answer.text
    accepted = answer.json()
    conforms(accepted, "CatalogsRetailItemsBatch")
    assert accepted["status"] == "PROCESSING"
    finished = account.http.get(f"{BATCH}/{accepted['batch_id']}").json()
    conforms(finished, "CatalogsRetailItemsBatch")
    assert finished["status"] == "COMPLETED"
    found: dict[str, Any] = finished
    return found


def read(
    account: PlatformAccount, *item_ids: str, country: str = "US", language: str = "EN"
) -> list[dict[str, Any]]:
    filters = {"catalog_type": "RETAIL", "catalog_id": account.catalog_id, "item_ids": list(item_ids)}
    body = {"country": country, "language": language, "filters": filters}
    conforms(body, "CatalogsItemsRequest")
    answer = account.http.post("/catalogs/items", json=body)
    assert answer.status_code == 200, answer.text
    for item in answer.json()["items"]:
        conforms(
            item, "CatalogsRetailItemErrorResponse" if "errors" in item else "CatalogsRetailItemResponse"
        )
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def refused(answer: httpx.Response, status: int, code: int) -> str:
    conforms(answer.json(), "Error")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    message: str = answer.json()["message"]
    return message


def test_item_arrives_and_is_read_back(pinterest: PlatformAccount) -> None:
    batch = send(pinterest, retail(upsert("sku-1", price="24.5USD", image_link="https://cdn.example/1.jpg")))
    assert batch["items"] == [{"item_id": "sku-1", "status": "SUCCESS", "errors": [], "warnings": []}]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", batch["created_time"])
    found, missing = read(pinterest, "sku-1", "ghost")
    expected = pinterest_item(price="24.5 USD", image_link=["https://cdn.example/1.jpg"])
    assert found == {"catalog_type": "RETAIL", "item_id": "sku-1", "pins": None, "attributes": expected}
    assert missing["item_id"] == "ghost"
    assert [one["attribute"] for one in missing["errors"]] == ["item_id"]


def test_country_and_language_tell_items_apart(pinterest: PlatformAccount) -> None:
    send(pinterest, retail(upsert("sku-1")))
    send(pinterest, retail(upsert("sku-1", title="Leinenhemd"), country="DE", language="de"))
    (us,) = read(pinterest, "sku-1", language="en-US")
    (de,) = read(pinterest, "sku-1", country="DE", language="DE")
    assert (us["attributes"]["title"], de["attributes"]["title"]) == ("Linen shirt", "Leinenhemd")


def test_failing_items_say_why_and_the_others_go_in(pinterest: PlatformAccount) -> None:
    batch = send(
        pinterest,
        retail(
            upsert("bad", title="", price="12,34"),
            upsert("good"),
            {"operation": "DELETE", "item_id": "ghost"},
        ),
    )
    bad, good, ghost = batch["items"]
    assert bad["status"] == "FAILURE"
    assert [(one["attribute"], one["code"]) for one in bad["errors"]] == [("title", 106), ("price", 9014)]
    assert bad["errors"][0]["message"] == "Title is missing from product metadata."
    assert good["status"] == "SUCCESS"
    assert (ghost["status"], ghost["errors"][0]["attribute"]) == ("FAILURE", "item_id")
    assert ["errors" in one for one in read(pinterest, "bad", "good")] == [True, False]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("description", ""),
        ("link", "shop.example/x"),
        ("link", f"https://shop.example/{'x' * 511}"),
        ("image_link", ["not a url"]),
        ("image_link", [f"https://cdn.example/{'x' * 2_000}"]),
        ("price", "free"),
        ("availability", "plenty"),
        ("item_group_id", "x" * 128),
    ],
)
def test_each_rule_refuses(pinterest: PlatformAccount, field: str, value: Any) -> None:
    (item,) = send(pinterest, retail(upsert("sku-1", **{field: value})))["items"]
    assert item["status"] == "FAILURE"
    assert [one["attribute"] for one in item["errors"]] == [field]
    assert "errors" in read(pinterest, "sku-1")[0]


@pytest.mark.parametrize(
    ("field", "value", "kept"),
    [
        ("title", "x" * 501, "x" * 500),
        ("description", "x" * 10_001, "x" * 10_000),
        ("sale_price", "30.00 USD", "30.00 USD"),
        ("sale_price", "cheap", None),
        ("condition", "mint", "mint"),
        ("product_type", "x" * 1_001, None),
    ],
)
def test_some_rules_only_warn(pinterest: PlatformAccount, field: str, value: str, kept: str | None) -> None:
    (item,) = send(pinterest, retail(upsert("sku-1", **{field: value})))["items"]
    assert (item["status"], [one["attribute"] for one in item["warnings"]]) == ("SUCCESS", [field])
    assert read(pinterest, "sku-1")[0]["attributes"].get(field) == kept


def test_update_is_partial_and_the_mask_deletes(pinterest: PlatformAccount) -> None:
    send(pinterest, retail(upsert("sku-1", brand="Holm", color="blue")))
    change = {"operation": "UPDATE", "item_id": "sku-1", "attributes": {"availability": "OUT OF STOCK"}}
    assert send(pinterest, retail(change))["items"][0]["status"] == "SUCCESS"
    masked = {
        **change,
        "attributes": {"price": "20.00 USD", "title": "Other"},
        "update_mask": ["price", "brand"],
    }
    send(pinterest, retail(masked))
    expected = pinterest_item(availability="out of stock", price="20.00 USD", color="blue")
    assert read(pinterest, "sku-1")[0]["attributes"] == expected


def test_update_cannot_change_images(pinterest: PlatformAccount) -> None:
    send(pinterest, retail(upsert("sku-1")))
    change = {
        "operation": "UPDATE",
        "item_id": "sku-1",
        "attributes": {"image_link": ["https://cdn.example/2.jpg"]},
    }
    (item,) = send(pinterest, retail(change))["items"]
    assert (item["status"], [one["attribute"] for one in item["warnings"]]) == ("SUCCESS", ["image_link"])
    assert read(pinterest, "sku-1")[0]["attributes"] == pinterest_item()


def test_upsert_replaces_and_create_does_not(pinterest: PlatformAccount) -> None:
    send(pinterest, retail(upsert("sku-1", brand="Holm")))
    send(pinterest, retail(upsert("sku-1", title="New")))
    assert read(pinterest, "sku-1")[0]["attributes"] == pinterest_item(title="New")
    again = {**upsert("sku-1"), "operation": "CREATE"}
    assert send(pinterest, retail(again))["items"][0]["status"] == "FAILURE"
    missing = {"operation": "UPDATE", "item_id": "ghost", "attributes": {"price": "1.00 USD"}}
    assert send(pinterest, retail(missing))["items"][0]["status"] == "FAILURE"


def test_legacy_form(pinterest: PlatformAccount) -> None:
    items = [{"item_id": "sku-1", "attributes": pinterest_item()}]
    send(pinterest, {"country": "US", "language": "EN", "operation": "CREATE", "items": items})
    send(
        pinterest,
        {
            "country": "US",
            "language": "EN",
            "operation": "DELETE_DISCONTINUED",
            "items": [{"item_id": "sku-1"}],
        },
    )
    assert read(pinterest, "sku-1")[0]["attributes"]["availability"] == "out of stock"
    send(
        pinterest, {"country": "US", "language": "EN", "operation": "DELETE", "items": [{"item_id": "sku-1"}]}
    )
    assert "errors" in read(pinterest, "sku-1")[0]


def test_recent_duplicate_is_skipped(sandbox: httpx.Client, pinterest: PlatformAccount) -> None:
    body = retail(upsert("sku-1"))
    first = send(pinterest, body)
    send(pinterest, retail({"operation": "DELETE", "item_id": "sku-1"}))
    again = pinterest.http.post(BATCH, json=body).json()
    conforms(again, "CatalogsRetailItemsBatch")
    assert (again["created_time"], again["batch_id"]) == (None, first["batch_id"])
    assert "errors" in read(pinterest, "sku-1")[0]
    body["items"][0]["attributes"]["last_updated_time"] = 1_641_483_432_072
    send(pinterest, body)
    assert read(pinterest, "sku-1")[0]["attributes"]["last_updated_time"] == 1_641_483_432_072


@pytest.mark.parametrize(
    "body",
    [
        [],
        retail(),
        retail(*[upsert(str(number)) for number in range(1_001)]),
        retail(upsert("a"), country="XX"),
        retail(upsert("a"), language="Klingon"),
        retail(upsert("a"), market="US"),
        retail({"operation": "PATCH", "item_id": "a", "attributes": {}}),
        retail({"operation": "UPSERT", "attributes": pinterest_item()}),
        retail({"operation": "UPSERT", "item_id": "a"}),
        retail(upsert("a", image_link=[])),
        retail(upsert("a", price=24.99)),
        retail(upsert("a", title=None)),
        retail(upsert("a", custom_label_0="x" * 512)),
        retail({"operation": "UPDATE", "item_id": "a", "attributes": {}, "update_mask": ["AVAILABILITY"]}),
        {"country": "US", "language": "EN", "items": [{"item_id": "a"}]},
    ],
)
def test_a_body_that_breaks_its_schema_is_refused_whole(pinterest: PlatformAccount, body: Any) -> None:
    message = refused(pinterest.http.post(BATCH, json=body), 400, 1)
    assert message.startswith("Invalid request: (")
    assert "errors" in read(pinterest, "a")[0]


def test_refusals(sandbox: httpx.Client, pinterest: PlatformAccount) -> None:
    first = sandbox.get("/_sandbox/accounts").json()["pinterest"]
    body = retail(upsert("a"))
    refused(httpx.post(f"{pinterest.url}{BATCH}", json=body), 401, 2)
    refused(httpx.post(f"{pinterest.url}{BATCH}", json=body, headers={"Authorization": "Bearer no"}), 401, 2)
    other = {"ad_account_id": first["external_ids"]["ad_account_id"]}
    refused(pinterest.http.post(BATCH, json=body, params=other), 403, 29)
    refused(pinterest.http.post(BATCH, json=body, params={"ad_account_id": "x"}), 400, 1)
    theirs = retail(upsert("a"), catalog_id=first["external_ids"]["catalog_id"])
    refused(pinterest.http.post(BATCH, json=theirs), 404, 678)
    refused(pinterest.http.post(BATCH, json={**body, "catalog_type": "HOTEL"}), 403, 29)
    refused(pinterest.http.get(f"{BATCH}/0123"), 404, 4331)
    refused(pinterest.http.get(BATCH), 405, 5)
    refused(pinterest.http.get("/boards"), 404, 0)
    refused(pinterest.http.post(BATCH, content=b"{"), 400, 1)


def test_expired_token(sandbox: httpx.Client, pinterest: PlatformAccount) -> None:
    command = {"platform": "pinterest", "access_token": pinterest.token, "state": "expired"}
    sandbox.post("/_sandbox/tokens", json=command).raise_for_status()
    assert refused(pinterest.http.get("/user_account"), 401, 2) == "Authentication failed."


def test_account_with_a_feed_cannot_upsert(sandbox: httpx.Client) -> None:
    made = sandbox.post("/_sandbox/accounts", json={"platform": "pinterest", "has_feed": True}).json()
    headers = {"Authorization": f"Bearer {made['access_token']}"}
    url = f"{made['base_url']}{BATCH}"
    refused(httpx.post(url, json=retail(upsert("a")), headers=headers), 403, 29)
    create = {**upsert("a"), "operation": "CREATE"}
    assert httpx.post(url, json=retail(create), headers=headers).status_code == 200


def test_account_and_catalogs(pinterest: PlatformAccount) -> None:
    user = pinterest.http.get("/user_account").json()
    conforms(user, "Account")
    catalogs = pinterest.http.get("/catalogs").json()
    conforms(catalogs, "Paginated")
    assert [one["id"] for one in catalogs["items"]] == [pinterest.catalog_id]
    conforms(catalogs["items"][0], "Catalog")


def test_quota_and_its_headers() -> None:
    with running_sandbox(quota=True, pinterest_catalogs_write_per_minute=2) as url:
        account = httpx.get(f"{url}/_sandbox/accounts").json()["pinterest"]
        headers = {"Authorization": f"Bearer {account['access_token']}"}
        answers = [
            httpx.post(f"{account['base_url']}{BATCH}", json=retail(upsert(str(n))), headers=headers)
            for n in range(3)
        ]
        remaining = [one.headers["x-userendpoint-ratelimit-remaining"] for one in answers]
        assert ([one.status_code for one in answers], remaining) == ([200, 200, 429], ["1", "0", "0"])
        refused(answers[2], 429, 8)
        assert 0 < int(answers[2].headers["x-userendpoint-ratelimit-reset"]) <= 60
        assert httpx.get(f"{account['base_url']}/catalogs", headers=headers).status_code == 200


def test_vocabulary_is_that_of_the_openapi() -> None:
    schemas = load_spec(OPENAPI)["components"]["schemas"]
    assert set(schemas["Country"]["enum"]) == vocabulary.COUNTRIES
    assert set(schemas["Language"]["enum"]) == vocabulary.LANGUAGES
    assert set(schemas["CatalogsLocale"]["enum"]) == vocabulary.LOCALES
    assert set(schemas["UpdateMaskFieldType"]["enum"]) == vocabulary.UPDATE_MASK_FIELDS
    assert schemas["CatalogsRetailBatchRequest"]["properties"]["items"]["maxItems"] == requests.ITEMS_MAX


def test_limits_are_those_of_the_field_rules() -> None:
    published = load_spec("product_feed_rules.json")["rules"]["pinterest"]
    assert {*rules.REQUIRED, "id"} == set(published["required"])
    fields = published["fields"]
    assert fields["id"]["max"] == rules.ITEM_ID_CHARS_MAX
    assert fields["title"]["max"] == rules.TITLE_CHARS_MAX
    assert fields["description"]["max"] == rules.DESCRIPTION_CHARS_MAX
    assert fields["link"]["max"] == rules.LINK_CHARS_MAX
    assert fields["image_link"]["max"] == rules.IMAGE_LINK_CHARS_MAX
    assert fields["product_type"]["max"] == rules.PRODUCT_TYPE_CHARS_MAX
    assert set(fields["availability"]["enum"]) == rules.AVAILABILITIES
