"""The whole state of a topic from its owner's tables: for a new replica by snapshot, for the topic by republishing."""

import asyncio
from uuid import UUID

import grpc
import pytest
from sqlalchemy import text

from tests.support.house import TOPIC, House, changing, raw, until
from tests.support.owners import door_of, owner_of
from tests.support.spine import Spine, Things
from vitrin.kit.clock import system_clock
from vitrin.kit.consumer.bootstrap import RECORDS, Bootstrap
from vitrin.kit.db.session import ReadSession
from vitrin.kit.embedded.ports import free_port
from vitrin.kit.ids import BrandId
from vitrin.kit.kafka.admin import ensure_topics
from vitrin.kit.state import jobs, republisher
from vitrin.kit.state.republisher import Republisher
from vitrin.kit.state.source import PAGE_RECORDS, StatePage
from vitrin.protos.kit.v1.snapshot_pb2 import StreamSnapshotRequest
from vitrin.protos.kit.v1.snapshot_pb2_grpc import SnapshotServiceStub

MANY = 2 * PAGE_RECORDS + 100


class OnePage(Things):
    """Its reader is killed in the second page."""

    async def page(self, tx: ReadSession, brand: BrandId, *, after: str, limit: int, lock: bool) -> StatePage:
        if after:
            await asyncio.Event().wait()
        return await super().page(tx, brand, after=after, limit=limit, lock=lock)


async def fill(spine: Spine, brand: UUID, count: int) -> dict[str, int]:
    """`count` things at once; they have been published, and are on the topic."""
    async with spine.app.write(BrandId(brand)) as tx:
        await tx.execute(
            text(
                "insert into things select :brand, 'thing-' || to_char(n, 'FM0000'), 1"
                " from generate_series(1, :count) as n"
            ),
            {"brand": brand, "count": count},
        )
    return {f"thing-{n:04}": 1 for n in range(1, count + 1)}


async def close(spine: Spine) -> None:
    await spine.probe.close()
    await spine.app.close()
    await spine.worker.close()


async def job_of(spine: Spine) -> jobs.Job:
    async with spine.worker.read() as session:
        return (await jobs.newest(session))[0]


async def test_a_new_replica_starts_from_the_snapshot_and_follows_meanwhile(house: House) -> None:
    """The topic is empty, and the owner is away at first: what changes arrives all the same, but the replica does not
    call itself complete."""
    brand, port = house.brand(), free_port()
    owner = house.spine()
    truth = await fill(owner, brand, MANY)
    async with door_of(port) as door:
        replica = house.spine(owners={TOPIC: door})
        async with replica.running():
            truth["thing-0001"] = await owner.change(brand, "thing-0001")
            assert await replica.until_seen(brand, {"thing-0001": 2}) == {"thing-0001": 2}

            async def waits() -> str:
                return replica.bootstrap.waits_for

            await until(waits, lambda said: said.startswith("the owner answers UNAVAILABLE"))
            assert (replica.bootstrap.complete, replica.consumer.age_s()) == (False, float("inf"))
            assert replica.consumer.records_read == 0, "what is read of the topic brings no snapshot"
            async with owner_of({TOPIC: house.things}, owner.worker, port=port):
                assert await replica.until_seen(brand, truth) == truth

                async def age() -> float:
                    return replica.consumer.age_s()

                await until(age, lambda seen: seen < float("inf"))
            assert replica.bootstrap.complete
            truth["new"] = await owner.change(brand, "new")
            assert await replica.until_seen(brand, truth) == truth
    house.things.asked.clear()
    async with door_of(port) as door:
        again = house.spine(owners={TOPIC: door})
        async with again.running():
            truth["newer"] = await owner.change(brand, "newer")
            assert await again.until_seen(brand, truth) == truth

            async def complete() -> bool:
                return again.bootstrap.complete

            await until(complete)
    assert house.things.asked == []
    await close(owner)


