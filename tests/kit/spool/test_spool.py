"""The spool as a door and a consumer use it: one sync for many, refusals that lose nothing, positions over restarts."""

import asyncio
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from tests.kit.spool.disk import Disk, FaultyFiles
from vitrin.kit.clock import system_clock
from vitrin.kit.metrics import exposition
from vitrin.kit.spool import (
    LocalFiles,
    RecordTooLarge,
    Spool,
    SpoolFailing,
    SpoolFull,
    SpoolInUse,
    SpoolLimits,
    SpoolReader,
)

SMALL = SpoolLimits(
    record_bytes_max=1_000,
    batch_bytes_max=4_000,
    pending_bytes_max=8_000,
    segment_bytes_max=10_000,
    total_bytes_max=40_000,
    keep_s=0,
    segment_s_max=0,
)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path / "spool")


def spool_on(disk: Disk, *, name: str = "test", limits: SpoolLimits = SMALL) -> Spool:
    return Spool(
        FaultyFiles(disk), name=name, consumers=["one"], clock=system_clock, limits=limits, tidy_s=3_600
    )


async def rest(reader: SpoolReader) -> list[bytes]:
    found: list[bytes] = []
    while (batch := await reader.read(wait=False)).records:
        found += [record.payload for record in batch.records]
    return found


def metric(line: str) -> float:
    found = [text for text in exposition().decode().splitlines() if text.startswith(line + " ")]
    return float(found[0].rsplit(" ", 1)[1]) if found else 0.0


async def test_many_appends_share_a_sync(disk: Disk) -> None:
    payloads = [b"%04d" % number for number in range(300)]
    async with spool_on(disk) as spool:
        before = disk.syncs
        ends = await asyncio.gather(*(spool.append(payload) for payload in payloads))
        assert ends == sorted(ends)
        assert 1 <= disk.syncs - before < 30
        assert metric('vitrin_spool_appends_total{outcome="durable",spool="test"}') >= 300
        assert metric('vitrin_spool_lag_bytes{consumer="one",spool="test"}') == spool.end
        assert await rest(spool.reader("one")) == payloads


async def test_a_reader_waits_and_goes_on_after_a_restart_where_it_stood(disk: Disk) -> None:
    async with spool_on(disk) as spool:
        reader = spool.reader("one")
        waiting = asyncio.create_task(reader.read())
        for payload in (b"a", b"b", b"c"):
            await spool.append(payload)
        first = (await waiting).records[0]
        assert first.payload == b"a"
        await reader.commit(first.end)
    async with spool_on(disk) as spool:
        reader = spool.reader("one")
        batch = await reader.read()
        assert [record.payload for record in batch.records] == [b"b", b"c"]
        await reader.commit(batch.end)
        reader.seek(first.position)
        assert await rest(reader) == [b"a", b"b", b"c"]
    async with spool_on(disk) as spool:
        assert await rest(spool.reader("one")) == []


async def test_a_full_spool_refuses_drops_nothing_and_goes_on_when_it_was_read(disk: Disk) -> None:
    taken: list[bytes] = []
    async with spool_on(disk, name="full") as spool:
        for number in range(100):
            payload = b"%03d" % number * 300
            with suppress(SpoolFull):
                await spool.append(payload)
                taken.append(payload)
        assert 30 < len(taken) < 100
        assert metric('vitrin_spool_bytes{spool="full"}') <= metric('vitrin_spool_bytes_max{spool="full"}')
        reader = spool.reader("one")
        assert await rest(reader) == taken
        with pytest.raises(SpoolFull) as refused:
            await spool.append(b"x" * 900)
        assert (refused.value.status, refused.value.extra["retry_after_s"]) == (503, 30)
        await reader.commit(reader.position)
        assert await spool.tidy() > 30_000
        await spool.append(b"again")
        assert await rest(reader) == [b"again"]
        assert metric('vitrin_spool_appends_total{outcome="full",spool="full"}') == 101 - len(taken)


async def test_records_that_are_too_large_or_empty(disk: Disk) -> None:
    async with spool_on(disk) as spool:
        for payload in (b"", b"x" * 1_001):
            with pytest.raises(RecordTooLarge):
                await spool.append(payload)
        await spool.append(b"x" * 1_000)
        assert await rest(spool.reader("one")) == [b"x" * 1_000]


