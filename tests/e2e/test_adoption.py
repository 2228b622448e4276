"""A Meta catalog that held 300 items before, then connected, then a CSV of the shop: nothing is doubled."""

import json

from tests.e2e.system import Brand, Document, System, equal, parsed, until

ROWS = 200
BY_ID, BY_GTIN, BY_LINK, STRANGERS = 40, 40, 40, 178
ARRIVAL_S = 90.0


def ean(number: int) -> str:
    digits = f"400638{number:06}"
    total = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(digits))
    return digits + str(-total % 10)


def shop_csv() -> str:
    rows = ["id,title,price,link,image_link,description,brand,gtin,quantity"]
    for number in range(ROWS):
        name = f"mug-{number:03}"
        gtin = ean(number) if BY_ID <= number < BY_ID + BY_GTIN or number == ROWS - 1 else ""
        rows.append(
            f"{name},New {name},10.00 EUR,https://shop.example/p/{name},https://shop.example/i/{name}.jpg,"
            f"A mug.,Holm,{gtin},5"
        )
    return "\n".join(rows) + "\n"


def held_before() -> dict[str, Document]:
    """Theirs: 120 that are ours under three kinds of key, a pair that shares one number, and strangers."""
    held: dict[str, Document] = {f"mug-{number:03}": {} for number in range(BY_ID)}
    for number in range(BY_ID, BY_ID + BY_GTIN):
        held[f"gtin-{number}"] = {"gtin": f"0{ean(number)}"}
    for number in range(BY_ID + BY_GTIN, BY_ID + BY_GTIN + BY_LINK):
        held[f"link-{number}"] = {"link": f"http://WWW.shop.example/p/mug-{number:03}/?utm_source=old"}
    held |= {f"twin-{number}": {"gtin": ean(ROWS - 1)} for number in (1, 2)}
    return held | {f"stranger-{number:03}": {"title": "Stranger"} for number in range(STRANGERS)}


def connected(system: System) -> Brand:
    brand = system.new_brand(connected=False)
    sandbox = system.http["sandbox"]
    made = sandbox.post("/_sandbox/accounts", json={"platform": "meta"}).json()
    brand.accounts["meta"] = made
    items = [{"item_id": name, "fields": fields} for name, fields in held_before().items()]
    catalog = made["external_ids"]["catalog_id"]
    file = system.directory / "held-before.json"
    file.write_text(json.dumps(items))
    assert parsed(system.vitrin("sandbox", "seed", catalog, str(file), "--json")) == {"total": 300}
    wanted = {"platform": "meta", "mode": "sandbox", "external_ids": {"catalog_id": catalog}}
    wanted |= {name: made[name] for name in ("access_token", "base_url")}
    brand.connections["meta"] = brand.ok("accounts", "POST", "/v1/connections", json=wanted)["id"]
    until(lambda: len(brand.ok("shop_sync", "GET", "/v1/channels")["data"]), equal(1))
    return brand


def titles(brand: Brand) -> dict[str, str]:
    return {one["item_id"]: one["fields"]["title"] for one in brand.shown("meta")}


def test_a_catalog_with_items_is_adopted_and_only_an_approval_removes_strangers(system: System) -> None:
    brand = connected(system)
    channel = brand.ok("shop_sync", "GET", "/v1/channels")["data"][0]["id"]
    imported = brand.ok("catalog", "POST", "/v1/imports", content=shop_csv())
    until(lambda: brand.ok("catalog", "GET", f"/v1/imports/{imported['id']}")["state"], equal("done"))
    until(brand.counts, equal({"meta": {"live": ROWS - 1, "invalid": 1}}), within_s=ARRIVAL_S, every_s=0.25)

    own = set(range(BY_ID + BY_GTIN + BY_LINK, ROWS - 1))
    expected = {name: f"New mug-{name[-3:]}" for name in held_before() if name.startswith("mug-")}
    for kind, first, count in (("gtin", BY_ID, BY_GTIN), ("link", BY_ID + BY_GTIN, BY_LINK)):
        expected |= {f"{kind}-{number}": f"New mug-{number:03}" for number in range(first, first + count)}
    expected |= {f"mug-{number:03}": f"New mug-{number:03}" for number in own}
    strangers = {f"stranger-{number:03}": "Stranger" for number in range(STRANGERS)}
    twins = {"twin-1": "Held before", "twin-2": "Held before"}
    assert titles(brand) == expected | strangers | twins

    def summary() -> Document:
        found: Document = brand.ok("shop_sync", "GET", f"/v1/channels/{channel}/adoption")
        return found

    # The listing was over before the import, so all of ours came later and found their counterparts.
    assert summary()["adopted"] == {"id": BY_ID, "gtin": BY_GTIN, "link": BY_LINK, "choice": 0}
    told = brand.ok("shop_sync", "GET", "/v1/items/mug-041/timeline")
    assert [one["summary"] for one in told["data"] if one["step"] == "adopted"] == [
        "Took over the item 'gtin-41' that Meta held already, found by its GTIN"
    ]
    (doubtful,) = (
        one["reasons"] for one in brand.ok("shop_sync", "GET", "/v1/items/mug-199/timeline")["channels"]
    )
    assert [one["code"] for one in doubtful] == ["adoption_ambiguous"]
    key = {"VITRIN_API_KEY": brand.key}
    assert system.vitrin("adoption", "match", channel, "twin-1", "mug-199", **key).returncode == 0
    until(brand.counts, equal({"meta": {"live": ROWS}}), within_s=ARRIVAL_S, every_s=0.25)
    until(lambda: summary()["state"], equal("done"))
    ran = system.vitrin("adoption", "items", channel, "--state", "stranger", "--json", **key)
    assert len(parsed(ran)["data"]) == STRANGERS + 1

    asked = parsed(system.vitrin("adoption", "remove", channel, "--all", "--json", **key))
    assert asked["waiting"]["removals"] == STRANGERS + 1
    assert len(titles(brand)) == ROWS + STRANGERS + 1
    brand.ok("shop_sync", "POST", f"/v1/removals/{asked['id']}:approve")
    expected["twin-1"] = "New mug-199"
    until(lambda: titles(brand), equal(expected), within_s=ARRIVAL_S, every_s=0.25)
    until(lambda: summary()["removed"], equal(STRANGERS + 1), within_s=ARRIVAL_S, every_s=0.25)
