"""The log on a disk that fills up, tears, refuses and loses power: what was acknowledged is there, in order, once."""

import time
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kit.spool.disk import Disk, FaultyFiles
from vitrin.kit.spool import (
    LocalFiles,
    PositionGone,
    PositionUnknown,
    SpoolFailing,
    SpoolInUse,
    SpoolLimits,
    layout,
)
from vitrin.kit.spool.log import SegmentLog

SMALL = SpoolLimits(
    record_bytes_max=200,
    batch_bytes_max=600,
    segment_bytes_max=1_000,
    total_bytes_max=1_000_000,
    keep_s=0,
    segment_s_max=3_600,
)
NOW_MS = int(time.time() * 1000) + 86_400_000
"""After the files' own times, which are the machine's."""


def log_on(disk: Disk, *, limits: SpoolLimits = SMALL, now_ms: int = NOW_MS) -> SegmentLog:
    return SegmentLog(FaultyFiles(disk), consumers=["a", "b"], limits=limits, now_ms=lambda: now_ms)


def opened(disk: Disk, *, limits: SpoolLimits = SMALL, now_ms: int = NOW_MS) -> SegmentLog:
    log = log_on(disk, limits=limits, now_ms=now_ms)
    log.open()
    return log


def everything(log: SegmentLog, position: int | None = None) -> list[bytes]:
    found, position = [], log.earliest if position is None else position
    while (batch := log.read(position, records_max=3, bytes_max=300)).records:
        found += [record.payload for record in batch.records]
        position = batch.end
    return found


def put(log: SegmentLog, *payloads: bytes) -> list[int]:
    return log.append([(NOW_MS, payload) for payload in payloads])


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path / "spool")


