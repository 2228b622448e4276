"""Single promises of the engine: instants to the millisecond, repeats, state that stays small, checkpoints, edits."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from vitrin.retargeting.audiences.engine import Changes, Dictionary, Engine, compile_plan
from vitrin.retargeting.audiences.engine.admission import LATE_MS_MAX, admit
from vitrin.retargeting.audiences.engine.arrays import NEVER
from vitrin.retargeting.audiences.engine.bounds import bound, key
from vitrin.retargeting.audiences.engine.changes import Interval, intervals, joined
from vitrin.retargeting.audiences.engine.checkpoint import CheckpointRefused, checkpoint, restore
from vitrin.retargeting.audiences.engine.columns import KIND_IDS, Batch, Row, batch_of
from vitrin.retargeting.audiences.engine.engine import ClockWentBack, handover
from vitrin.retargeting.audiences.engine.kernels import Loop, NotCompiled, kernel
from vitrin.retargeting.audiences.engine.preview import preview_rules, sized
from vitrin.retargeting.audiences.engine.why import why
from vitrin.retargeting.audiences.language import Rule, parse
from vitrin.retargeting.audiences.language.words import DAY_MS, HOUR_MS

T = 1_700_000_000_000
LOOPS: tuple[Loop, ...] = ("numpy", "compiled")


def rules(**who: Any) -> dict[str, Rule]:
    return {name: parse({"version": 1, "who": condition}) for name, condition in who.items()}


def engine(loop: Loop = "numpy", **who: Any) -> Engine:
    return Engine(compile_plan(rules(**who), Dictionary()), clock=T, loop=loop)


def batch(*rows: tuple[int, int, str, int, int]) -> Batch:
    """Rows of arrival, subject, event, time and value (EUR, the first currency that the dictionary learns)."""
    return batch_of(Row(seq, who, at, KIND_IDS[name], value, 1) for seq, who, name, at, value in rows)


def told(changes: Changes) -> list[tuple[int, int, bool]]:
    return [
        (at - T, subject, member)
        for at, subject, _, member in zip(*(c.tolist() for c in changes), strict=True)
    ]


@pytest.mark.parametrize("loop", LOOPS)
def test_a_window_ends_to_the_millisecond(loop: Loop) -> None:
    """[at, at + window): in at the event's own time, out when the window is over, and not a millisecond before."""
    one = engine(loop, bought={"event": "purchase", "within": "1d"})
    assert told(one.apply(batch((1, 3, "purchase", T, 500)), T)) == [(0, 3, True)]
    assert one.next_due() == T + DAY_MS
    assert one.advance(T + DAY_MS - 1).rows == 0
    assert told(one.advance(T + DAY_MS)) == [(DAY_MS, 3, False)]
    assert one.next_due() == NEVER
    assert one.events_kept() == 0
    with pytest.raises(ClockWentBack, match="rebuild from the log"):
        one.advance(T)


@pytest.mark.parametrize("loop", LOOPS)
def test_time_alone_switches_on_and_off_each_at_its_own_instant(loop: Loop) -> None:
    one = engine(
        loop, cart={"event": "add_to_cart", "within": "7d", "idle": "1h", "no_later": {"event": "purchase"}}
    )
    first = one.apply(batch((1, 0, "add_to_cart", T - 10, 0), (2, 1, "add_to_cart", T + HOUR_MS, 0)), T)
    later = one.advance(T + 30 * DAY_MS)
    assert told(first) == []
    assert sorted(told(later)) == [
        (HOUR_MS - 10, 0, True),
        (2 * HOUR_MS, 1, True),
        (7 * DAY_MS - 10, 0, False),
        (7 * DAY_MS + HOUR_MS, 1, False),
    ]
    assert intervals(later, one.plan.audiences)[0] == [
        Interval("cart", T + HOUR_MS - 10, T + 7 * DAY_MS - 10)
    ]


