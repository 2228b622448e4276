"""Culprits of refused batches: the bound on calls, nothing sent again, and no blame after a change."""

import json
from dataclasses import dataclass, field
from math import ceil, log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrin.kit.delivery import bisect
from vitrin.kit.delivery.bisect import Hunt, Step


@dataclass
class Platform:
    """Refuses a whole batch with a bad item in it, without a name; counts what it took."""

    bad: set[str]
    taken: list[str] = field(default_factory=list)
    calls: int = 0

    def send(self, batch: tuple[str, ...]) -> bool:
        self.calls += 1
        if self.bad & set(batch):
            return False
        self.taken += batch
        return True


def names(count: int) -> tuple[str, ...]:
    return tuple(f"item-{number}" for number in range(count))


def probe(hunt: Hunt, platform: Platform) -> Step:
    hunt = bisect.from_record(json.loads(json.dumps(bisect.sent(hunt).to_record())))
    if platform.send(hunt.probe):
        return bisect.accepted(hunt)
    return bisect.refused(hunt, f"refused in call {platform.calls}")


def deliver(items: tuple[str, ...], platform: Platform, *, batch_max: int) -> list[str]:
    """The caller's loop: normal batches from a queue, a hunt after each refusal. Answers the culprits."""
    queue, blamed = list(items), list[str]()
    while queue:
        batch, queue = tuple(queue[:batch_max]), queue[batch_max:]
        if platform.send(batch):
            continue
        step = bisect.start(batch, "refused")
        while True:
            queue += step.released
            blamed += step.culprits
            if step.hunt.is_over:
                break
            step = probe(step.hunt, platform)
    return blamed


@given(count=st.integers(1, 3_000), data=st.data())
def test_one_culprit_costs_at_most_log2_of_the_batch_and_one_more(count: int, data: st.DataObject) -> None:
    items = names(count)
    guilty = data.draw(st.sampled_from(items))
    platform = Platform({guilty})
    assert deliver(items, platform, batch_max=count) == [guilty]
    assert platform.calls <= 1 + ceil(log2(count)) + 1
    assert sorted(platform.taken) == sorted(set(items) - {guilty})


@given(
    count=st.integers(1, 400),
    batch_max=st.integers(1, 400),
    data=st.data(),
)
def test_any_culprits_are_named_and_everything_else_arrives_once(
    count: int, batch_max: int, data: st.DataObject
) -> None:
    items = names(count)
    bad = data.draw(st.sets(st.sampled_from(items), max_size=20))
    platform = Platform(bad)
    assert sorted(deliver(items, platform, batch_max=batch_max)) == sorted(bad)
    assert sorted(platform.taken) == sorted(set(items) - bad)
    unavoidable = ceil(count / batch_max)
    per_culprit = ceil(log2(max(1, min(count, batch_max)))) + 1
    # Released items fill later batches: of those, only refused ones and the last remainder are extra.
    assert platform.calls <= unavoidable + len(bad) * per_culprit + 1


def test_the_culprit_has_the_reason_of_the_last_refusal_that_covered_it() -> None:
    step = bisect.start(("a", "b", "c", "d"), "at first")
    assert bisect.next_probe(step.hunt) == ("a", "b")
    step = bisect.refused(bisect.sent(step.hunt), "then")
    assert step.released == ("c", "d")
    step = bisect.accepted(bisect.sent(step.hunt))
    assert (step.accepted, step.culprits, step.reason, step.hunt.is_over) == (("a",), ("b",), "then", True)


def test_a_batch_of_one_is_its_own_culprit_and_one_that_changed_is_not() -> None:
    alone = bisect.start(("a",), "no")
    assert (alone.culprits, alone.reason, alone.hunt.is_over) == (("a",), "no", True)
    gone = bisect.start(("a",), "no", changed={"a"})
    assert (gone.culprits, gone.hunt.is_over) == ((), True)
    half = bisect.start(("a", "b"), "no", changed={"a"})
    assert half.culprits == ()
    assert bisect.next_probe(half.hunt) == ("b",)


def test_after_a_change_the_rest_is_sent_as_a_whole_before_anybody_is_blamed() -> None:
    hunt = bisect.start(names(8), "no").hunt
    step = bisect.left(hunt, {"item-3"})
    assert bisect.next_probe(step.hunt) == step.hunt.ids == tuple(n for n in names(8) if n != "item-3")
    step = bisect.accepted(bisect.sent(step.hunt))
    assert step.hunt.is_over
    assert step.culprits == ()


