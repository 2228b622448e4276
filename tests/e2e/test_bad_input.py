"""What is wrong is refused precisely: status, code, field, what to do. The rest goes on, nothing is half applied."""

from typing import Any

import httpx
import pytest

from tests.e2e.system import Brand, Document, System, equal, item, problem_of, until

HEADER = "id,title,price\n"
BODY_BYTES_MAX = 10 * 1024 * 1024
FINAL = {"done", "refused", "failed", "aborted"}


@pytest.fixture(scope="module")
def brand(system: System) -> Brand:
    made = system.new_brand()
    assert made.call("catalog", "POST", "/v1/items", json=item("ok")).status_code == 201
    return made


BAD_FIELDS: list[tuple[str, Any, str]] = [
    ("price", "12.50", "price_without_currency"),
    ("price", "12,50 EUR", "price_comma"),
    ("price", "1.00 USD", "currency_mismatch"),
    ("quantity", -1, "quantity_negative"),
    ("gtin", "4006381333932", "gtin_check_digit"),
    ("title", "t" * 10_000, "title_too_long"),
]


@pytest.mark.parametrize(("field", "value", "code"), BAD_FIELDS, ids=[one[2] for one in BAD_FIELDS])
def test_a_wrong_field_by_api(brand: Brand, field: str, value: object, code: str) -> None:
    before = brand.catalog()
    created = brand.call("catalog", "POST", "/v1/items", json=item("new", **{field: value}))
    changed = brand.call("catalog", "PATCH", "/v1/items/ok", json={field: value, "color": "blue"})
    for answer in (created, changed):
        problem = problem_of(answer, 422, "item_invalid")
        (error,) = problem["errors"]
        assert (problem["field"], error["field"], error["code"]) == (field, field, code)
        assert error["message"]
        assert error["fix"]
    batch = {"items": [item("new", **{field: value}), {"id": "ok", field: value}]}
    results = brand.ok("catalog", "POST", "/v1/items:batch", json=batch)["results"]
    assert [(one["outcome"], one["errors"][0]["code"]) for one in results] == [("refused", code)] * 2
    assert brand.catalog() == before


def test_the_rest_of_a_batch_goes_on(brand: Brand) -> None:
    entries = [item("b1"), item("b2", price="1,00 EUR"), item("b1", title="again"), {"id": "b3"}, item("b4")]
    answer = brand.ok("catalog", "POST", "/v1/items:batch", json={"items": entries})
    assert answer["counts"] == {"created": 2, "updated": 0, "unchanged": 0, "deleted": 0, "refused": 3}
    assert [(one["id"], one["outcome"]) for one in answer["results"]] == [
        ("b1", "created"),
        ("b2", "refused"),
        ("b1", "refused"),
        ("b3", "refused"),
        ("b4", "created"),
    ]
    assert answer["results"][2]["errors"][0]["code"] == "duplicate_id"
    assert brand.ok("catalog", "GET", "/v1/items/b1")["title"] == "Mug b1"
    offers = [{"id": "nope", "price": "1.00 EUR"}, {"id": "b1", "quantity": -1}, {"id": "b4", "quantity": 7}]
    answer = brand.ok("catalog", "POST", "/v1/offers:batch", json={"items": offers})
    assert [(one["outcome"], [error["code"] for error in one["errors"]]) for one in answer["results"]] == [
        ("refused", ["item_unknown"]),
        ("refused", ["quantity_negative"]),
        ("updated", []),
    ]


def imported(brand: Brand, content: str | bytes, **parameters: str) -> tuple[Document, list[Document]]:
    """The end of an import and its report per row."""
    path = brand.ok("catalog", "POST", "/v1/imports", content=content, params=parameters)["id"]
    report = until(
        lambda: brand.ok("catalog", "GET", f"/v1/imports/{path}"), lambda seen: seen["state"] in FINAL
    )
    return report, brand.pages("catalog", f"/v1/imports/{path}/rows")


