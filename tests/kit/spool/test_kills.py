"""A process that is killed while it appends: everything it acknowledged is there, whole, each once."""

import os
import random
import subprocess
import sys
from pathlib import Path

from tests.kit.spool.writer import LIMITS
from vitrin.kit.spool import LocalFiles
from vitrin.kit.spool.log import SegmentLog

KILLS = 6


def test_everything_acknowledged_survives_kills(tmp_path: Path) -> None:
    folder, acknowledged, numbers = tmp_path / "spool", set[int](), random.Random(4)
    for attempt in range(KILLS):
        writer = subprocess.Popen(
            [sys.executable, "-m", "tests.kit.spool.writer", str(folder), str(attempt * 1_000_000)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": "services:."},
        )
        assert writer.stdout is not None
        for _ in range(numbers.randint(1, 120)):
            acknowledged.add(int(writer.stdout.readline()))
        writer.kill()
        acknowledged |= {int(line) for line in writer.stdout.read().split()}
        writer.stdout.close()
        writer.wait()
        assert contents(folder) >= acknowledged
    assert len(acknowledged) > KILLS * 16


def contents(folder: Path) -> set[int]:
    log = SegmentLog(LocalFiles(folder), consumers=["reader"], limits=LIMITS, now_ms=lambda: 0)
    found = log.open()
    assert found.damaged == ()
    numbers, position = list[int](), log.earliest
    while (batch := log.read(position, records_max=1_000, bytes_max=1_000_000)).records:
        for record in batch.records:
            number = int(record.payload[:8])
            assert record.payload[9:] == bytes([number % 256]) * (number % 3_000)
            numbers.append(number)
        position = batch.end
        assert batch.skipped_bytes == 0
    log.close()
    assert len(numbers) == len(set(numbers)), "twice"
    return set(numbers)
