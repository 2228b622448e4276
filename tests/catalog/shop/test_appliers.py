"""What becomes of deliveries: in order, once, with words."""

import json
from datetime import UTC, datetime, timedelta

from tests.catalog.shop.corner import product_body
from tests.catalog.shop.house import House, until
from tests.catalog.shop.test_door import ready
from tests.catalog.support import admin_execute, new_brand
from vitrin.kit.ids import ConnectionId, new_uuid

WAITING = 6_000
MOMENT = datetime(2026, 3, 1, 12, tzinfo=UTC)


async def ended(house: House, count: int) -> dict[str, str]:
    return await until(
        house.states, lambda seen: len(seen) == count and not {"pending", "failed"} & set(seen.values())
    )


async def test_every_kind_has_its_end(house: House) -> None:
    house.connect_secrets()
    house.shop.put("touched")
    async with house.running(), house.client() as client:
        await ready(house)
        await until(house.loads, lambda seen: seen == [("first", "done")])
        for topic, body in (
            ("touched", b'{"id": "touched"}'),
            ("touched-gone", b'{"id": "gone"}'),
            ("orders", b'{"id": "7"}'),
            ("other", b"{}"),
            ("products", b"not json"),
        ):
            name = topic.removesuffix("-gone")
            assert (await house.post(client, body, delivery_id=topic, topic=name)).status_code == 200
        assert await ended(house, 5) == {
            "touched": "applied",
            "touched-gone": "applied",
            "orders": "waiting",
            "other": "nothing",
            "products": "dead",
        }
        said = house.rows(
            "select problem ->> 'code' from shop_deliveries where delivery_id = 'products' and brand_id = %s",
            house.brand,
        )
        assert said == [("unreadable",)]


async def test_before_the_shop_is_known_deliveries_wait_for_it(house: House) -> None:
    house.connect_secrets()
    async with house.running(), house.client() as client:
        await until(
            lambda: house.post(client, product_body("mug"), delivery_id="d1"), lambda a: a.status_code == 200
        )
        await until(house.states, lambda seen: seen == {"d1": "pending"})
        await ready(house)
        assert await ended(house, 1) == {"d1": "applied"}


def level(name: str, available: int, *, age_s: int = 0) -> bytes:
    moment = MOMENT - timedelta(seconds=age_s)
    return json.dumps({"id": name, "available": available, "updated_at": moment.isoformat()}).encode()


async def test_stock_goes_in_groups_each_with_its_own_end(house: House) -> None:
    """Of one subject one after the other; what cannot be read, or is old news, is told as if it had come alone."""
    house.connect_secrets()
    async with house.running(), house.client() as client:
        await ready(house)
        await until(house.loads, lambda seen: seen == [("first", "done")])
    async with house.running(work=False), house.client() as client:
        await house.informed()
        for name, body in (
            *((f"s{number}", level(f"i{number}", 10, age_s=60)) for number in range(5)),
            *(("newer", level("i0", 20)), ("older", level("i1", 50, age_s=90)), ("broken", b'{"id": "i9"}')),
        ):
            assert (await house.post(client, body, delivery_id=name, topic="stock")).status_code == 200
        await until(house.states, lambda seen: len(seen) == 8)
    async with house.running(door=False):
        ends = await ended(house, 8)
    assert ends == {
        **dict.fromkeys(("s0", "s1", "s2", "s3", "s4", "newer"), "applied"),
        "older": "stale",
        "broken": "dead",
    }
    effects = await house.effects()
    assert effects["i0"][0] == "5"
    assert {name: words for name, (words, _) in effects.items()} == {
        "i0": "5",
        **dict.fromkeys(("i1", "i2", "i3", "i4"), "10"),
    }
    assert all(times >= 1_000 for _, times in effects.values())


async def test_stock_that_spoils_its_group_goes_alone(house: House) -> None:
    """Available 0: the corner's arithmetic fails, which takes the transaction of all of them."""
    house.connect_secrets()
    async with house.running(), house.client() as client:
        await ready(house)
        await until(house.loads, lambda seen: seen == [("first", "done")])
    async with house.running(work=False), house.client() as client:
        await house.informed()
        for name, available in (("s0", 10), ("s1", 0), ("s2", 10)):
            body = level(f"i{name}", available)
            assert (await house.post(client, body, delivery_id=name, topic="stock")).status_code == 200
        await until(house.states, lambda seen: len(seen) == 3)
    async with house.running(door=False):
        await until(house.states, lambda seen: seen == {"s0": "applied", "s1": "failed", "s2": "applied"})
    assert await house.effects() == {"is0": ("10", 1), "is2": ("10", 1)}