def test_a_change_in_the_half_that_is_under_way() -> None:
    hunt = bisect.sent(bisect.start(names(4), "no").hunt)
    hunt = bisect.left(hunt, {"item-0"}).hunt
    assert bisect.next_probe(hunt) == ()
    refused = bisect.refused(hunt, "again")
    assert refused.released == ("item-2", "item-3")
    assert refused.culprits == ()
    assert bisect.next_probe(refused.hunt) == ("item-1",)
    accepted = bisect.accepted(hunt)
    assert accepted.accepted == ("item-1",)
    assert bisect.next_probe(accepted.hunt) == ("item-2",), "the other half is untouched, so it is guilty"
    assert accepted.hunt == Hunt(suspects=("item-2", "item-3"), guilty=True, reason="no")


def test_a_change_in_one_half_of_many_leaves_the_other_as_it_was() -> None:
    hunt = bisect.sent(bisect.start(names(1_200), "no").hunt)
    assert (bisect.left(hunt, {"item-1199"}).hunt.probe_intact, hunt.under_way) == (True, 600)
    assert bisect.left(hunt, {"item-0"}).hunt.rest_intact


def test_a_change_in_the_half_that_waits() -> None:
    hunt = bisect.sent(bisect.start(names(4), "no").hunt)
    hunt = bisect.left(hunt, {"item-3"}).hunt
    accepted = bisect.accepted(hunt)
    assert accepted.culprits == ()
    assert bisect.next_probe(accepted.hunt) == ("item-2",)
    assert bisect.refused(hunt, "again").released == ("item-2",)


def test_everything_under_way_changed() -> None:
    hunt = bisect.left(bisect.sent(bisect.start(names(2), "no").hunt), {"item-0"}).hunt
    assert bisect.next_probe(hunt) == (), "the call is still under way"
    assert bisect.refused(hunt, "again").released == ("item-1",)
    assert bisect.accepted(hunt).culprits == ("item-1",)
    over = bisect.left(hunt, {"item-1"}).hunt
    assert over.is_over
    assert bisect.accepted(over).culprits == ()


def test_a_call_that_did_not_count_changes_nothing() -> None:
    hunt = bisect.start(names(5), "no").hunt
    assert bisect.unanswered(bisect.sent(hunt)) == hunt
    weaker = bisect.unanswered(bisect.left(bisect.sent(hunt), {"item-4"}).hunt)
    assert (weaker.guilty, weaker.ids) == (False, names(4))


def test_too_large_is_no_guilt_until_alone() -> None:
    hunt = bisect.sent(bisect.start(names(8), "no").hunt)
    step = bisect.too_large(hunt, "too large")
    assert (step.culprits, step.hunt.guilty) == ((), True)
    assert bisect.next_probe(step.hunt) == names(2)
    step = bisect.too_large(bisect.sent(step.hunt), "too large")
    assert bisect.next_probe(step.hunt) == ("item-0",)
    step = bisect.too_large(bisect.sent(step.hunt), "too large")
    assert (step.culprits, step.reason) == (("item-0",), "too large")
    assert (step.hunt.guilty, step.hunt.ids) == (False, names(8)[1:])


def test_a_call_of_two_of_which_one_changed_is_not_one_that_was_too_large_alone() -> None:
    hunt = bisect.left(bisect.sent(bisect.start(names(4), "no").hunt), {"item-0"}).hunt
    step = bisect.too_large(hunt, "too large")
    assert step.culprits == ()
    assert step.hunt.probe_max == 1
    alone = bisect.left(bisect.sent(bisect.start(names(2), "no").hunt), {"item-0"}).hunt
    assert bisect.too_large(alone, "too large").culprits == ()


def test_answers_without_a_call_are_mistakes() -> None:
    hunt = bisect.start(names(3), "no").hunt
    with pytest.raises(ValueError, match="under way"):
        bisect.accepted(hunt)
    with pytest.raises(ValueError, match="under way"):
        bisect.refused(hunt, "no")
    with pytest.raises(ValueError, match="under way"):
        bisect.too_large(hunt, "no")
    with pytest.raises(ValueError, match="no call"):
        bisect.sent(bisect.sent(hunt))


@given(count=st.integers(1, 60), data=st.data())
def test_whatever_changes_in_between_nobody_innocent_is_blamed(count: int, data: st.DataObject) -> None:
    """Each change makes an item good or bad and takes it out of the hunt; a blamed item is bad as it was sent."""
    items = names(count)
    bad = data.draw(st.sets(st.sampled_from(items), min_size=1))
    platform = Platform(set(bad))
    step, held, changes = bisect.start(items, "no"), set(items), 0
    held -= set(step.culprits)
    while not step.hunt.is_over:
        hunt = bisect.sent(step.hunt)
        gone = data.draw(st.sets(st.sampled_from(sorted(hunt.ids)), max_size=1))
        verdict = platform.send(hunt.probe)
        hunt = bisect.left(hunt, gone).hunt
        changes += len(gone)
        step = bisect.accepted(hunt) if verdict else bisect.refused(hunt, "no")
        assert set(step.culprits) <= bad
        before, held = held, set(step.hunt.ids)
        assert held <= before - gone
        assert before - gone == held | set(step.accepted) | set(step.released) | set(step.culprits)
    bound = (ceil(log2(count)) + 1) * (changes + 1)
    assert platform.calls <= bound
    assert len(platform.taken) == len(set(platform.taken))


