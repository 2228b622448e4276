"""Some seeds of the simulation; CI runs thousands of them with `make test-simulation`."""

import os
import subprocess
import sys

import pytest

from tests.simulation.drills import DRILLS, drill
from tests.simulation.scenario import scenario
from tests.simulation.world import run

SEEDS = int(os.environ.get("SIMULATION_SEEDS", "120"))
TRACED = range(7_000_000, 7_000_012)


@pytest.mark.parametrize("block", range(4))
def test_what_must_hold_holds(block: int) -> None:
    """`run` asserts at every step and at the end."""
    for seed in range(block, SEEDS, 4):
        run(scenario(seed))


def test_decisions_alone() -> None:
    for seed in range(SEEDS):
        drill(seed)
    assert len(DRILLS) == 7


def test_the_same_seed_gives_the_same_trace_in_every_process() -> None:
    traces = [run(scenario(seed)).trace for seed in TRACED]
    assert traces == [run(scenario(seed)).trace for seed in TRACED]
    assert len(set(traces)) == len(TRACED)
    script = (
        "from tests.simulation.scenario import scenario; from tests.simulation.world import run;"
        f"print(*(run(scenario(seed)).trace for seed in {TRACED!r}))"
    )
    path = os.pathsep.join(["services", "."])
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": hash_seed}
        found = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        assert found.stdout.split() == traces


def test_the_scenarios_have_everything_in_them() -> None:
    """So that a change of the generator does not quietly stop testing something."""
    kinds: set[str] = set()
    for seed in range(400):
        made = scenario(seed)
        kinds |= {str(getattr(step, "kind", type(step).__name__)) for step in made.steps}
        kinds |= {"culprits"} if made.nameless else set()
    assert kinds >= {
        *("content", "offer", "delete", "draft", "activate", "break", "repair", "sell_out", "restock"),
        *(
            "lost_request",
            "lost_answer",
            "late_request",
            "duplicate",
            "no_connection",
            "unwell",
            "unwell_after",
        ),
        *("throttle", "half_batch", "fail_batch", "lose_handle", "outage", "drift", "slow"),
        *("Crash", "Stall", "BrokerLost", "HouseStop", "Decide", "culprits"),
    }
