"""`vitrin connect` in the whole system: consent without a browser, first sync by itself, and tokens that end in it."""

from typing import Any

import pytest

from tests.e2e.system import Brand, System, item, parsed, until

ITEMS = 40


@pytest.fixture(scope="module")
def brand(system: System) -> Brand:
    brand = system.new_brand(connected=False)
    items = [item(f"mug-{number}") for number in range(ITEMS)]
    brand.ok("catalog", "POST", "/v1/items:batch", json={"items": items})
    return brand


def connected(brand: Brand, *arguments: str) -> dict[str, Any]:
    ran = brand.system.vitrin("connect", *arguments, "--json", VITRIN_API_KEY=brand.key)
    assert ran.returncode == 0, ran.stderr
    found: dict[str, Any] = parsed(ran)
    return found


def prices(brand: Brand, platform: str) -> list[str]:
    return [str(one["fields"]["price"]) for one in brand.shown(platform)]


def tell_the_platform(brand: Brand, platform: str, state: str) -> None:
    """What the platform thinks of the newest token of the brand's account from now on."""
    sandbox = brand.system.http["sandbox"]
    number = int(brand.accounts[platform]["external_ids"]["catalog_id"]) % 1_000_000
    tokens = [
        one
        for one in sandbox.get("/_sandbox/oauth").json()["tokens"]
        if (one["platform"], one["account"]) == (platform, f"Sandbox shop {number}")
    ]
    body = {"platform": platform, "access_token": tokens[-1]["access_token"], "state": state}
    assert sandbox.post("/_sandbox/tokens", json=body).is_success


def raise_prices(brand: Brand, price: str) -> None:
    offers = [{"id": f"mug-{number}", "price": f"{price} EUR"} for number in range(ITEMS)]
    brand.ok("catalog", "POST", "/v1/offers:batch", json={"items": offers})


def everything_costs(brand: Brand, platform: str, price: str) -> None:
    until(
        lambda: prices(brand, platform),
        lambda seen: len(seen) == ITEMS and all(one.startswith(price) for one in seen),
    )


def test_from_consent_to_live_without_a_browser_and_over_the_end_of_tokens(brand: Brand) -> None:
    meta = connected(brand, "meta", "--approve", "--new-account")
    assert (meta["state"], meta["token"]["renewal"]) == ("active", "automatic")
    offered = connected(brand, "pinterest", "--approve", "--new-account", "--assets")
    assert (offered["state"], offered["required"]) == ("choose_assets", ["ad_account_id", "catalog_id"])
    ran = brand.system.vitrin(
        "connection", "choose", offered["connection_id"], "--json", VITRIN_API_KEY=brand.key
    )
    pinterest = parsed(ran)
    assert pinterest["state"] == "active"
    brand.accounts.update({one["platform"]: one for one in (meta, pinterest)})
    for platform in ("meta", "pinterest"):
        everything_costs(brand, platform, "10.00")

    tell_the_platform(brand, "pinterest", "expired")
    raise_prices(brand, "11.00")
    everything_costs(brand, "meta", "11.00")
    everything_costs(brand, "pinterest", "11.00")

    tell_the_platform(brand, "meta", "removed")
    raise_prices(brand, "12.00")
    everything_costs(brand, "pinterest", "12.00")
    stopped = until(
        lambda: brand.ok("accounts", "GET", f"/v1/connections/{meta['id']}"),
        lambda seen: f"--connection {meta['id']}" in seen["last_error"],
    )
    assert (stopped["state"], stopped["token"]["renewal"]) == ("token_expired", "by_consent")
    account = brand.accounts["meta"]["external_ids"]["catalog_id"]
    again = connected(brand, "meta", "--approve", "--account", account, "--connection", meta["id"])
    assert (again["id"], again["state"]) == (meta["id"], "active")
    everything_costs(brand, "meta", "12.00")


def test_what_cannot_work_says_what_to_do(system: System, brand: Brand) -> None:
    for arguments, code in (
        (("meta", "--mode", "live"), "oauth_not_configured"),
        (
            ("meta", "--approve", "--connection", "0190aaaa-0000-7000-8000-000000000000"),
            "connection_not_found",
        ),
        (("meta", "--wait-s", "1", "--no-browser"), "consent_awaited"),
    ):
        ran = system.vitrin("connect", *arguments, "--json", VITRIN_API_KEY=brand.key)
        assert ran.returncode not in (0, 6), arguments
        assert f'"{code}"' in ran.stderr, ran.stderr
        assert ran.stdout == ""
