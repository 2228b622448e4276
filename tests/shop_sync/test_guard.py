"""The removal guard's decisions, as pure functions: what passes, what is held, and for how long it counts."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitrin.shop_sync.domain import guard
from vitrin.shop_sync.domain.guard import Ask, Charge, Judgement, Kind, Left, Policy, Standing, Window

T0 = datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC)
POLICY = Policy()


class Channel:
    """A channel as the use case keeps it: what it shows, what left, and what the guard remembers."""

    def __init__(self, items: Sequence[str], policy: Policy = POLICY) -> None:
        self.policy = policy
        self.window = Window()
        self.shown = set(items)
        self.sold_out: set[str] = set()
        self.charges: dict[str, Charge] = {}
        self.counted = 0

    def ask(self, kind: Kind, items: Sequence[str], now: datetime) -> Judgement:
        """One transaction: what passes leaves."""
        since = guard.first_slot(now)
        self.charges = {item: charge for item, charge in self.charges.items() if charge.slot >= since}
        asks = [
            Ask(item, kind, self.charges.get(item))
            for item in items
            if item in self.shown and not (kind is Kind.ZEROING and item in self.sold_out)
        ]
        self.window = guard.current(self.window, now)
        up_to = guard.count_up_to(self.policy, self.window, asks, now)
        if up_to is not None:
            found = min(up_to, len(self.shown))
            self.counted += found
            self.window = guard.counted(self.window, found, up_to=up_to, now=now)
        judgement = guard.judge(self.policy, self.window, asks, now)
        self.window = judgement.window
        self.charges |= judgement.charges
        for one in judgement.passed:
            if kind is Kind.REMOVAL:
                self.shown.discard(one.item_id)
            else:
                self.sold_out.add(one.item_id)
        return judgement

    def come_back(self, items: Sequence[str], now: datetime) -> None:
        self.window = guard.paid_back(
            self.window, [self.charges.pop(item) for item in items if item in self.charges], now
        )
        self.shown.update(items)
        self.sold_out.difference_update(items)


def names(count: int) -> list[str]:
    return [f"i{number:05}" for number in range(count)]


def test_single_changes_pass_and_the_further_ones_are_held() -> None:
    channel = Channel(names(60))
    for name in names(20):
        assert channel.ask(Kind.REMOVAL, [name], T0).held == ()
    judgement = channel.ask(Kind.REMOVAL, names(60), T0 + timedelta(minutes=5))
    assert (judgement.passed, len(judgement.held), judgement.limit) == ((), 40, 20)
    assert len(channel.shown) == 40


def test_one_big_transaction_is_held_like_many_small_ones() -> None:
    big, small = Channel(names(1_000)), Channel(names(1_000))
    assert len(big.ask(Kind.REMOVAL, names(1_000), T0).passed) == 100
    passed = sum(
        len(small.ask(Kind.REMOVAL, [name], T0 + timedelta(seconds=number)).passed)
        for number, name in enumerate(names(1_000))
    )
    assert passed == 100


def test_the_percentage_is_of_what_the_window_began_with() -> None:
    """Not of what is left: else each removal would lower the limit of the next."""
    channel = Channel(names(1_000))
    for first in range(0, 100, 10):
        assert channel.ask(Kind.REMOVAL, names(1_000)[first : first + 10], T0).held == ()
        channel.window = Window(channel.window.slots)  # as if every count were too old
    assert len(channel.ask(Kind.REMOVAL, names(101), T0).held) == 1


def test_the_window_slides_by_minutes_and_is_never_shorter_than_an_hour() -> None:
    channel = Channel(names(100))
    assert len(channel.ask(Kind.REMOVAL, names(20), T0).passed) == 20
    almost = T0 + timedelta(minutes=60, seconds=29)
    assert len(channel.ask(Kind.REMOVAL, names(21), almost).held) == 1
    assert channel.ask(Kind.REMOVAL, names(21), almost + timedelta(minutes=1)).held == ()


def test_removals_and_zeroings_share_one_limit_and_sold_out_comes_first() -> None:
    asks = [Ask("a", Kind.REMOVAL), Ask("b", Kind.ZEROING)]
    judgement = guard.judge(Policy(at_least=1), Window(), asks, T0)
    assert ([one.item_id for one in judgement.passed], [one.item_id for one in judgement.held]) == (
        ["b"],
        ["a"],
    )


def test_what_is_not_guarded_passes_and_is_not_counted() -> None:
    policy = Policy(percent=0, at_least=1, guarded=frozenset({Kind.REMOVAL}))
    asks = [Ask(name, Kind.ZEROING) for name in names(50)]
    judgement = guard.judge(policy, Window(), asks, T0)
    assert (len(judgement.passed), judgement.charges, judgement.window) == (50, {}, Window())
    assert guard.judge(policy, judgement.window, [Ask("x", Kind.REMOVAL)], T0).held == ()


def test_a_restock_pays_back_and_a_flapping_item_counts_once() -> None:
    channel = Channel(names(30))
    for minute in range(40):
        now = T0 + timedelta(minutes=minute)
        assert channel.ask(Kind.ZEROING, names(20), now).held == ()
        assert sum(guard.left_in(channel.window)) == 20
        channel.come_back(names(20), now)
        assert channel.window.slots == {}


def test_an_item_that_sold_out_and_is_then_deleted_counts_once_as_a_removal() -> None:
    channel = Channel(names(20))
    channel.ask(Kind.ZEROING, names(20), T0)
    judgement = channel.ask(Kind.REMOVAL, names(20), T0 + timedelta(minutes=9))
    assert (len(judgement.passed), guard.left_in(channel.window)) == (20, Left(20, 0))
    assert {charge.slot for charge in judgement.charges.values()} == {guard.slot_of(T0)}


def test_up_to_the_least_number_nothing_is_counted_and_then_in_proportion_to_the_change() -> None:
    """A wave over a large catalog: the work follows the wave, not the catalog."""
    for size in (10_000, 100_000):
        channel = Channel(names(size))
        for number in range(20):
            channel.ask(Kind.REMOVAL, [names(size)[number]], T0)
        assert channel.counted == 0
        for first in range(20, 520, 50):
            channel.ask(Kind.REMOVAL, names(size)[first : first + 50], T0)
        assert channel.counted <= 2 * 2 * 10 * 520


def test_a_wave_that_is_held_counts_once_a_minute() -> None:
    channel = Channel(names(2_000))
    for first in range(0, 2_000, 20):
        channel.ask(Kind.REMOVAL, names(2_000)[first : first + 20], T0)
    assert len(channel.shown) == 1_800
    assert channel.counted <= 2 * 2_000


def test_what_the_platform_shows_as_sold_out_already_passes_and_counts() -> None:
    policy = Policy(percent=0, at_least=1)
    asks = [Ask("a", Kind.ZEROING, told=True), Ask("b", Kind.ZEROING, told=True), Ask("c", Kind.ZEROING)]
    judgement = guard.judge(policy, Window(), asks, T0)
    assert [one.item_id for one in judgement.held] == ["c"]
    assert guard.left_in(judgement.window) == Left(0, 2)


@pytest.mark.parametrize(
    ("percent", "at_least", "items", "limit"),
    [(10, 20, 1_000, 100), (10, 20, 199, 20), (0, 0, 500, 0), (100, 0, 500, 500), (33, 0, 10, 3)],
)
def test_the_limit(percent: int, at_least: int, items: int, limit: int) -> None:
    channel = Channel(names(items), Policy(percent=percent, at_least=at_least))
    judgement = channel.ask(Kind.REMOVAL, names(items), T0)
    assert (len(judgement.passed), judgement.limit) == (limit, limit)


@given(
    percent=st.integers(0, 100),
    at_least=st.integers(0, 30),
    items=st.integers(0, 120),
    steps=st.lists(
        st.tuples(
            st.integers(0, 2_400),
            st.sampled_from(["remove", "zero", "return"]),
            st.lists(st.integers(0, 119), max_size=60),
        ),
        max_size=25,
    ),
)
@settings(max_examples=400, deadline=None)
def test_never_more_than_the_limit_leaves_in_any_hour(
    percent: int, at_least: int, items: int, steps: list[tuple[int, str, list[int]]]
) -> None:
    """`gone`: when each item that is away now left. Whatever comes: within any hour at most the limit."""
    channel = Channel(names(items), Policy(percent=percent, at_least=at_least))
    now, gone = T0, dict[str, datetime]()
    for pause_s, verb, numbers in steps:
        now += timedelta(seconds=pause_s)
        touched = sorted({names(items)[number] for number in numbers if number < items})
        if verb == "return":
            channel.come_back(touched, now)
            for name in touched:
                gone.pop(name, None)
            continue
        kind = Kind.REMOVAL if verb == "remove" else Kind.ZEROING
        before = len(channel.shown)
        judgement = channel.ask(kind, touched, now)
        for one in judgement.passed:
            if one.charge is None:
                gone[one.item_id] = now
        recent = [name for name, at in gone.items() if now - at <= timedelta(hours=1)]
        most = max(at_least, items * percent // 100)
        assert len(recent) <= most
        assert len(channel.shown) >= before - most
        if judgement.held:
            assert sum(guard.left_in(channel.window)) >= judgement.limit, "held although there was room"


@given(st.lists(st.sampled_from(names(40)), max_size=40, unique=True), st.integers(0, 40))
def test_the_order_of_the_asks_does_not_matter(items: list[str], least: int) -> None:
    policy = Policy(at_least=least, percent=0)
    asks = [Ask(name, Kind.REMOVAL if name < "i00020" else Kind.ZEROING) for name in items]
    one = guard.judge(policy, Window(), asks, T0)
    assert one == guard.judge(policy, Window(), list(reversed(asks)), T0)
    assert sorted([*one.passed, *one.held], key=lambda ask: ask.item_id) == sorted(
        asks, key=lambda ask: ask.item_id
    )


@pytest.mark.parametrize(
    ("code", "state", "asks", "newer", "expected"),
    [
        (guard.HELD_CODE, "open", False, True, Standing.BACK),
        (guard.HELD_CODE, "open", True, True, Standing.STAYS),
        (guard.HELD_CODE, "approved", True, False, Standing.GOES),
        (guard.HELD_CODE, "approved", False, True, Standing.BACK),
        (guard.HELD_CODE, "rejected", True, False, Standing.KEPT),
        (guard.HELD_CODE, "rejected", True, True, Standing.ASKS),
        (guard.HELD_CODE, None, True, False, Standing.ASKS),
        (guard.REJECTED_CODE, None, True, False, Standing.KEPT),
        (guard.REJECTED_CODE, None, True, True, Standing.ASKS),
        (guard.REJECTED_CODE, "approved", True, False, Standing.GOES),
        (guard.REJECTED_CODE, None, False, False, Standing.BACK),
    ],
)
def test_what_becomes_of_a_held_item(
    code: str, state: guard.RequestState | None, asks: bool, newer: bool, expected: Standing
) -> None:
    assert guard.standing(code=code, state=state, asks=asks, newer=newer) is expected


@pytest.mark.parametrize(
    ("shown", "absent", "was_sellable", "sellable", "kind"),
    [
        (True, True, True, False, Kind.REMOVAL),
        (True, False, True, False, Kind.ZEROING),
        (True, False, False, False, None),
        (True, False, True, True, None),
        (False, True, True, False, None),
    ],
)
def test_what_counts_as_leaving(
    shown: bool, absent: bool, was_sellable: bool, sellable: bool, kind: Kind | None
) -> None:
    found = guard.ask_of(shown=shown, absent=absent, was_sellable=was_sellable, sellable=sellable)
    assert found is kind


def test_only_the_stock_of_a_held_item_stays() -> None:
    new = {"price": "9 USD", "availability": "out of stock", "title": "B"}
    shown = {"price": "8 USD", "availability": "in stock", "quantity": 4, "title": "A"}
    assert guard.keep_stock(new, shown, ("availability", "quantity")) == {
        "price": "9 USD",
        "availability": "in stock",
        "quantity": 4,
        "title": "B",
    }


def test_a_rejection_may_be_taken_back_and_nothing_else() -> None:
    states: list[guard.RequestState] = ["open", "approved", "rejected", "withdrawn"]
    assert [guard.may_decide(state, "approved") for state in states] == [True, False, True, False]
    assert [guard.may_decide(state, "rejected") for state in states] == [True, False, False, False]
    # What comes from the database is equal, not the same.
    stored: guard.RequestState = json.loads('"rejected"')
    assert guard.may_decide(stored, "approved")


def test_a_count_is_used_for_a_minute() -> None:
    window = guard.counted(Window(), 1_000, up_to=2_000, now=T0)
    asks = [Ask(name, Kind.REMOVAL) for name in names(21)]
    assert guard.count_up_to(POLICY, window, asks, T0 + timedelta(seconds=59)) is None
    assert guard.count_up_to(POLICY, window, asks, T0 + timedelta(seconds=60)) == 420
    assert guard.count_up_to(POLICY, window, asks, T0 - timedelta(seconds=1)) == 420


def test_a_charge_whose_slot_is_forgotten_leaves_no_debt() -> None:
    slot = guard.slot_of(T0)
    ask = Ask("item", Kind.ZEROING, charge=Charge(slot, Kind.REMOVAL))
    assert guard.judge(POLICY, Window(), [ask], T0).window.slots[slot] == Left(removals=0, zeroings=1)
    back = Ask("item", Kind.REMOVAL, charge=Charge(slot, Kind.ZEROING))
    assert guard.judge(POLICY, Window(), [back], T0).window.slots[slot] == Left(removals=1, zeroings=0)
