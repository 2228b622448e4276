"""The engine, the plain reference and DuckDB say the same, whatever happens, at whatever instant."""

import pytest

from tests.retargeting.audiences import duck, reference
from tests.retargeting.audiences.stage import Stage

STEPS = 40


@pytest.mark.parametrize("first", range(0, 60, 15))
def test_members_are_those_of_the_reference_through_random_histories(first: int) -> None:
    """Late, repeated and future events, merges and un-merges, erasures, rule edits, bounds, crashes, idle days; the two
    loops with equal changes and equal states. `python -m tests.retargeting.audiences` runs more seeds."""
    done: dict[str, int] = {}
    flips = 0
    for seed in range(first, first + 15):
        stage = Stage(seed)
        stage.run(STEPS)
        flips += stage.flips
        for name, count in (*stage.done.items(), *stage.refused.items()):
            done[name] = done.get(name, 0) + count
    assert min(done.values()) > 5, done
    assert len(done) == 13, done
    assert flips > 30


def test_the_loop_as_it_is_written_does_the_same_as_compiled() -> None:
    for seed in range(1_000, 1_004):
        Stage(seed, loops=("interpreted", "compiled", "numpy")).run(STEPS)


@pytest.mark.parametrize("seed", range(2_000, 2_006))
def test_members_are_those_of_duckdb(seed: int) -> None:
    """Recomputed from the accepted events by SQL, now and a while later, when only time has passed."""
    stage = Stage(seed)
    for _ in range(3):
        stage.run(15)
        assert duck.members(stage.world, stage.clock) == reference.members(stage.world, stage.clock)
        stage.pass_time()
        found = {
            name: set(stage.engines[0].members(name).tolist()) for name in stage.engines[0].plan.audiences
        }
        assert found == duck.members(stage.world, stage.clock)