class Story:
    """Drives a log with seeded chance, and knows what was acknowledged."""

    def __init__(self, disk: Disk, seed: int) -> None:
        self.disk, self.random, self.number = disk, Random(seed), 0
        self.acknowledged: list[bytes] = []
        self.offered: set[bytes] = set()
        self.passed: dict[str, set[bytes]] = {"a": set(), "b": set()}
        self.log = opened(disk)

    def payload(self) -> bytes:
        self.number += 1
        return b"%06d:" % self.number + self.random.randbytes(self.random.randint(0, 150))

    def append(self) -> None:
        payloads = [self.payload() for _ in range(self.random.randint(1, 3))]
        self.offered |= set(payloads)
        try:
            put(self.log, *payloads)
        except SpoolFailing:
            return
        self.acknowledged += payloads

    def fault(self) -> None:
        kind = self.random.randrange(4)
        if kind == 0:
            self.disk.room_bytes = self.random.randint(0, 300)
        elif kind == 1:
            self.disk.syncs_fail = self.random.randint(1, 2)
        elif kind == 2:
            self.disk.truncates_fail = self.random.randint(1, 2)
        else:
            self.disk.room_bytes, self.disk.syncs_fail, self.disk.truncates_fail = None, 0, 0

    def crash(self) -> None:
        """The process is killed, and sometimes the machine with it."""
        self.log.close()
        if self.random.random() < 0.6:
            self.disk.lose_power(self.random)
        self.disk.room_bytes, self.disk.syncs_fail, self.disk.truncates_fail = None, 0, 0
        self.log = opened(self.disk)

    def consume(self) -> None:
        for consumer, passed in self.passed.items():
            batch = self.log.read(
                self.log.passed[consumer], records_max=self.random.randint(1, 9), bytes_max=500
            )
            passed |= {record.payload for record in batch.records}  # handled, and then said so
            with suppress(OSError):
                self.log.commit(consumer, batch.end)
            with suppress(OSError):
                self.log.tidy()

    def check(self) -> None:
        """For each consumer everything that was acknowledged is ahead of it, or it has passed it; in order, once, and
        nothing that was never offered."""
        found = everything(self.log)
        assert set(found) <= self.offered
        assert found == sorted(set(found))
        for consumer, passed in self.passed.items():
            ahead = everything(self.log, self.log.passed[consumer])
            assert ahead == found[len(found) - len(ahead) :]
            assert set(self.acknowledged) - set(ahead) <= passed


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_what_was_acknowledged_is_there_whatever_the_disk_does(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    story = Story(Disk(tmp_path_factory.mktemp("story") / "spool", really=False), seed)
    acts = [story.append] * 6 + [story.fault, story.crash, story.consume, story.check]
    for _ in range(40):
        story.random.choice(acts)()
    story.crash()
    story.check()
    number = len(story.acknowledged)
    story.append()
    assert len(story.acknowledged) > number, "a spool that was opened anew on a healthy disk takes records"
    story.check()
    story.log.close()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_without_consumers_nothing_acknowledged_is_ever_missing(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    story = Story(Disk(tmp_path_factory.mktemp("story") / "spool", really=False), seed)
    acts = [story.append] * 6 + [story.fault, story.crash]
    for _ in range(40):
        story.random.choice(acts)()
    story.crash()
    found = everything(story.log)
    assert [one for one in found if one in set(story.acknowledged)] == story.acknowledged
    story.log.close()


def test_segments_are_bounded_and_positions_lead_through_all_of_them(disk: Disk) -> None:
    log = opened(disk)
    payloads = [b"%03d" % number * 30 for number in range(50)]
    ends = [end for payload in payloads for end in put(log, payload)]
    sizes = [path.stat().st_size for path in disk.folder.glob("*.segment")]
    assert len(sizes) > 5
    assert max(sizes) <= SMALL.segment_bytes_max
    assert sum(sizes) == log.total_bytes == log.end
    for index, end in enumerate(ends):
        assert everything(log, end) == payloads[index + 1 :]
    assert everything(log) == payloads
    log.close()


def test_a_torn_tail_is_cut_and_reported_and_written_over(disk: Disk) -> None:
    log = opened(disk)
    put(log, b"one", b"two")
    log.close()
    [path] = disk.folder.glob("*.segment")
    whole = path.read_bytes()
    torn = layout.record_bytes(len(whole), NOW_MS, b"three")
    for cut in range(1, len(torn)):
        path.write_bytes(whole + torn[:cut])
        log = log_on(disk)
        assert log.open().cut_bytes == cut
        assert path.stat().st_size == len(whole)
        assert everything(log) == [b"one", b"two"]
        log.close()
    log = opened(disk)
    put(log, b"four")
    assert everything(log) == [b"one", b"two", b"four"]
    log.close()


def test_a_record_that_stands_elsewhere_is_none(disk: Disk) -> None:
    """A block of an older file under the end of this one."""
    log = opened(disk)
    put(log, b"one")
    log.close()
    [path] = disk.folder.glob("*.segment")
    path.write_bytes(path.read_bytes() + layout.record_bytes(0, NOW_MS, b"old"))
    log = opened(disk)
    assert everything(log) == [b"one"]
    log.close()


def test_damage_costs_the_damaged_record_only_and_is_kept_for_a_look(disk: Disk) -> None:
    log = opened(disk)
    payloads = [b"%03d" % number * 30 for number in range(40)]
    for payload in payloads:
        put(log, payload)
    log.close()
    paths = sorted(disk.folder.glob("*.segment"))
    for path in (paths[1], paths[-1]):
        data = bytearray(path.read_bytes())
        data[layout.SEGMENT_HEAD_BYTES + layout.RECORD_HEAD_BYTES + 5] ^= 1
        path.write_bytes(bytes(data))
    log = log_on(disk)
    found = log.open()
    assert (found.cut_bytes, found.damaged) == (0, (paths[-1].name,)), "nothing is cut where records follow"
    put(log, b"after")
    read = everything(log)
    missing = [payload for payload in payloads if payload not in read]
    assert len(missing) == 2
    assert read == [payload for payload in payloads if payload not in missing] + [b"after"]
    skipped = log.read(log.earliest, records_max=1_000, bytes_max=1_000_000).skipped_bytes
    batch, position = skipped, log.earliest
    while (step := log.read(position, records_max=1_000, bytes_max=1_000_000)).records:
        batch, position = batch + step.skipped_bytes, step.end
    assert batch == 2 * (90 + layout.RECORD_HEAD_BYTES)
    for consumer in ("a", "b"):
        log.commit(consumer, log.end)
    log.tidy()
    assert sorted(path.name for path in disk.folder.glob("*.damaged")) == [
        f"{path.name}.damaged" for path in (paths[1], paths[-1])
    ]
    log.close()


def test_what_all_have_passed_goes_when_it_is_old_enough(disk: Disk) -> None:
    old_enough = SpoolLimits(
        record_bytes_max=200, batch_bytes_max=600, segment_bytes_max=1_000, total_bytes_max=10_000, keep_s=1e9
    )
    log = opened(disk)
    for number in range(30):
        put(log, b"%03d" % number * 30)
    log.commit("a", log.end)
    assert log.tidy() == 0, "b has not passed"
    log.commit("b", log.end)
    log.close()
    for now_ms, goes in ((NOW_MS, False), (NOW_MS + 10**12, True)):
        log = opened(disk, limits=old_enough, now_ms=now_ms)
        assert (log.tidy() > 0) is goes
        log.close()
    log = opened(disk)
    assert (len(list(disk.folder.glob("*.segment"))), log.positions["a"]) == (1, log.end_of_records)
    with pytest.raises(PositionGone):
        log.read(0, records_max=1, bytes_max=1)
    with pytest.raises(PositionUnknown):
        log.read(log.end + 1, records_max=1, bytes_max=1)
    with pytest.raises(PositionUnknown):
        log.commit("a", log.end + 1)
    log.close()


def test_a_quiet_spool_forgets_too(disk: Disk) -> None:
    log = opened(disk)
    put(log, b"one")
    for consumer in ("a", "b"):
        log.commit(consumer, log.end)
    end = log.end
    assert log.tidy() == 0
    log.close()
    log = opened(disk, now_ms=NOW_MS + 3_600_000)
    assert log.tidy() > 0
    assert (log.earliest, everything(log)) == (end, [])
    put(log, b"two")
    assert everything(log, log.positions["a"]) == [b"two"]
    log.close()


def test_a_position_that_cannot_be_read_begins_with_what_is_there(disk: Disk) -> None:
    log = opened(disk)
    put(log, b"one")
    for consumer in ("a", "b"):
        log.commit(consumer, log.end)
    log.close()
    (disk.folder / "a.position").write_bytes(b"nonsense")
    log = log_on(disk)
    assert log.open().lost_positions == ("a",)
    assert (log.positions["a"], log.positions["b"]) == (0, log.end)
    log.close()


def test_one_process_has_a_spool_and_nobody_else_may_read_it(disk: Disk) -> None:
    log = opened(disk)
    put(log, b"one")
    log.commit("a", log.end)
    with pytest.raises(SpoolInUse):
        SegmentLog(LocalFiles(disk.folder), consumers=[], limits=SMALL, now_ms=lambda: 0).open()
    modes = {path.name: path.stat().st_mode & 0o777 for path in disk.folder.iterdir()}
    assert set(modes.values()) == {0o600}, modes
    assert disk.folder.stat().st_mode & 0o777 == 0o700
    log.close()