async def test_a_disk_without_room_or_that_cannot_sync_refuses_and_recovers(disk: Disk) -> None:
    async with spool_on(disk) as spool:
        await spool.append(b"before")
        disk.room_bytes = 10
        outcomes = await asyncio.gather(*(spool.append(b"x" * 100) for _ in range(3)), return_exceptions=True)
        assert [type(one) for one in outcomes] == [SpoolFailing] * 3
        disk.room_bytes = None
        disk.syncs_fail = 1
        with pytest.raises(SpoolFailing):
            await spool.append(b"y" * 100)
        disk.truncates_fail = 1
        with pytest.raises(SpoolFailing):
            await spool.append(b"z" * 100)
        await spool.append(b"after")
        assert await rest(spool.reader("one")) == [b"before", b"after"]
    async with spool_on(disk) as spool:
        assert spool.recovery.cut_bytes == 0
        assert await rest(spool.reader("one")) == [b"before", b"after"]


async def test_a_disk_too_full_for_a_position_loses_nothing_and_makes_room_for_it(disk: Disk) -> None:
    """The consumer goes on, its segments go by what it said, and the position follows."""
    unsaved = 'vitrin_spool_unsaved_bytes{consumer="one",spool="positions"}'
    async with spool_on(disk, name="positions") as spool:
        for number in range(30):
            await spool.append(b"%03d" % number * 300)
        reader = spool.reader("one")
        first = await reader.read(records_max=1)
        await reader.commit(first.end)
        disk.room_bytes = 0
        rest_of = await rest(reader)
        assert len(rest_of) == 29
        with pytest.raises(OSError, match="no space"):
            await reader.commit(reader.position)
        assert metric(unsaved) == reader.position - first.end
        assert metric('vitrin_spool_lag_bytes{consumer="one",spool="positions"}') == 0
        assert spool.reader("one").position == reader.position
        assert await spool.tidy() > 10_000, "what was passed goes although its position could not be kept"
        assert metric(unsaved) > 0
        disk.room_bytes = None
        await spool.tidy()
        assert metric(unsaved) == 0
        await spool.append(b"after")
    async with spool_on(disk) as spool:
        assert await rest(spool.reader("one")) == [b"after"]


async def test_a_position_that_was_never_kept_repeats_what_is_there(disk: Disk) -> None:
    async with spool_on(disk) as spool:
        for payload in (b"a", b"b"):
            await spool.append(payload)
        reader = spool.reader("one")
        assert await rest(reader) == [b"a", b"b"]
        disk.room_bytes = 0
        with pytest.raises(OSError, match="no space"):
            await reader.commit(reader.position)
    disk.room_bytes = None
    async with spool_on(disk) as spool:
        assert await rest(spool.reader("one")) == [b"a", b"b"]


async def test_a_disk_that_hangs_is_not_waited_for(disk: Disk) -> None:
    hasty = SpoolLimits(
        record_bytes_max=1_000,
        batch_bytes_max=2_000,
        pending_bytes_max=3_000,
        segment_bytes_max=10_000,
        total_bytes_max=40_000,
        append_s=0.2,
    )
    async with spool_on(disk, limits=hasty) as spool:
        disk.hold = threading.Event()
        try:
            with pytest.raises(SpoolFailing, match="in time"):
                await spool.append(b"hangs")
            waiting = [asyncio.create_task(spool.append(b"x" * 900)) for _ in range(5)]
            outcomes = await asyncio.gather(*waiting, return_exceptions=True)
            assert {type(one) for one in outcomes} == {SpoolFull, SpoolFailing}, "memory is bounded"
        finally:
            disk.hold.set()
            disk.hold = None
        while True:
            try:
                await spool.append(b"after")
                break
            except SpoolFailing:
                continue
        found = await rest(spool.reader("one"))
        assert found[0] == b"hangs", "late, but there: whoever sent it sends it again and it comes twice"
        assert found[-1] == b"after"
        assert b"x" * 900 not in found, "who has gone before its turn is not written"


async def test_what_was_offered_is_durable_at_the_end_and_a_crash_is_recovered(disk: Disk) -> None:
    spool = spool_on(disk)
    async with spool:
        offered = asyncio.create_task(spool.append(b"last"))
        await asyncio.sleep(0)
    await offered
    with pytest.raises(SpoolFailing):
        await spool.append(b"too late")
    [segment] = disk.folder.glob("*.segment")
    segment.write_bytes(segment.read_bytes() + b"torn")
    async with spool_on(disk, name="torn") as spool:
        assert spool.recovery.cut_bytes == 4
        assert metric('vitrin_spool_cut_bytes_total{spool="torn"}') == 4
        assert await rest(spool.reader("one")) == [b"last"]
        with pytest.raises(SpoolInUse):
            await Spool(LocalFiles(disk.folder), name="second", consumers=[], clock=system_clock).__aenter__()


def test_limits_that_cannot_hold() -> None:
    with pytest.raises(ValueError, match="fit into a batch"):
        SpoolLimits(record_bytes_max=5_000_000)
    with pytest.raises(ValueError, match="two segments"):
        SpoolLimits(total_bytes_max=100_000_000)