async def test_changes_during_the_snapshot_end_in_their_newest_version(house: House) -> None:
    brand, port = house.brand(), free_port()
    owner = house.spine()
    await fill(owner, brand, MANY)
    async with owner_of({TOPIC: house.things}, owner.worker, port=port), door_of(port) as door:
        replica = house.spine(owners={TOPIC: door})
        async with replica.running(), changing(owner, brand, 60) as truth:

            async def complete() -> bool:
                return replica.bootstrap.complete

            await until(complete)
        expected = {f"thing-{n:04}": 1 for n in range(1, MANY + 1)} | truth
        last = house.spine()
        async with last.running():
            assert await last.until_seen(brand, expected) == expected
    await close(owner)


async def test_a_snapshot_goes_on_at_its_cursor_after_a_kill(house: House) -> None:
    brand, port = house.brand(), free_port()
    owner = house.spine()
    truth = await fill(owner, brand, MANY)
    taken: list[int] = []
    async with owner_of({TOPIC: house.things}, owner.worker, port=port), door_of(port) as door:
        first = house.spine(owners={TOPIC: door})
        stop = asyncio.Event()

        async def one_page(tx: object, messages: object) -> None:
            if taken:
                await asyncio.Event().wait()  # killed in here
            await first.handle(tx, messages)  # type: ignore[arg-type]
            taken.append(len(messages))  # type: ignore[arg-type]

        bootstrap = Bootstrap(
            group=first.group,
            owners={TOPIC: door},
            handler=one_page,
            database=first.worker,
            clock=system_clock,
        )
        running = asyncio.create_task(bootstrap.run(stop))

        async def records() -> int:
            async with first.worker.read() as session:
                return int(await session.scalar(text("select sum(records) from consumer_snapshots")) or 0)

        assert await until(records) == PAGE_RECORDS
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        second = house.spine(owners={TOPIC: door})
        async with second.running():
            assert await second.until_seen(brand, truth) == truth
        async with owner.app.read(BrandId(brand)) as session:
            assert await session.scalar(text("select max(times) from seen")) == 1
    assert sum(taken) + sum(second.batches) == MANY
    await close(owner)
    await close(first)


async def test_a_cursor_that_the_owner_does_not_know_any_more_begins_anew(house: House) -> None:
    brand, port = house.brand(), free_port()
    owner = house.spine()
    truth = await fill(owner, brand, 10)
    async with owner_of({TOPIC: house.things}, owner.worker, port=port), door_of(port) as door:
        replica = house.spine(owners={TOPIC: door})
        house.as_owner(
            "insert into consumer_snapshots (consumer_group, topic, state, reason, cursor, wanted_at, updated_at)"
            f" values ('{replica.group}', '{TOPIC}', 'wanted', 'new', 'of an older release', now(), now())"
        )
        async with replica.running():
            assert await replica.until_seen(brand, truth) == truth
    await close(owner)


async def test_a_record_that_cannot_be_taken_is_buried_and_the_rest_arrives(house: House) -> None:
    brand, port = house.brand(), free_port()
    owner = house.spine()
    truth = await fill(owner, brand, 20)
    del truth["thing-0007"]
    buried = RECORDS.labels(group="spine.seen", outcome="dead_letter")._value
    before = buried.get()
    async with owner_of({TOPIC: house.things}, owner.worker, port=port), door_of(port) as door:
        replica = house.spine(owners={TOPIC: door}, poison={"thing-0007"})
        async with replica.running():
            assert await replica.until_seen(brand, truth) == truth

            async def complete() -> bool:
                return replica.bootstrap.complete

            await until(complete)
            async with replica.worker.read() as session:
                letters = await session.all(text("select key, reason, partition from dead_letters"))
    assert [tuple(row) for row in letters] == [
        (f"{brand}/thing-0007", "snapshot: ValueError: cannot handle thing-0007", -1)
    ]
    assert buried.get() - before == 1
    await close(owner)


