"""A backlog of single changes: even shares, marks under fences, two lanes; on the topic each key is in order."""

from collections import Counter
from collections.abc import Mapping, Sequence
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import text

from tests.support.brokers import Broker, kafka_settings
from tests.support.house import PARTITIONS, until
from tests.support.spine import SERVICE, Spine, changed, database_settings, install
from tests.support.topic_log import judge, read_versions
from vitrin.events import topics
from vitrin.events.envelope import RECORD_BYTES_MAX
from vitrin.kit.clock import system_clock
from vitrin.kit.db.urls import libpq_url, role_url, server_url
from vitrin.kit.errors import EventTooLarge
from vitrin.kit.ids import BrandId
from vitrin.kit.outbox import decisions, store, writer
from vitrin.kit.settings import DatabaseSettings

THINGS = 7
INSERT = """
insert into outbox (created_at, shard, brand_id, topic, events, payload)
values (%(created_at)s, %(shard)s, %(brand_id)s, %(topic)s, %(events)s, %(payload)s)
"""


@pytest.fixture
def database(postgres_url: str, broker: Broker) -> DatabaseSettings:
    settings = database_settings(postgres_url, hints=broker.membership == "lock")
    install(settings)
    return settings


def brand_of_shard(shard: int) -> UUID:
    return next(brand for brand in iter(uuid4, None) if writer.shard_of(brand) == shard)


def pile_up(settings: DatabaseSettings, brands: Sequence[UUID], rows: int) -> dict[str, int]:
    """Rows of one event each, as single changes leave them; the newest version of each key."""
    found = []
    newest: dict[str, int] = {}
    now = system_clock()
    for number in range(rows):
        brand, name = brands[number % len(brands)], f"thing-{number // len(brands) % THINGS}"
        version = newest[f"{brand}/{name}"] = newest.get(f"{brand}/{name}", 0) + 1
        found.append(writer._row([changed(brand, name, version, now)], now))
    insert(settings, found)
    return newest


def insert(settings: DatabaseSettings, rows: Sequence[Mapping[str, object]]) -> None:
    address = server_url(settings).set(database=role_url(settings, SERVICE, "owner").database)
    with psycopg.connect(libpq_url(address)) as admin, admin.cursor() as cursor:
        cursor.executemany(INSERT, rows)


async def test_a_backlog_arrives_once_and_in_order(database: DatabaseSettings, broker: Broker) -> None:
    brands = [uuid4() for _ in range(40)]
    spine = Spine(database, kafka_settings(broker), member=False)
    expected = pile_up(database, brands, 4_000)

    async def left() -> int:
        async with spine.worker.read() as session:
            return int(await session.scalar(text("select count(*) from outbox where sent_at is null")))

    async with spine.running():
        await until(left, lambda rows: rows == 0)
        async with spine.worker.read() as session:
            ids = await session.all(text("select distinct sent_topic_id from outbox"))
            ends = await session.all(text("select partition, next_offset from outbox_ends"))
        (info,) = (await spine.probe.topics([topics.ITEM])).values()
    assert [row.sent_topic_id for row in ids] == [info.topic_id]
    assert sum(row.next_offset for row in ends) == 4_000
    verdict = judge(read_versions(spine.kafka, partitions=PARTITIONS), expected)
    assert (verdict.records, verdict.repeats, verdict.missing) == (4_000, 0, 0)
    assert (verdict.inversions, verdict.stale_ends) == (0, 0)


async def test_a_row_that_is_too_large_stops_its_shard_only(
    database: DatabaseSettings, broker: Broker
) -> None:
    """Such events are refused where they are published; the row is from before that."""
    stopped, other = brand_of_shard(2), brand_of_shard(5)
    spine = Spine(database, kafka_settings(broker), member=False)
    pile_up(database, [stopped], 3)
    now = system_clock()
    large = changed(stopped, "thing-0", 100, now)._replace(payload=bytes(RECORD_BYTES_MAX))
    insert(database, [writer._row([large], now)])
    pile_up(database, [stopped, other], 10)

    async def waiting() -> list[int]:
        async with spine.worker.read() as session:
            rows = await session.all(text("select shard from outbox where sent_at is null order by id"))
        return [row.shard for row in rows]

    async with spine.running():
        await until(waiting, lambda shards: shards == [2] * 6)
        pile_up(database, [other], 1)
        await until(waiting, lambda shards: shards == [2] * 6)
        async with spine.worker.write() as tx:  # what the runbook says
            await tx.execute(
                text(
                    "update outbox set sent_at = now() where sent_at is null and octet_length(payload) > 900000"
                )
            )
        await until(waiting, lambda shards: shards == [])


