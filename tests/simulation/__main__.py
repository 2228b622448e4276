"""`make test-simulation`: many seeds in two processes. A failure prints its seed and the command that repeats it."""

import argparse
import multiprocessing
import sys
import time
from collections import Counter

from tests.simulation.drills import drill
from tests.simulation.scenario import scenario
from tests.simulation.world import Report, run

CHUNK = 25
SHOWN_MAX = 3
"""Failures whose last steps are printed; of the others only the seed."""


def attempt(seed: int) -> Report | str:
    """What was done, or what went wrong."""
    try:
        drill(seed)
        return run(scenario(seed))
    except AssertionError as error:
        return f"{error}"
    except Exception as error:  # any failure belongs to its seed
        return f"{type(error).__name__}: {error}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="make test-simulation")
    parser.add_argument("--seeds", type=int, default=5000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    began_s, failed = time.monotonic(), 0
    seeds = range(asked.first, asked.first + asked.seeds)
    sums: Counter[str] = Counter()
    with multiprocessing.Pool(min(asked.processes, max(1, asked.seeds // CHUNK))) as pool:
        for seed, found in zip(seeds, pool.imap(attempt, seeds, chunksize=CHUNK), strict=True):
            if isinstance(found, str):
                failed += 1
                words = found if failed <= SHOWN_MAX else found.splitlines()[0]
                print(f"{words}\nagain: make test-simulation SEEDS=1 FIRST={seed}\n", file=sys.stderr)
                continue
            for name in ("steps", "calls", "throttles", "hunts", "held", "repeats", "lives"):
                sums[name] += getattr(found, name)
            if asked.seeds == 1:
                print(f"seed {seed}: trace {found.trace}, {dict(found.states)}")
    took_s = time.monotonic() - began_s
    print(
        f"{asked.seeds:,} seeds, {failed} failed, {took_s:.0f} s: {sums['steps']:,} steps, {sums['calls']:,} calls,"
        f" {sums['hunts']:,} hunts, {sums['throttles']:,} throttles, {sums['held']:,} removals held,"
        f" {sums['lives'] - asked.seeds + failed:,} brokers lost, {sums['repeats']:,} repeats (each allowed)"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