BAD_FILES: list[tuple[str, bytes, dict[str, str], str, str]] = [
    ("html", b"<html><body>Sign in</body></html>", {}, "not_csv", "HTML"),
    ("excel", b"PK\x03\x04" + b"\x00" * 100, {}, "not_csv", "ZIP"),
    ("not shopify", b"id,title,price\na,A,1.00 EUR\n", {"format": "shopify"}, "format_mismatch", "Handle"),
    ("cut in quotes", b'id,title,price\ngood,A,1.00 EUR\nb,"B', {}, "file_truncated", "line 3"),
    ("cut in a row", b"id,title,price\ngood,A,1.00 EUR\nb,B", {}, "file_truncated", "line 3"),
    ("latin-1", "id,title,price\na,Müg,1.00 EUR\n".encode("latin-1"), {}, "encoding_not_utf8", "Latin-1"),
    ("utf-16", "id,title,price\na,A,1.00 EUR\n".encode("utf-16"), {}, "encoding_not_utf8", "UTF-16"),
]


@pytest.mark.parametrize(
    ("content", "parameters", "code", "word"),
    [case[1:] for case in BAD_FILES],
    ids=[case[0] for case in BAD_FILES],
)
def test_a_file_that_is_not_what_it_claims_is_refused_as_a_whole(
    brand: Brand, content: bytes, parameters: dict[str, str], code: str, word: str
) -> None:
    before = brand.catalog()
    report, rows = imported(brand, content, **parameters)
    assert (report["state"], report["problem"]["code"], rows) == ("refused", code, [])
    assert word in report["problem"]["message"]
    assert report["problem"]["fix"]
    assert brand.catalog() == before


def test_wrong_rows_are_refused_one_by_one_and_the_others_applied(brand: Brand) -> None:
    content = "\n".join(
        (
            "\ufeffid,title,price,quantity,gtin",
            "r1,=SUM(A1),1.00 EUR,1,",
            'r2,B,"1,00 EUR",1,',
            "r3,C,1.00 EUR,-1,",
            "r4,D,1.00 EUR,1,4006381333932",
            f"r5,{'t' * 10_000},1.00 EUR,1,",
            "r1,Again,2.00 EUR,1,",
            "r6,F,1.00 EUR,1,4006381333931",
            "",
        )
    )
    report, rows = imported(brand, content)
    assert (report["state"], report["problem"]) == ("done", None)
    assert report["rows"] | {"unchanged": 0, "updated": 0, "images": 0} == {
        **dict.fromkeys(("unchanged", "updated", "images"), 0),
        **{"total": 7, "done": 7, "created": 2, "refused": 5},
    }
    assert [(one["row"], one["id"], [p["code"] for p in one["problems"]]) for one in rows] == [
        (2, "r1", []),
        (3, "r2", ["price_comma"]),
        (4, "r3", ["quantity_negative"]),
        (5, "r4", ["gtin_check_digit"]),
        (6, "r5", ["title_too_long"]),
        (7, "r1", ["duplicate_id"]),
        (8, "r6", []),
    ]
    assert all(problem["fix"] for one in rows for problem in one["problems"])
    found = brand.catalog()
    assert found["r1"]["title"] == "=SUM(A1)"
    assert {name for name in found if name.startswith("r")} == {"r1", "r6"}


def test_an_upload_that_does_not_arrive_whole_changes_nothing(brand: Brand) -> None:
    before = brand.catalog()
    empty = brand.call("catalog", "POST", "/v1/imports", content=b"")
    problem_of(empty, 422, "upload_incomplete")
    digest = {"X-Content-SHA256": "0" * 64}
    other = brand.call("catalog", "POST", "/v1/imports", content=HEADER + "z,Z,1.00 EUR\n", headers=digest)
    assert problem_of(other, 422, "upload_incomplete")["field"] == "X-Content-SHA256"
    assert brand.ok("catalog", "GET", "/v1/imports")["data"][0]["state"] == "aborted"
    unknown = brand.call("catalog", "POST", "/v1/imports", content=HEADER, params={"format": "xml"})
    assert problem_of(unknown, 400, "format_unknown")["field"] == "format"
    assert brand.catalog() == before


def test_connections_that_cannot_work(brand: Brand) -> None:
    before = brand.ok("accounts", "GET", "/v1/connections")
    good = {"platform": "meta", "mode": "sandbox", "external_ids": {"catalog_id": "1"}, "access_token": "EAA"}
    for change, code, field, error in (
        ({"platform": "myspace"}, "platform_unknown", "platform", None),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "connection_invalid", "expires_at", "token_expired"),
        ({"external_ids": {}}, "connection_invalid", "external_ids.catalog_id", "external_id_missing"),
    ):
        problem = problem_of(brand.call("accounts", "POST", "/v1/connections", json=good | change), 400, code)
        assert problem["field"] == field
        assert problem["fix"]
        assert "EAA" not in str(problem)
        if error is not None:
            assert [one["code"] for one in problem["errors"]] == [error]
    assert brand.ok("accounts", "GET", "/v1/connections") == before