async def test_records_that_are_gone_are_fetched_from_the_owner(house: House) -> None:
    """As the consumer asks when it finds its position below the earliest one."""
    brand, port = house.brand(), free_port()
    owner = house.spine()
    await fill(owner, brand, 10)
    async with owner_of({TOPIC: house.things}, owner.worker, port=port), door_of(port) as door:
        replica = house.spine(owners={TOPIC: door})
        async with replica.running():

            async def complete() -> bool:
                return replica.bootstrap.complete

            await until(complete)
            async with owner.app.write(BrandId(brand)) as tx:
                await tx.execute(text("update things set version = 2"))
            async with replica.worker.write() as tx:
                await replica.bootstrap.want(tx, TOPIC, "records_gone")
            assert not replica.bootstrap.complete
            expected = {f"thing-{n:04}": 2 for n in range(1, 11)}
            assert await replica.until_seen(brand, expected) == expected
            await until(complete)
    await close(owner)


async def test_republish_restores_a_topic_that_was_deleted(house: House) -> None:
    """Under load; consumers drop what they have."""
    brand = house.brand()
    spine = house.spine()
    await fill(spine, brand, MANY)
    async with spine.running():
        async with changing(spine, brand, 30) as truth:
            await until(lambda: spine.seen(brand), lambda seen: len(seen) == 30)
            await asyncio.to_thread(house.delete)
            await asyncio.to_thread(ensure_topics, house.kafka)
            asked = await republisher.ask(spine.worker, topic=TOPIC, wake=spine.asked, clock=system_clock)
            await until(lambda: job_of(spine), lambda job: job.state == "done")
        expected = {f"thing-{n:04}": 1 for n in range(1, MANY + 1)} | truth
        assert await spine.until_seen(brand, expected) == expected
        async with spine.app.read(BrandId(brand)) as session:
            assert await session.scalar(text("select bool_and(times <= version) from seen"))
        records = await raw(house)
    last = {key.partition("/")[2]: version for key, version in records}
    assert (last, (await until(lambda: finished(house, asked.id))).records) == (expected, MANY + 30)


async def finished(house: House, job_id: UUID) -> jobs.Job | None:
    spine = house.spine()
    async with spine.worker.read() as session:
        found = await jobs.get(session, job_id)
    await close(spine)
    return found


async def test_republishing_under_load_keeps_the_order_per_key(house: House) -> None:
    brand = house.brand()
    spine = house.spine()
    await fill(spine, brand, MANY)
    async with spine.running():
        async with changing(spine, brand, 30) as truth:
            await until(lambda: spine.seen(brand), lambda seen: len(seen) == 30)
            for _ in range(2):
                job = await republisher.ask(spine.worker, topic=TOPIC, wake=spine.asked, clock=system_clock)
                same = await republisher.ask(spine.worker, topic=TOPIC, wake=spine.asked, clock=system_clock)
                assert job.id == same.id
                await until(lambda: job_of(spine), lambda seen: seen.state == "done")
        expected = {f"thing-{n:04}": 1 for n in range(1, MANY + 1)} | truth
        assert await spine.until_seen(brand, expected) == expected
        records = await raw(house)
    newest: dict[str, int] = {}
    for key, version in records:
        assert version >= newest.get(key, 0), f"{key} went back from {newest[key]} to {version}"
        newest[key] = version
    assert {key.partition("/")[2]: version for key, version in newest.items()} == expected
    assert len(records) == 2 * (MANY + 30) + sum(truth.values())


