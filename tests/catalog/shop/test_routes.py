"""`/v1/shops` as a key sees it: its own brand's shops, their loads and deliveries, and what a person may ask."""

from tests.catalog.shop.corner import product_body
from tests.catalog.shop.house import House, until
from tests.catalog.support import Service, add_key, new_brand, serving
from vitrin.kit.embedded.postgres import EmbeddedPostgres


async def test_a_shop_is_shown_loaded_and_replayed(house: House, embedded_postgres: EmbeddedPostgres) -> None:
    house.connect_secrets()
    house.shop.put("mug")
    async with house.running(), house.client() as door:
        await house.connect()
        await until(house.loads, lambda seen: seen == [("first", "done")])
        await house.post(door, b"not json", delivery_id="bad")
        await house.post(door, product_body("cup"), delivery_id="good")
        await until(house.states, lambda seen: seen == {"bad": "dead", "good": "applied"})
        async with serving(embedded_postgres) as service:
            await look(service, house)


async def look(service: Service, house: House) -> None:
    key = add_key(service.database_settings, house.brand)
    stranger = add_key(service.database_settings, new_brand())
    path = f"/v1/shops/{house.connection}"
    async with service.client(key) as client:
        listed = (await client.get("/v1/shops")).json()["data"]
        assert [(one["id"], one["state"], one["currency"]) for one in listed] == [
            (str(house.connection), "ready", "EUR")
        ]
        shown = (await client.get(path)).json()
        assert (shown["deliveries"]["dead"], shown["deliveries"]["applied"]) == (1, 1)
        assert [(one["kind"], one["state"], one["products"]) for one in shown["loads"]] == [
            ("first", "done", 1)
        ]
        assert shown["warnings"] == 0
        assert (await client.get(f"{path}/warnings")).json() == {"data": [], "next_cursor": None}
        found = (await client.get(f"{path}/deliveries", params={"limit": 1})).json()
        assert [one["id"] for one in found["data"]] == ["good"]
        rest = (await client.get(f"{path}/deliveries", params={"cursor": found["next_cursor"]})).json()
        assert [(one["id"], one["problem"]["code"], one["replayable"]) for one in rest["data"]] == [
            ("bad", "unreadable", True)
        ]
        assert (await client.post(f"{path}/deliveries/good:replay")).status_code == 409
        assert (await client.post(f"{path}/deliveries/none:replay")).status_code == 404
        replayed = await client.post(f"{path}/deliveries/bad:replay")
        assert (replayed.status_code, replayed.json()["state"]) == (202, "pending")
        loading = await client.post(f"{path}:load")
        assert (loading.status_code, loading.json()["kind"]) == (202, "manual")
        await until(house.loads, lambda seen: seen == [("first", "done"), ("manual", "done")])
        await until(house.states, lambda seen: seen["bad"] == "dead")
    async with service.client(stranger) as client:
        assert (await client.get("/v1/shops")).json()["data"] == []
        for answer in (
            await client.get(path),
            await client.get(f"{path}/deliveries"),
            await client.get(f"{path}/warnings"),
            await client.post(f"{path}:load"),
            await client.post(f"{path}/deliveries/bad:replay"),
        ):
            assert (answer.status_code, answer.json()["code"]) == (404, "shop_unknown")