async def test_an_event_that_no_record_can_carry_is_refused(
    database: DatabaseSettings, broker: Broker
) -> None:
    spine = Spine(database, kafka_settings(broker))
    brand = BrandId(brand_of_shard(2))
    large = changed(brand, "thing", 1, system_clock())._replace(payload=bytes(RECORD_BYTES_MAX))

    async def both() -> None:
        async with spine.app.write(brand) as tx:
            tx.publish(changed(brand, "other", 1, system_clock()))
            tx.publish(large)

    with pytest.raises(EventTooLarge, match="999,000"):
        await both()
    async with spine.worker.read() as session:
        assert await session.scalar(text("select count(*) from outbox")) == 0
    await spine.app.close()
    await spine.worker.close()
    await spine.probe.close()


async def test_a_shard_with_a_backlog_leaves_the_others_their_share(
    database: DatabaseSettings, broker: Broker
) -> None:
    spine = Spine(database, kafka_settings(broker))
    many, few = brand_of_shard(2), brand_of_shard(5)
    pile_up(database, [many], store.CLAIM_ROWS_MAX + 10)
    pile_up(database, [few], 3)
    async with spine.worker.read() as session:
        rows = await store.unsent(session, shards=list(range(writer.SHARDS)))
        alone = await store.unsent(session, shards=[2])
        shared = await store.unsent(session, shards=[2], claims=store.CLAIM_EVENTS_MAX // 10)
        without = await store.unsent(session, shards=[2, 5], without=[topics.ITEM])
    assert Counter(row.shard for row in rows) == {2: store.CLAIM_ROWS_MAX // 2, 5: 3}
    assert [row.id for row in rows] == sorted(row.id for row in rows)
    assert len(alone) == store.CLAIM_ROWS_MAX
    assert shared == alone[:10]
    assert [row.id for row in rows if row.shard == 2] == [
        row.id for row in alone[: store.CLAIM_ROWS_MAX // 2]
    ]
    assert without == []
    await spine.app.close()
    await spine.worker.close()
    await spine.probe.close()


async def test_an_import_in_one_shard_leaves_another_its_share_of_events_and_bytes(
    database: DatabaseSettings, broker: Broker
) -> None:
    spine = Spine(database, kafka_settings(broker))
    bulk, single = brand_of_shard(2), brand_of_shard(5)
    now = system_clock()
    batch = writer._row([changed(bulk, f"thing-{n}", 1, now) for n in range(500)], now)
    large = writer._row([changed(bulk, "large", 1, now)._replace(payload=bytes(900_000))], now)
    insert(database, [batch] * 30 + [large] * 30)
    pile_up(database, [single], 3)
    async with spine.worker.read() as session:
        both = await store.unsent(session, shards=[2, 5])
        lane = await store.unsent(session, shards=[2, 5], claims=2)
        alone = await store.unsent(session, shards=[2])
        least = await store.unsent(session, shards=[2, 5], claims=store.CLAIM_EVENTS_MAX)
    assert Counter(row.shard for row in both) == {2: 5, 5: 3}
    assert Counter(row.shard for row in lane) == {2: 2, 5: 3}
    assert sum(row.events for row in alone) == store.CLAIM_EVENTS_MAX
    assert Counter(row.shard for row in least) == {2: 1, 5: 1}
    async with spine.worker.write() as tx:
        await tx.execute(text("update outbox set sent_at = now() where events = 500"))
        large_rows = await store.unsent(tx, shards=[2, 5])
    assert Counter(row.shard for row in large_rows) == {2: 4, 5: 3}
    await spine.app.close()
    await spine.worker.close()
    await spine.probe.close()


async def test_a_shard_that_somebody_else_has_is_not_marked(
    database: DatabaseSettings, broker: Broker
) -> None:
    spine = Spine(database, kafka_settings(broker))
    pile_up(database, [brand_of_shard(2), brand_of_shard(5)], 8)
    topic_id = uuid4()
    async with spine.worker.write() as tx:
        fences = dict(await store.lease(tx, owner="me#1"))
        rows = await store.unsent(tx, shards=[2, 5])
        await tx.execute(text("update outbox_leases set owner = 'you#1', fence = fence + 1 where shard = 5"))
    groups = decisions.marks(rows)
    now = system_clock()
    for owner, expected in (("me#1", {2: 4}), ("me#1", {}), ("you#1", {})):
        async with spine.worker.write() as tx:
            marked = await store.mark(
                tx, groups, topic_ids={topics.ITEM: topic_id}, owner=owner, fences=fences, sent_at=now
            )
        assert marked == expected
    async with spine.worker.read() as session:
        unsent = await store.unsent(session, shards=[2, 5])
        sent = await session.all(
            text("select shard, sent_at, sent_topic_id from outbox where sent_at is not null")
        )
    assert [row.id for row in unsent] == [row.id for row in rows if row.shard == 5]
    assert {tuple(row) for row in sent} == {(2, now, topic_id)}
    await spine.app.close()
    await spine.worker.close()
    await spine.probe.close()