@given(st.lists(st.integers(1, 1_000), max_size=50))
def test_halves_by_size_are_both_there_and_nearly_even(sizes: list[int]) -> None:
    cut = bisect.halve_by_size(sizes)
    if len(sizes) < 2:
        assert cut == 0
        return
    assert 0 < cut < len(sizes)
    imbalance = abs(sum(sizes[:cut]) - sum(sizes[cut:]))
    assert imbalance <= min(abs(2 * sum(sizes[:n]) - sum(sizes)) for n in range(1, len(sizes)))


def refused_often(items: tuple[str, ...], platform: Platform, *, alone_min: int, fails_first: int) -> Step:
    """A hunt after a batch that was failed without a word. The platform fails its first calls whatever is in them."""
    step = bisect.start(items, "no word", alone_min=alone_min)
    while not step.culprits and not step.hunt.is_over:
        hunt = bisect.from_record(json.loads(json.dumps(bisect.sent(step.hunt).to_record())))
        took = platform.calls >= fails_first and platform.send(hunt.probe)
        platform.calls += platform.calls < fails_first
        step = bisect.accepted(hunt) if took else bisect.refused(hunt, "no word")
    return step


@given(count=st.integers(1, 2_000), alone_min=st.integers(1, 5), data=st.data())
def test_who_must_be_refused_alone_costs_that_many_calls_more(
    count: int, alone_min: int, data: st.DataObject
) -> None:
    items = names(count)
    guilty = data.draw(st.sampled_from(items))
    platform = Platform({guilty})
    step = refused_often(items, platform, alone_min=alone_min, fails_first=0)
    assert step.culprits == (guilty,)
    assert platform.calls <= ceil(log2(count)) + alone_min
    assert len(platform.taken) == len(set(platform.taken))


@given(count=st.integers(1, 64), fails_first=st.integers(0, 3))
def test_nobody_is_blamed_for_a_platform_that_was_unwell_for_less(count: int, fails_first: int) -> None:
    step = refused_often(names(count), Platform(set()), alone_min=5, fails_first=fails_first)
    assert (step.culprits, step.hunt.is_over) == ((), True)


def test_a_refusal_with_others_says_nothing_of_one_alone() -> None:
    hunt = bisect.start(("a",), "no word", alone_min=2, was_whole=False).hunt
    assert (hunt.guilty, hunt.alone, bisect.next_probe(hunt)) == (False, 0, ("a",))
    hunt = bisect.refused(bisect.sent(hunt), "no word").hunt
    assert (hunt.alone, bisect.next_probe(hunt)) == (1, ("a",))
    step = bisect.refused(bisect.sent(bisect.unanswered(bisect.sent(hunt))), "no word")
    assert (step.culprits, step.hunt.is_over) == (("a",), True)
    pair = bisect.start(("a", "b"), "no word", alone_min=2).hunt
    assert (pair.alone, bisect.refused(bisect.sent(pair), "no word").hunt.alone) == (0, 1)
    other = bisect.accepted(bisect.sent(pair))
    assert (other.culprits, other.hunt.alone, bisect.next_probe(other.hunt)) == ((), 0, ("b",))


def test_a_hunt_that_was_stored_before_there_was_anything_to_prove() -> None:
    record = bisect.start(("a", "b"), "no").hunt.to_record()
    del record["alone_min"], record["alone"]
    assert bisect.from_record(record) == bisect.start(("a", "b"), "no").hunt


def test_a_refusal_for_sure_within_a_wordless_hunt_counts_for_this_step_only() -> None:
    hunt = bisect.start(names(4), "no", alone_min=4).hunt
    step = bisect.refused_for_sure(bisect.sent(hunt), "at the door")
    assert (step.released, step.culprits) == (("item-2", "item-3"), ())
    assert step.hunt.alone_min == 4
    # Then the first is taken, and the second failed without a word: it is not to blame after one refusal alone.
    step = bisect.accepted(bisect.sent(step.hunt))
    assert step.culprits == ()
    for _ in range(3):
        step = bisect.refused(bisect.sent(step.hunt), "no")
        assert step.culprits == ()
    assert bisect.refused(bisect.sent(step.hunt), "no").culprits == ("item-1",)
    # Alone at the door, it is.
    assert bisect.refused_for_sure(bisect.sent(step.hunt), "no").culprits == ("item-1",)
