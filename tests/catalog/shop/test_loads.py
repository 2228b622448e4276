"""Subscriptions, first load, reconcile."""

from datetime import UTC, datetime, timedelta

from tests.catalog.shop.corner import product_body
from tests.catalog.shop.house import SECRET, House, until
from tests.catalog.support import admin_execute
from vitrin.platforms.base import FailureKind, PlatformFailure
from vitrin.platforms.shop import Subscription


async def test_connected_subscribed_and_loaded(house: House) -> None:
    """A subscription of an address that we had before is replaced; another system's is left alone."""
    house.connect_secrets()
    house.shop.put(*(f"p{n:02}" for n in range(23)))
    old = Subscription(subscription_id="old", topic="products", address=f"https://old.example{house.path}")
    foreign = Subscription(subscription_id="erp", topic="products", address="https://erp.example/hook")
    house.shop.subscribed = {"old": old, "erp": foreign}
    async with house.running():
        await house.connect()
        await until(house.loads, lambda seen: seen == [("first", "done")])
        assert len(await house.effects()) == 23
        assert await house.shop_state() == ("ready", "ready")
        ours = sorted(
            (one.topic, one.address) for one in house.shop.subscribed.values() if one is not foreign
        )
        address = f"http://127.0.0.1:1{house.path}"
        assert ours == [("orders", address), ("products", address)]
        assert "erp" in house.shop.subscribed
        assert f"subscribe products {SECRET}" in house.shop.asked
        counts = house.rows(
            "select objects, products, created, pages from shop_loads where connection_id = %s",
            house.connection,
        )
        assert counts == [(23, 23, 23, 3)]


async def test_a_load_goes_on_behind_the_last_page_after_a_stop(house: House) -> None:
    house.connect_secrets()
    house.shop.put(*(f"p{n:02}" for n in range(35)))

    async def at_page(number: int) -> None:
        if number == 2:
            raise RuntimeError("the process is gone")

    house.shop.at_page = at_page
    async with house.running():
        await house.connect()
        await until(house.effects, lambda seen: len(seen) == 20)
    house.shop.at_page = None
    house.shop.asked.clear()
    async with house.running():
        await until(house.loads, lambda seen: seen == [("first", "done")])
    assert [one for one in house.shop.asked if one.startswith("load_page")] == [
        "load_page 20",
        "load_page 30",
    ]
    assert {times for _, times in (await house.effects()).values()} == {1}


async def test_only_what_the_shop_says_is_gone_is_deleted(house: House) -> None:
    """An answer that leaves out what is there empties nothing."""
    house.connect_secrets()
    house.shop.put("gone", "hidden", "shown")
    async with house.running():
        await house.connect()
        await until(house.loads, lambda seen: seen == [("first", "done")])
        await settled(house)
        del house.shop.products["gone"]
        house.shop.left_out = {"hidden"}
        admin_execute(
            house.database,
            "update shops set full_at = now() where connection_id = %s",
            house.connection,
        )
        await wake(house)
        await until(house.loads, lambda seen: seen == [("first", "done"), ("reconcile", "done")])
        assert set(await house.effects()) == {"hidden", "shown"}
        assert {"product gone", "product hidden"} <= set(house.shop.asked)
        assert "product shown" not in house.shop.asked


async def test_a_delta_finds_what_a_missed_webhook_hid_and_repairs_subscriptions(house: House) -> None:
    house.connect_secrets()
    house.shop.put("mug")
    async with house.running():
        await house.connect()
        await until(house.loads, lambda seen: seen == [("first", "done")])
        await settled(house)
        house.shop.put("mug", title="Changed unseen")
        house.shop.subscribed.clear()
        past = datetime.now(UTC) - timedelta(days=1)
        admin_execute(
            house.database,
            "update shops set delta_at = %s, webhooks_at = %s where connection_id = %s",
            past,
            past,
            house.connection,
        )
        await wake(house)
        await until(house.effects, lambda seen: seen == {"mug": ("Changed unseen", 2)})
        assert {one.topic for one in house.shop.subscribed.values()} == {"products", "orders"}


