"""What the relay decides, without a relay."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from vitrin.kit.outbox import decisions
from vitrin.kit.outbox.decisions import LeaseTimes
from vitrin.kit.outbox.resending import IN_FULL, KEPT, Resending, resending

TIMES = LeaseTimes(lease_s=15, renew_s=5, delivery_s=5, margin_s=8)
NOW = datetime(2026, 1, 10, tzinfo=UTC)
OLD, NEW = UUID(int=1), UUID(int=2)


@dataclass(frozen=True)
class Row:
    id: int
    shard: int = 0
    topic: str = "item"


@dataclass(frozen=True)
class Ack:
    topic: str
    partition: int
    offset: int


def test_a_lease_is_asked_for_anew_after_its_third_and_without_one_always() -> None:
    until_s = TIMES.until_s(100)
    assert until_s == 115
    assert [TIMES.must_ask(now, until_s, holds=True) for now in (100, 104.9, 105, 120)] == [
        False,
        False,
        True,
        True,
    ]
    assert TIMES.must_ask(100, until_s, holds=False)
    assert TIMES.must_ask(100, float("-inf"), holds=True)


def test_nothing_is_produced_that_may_arrive_after_the_lease() -> None:
    assert [TIMES.may_produce(now, 115) for now in (100, 107, 107.1, 115)] == [True, True, False, False]
    assert TIMES.hand_over_until_s(115) == 110
    assert TIMES.hand_over_until_s(115) + TIMES.delivery_s <= 115


def test_every_shard_is_in_one_lane() -> None:
    fences = {3: 30, 0: 5, 2: 20, 7: 70, 5: 50}
    assert decisions.lanes(fences, count=1) == [fences]
    assert decisions.lanes(fences, count=2) == [{0: 5, 3: 30, 7: 70}, {2: 20, 5: 50}]
    assert decisions.lanes({4: 1}, count=2) == [{4: 1}]
    assert decisions.lanes({}, count=2) == []


def test_a_row_that_is_too_large_stops_its_shard_and_no_other() -> None:
    rows = [Row(1, shard=1), Row(2, shard=2), Row(3, shard=1), Row(4, shard=1), Row(5, shard=2)]
    assert decisions.up_to_too_large(rows, [2]) == ([0, 1, 4], {1: rows[2]})
    assert decisions.up_to_too_large(rows, [0, 2, 4]) == ([1], {1: rows[0], 2: rows[4]})


def test_only_the_leading_rows_that_arrived_whole_are_marked() -> None:
    rows = [Row(1), Row(2), Row(3)]
    arrived = object()
    assert decisions.acknowledged(rows, [1, 2, 1], [arrived] * 4) == rows
    assert decisions.acknowledged(rows, [1, 2, 1], [arrived, arrived, None, arrived]) == rows[:1]
    assert decisions.acknowledged(rows, [1, 2, 1], [arrived, None, arrived, arrived]) == rows[:1]
    assert decisions.acknowledged(rows, [1, 2, 1], [None, arrived, arrived, arrived]) == []
    assert decisions.acknowledged(rows, [1, 2, 1], [arrived, arrived, arrived, None]) == rows[:2]
    assert decisions.acknowledged([], [], []) == []
    with pytest.raises(ValueError, match="zip"):
        decisions.acknowledged(rows, [1], [arrived])


def test_a_mark_covers_one_shard_and_topic_in_the_order_of_the_rows() -> None:
    rows = [Row(1), Row(2, 1), Row(3), Row(4, 1, "offer")]
    assert decisions.marks(rows) == {
        (0, "item"): [rows[0], rows[2]],
        (1, "item"): [rows[1]],
        (1, "offer"): [rows[3]],
    }


def test_the_end_of_a_partition_is_behind_its_last_ack() -> None:
    acks = [Ack("item", 0, 4), Ack("item", 0, 3), Ack("item", 1, 0), Ack("offer", 0, 9)]
    assert decisions.ends(acks, {"item": OLD, "offer": NEW}) == {
        ("item", OLD, 0): 5,
        ("item", OLD, 1): 1,
        ("offer", NEW, 0): 10,
    }


def test_a_topic_is_seen_once_per_shard() -> None:
    rows = [Row(1), Row(2), Row(3, 1), Row(4, 1, "offer")]
    assert decisions.unseen(rows, {(0, "item"), (2, "item")}) == {(1, "item"), (1, "offer")}


def test_another_id_is_another_incarnation_and_silence_is_none() -> None:
    known = {(0, "item"): OLD, (1, "item"): NEW, (0, "offer"): OLD}
    assert decisions.reborn(known, {"item": NEW}) == {(0, "item"): NEW}
    assert decisions.reborn(known, {}) == {}


def test_what_a_new_incarnation_is_given() -> None:
    young, old = NOW - KEPT, NOW - KEPT - timedelta(seconds=1)
    assert (timedelta(days=6), timedelta(hours=24)) == (KEPT, IN_FULL)
    for has_state in (True, False):
        later = NOW - timedelta(hours=1)
        assert resending(now=NOW, drained_at=later, has_state=has_state) == Resending(
            after=later, state=False
        )
        assert resending(now=NOW, drained_at=young, has_state=has_state) == Resending(
            after=young, state=False
        )
    assert resending(now=NOW, drained_at=old, has_state=True) == Resending(after=NOW - IN_FULL, state=True)
    assert resending(now=NOW, drained_at=None, has_state=True) == Resending(after=NOW - IN_FULL, state=True)
    assert resending(now=NOW, drained_at=None, has_state=False) == Resending(after=None, state=False)
    assert resending(now=NOW, drained_at=old, has_state=False) == Resending(after=old, state=False)