@pytest.mark.parametrize("loop", LOOPS)
def test_sums_reach_their_bound_and_a_free_order_adds_nothing(loop: Loop) -> None:
    one = engine(
        loop, rich={"event": "purchase", "within": "1d", "sum": {"currency": "EUR", "at_least": 1_000}}
    )
    found = one.apply(
        batch((1, 0, "purchase", T, 999), (2, 0, "purchase", T, 0), (3, 1, "purchase", T, 1_000)), T
    )
    assert told(found) == [(0, 1, True)]
    assert told(one.apply(batch((4, 0, "purchase", T + 5, 1)), T + 5)) == [(5, 0, True)]
    assert told(one.advance(T + DAY_MS)) == [(DAY_MS, 0, False), (DAY_MS, 1, False)]


def test_what_was_applied_is_not_applied_again() -> None:
    one = engine(twice={"event": "lead", "within": "1d", "count": 2})
    again = batch((1, 0, "lead", T, 0))
    one.apply(again, T)
    assert one.apply(again, T).rows == 0
    assert one.position == 1
    assert told(one.apply(batch((1, 0, "lead", T, 0), (2, 0, "lead", T, 0)), T)) == [(0, 0, True)]


def test_admission_says_why_each_event_is_refused() -> None:
    arrived = batch(
        (1, 0, "lead", T - LATE_MS_MAX, 0),
        (2, 0, "lead", T - LATE_MS_MAX - 1, 0),
        (3, 0, "lead", T, -1),
        (4, 0, "lead", T, 0),
        (5, 0, "lead", -1, 0),
        (6, 0, "lead", T + 400 * DAY_MS, 10**12 + 1),
    )
    found = admit(arrived, T, np.array([True, True, True, False, True, True]))
    assert [np.flatnonzero(column).tolist() for column in found] == [[0], [3], [1], [2, 5], [4]]


@pytest.mark.parametrize("loop", LOOPS)
def test_state_is_bounded_by_the_rules_and_not_by_history(loop: Loop) -> None:
    """Ten thousand views of one visitor: three are kept, whatever the order, and late ones find their place."""
    one = engine(loop, looks={"event": "view_item", "within": "7d", "count": 3})
    rng = np.random.default_rng(7)
    for number in range(100):
        at = T + number * HOUR_MS
        rows = [(number * 100 + k, 0, "view_item", at - int(rng.integers(0, DAY_MS)), 0) for k in range(100)]
        one.apply(batch(*rows), at)
    assert one.events_kept() == 3
    assert one.members("looks").tolist() == [0]
    assert len(one.pool.events) < 5_000


def test_a_rule_edit_backfills_beside_the_running_engine() -> None:
    """The old one goes on while the new one reads the log; taking over tells only what differs."""
    dictionary = Dictionary()
    old_rules = rules(buyers={"event": "purchase", "within": "1d"}, gone={"event": "lead", "within": "1d"})
    old = Engine(compile_plan(old_rules, dictionary), clock=T, loop="numpy")
    log = batch(*((n, n % 10, ("purchase", "lead", "view_item")[n % 3], T, 100) for n in range(30)))
    old.apply(log, T)
    new_rules = rules(
        buyers={"event": "purchase", "within": "1d"},
        lookers={"event": "view_item", "within": "2d", "count": 1},
    )
    new = old.successor(compile_plan(new_rules, dictionary), loop="numpy")
    for start in range(0, 30, 10):
        new.load(log.take(np.arange(start, start + 10)))
    late = batch((30, 11, "purchase", T + 5, 100))
    told_meanwhile = old.apply(late, T + 5)
    shares = []
    while not shares or shares[-1] < 1.0:
        shares.append(new.settle(4))
    assert shares == sorted(shares)
    assert len(shares) > 1
    new.apply(late, T + 5)
    found = handover(old, new)
    assert told(told_meanwhile) == [(5, 11, True)]
    assert set(found.audience.tolist()) == {
        new.plan.audiences.index("lookers"),
        -1 - old.plan.audiences.index("gone"),
    }
    assert (found.at == T + 5).all()
    assert sized(new, "lookers", samples=3).size == 10
    assert sized(new, "lookers", samples=3) == sized(new, "lookers", samples=3)
    assert set(sized(new, "lookers", samples=3).sample) <= set(new.members("lookers").tolist())
    assert sized(new, "lookers").of == 11


def test_a_preview_computes_only_what_the_rule_needs() -> None:
    made = rules(a={"audience": "b"}, b={"event": "lead", "within": "1d"}, c={"audience": "a"})
    assert set(preview_rules(made, "a")) == {"a", "b"}