def test_a_token_that_expires_is_named_where_people_look(system: System) -> None:
    brand = system.new_brand()
    token = brand.accounts["meta"]["access_token"]
    command = {"platform": "meta", "access_token": token, "state": "expired"}
    assert system.http["sandbox"].post("/_sandbox/tokens", json=command).status_code == 200
    assert brand.call("catalog", "POST", "/v1/items", json=item("t")).status_code == 201

    def states() -> dict[str, str]:
        return {one["platform"]: one["state"] for one in brand.ok("shop_sync", "GET", "/v1/channels")["data"]}

    until(states, equal({"meta": "needs_attention", "pinterest": "active"}))
    until(brand.counts, equal({"meta": {"pending": 1}, "pinterest": {"live": 1}}))

    def told() -> tuple[str, bool]:
        found = brand.ok("accounts", "GET", f"/v1/connections/{brand.connections['meta']}")
        assert token not in str(found)
        return found["state"], "expired" in found["last_error"]

    until(told, equal(("token_expired", True)))
    again = {"platform": "meta", "access_token": token, "state": "valid"}
    assert system.http["sandbox"].post("/_sandbox/tokens", json=again).status_code == 200
    brand.ok(
        "accounts", "PATCH", f"/v1/connections/{brand.connections['meta']}", json={"access_token": token}
    )
    until(brand.counts, equal({"meta": {"live": 1}, "pinterest": {"live": 1}}), within_s=90)


def test_bodies_over_the_limit(brand: Brand) -> None:
    before = brand.catalog()
    for service, path in (
        ("catalog", "/v1/items"),
        ("accounts", "/v1/connections"),
        ("accounts", "/v1/api-keys"),
    ):
        body = b'{"id": "' + b"x" * BODY_BYTES_MAX + b'"}'
        json_type = {"Content-Type": "application/json"}
        answer = brand.call(service, "POST", path, content=body, headers=json_type)
        problem = problem_of(answer, 413, "body_too_large")
        assert str(BODY_BYTES_MAX) in problem["detail"]
        assert problem["fix"]
    batch = {"items": [{"id": "ok", "quantity": 1}] * 10_001}
    for path in ("/v1/offers:batch", "/v1/items:batch"):
        answer = brand.call("catalog", "POST", path, json=batch)
        assert problem_of(answer, 400, "batch_too_large")["field"] == "items"
    assert brand.catalog() == before


def test_pages_over_the_limit_and_cursors_of_others(brand: Brand) -> None:
    channel = brand.ok("shop_sync", "GET", "/v1/channels")["data"][0]["id"]
    for service, path in (
        ("catalog", "/v1/items"),
        ("catalog", "/v1/imports"),
        ("accounts", "/v1/api-keys"),
        ("accounts", "/v1/connections"),
        ("shop_sync", f"/v1/channels/{channel}/items"),
        ("shop_sync", "/v1/items/ok/timeline"),
    ):
        answer = brand.call(service, "GET", path, params={"limit": 501})
        assert answer.status_code in {400, 422}, answer.text
        assert answer.json()["field"] == "limit"
        problem_of(brand.call(service, "GET", path, params={"cursor": "bm90IG91cnM"}), 400, "cursor_invalid")


def test_what_is_not_json_and_what_is_not_a_key(brand: Brand, system: System) -> None:
    for service, path in (("catalog", "/v1/items"), ("accounts", "/v1/connections")):
        json_type = {"Content-Type": "application/json"}
        answer = brand.call(service, "POST", path, content=b"{nope", headers=json_type)
        assert problem_of(answer, 422, "malformed")["errors"][0]["code"] == "json_invalid"
    for header, code in (("Bearer nonsense", "key_malformed"), ("Basic abc", "key_missing")):
        answer = system.http["catalog"].get("/v1/items", headers={"Authorization": header})
        assert isinstance(answer, httpx.Response)
        problem_of(answer, 401, code)
