"""`make test-audiences SEEDS=1000 FIRST=0`: more histories than the suite has time for, in two processes."""

import argparse
import multiprocessing
import sys
import time
from collections import Counter

from tests.retargeting.audiences import duck
from tests.retargeting.audiences.stage import Stage

STEPS = 60
DUCK_EVERY = 20
SHOWN_MAX = 3


def attempt(seed: int) -> Counter[str] | str:
    try:
        stage = Stage(seed, audiences=4 + seed % 8)
        stage.run(STEPS)
        if seed % DUCK_EVERY == 0:
            found = {
                name: set(stage.engines[0].members(name).tolist()) for name in stage.engines[0].plan.audiences
            }
            assert found == duck.members(stage.world, stage.clock), f"seed {seed}: DuckDB says otherwise"
    except Exception as error:  # any failure belongs to its seed
        return f"seed {seed}: {type(error).__name__}: {error}"
    return (
        Counter(stage.done)
        + Counter(stage.refused)
        + Counter(flips=stage.flips, events=len(stage.world.events))
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="make test-audiences")
    parser.add_argument("--seeds", type=int, default=1_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    began_s, failed, sums = time.monotonic(), 0, Counter[str]()
    seeds = range(asked.first, asked.first + asked.seeds)
    attempt(-1)  # compiles once, before two processes would both
    with multiprocessing.Pool(asked.processes) as pool:
        for seed, found in zip(seeds, pool.imap(attempt, seeds, chunksize=10), strict=True):
            if isinstance(found, Counter):
                sums += found
                continue
            failed += 1
            if failed <= SHOWN_MAX:
                print(f"{found}\nagain: make test-audiences SEEDS=1 FIRST={seed}\n", file=sys.stderr)
    print(f"{asked.seeds:,} seeds, {failed} failed, {time.monotonic() - began_s:.0f} s: {dict(sums)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
