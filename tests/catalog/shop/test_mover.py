"""The mover on a disk that fills up: positions cannot be kept, and nothing else stops."""

import asyncio
from pathlib import Path

from tests.catalog.shop.corner import corner_spec, headers, product_body
from tests.catalog.shop.house import SECRET, House, until
from tests.kit.spool.disk import Disk, FaultyFiles
from vitrin.catalog.shop.mover import CONSUMER, Mover
from vitrin.catalog.shop.packing import Arrival, seal_for_spool
from vitrin.catalog.shop.parts import cipher_of
from vitrin.catalog.shop.unverified import Unverified
from vitrin.kit.clock import system_clock
from vitrin.kit.spool import Spool


async def test_a_full_disk_holds_up_no_webhook_and_its_repeats_are_known(
    house: House, tmp_path: Path
) -> None:
    disk = Disk(tmp_path / "disk")
    cipher, stop = cipher_of(house.settings), asyncio.Event()

    def spool() -> Spool:
        return Spool(FaultyFiles(disk), name="mover", consumers=[CONSUMER], clock=system_clock)

    def mover(of: Spool) -> Mover:
        assert house.worker is not None
        assert house.book is not None
        return Mover(
            spool=of,
            database=house.worker,
            specs={"corner": corner_spec(house.shop)},
            book=house.book,
            cipher=cipher,
            unverified=Unverified(),
            clock=system_clock,
            moved=lambda: None,
        )

    async def arrive(to: Spool, delivery_id: str) -> None:
        body = product_body("mug")
        arrival = Arrival(
            platform="corner",
            connection=house.connection,
            signed_for=((house.brand, house.connection),),
            received_at=system_clock(),
            headers=headers(body, secret=SECRET, delivery_id=delivery_id),
            body=body,
        )
        await to.append(seal_for_spool(cipher, arrival))

    async with house.running(door=False, work=False):
        async with spool() as first:
            await arrive(first, "d0")
            await arrive(first, "d1")
            disk.room_bytes = 0
            moving = asyncio.create_task(mover(first).run(stop))
            await until(house.states, lambda seen: set(seen) == {"d0", "d1"})
            disk.room_bytes = 4_096  # for one more record; the position before it is still not there
            await arrive(first, "d2")
            disk.room_bytes = 0
            await until(house.states, lambda seen: set(seen) == {"d0", "d1", "d2"})
            stop.set()
            await moving
        disk.room_bytes = None
        async with spool() as again:
            stop.clear()
            moving = asyncio.create_task(mover(again).run(stop))
            await arrive(again, "d3")
            await until(house.states, lambda seen: set(seen) == {"d0", "d1", "d2", "d3"})
            reader = again.reader(CONSUMER)

            async def kept() -> int:
                return again.reader(CONSUMER).position

            await until(kept, lambda position: position == again.end)
            assert (await reader.read(wait=False)).records == ()
            stop.set()
            await moving