async def test_republish_goes_on_where_a_kill_left_it(house: House) -> None:
    brand = house.brand()
    spine = house.spine()
    await fill(spine, brand, MANY)
    await republisher.ask(spine.worker, topic=TOPIC, wake=spine.asked, clock=system_clock)
    killed = Republisher(
        database=spine.worker, sources={TOPIC: OnePage([brand])}, wake=asyncio.Event(), clock=system_clock
    )
    running = asyncio.create_task(killed.run(spine.stop))
    begun = await until(lambda: job_of(spine), lambda job: job.records > 0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert (begun.state, begun.records) == ("running", PAGE_RECORDS)
    relay = asyncio.create_task(spine.relay.run(spine.stop))
    again = asyncio.create_task(spine.republisher.run(spine.stop))
    done = await until(lambda: job_of(spine), lambda job: job.state == "done")
    assert (done.id, done.records, done.brands) == (begun.id, MANY, 1)

    async def unsent() -> int:
        async with spine.worker.read() as session:
            return int(await session.scalar(text("select count(*) from outbox where sent_at is null")))

    await until(unsent, lambda left: left == 0)
    spine.stop.set()
    await asyncio.gather(relay, again)
    assert len(await raw(house)) == MANY
    await close(spine)


async def test_what_retention_took_comes_from_the_state_when_no_marker_covers_it(house: House) -> None:
    """A service that ran for weeks without a clean stop: its oldest rows are dropped, and the broker loses the rest."""
    brand = house.brand()
    spine = house.spine()
    async with spine.running():
        for n in range(20):
            await spine.change(brand, f"thing-{n}")
        truth = {f"thing-{n}": 1 for n in range(20)}
        assert await spine.until_seen(brand, truth) == truth
    house.kill()
    house.as_owner(
        "delete from outbox where id <= (select min(id) + 14 from outbox)",
        "update outbox_marker set drained_at = now() - interval '20 days'",
    )
    house.lose_the_replica()
    house.come_back()
    again = house.spine()
    async with again.running():
        assert await again.until_seen(brand, truth) == truth
        job = await until(lambda: job_of(again), lambda seen: seen.state == "done")
        assert (job.reason, job.records) == ("new_incarnation", 20)
    house.kill()
    house.lose_the_replica()
    house.come_back()
    third = house.spine()
    async with third.running():
        assert await third.until_seen(brand, truth) == truth
        assert await job_of(third) == job, "the rows of the first job were sent again: no second one"


async def test_a_topic_of_nobody_is_refused(house: House) -> None:
    owner = house.spine()
    async with owner_of({TOPIC: Things([])}, owner.worker) as server, door_of(server.port) as door:
        stub = SnapshotServiceStub(door)
        for request, code in (
            (StreamSnapshotRequest(topic="nobody.v1"), grpc.StatusCode.NOT_FOUND),
            (StreamSnapshotRequest(topic=TOPIC, cursor="x"), grpc.StatusCode.FAILED_PRECONDITION),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                async for _ in stub.StreamSnapshot(request):
                    pass
            assert refused.value.code() == code
        assert [page async for page in stub.StreamSnapshot(StreamSnapshotRequest(topic=TOPIC))] == []
    await close(owner)


async def test_a_record_of_a_snapshot_that_has_to_wait_is_parked(house: House) -> None:
    brand, port = house.brand(), free_port()
    owner = house.spine()
    truth = await fill(owner, brand, 5)
    async with owner_of({TOPIC: house.things}, owner.worker, port=port), door_of(port) as door:
        replica = house.spine(owners={TOPIC: door})
        replica.waiting = {"thing-0003"}
        async with replica.running():

            async def complete() -> bool:
                return replica.bootstrap.complete

            await until(complete)
            assert await replica.seen(brand) == {name: 1 for name in truth if name != "thing-0003"}
            async with replica.worker.read([BrandId(brand)]) as session:
                parked = await session.all(text("select key, reason from parked_messages"))
            assert [tuple(row) for row in parked] == [
                (f"{brand}/thing-0003", "thing-0003 has to wait"),
            ]
            replica.waiting.clear()
            assert await replica.until_seen(brand, truth) == truth
    await close(owner)