async def test_an_uninstall_is_asked_about_before_it_is_believed(house: House) -> None:
    house.connect_secrets()
    async with house.running(), house.client() as client:
        await ready(house)
        await house.post(client, b"{}", delivery_id="replayed", topic="uninstalled")
        assert await ended(house, 1) == {"replayed": "nothing"}
        assert house.accounts.reported == []
        house.shop.installed = False
        await house.post(client, b"{}", delivery_id="real", topic="uninstalled")
        assert await ended(house, 2) == {"replayed": "nothing", "real": "applied"}
        assert house.accounts.reported == ["refused: uninstalled"]
        assert (await house.shop_state())[0] == "uninstalled"


async def test_an_uninstall_in_the_middle_of_a_load_stops_it_and_deletes_nothing(house: House) -> None:
    house.connect_secrets()
    house.shop.put(*(f"p{n:02}" for n in range(35)))

    async def at_page(number: int) -> None:
        if number == 2:
            house.shop.installed = False
            async with house.client() as client:
                await house.post(client, b"{}", delivery_id="gone", topic="uninstalled")
            await until(house.shop_state, lambda seen: seen[0] == "uninstalled")

    house.shop.at_page = at_page
    async with house.running():
        await house.connect()
        await until(house.loads, lambda seen: seen == [("first", "stopped")])
        assert len(await house.effects()) == 20, "the pages before; nothing of the page that was read after"


async def test_a_shop_of_another_currency_is_refused_with_words(house: House) -> None:
    house.connect_secrets()
    house.shop.currency = "USD"
    async with house.running(), house.client() as client:
        await house.connect()
        await until(house.shop_state, lambda seen: seen[0] == "refused")
        await house.post(client, product_body("mug"), delivery_id="d1")
        assert await ended(house, 1) == {"d1": "nothing"}
        said = house.rows(
            "select problem ->> 'message' from shops where connection_id = %s", house.connection
        )
        assert said == [("The shop sells in USD, the brand's market DE in EUR.",)]
        assert await house.effects() == {}


async def test_a_brand_with_a_long_backlog_does_not_hold_up_another(house: House) -> None:
    """With room for one shop at a time: what waits is worked on in slices, and the other brand has the next one."""
    house.settings_more = {"shops_at_once": 1}
    house.connect_secrets()
    async with house.running(), house.client() as client:
        await ready(house)
        await until(house.loads, lambda seen: seen == [("first", "done")])
        crowded = house.connection
        house.brand, house.connection = new_brand(), ConnectionId(new_uuid())
        house.connect_secrets()
        await ready(house)
        await until(house.loads, lambda seen: seen == [("first", "done")])
        admin_execute(
            house.database,
            "insert into shop_deliveries (brand_id, connection_id, delivery_id, platform, topic, kind, subject,"
            " received_at, state, due_at, body_bytes) select s.brand_id, s.connection_id, 'waits-' || n, 'corner',"
            " 'products', 'product', 'product:' || n, now(), 'pending', now(), 1"
            " from shops s, generate_series(1, %s) n where s.connection_id = %s",
            WAITING,
            crowded,
        )
        admin_execute(
            house.database,
            "insert into shop_queues (brand_id, connection_id, work, due_at)"
            " select brand_id, connection_id, 'deliveries', now() from shops where connection_id = %s",
            crowded,
        )

        async def begun() -> int:
            found = house.rows(
                "select count(*) from shop_deliveries where connection_id = %s and state = 'dead'", crowded
            )
            return int(found[0][0])

        await until(begun, lambda seen: seen > 0)
        assert (await house.post(client, product_body("mug"), delivery_id="d1")).status_code == 200
        assert await ended(house, 1) == {"d1": "applied"}
        assert await begun() < WAITING // 2
    admin_execute(house.database, "delete from shop_deliveries where connection_id = %s", crowded)
