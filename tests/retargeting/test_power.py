"""The collector on a disk that loses power, fills up and refuses to sync: what was answered accepted is there."""

import asyncio
import errno
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from tests.kit.spool.disk import Disk, FaultyFiles
from tests.retargeting.bare import bare_door, call, ids_in
from tests.retargeting.house import event
from vitrin.kit.spool.files import AppendFile

SEEDS = 25
LANES = 6


@dataclass
class Mortal(Disk):
    """Nothing reaches it any more once the process is dead."""

    dead: bool = False

    def write(self, path: Path, data: bytes, file: AppendFile) -> None:
        if self.dead:
            raise OSError(errno.EIO, "dead")
        super().write(path, data, file)

    def sync(self, path: Path, file: AppendFile) -> None:
        if self.dead:
            raise OSError(errno.EIO, "dead")
        super().sync(path, file)


class Lazy(Mortal):
    """A sync that was taken out of the code."""

    def sync(self, path: Path, file: AppendFile) -> None:
        self.syncs += 1


async def story(disk: Mortal, random: Random) -> tuple[set[str], list[str]]:
    """Lanes send batches, one of them repeats another's, until the power goes: what was answered as there, and what is
    there."""
    answered: set[str] = set()
    left = random.randint(1, 30)

    async with bare_door(disk.folder.parent, files=FaultyFiles(disk)) as (door, _):

        async def lane(number: int) -> None:
            nonlocal left
            turn = 0
            while not disk.dead:
                turn += 1
                if random.random() < 0.1:
                    disk.syncs_fail = 1
                names = [f"{number // 2}-{turn}-{one}" for one in range(random.randint(1, 4))]
                status, said = await call(door, [event(name) for name in names])
                if disk.dead:  # whoever is dead answers nobody
                    return
                if status == 200:
                    answered.update(f"e-{name}" for name in names)
                else:
                    assert (status, said["code"]) == (503, "spool_failing"), said
                left -= 1
                if left <= 0:
                    disk.dead = True
                await asyncio.sleep(0)

        await asyncio.gather(*map(lane, range(LANES)))
    disk.lose_power(random)
    disk.dead = False
    async with bare_door(disk.folder.parent, files=FaultyFiles(disk)) as (door, spool):
        there = await ids_in(spool)
        status, _ = await call(door, [event("after")])
        assert status == 200
    return answered, there


def disk_of(folder: Path, kind: type[Mortal]) -> Mortal:
    made = folder / "events"
    made.mkdir(parents=True)
    return kind(made, really=False)


async def test_what_was_accepted_survives_a_loss_of_power(tmp_path: Path) -> None:
    told = 0
    for seed in range(SEEDS):
        answered, there = await story(disk_of(tmp_path / str(seed), Mortal), Random(seed))
        assert answered <= set(there), f"seed {seed}: {sorted(answered - set(there))}"
        told += len(answered)
    assert told > SEEDS * 10


async def test_without_the_sync_this_test_fails(tmp_path: Path) -> None:
    lost = 0
    for seed in range(SEEDS):
        answered, there = await story(disk_of(tmp_path / str(seed), Lazy), Random(seed))
        lost += len(answered - set(there))
    assert lost > 0


async def test_a_full_disk_refuses_and_the_same_events_are_taken_later(tmp_path: Path) -> None:
    disk = disk_of(tmp_path, Mortal)
    async with bare_door(tmp_path, files=FaultyFiles(disk)) as (door, spool):
        assert (await call(door, [event(1)]))[0] == 200
        disk.room_bytes = 10
        status, said = await call(door, [event(1), event(2), event(3)])
        assert (status, said["code"]) == (503, "spool_failing")
        disk.room_bytes = None
        status, said = await call(door, [event(1), event(2), event(3)])
        assert (status, said["results"]) == (200, ["duplicate", "accepted", "accepted"])
        assert await ids_in(spool) == ["e-1", "e-2", "e-3"]


@pytest.mark.parametrize("sync_fails", [False, True])
async def test_a_repetition_during_the_sync_shares_its_fate(tmp_path: Path, sync_fails: bool) -> None:
    disk = disk_of(tmp_path, Mortal)
    async with bare_door(tmp_path, files=FaultyFiles(disk)) as (door, spool):
        disk.syncs_fail = 1 if sync_fails else 0
        first, second = await asyncio.gather(call(door, [event(1)]), call(door, [event(1)]))
        if sync_fails:
            assert first[0] == 503
            assert second[1]["results"] == ["accepted"], "the second brought it itself"
        else:
            assert (first[1]["results"], second[1]["results"]) == (["accepted"], ["duplicate"])
        assert await ids_in(spool) == ["e-1"]