async def test_a_live_shop_without_a_public_address_lives_from_reconciles(house: House) -> None:
    house.connect_secrets()
    house.shop.put("mug")
    async with house.running():
        await house.connect(mode="live")
        await until(house.loads, lambda seen: seen == [("first", "done")])
        assert await house.shop_state() == ("ready", "needs_public_url")
        assert house.shop.subscribed == {}


async def test_a_deleted_connection_closes_its_shop(house: House) -> None:
    house.connect_secrets()
    async with house.running():
        await house.connect()
        await until(house.loads, lambda seen: seen == [("first", "done")])
        await house.connect(deleted=True)
        await until(house.shop_state, lambda seen: seen[0] == "closed")


async def settled(house: House) -> None:
    """Nobody tends it at the moment."""

    async def look() -> list[tuple[object, ...]]:
        return house.rows(
            "select 1 from shop_queues q join shops s using (connection_id) where q.connection_id = %s"
            " and q.work = 'tending' and q.claim_id is null and s.delta_at is not null",
            house.connection,
        )

    await until(look, bool)


async def wake(house: House) -> None:
    """What the clock would do."""
    admin_execute(
        house.database,
        "update shop_queues set due_at = now() where connection_id = %s and work = 'tending'",
        house.connection,
    )
    assert house.parts is not None
    house.parts.tending.wake()


async def test_a_token_that_expires_in_the_middle_of_a_load(house: House) -> None:
    """The load rests with its reason; what comes meanwhile is applied, or waits without being given up; connected
    again, the load goes on behind the last page."""
    house.connect_secrets()
    house.shop.put(*(f"p{n:02}" for n in range(35)))

    async def at_page(number: int) -> None:
        if number == 2:
            house.shop.installed = False
            raise PlatformFailure(FailureKind.AUTH, code="token_invalid", message="It has expired.")

    house.shop.at_page = at_page
    async with house.running(), house.client() as client:
        await house.connect()
        await until(house.shop_state, lambda seen: seen[0] == "needs_attention")
        assert house.accounts.reported[0] == "token_expired: token_invalid"
        await house.connect(state="token_expired")

        async def paused() -> list[tuple[object, ...]]:
            return house.rows(
                "select state, pages, problem ->> 'code' from shop_loads where connection_id = %s",
                house.connection,
            )

        await until(paused, lambda seen: seen == [("reading", 2, "token_invalid")])
        house.shop.put("p06", title="Glass")
        await house.post(client, product_body("p05", title="Bowl"), delivery_id="changed")
        await house.post(client, product_body("z"), delivery_id="new")
        await house.post(client, b'{"id": "p06"}', delivery_id="asks", topic="touched")
        await until(
            house.states, lambda seen: seen == {"changed": "applied", "new": "applied", "asks": "failed"}
        )
        assert house.rows("select tries from shop_deliveries where delivery_id = 'asks'") == [(0,)]
        assert len(await house.effects()) == 21

        house.shop.asked.clear()
        house.shop.at_page, house.shop.installed = None, True
        house.shop.put("z")
        await house.connect()
        await until(house.loads, lambda seen: seen == [("first", "done")])
        await until(house.states, lambda seen: seen["asks"] == "applied")
    assert [one for one in house.shop.asked if one.startswith(("start_load", "load_page"))] == [
        "load_page 20",
        "load_page 30",
    ]
    effects = await house.effects()
    assert len(effects) == 36
    assert (effects["p05"], effects["p06"]) == (("Bowl", 2), ("Glass", 2))
    assert {times for name, (_, times) in effects.items() if name not in ("p05", "p06", "z")} == {1}
    found = house.rows("select products, problem from shop_loads where connection_id = %s", house.connection)
    assert found == [(36, None)]
