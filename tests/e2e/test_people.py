"""People in the whole house: own keys in every service, an approval by somebody else, leaving; doors with manners."""

from typing import Any

import pytest

from tests.e2e.system import PLATFORMS, SERVICES, Brand, System, equal, item, problem_of, until

PATHS = {
    "accounts": "/v1/brands",
    "catalog": "/v1/items",
    "shop_sync": "/v1/channels",
    "notify": "/v1/webhook_events",
    "retargeting": "/v1/events",
}
ITEMS = 4


def join(brand: Brand, name: str, role: str) -> dict[str, Any]:
    """The member and the own key, once every service knows it."""
    invitation = {"email": f"{name}@shop.example", "role": role}
    token = brand.ok("accounts", "POST", "/v1/invitations", json=invitation)["token"]
    accepted = brand.system.http["accounts"].post(
        "/v1/invitations:accept", json={"token": token, "name": name}
    )
    assert accepted.status_code == 201, accepted.text
    welcome: dict[str, Any] = accepted.json()
    brand.system.until_known(welcome["key"]["key"])
    return welcome


@pytest.mark.timeout(300)
def test_whoever_took_items_down_does_not_approve_it_and_whoever_left_does_nothing(system: System) -> None:
    brand = system.new_brand()
    items = {"items": [item(f"cup-{number}") for number in range(ITEMS)]}
    brand.ok("catalog", "POST", "/v1/items:batch", json=items)
    until(brand.counts, equal({platform: {"live": ITEMS} for platform in PLATFORMS}))
    brand.ok("accounts", "PATCH", f"/v1/brands/{brand.id}", json={"approval_needs_other_person": True})
    brand.ok("shop_sync", "PATCH", "/v1/removal-policy", json={"percent": 0, "at_least": 0})
    ada, bob = join(brand, "ada", "owner"), join(brand, "bob", "approver")
    own = ada["key"]["key"]
    brand.ok("catalog", "DELETE", "/v1/items/cup-0", key=own)
    until(brand.counts, equal({platform: {"live": ITEMS - 1, "held": 1} for platform in PLATFORMS}))
    request = brand.ok("shop_sync", "GET", "/v1/removals", params={"state": "open"})["data"][0]
    assert request["causes"] == {f"member:{ada['member']['id']}": 1}
    path = f"/v1/removals/{request['id']}:approve"

    def refused() -> str:
        code: str = brand.call("shop_sync", "POST", path, key=own, json={"items_max": 0}).json()["code"]
        return code

    until(refused, equal("approval_needs_other_person"))  # the setting is on its way to shop_sync until then
    headers = {"Idempotency-Key": "approve-1"}
    first = brand.call("shop_sync", "POST", path, key=bob["key"]["key"], headers=headers)
    assert first.status_code == 200, first.text
    assert first.json()["decided_by"] == f"member:{bob['member']['id']}"
    again = brand.call("shop_sync", "POST", path, key=bob["key"]["key"], headers=headers)
    assert (again.content, again.headers["idempotent-replayed"]) == (first.content, "true")
    assert (
        brand.ok("accounts", "DELETE", f"/v1/members/{ada['member']['id']}")["data"][0]["keys_revoked"] == 1
    )
    for service in SERVICES:
        until(
            lambda service=service: brand.call(service, "GET", PATHS[service], key=own).json().get("code"),  # type: ignore[misc]
            equal("key_revoked"),
        )


def test_a_rotated_key_and_what_is_left_of_a_quota_in_every_service(system: System, brand_b: Brand) -> None:
    old = brand_b.new_key(mode="live", role="viewer")
    new = brand_b.ok("accounts", "POST", f"/v1/api-keys/{old['id']}:rotate", json={"overlap_s": 0})
    system.until_known(new["key"])
    for service in SERVICES:
        answer = brand_b.call(service, "GET", PATHS[service], key=new["key"])
        assert answer.status_code == 200
        assert answer.headers["ratelimit-policy"] == '"key";q=12000;w=60'
        until(
            lambda service=service: brand_b.call(service, "GET", PATHS[service], key=old["key"]).status_code,  # type: ignore[misc]
            equal(401),
        )
        gone = brand_b.call(service, "GET", PATHS[service], key=old["key"])
        problem_of(gone, 401, "key_revoked")
