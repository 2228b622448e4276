"""What the door says to whom, on a socket, and what is kept of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from tests.catalog.shop.corner import headers, product_body
from tests.catalog.shop.house import SECRET, House, until
from vitrin.catalog.shop.door import BODY_BYTES_MAX
from vitrin.kit.ids import new_uuid
from vitrin.kit.settings import DatabaseSettings


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, str(answer.json().get("code", ""))


async def ready(house: House) -> None:
    """Connected, and its currency known."""
    await house.connect()
    await until(house.shop_state, lambda seen: seen[0] == "ready")


async def test_each_delivery_once_and_the_newest_wins(house: House) -> None:
    house.connect_secrets()
    now = datetime.now(UTC)
    newer = product_body("mug", title="New mug", at=now)
    older = product_body("mug", title="Old mug", at=now - timedelta(minutes=5))
    async with house.running(), house.client() as client:
        await ready(house)
        # The shop does not have what we send: its load would ask for it, hear that it is gone, and delete it.
        await until(house.loads, lambda seen: seen == [("first", "done")])
        answers = [
            await house.post(client, newer, delivery_id="d2"),
            await house.post(client, older, delivery_id="d1"),  # late
            await house.post(client, newer, delivery_id="d2"),  # twice
            await house.post(client, newer, delivery_id="d3"),  # replayed under another id: unsigned heads
        ]
        assert [code(one) for one in answers] == [(200, "")] * 4
        states = await until(
            house.states, lambda seen: len(seen) == 3 and not {"pending", "failed"} & set(seen.values())
        )
        assert states == {"d1": "stale", "d2": "applied", "d3": "applied"}
        assert await house.effects() == {"mug": ("New mug", 1)}
        bodies = house.rows(
            "select count(*) from shop_deliveries where brand_id = %s and ciphertext is not null", house.brand
        )
        assert bodies == [(0,)]


async def test_forged_unknown_and_wrong_ones_are_refused_and_nothing_is_kept(house: House) -> None:
    house.connect_secrets()
    body = product_body("mug")
    async with house.running(work=False), house.client() as client:
        good = headers(body, secret=SECRET, delivery_id="d1")
        await house.informed()
        cases = [
            (
                await house.post(client, body, delivery_id="d1", secret="wrong"),
                401,
                "webhook_signature_wrong",
            ),
            (
                await client.post(house.path, content=body + b" ", headers=good),
                401,
                "webhook_signature_wrong",
            ),
            (await client.post(house.path, content=body), 400, "webhook_head_wrong"),
            (
                await client.post(house.path, content=body, headers=good | {"x-corner-id": "x" * 201}),
                400,
                "webhook_head_wrong",
            ),
            (
                await house.post(client, body, delivery_id="d1", path=house.path_of(new_uuid())),
                404,
                "webhook_connection_unknown",
            ),
            (
                await house.post(client, body, delivery_id="d1", path="/v1/webhooks/corner/no-id"),
                404,
                "webhook_connection_unknown",
            ),
            (await house.post(client, body, delivery_id="d1", path="/v1/webhooks/meta"), 404, "not_found"),
            (await client.get(house.path), 405, "method_not_allowed"),
            (
                await client.post(house.path, content=b"x" * (BODY_BYTES_MAX + 1), headers=good),
                413,
                "webhook_too_large",
            ),
        ]
        assert [code(answer) for answer, *_ in cases] == [(status, word) for _, status, word in cases]
        ping = await client.post(house.path, content=b"webhook_id=1", headers={"x-corner-ping": "1"})
        assert ping.status_code == 200
        assert (await client.get("/v1/items")).text == "the application"
        assert await house.post(client, body, delivery_id="last") is not None
        await until(house.states, lambda seen: "last" in seen)
        assert set(await house.states()) == {"last"}


async def test_a_body_that_tells_no_length_is_refused_while_it_streams(house: House) -> None:
    house.connect_secrets()
    body = b"x" * (BODY_BYTES_MAX + 1)

    async def parts() -> AsyncIterator[bytes]:
        for begin in range(0, len(body), 65_536):
            yield body[begin : begin + 65_536]

    async with house.running(work=False), house.client() as client:
        sent = headers(b"", secret=SECRET, delivery_id="d1")
        assert code(await client.post(house.path, content=parts(), headers=sent)) == (
            413,
            "webhook_too_large",
        )
        assert (await house.post(client, product_body("mug"), delivery_id="d1")).status_code == 200


async def test_a_cold_start_without_accounts_takes_them_and_looks_later(house: House) -> None:
    """Forged ones are dropped once the secrets are known."""
    body = product_body("mug")
    cold = House(house.database, house.folder, brand=house.brand, connection=house.connection)
    async with cold.accounts_up():
        pass  # a port where nobody listens any more
    cold.connect_secrets()
    async with cold.running(work=False), cold.client() as client:
        taken = await asyncio.gather(
            *(cold.post(client, product_body(f"mug-{n}"), delivery_id=f"d{n}") for n in range(5)),
            cold.post(client, body, delivery_id="forged", secret="wrong"),
            cold.post(client, body, delivery_id="nobody", path=cold.path_of(new_uuid())),
            cold.post(
                client,
                b'{"id": "7", "shop": "corner.example"}',
                delivery_id="by-app",
                topic="orders",
                path="/v1/webhooks/corner",
                shop="corner.example",
            ),
        )
        assert {one.status_code for one in taken} == {200}
        assert await cold.states() == {}
        async with cold.accounts_up():
            await until(cold.states, lambda seen: len(seen) == 6)
            assert set(await cold.states()) == {*(f"d{n}" for n in range(5)), "by-app"}
            assert (await cold.post(client, body, delivery_id="late", secret="wrong")).status_code == 401


async def test_what_is_known_stays_while_accounts_is_away(
    shop_database: DatabaseSettings, tmp_path: Path
) -> None:
    house = House(shop_database, tmp_path / "spool")
    house.connect_secrets()
    async with AsyncExitStack() as accounts:
        await accounts.enter_async_context(house.accounts_up())
        async with house.running(work=False), house.client() as client:
            body = product_body("mug")
            await house.informed()
            assert (await house.post(client, body, delivery_id="d1")).status_code == 200
            await until(house.states, lambda seen: seen == {"d1": "pending"})
            await accounts.aclose()
            assert (await house.post(client, body, delivery_id="d2")).status_code == 200
            assert (await house.post(client, body, delivery_id="d3", secret="wrong")).status_code == 401
            stranger = house.path_of(new_uuid())
            assert (await house.post(client, body, delivery_id="d4", path=stranger)).status_code == 404


async def test_a_replaced_secret_is_asked_for_once(house: House) -> None:
    house.connect_secrets()
    async with house.running(work=False), house.client() as client:
        await house.informed()
        assert (await house.post(client, product_body("a"), delivery_id="d0")).status_code == 200
        house.connect_secrets("another-secret")
        body = product_body("mug")
        assert (await house.post(client, body, delivery_id="d1", secret="another-secret")).status_code == 200
        asked = house.accounts.asked
        for _ in range(5):
            assert (await house.post(client, body, delivery_id="d2", secret="forged")).status_code == 401
        assert house.accounts.asked == asked
        await until(house.states, lambda seen: set(seen) == {"d0", "d1"})


async def test_a_body_that_the_app_signed_for_another_shop_opens_no_door(house: House) -> None:
    """One app's secret signs for all its shops: what a brand's own shop was sent does not count at another's address,
    which only accounts and the shop itself know whole."""
    house.connect_secrets()
    async with house.running(work=False), house.client() as client:
        await house.informed()
        bare = house.path.rpartition("/")[0]
        mine = House.path_of(new_uuid()).rpartition("/")[2]
        for path in (bare, f"{bare}/", f"{bare}/{mine}", f"{house.path}x"):
            answer = await house.post(client, product_body("mug"), delivery_id="d1", path=path)
            assert answer.status_code == 404, path
        assert await house.states() == {}
        assert (await house.post(client, product_body("mug"), delivery_id="d1")).status_code == 200


async def test_behind_the_mark_head_and_body_name_the_connections_own_shop(house: House) -> None:
    house.own_secret = False
    house.connect_secrets()
    named = b'{"id": "7", "shop": "other.example"}'
    async with house.running(work=False), house.client() as client:
        await house.informed()
        for sent, shop in ((product_body("mug"), "other.example"), (named, "corner.example")):
            answer = await house.post(client, sent, delivery_id="d1", shop=shop)
            assert code(answer) == (401, "webhook_of_another_shop")
        good = await house.post(client, product_body("mug"), delivery_id="good", shop="corner.example")
        assert good.status_code == 200
        await until(house.states, lambda seen: seen == {"good": "pending"})


async def test_taken_on_trust_and_of_another_shop_is_dropped_when_it_is_looked_at(house: House) -> None:
    cold = House(
        house.database, house.folder, brand=house.brand, connection=house.connection, own_secret=False
    )
    async with cold.accounts_up():
        pass  # a port where nobody listens any more
    cold.connect_secrets()
    body = product_body("mug")
    async with cold.running(work=False), cold.client() as client:
        taken = [
            await cold.post(client, body, delivery_id="other", shop="other.example"),
            await cold.post(client, body, delivery_id="own", shop="corner.example"),
        ]
        assert [one.status_code for one in taken] == [200, 200]
        async with cold.accounts_up():
            await until(cold.states, lambda seen: "own" in seen)
            assert set(await cold.states()) == {"own"}


async def test_app_level_topics_go_to_the_shop_that_their_body_names(house: House) -> None:
    """The topic and the shop of the head are not signed: an order of one shop is no erasure at another."""
    house.connect_secrets()
    house.own_secret = False
    body, gone = b'{"id": "7", "shop": "corner.example"}', b'{"id": "7", "shop": "other.example"}'
    path = "/v1/webhooks/corner"
    async with house.running(work=False), house.client() as client:
        await house.informed()

        async def told(body: bytes, delivery_id: str, shop: str, **more: str) -> tuple[int, str]:
            answer = await house.post(
                client, body, delivery_id=delivery_id, topic="orders", path=path, shop=shop, **more
            )
            return code(answer)

        assert await told(body, "d1", "corner.example") == (200, "")
        assert await told(gone, "d2", "other.example") == (200, ""), (
            "signed by our app, of a shop that is gone"
        )
        assert await told(body, "d3", "corner.example", secret="x") == (401, "webhook_signature_wrong")
        assert await told(gone, "d4", "corner.example") == (401, "webhook_of_another_shop")
        assert await told(b'{"id": "7"}', "d5", "corner.example") == (401, "webhook_of_another_shop")
        await until(house.states, lambda seen: seen == {"d1": "pending"})
