"""The work queue when much is wrong at once: sick endpoints without number, events that are gone, no database."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import psycopg
import pytest

from tests.notify.conftest import Shop, until
from tests.notify.receiver import Answer, receiving
from vitrin.kit.clock import system_clock
from vitrin.kit.db.urls import database_name
from vitrin.notify.repository import work

SICK = work.CANDIDATES + 1


def admin(shop: Shop, statement: str, **params: object) -> None:
    """As the superuser, in the database of notify."""
    url = shop.settings.database.url.get_secret_value().replace("/postgres?", f"/{database_name('notify')}?")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement, params)


@contextmanager
def no_database(shop: Shop) -> Iterator[None]:
    """Connections end, and there are no new ones."""
    url, name = shop.settings.database.url.get_secret_value(), database_name("notify")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"alter database {name} allow_connections false")
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name]
        )
        try:
            yield
        finally:
            connection.execute(f"alter database {name} allow_connections true")


async def test_sick_endpoints_without_number_hide_none_that_is_well(shop: Shop, other: Shop) -> None:
    sick = await shop.endpoint("http://127.0.0.1:9/")
    well = await other.endpoint("http://127.0.0.1:9/")
    admin(
        shop,
        "with copies as (insert into webhook_endpoints (brand_id, endpoint_id, url, description, event_types, ordered,"
        " enabled, created_at, created_by, updated_at) select brand_id, gen_random_uuid(), url, '', event_types,"
        " ordered, enabled, created_at, created_by, updated_at from webhook_endpoints,"
        " generate_series(1, %(sick)s) where endpoint_id = %(like)s returning endpoint_id, brand_id)"
        " insert into webhook_queues (endpoint_id, brand_id, due_at, slow, failures)"
        " select endpoint_id, brand_id, now() - interval '1 day', true, 3 from copies",
        sick=SICK,
        like=sick["id"],
    )
    try:
        admin(shop, "update webhook_queues set due_at = now() where endpoint_id = %(id)s", id=well["id"])
        now = system_clock() + timedelta(seconds=1)
        async with shop.database.write() as tx:
            found = await work.claim(
                tx, worker="notify-0", now=now, until=now + timedelta(seconds=30), limit=8, slow_max=4
            )
        assert str(well["id"]) in {str(one.endpoint_id) for one in found}
        assert len(found) == 5
    finally:
        admin(shop, "delete from webhook_endpoints where brand_id = %(brand)s", brand=shop.brand)


async def test_a_delivery_whose_event_is_gone_is_given_up_and_the_next_goes(shop: Shop) -> None:
    async with receiving() as receiver:
        await shop.endpoint(receiver.url, ordered=True)
        await shop.hear(shop.status("mug-1", "live"))
        admin(shop, "delete from webhook_events where brand_id = %(brand)s", brand=shop.brand)
        await shop.hear(shop.status("mug-1", "rejected"))
        async with shop.delivering():
            (got,) = await receiver.until(1)

            async def states() -> list[tuple[str, str]]:
                rows = await shop.rows(
                    "select state, last_outcome from webhook_deliveries where brand_id = :brand order by seq"
                )
                return [tuple(row) for row in rows]

            await until(states, [("failed", "too_old"), ("delivered", "delivered")])
    assert got.payload["data"]["state"] == "rejected"
    (queue,) = await shop.rows("select failures from webhook_queues where brand_id = :brand")
    assert queue.failures == 0, "the endpoint had no part in it"


@pytest.mark.parametrize("ordered", [False, True])
async def test_what_was_acknowledged_while_the_database_was_away_is_not_sent_again(
    shop: Shop, ordered: bool
) -> None:
    gate = asyncio.Event()
    async with receiving(lambda got: Answer(hold=gate)) as receiver, shop.delivering(timeout_s=20):
        await shop.endpoint(receiver.url, ordered=ordered)
        await shop.hear(*[shop.status(f"mug-{number}") for number in range(4)])
        await receiver.until(4)
        with no_database(shop):
            gate.set()
            await asyncio.sleep(1.5)
        await until(shop.deliveries, [("delivered", 1)] * 4)
    assert len(receiver.got) == 4