def test_a_checkpoint_of_another_plan_or_a_cut_one_is_refused() -> None:
    one = engine(bought={"event": "purchase", "within": "1d"})
    one.apply(batch((1, 3, "purchase", T, 500)), T)
    saved = checkpoint(one)
    again = restore(one.plan, saved, loop="numpy")
    assert checkpoint(again) == saved
    assert told(again.advance(T + DAY_MS)) == told(one.advance(T + DAY_MS))
    other = engine(bought={"event": "purchase", "within": "2d"})
    for plan, data in (
        (other.plan, saved),
        (one.plan, saved[:-1]),
        (one.plan, b""),
        (one.plan, saved[:-5] + saved[-4:]),
    ):
        with pytest.raises(CheckpointRefused):
            restore(plan, data, loop="numpy")


def test_an_erased_subject_leaves_nothing_behind() -> None:
    one = engine(
        bought={"event": "purchase", "within": "1d"}, quiet={"not": {"event": "lead", "within": "1d"}}
    )
    one.apply(batch((1, 0, "purchase", T, 0), (2, 1, "purchase", T, 0)), T)
    assert [member for _, _, member in told(one.erase(np.array([1]), T + 1))] == [False, False]
    assert one.members("quiet").tolist() == [0]
    assert one.events_kept() == 1
    assert one.advance(T + 2 * DAY_MS).subject.tolist() == [0]


def test_the_bound_of_the_best_tenth_stands_still_until_it_is_computed_again() -> None:
    dictionary = Dictionary({"currency": ["EUR"]})
    top = {"event": "purchase", "within": "30d", "top": {"percent": 10, "by": "sum", "currency": "EUR"}}
    made = rules(best=top)
    log = batch(*((n, n, "purchase", T, 100 * (n + 1)) for n in range(25)))
    leaf = made["best"].tops()[0]
    least = bound(leaf, log, dictionary, T)
    assert least == 2_300  # ceil(2.5) = 3 of 25
    one = Engine(compile_plan(made, dictionary, {key(leaf): 2_300}), clock=T, loop="numpy")
    one.apply(log, T)
    assert one.members("best").tolist() == [22, 23, 24]
    one.apply(batch((100, 0, "purchase", T + 1, 5_000)), T + 1)
    assert one.members("best").tolist() == [0, 22, 23, 24]
    assert why(one, "best", 0, dictionary).bound == 2_300
    nobody = Engine(compile_plan(made, dictionary), clock=T, loop="numpy")
    nobody.apply(log, T)
    assert nobody.members("best").tolist() == []


@pytest.mark.parametrize("loop", LOOPS)
def test_more_than_64_audiences_and_filters(loop: Loop) -> None:
    """Masks and classes of several words."""
    made = {
        f"a{number:03}": {"event": "view_item", "within": "1d", "where": {"item": [f"i{number}"]}, "count": 1}
        for number in range(150)
    }
    dictionary = Dictionary({"item": [f"i{number}" for number in range(150)]})
    one = Engine(compile_plan(rules(**made), dictionary), clock=T, loop=loop)
    columns = batch(*((n, n, "view_item", T, 0) for n in range(150)))._replace(
        item_start=np.arange(151),
        item=np.arange(1, 151, dtype=np.int32),
        category=np.zeros(150, dtype=np.int32),
        brand=np.zeros(150, dtype=np.int32),
        price=np.zeros(150, dtype=np.int64),
    )
    found = one.apply(columns, T)
    assert found.subject.tolist() == found.audience.tolist() == list(range(150))
    assert joined([found, one.advance(T + DAY_MS)]).rows == 300


def test_without_numba_the_engine_runs_on_numpy() -> None:
    """In a process of its own, in which numba cannot be imported."""
    script = (
        "import sys; sys.modules['numba'] = None\n"
        "from vitrin.retargeting.audiences.engine import vectors\n"
        "from vitrin.retargeting.audiences.engine.kernels import NotCompiled, kernel\n"
        "assert kernel() is vectors.run\n"
        "try: kernel('compiled')\n"
        "except NotCompiled as error: print(error)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "install vitrin with the extra `compiled`" in ran.stdout
    assert kernel("compiled") is kernel()
    assert issubclass(NotCompiled, RuntimeError)
