"""The removal guard: how much may leave a shopfront without somebody's word. Pure; the moment is an argument.

An ask is a shown item of one channel that a change of the desired state would take down (removal) or mark as sold out
(zeroing). Asks pass as long as the items that left within the last hour and have not come back are at most the limit:
the brand's percentage of what the channel showed, and at least a number of items. What passes is charged to the slot
of its minute, so that a thousand small transactions count like one big one; an item is charged once however often it
goes, and what comes back is paid back. The rest is held: nothing already sent is undone, and the platform goes on
showing it until somebody decides or the shop brings it back.

A slot counts until its whole minute is an hour old, so the window is 60 to 61 minutes long: never shorter.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Literal, NamedTuple

PERCENT_DEFAULT: Final = 10
AT_LEAST_DEFAULT: Final = 20
AT_LEAST_MAX: Final = 1_000_000
SLOT_S: Final = 60
WINDOW_SLOTS: Final = 60
BASE_FRESH: Final = timedelta(seconds=60)
"""A count of what a channel shows is used so long, so that a wave of removals does not count the catalog each time."""
HELD_CODE: Final = "removal_held"
REJECTED_CODE: Final = "removal_rejected"


class Kind(StrEnum):
    REMOVAL = "removal"
    ZEROING = "zeroing"


@dataclass(frozen=True, slots=True)
class Policy:
    """A brand's choice. `percent` of the items shown, but never fewer than `at_least` items; what is not `guarded`
    always passes."""

    percent: int = PERCENT_DEFAULT
    at_least: int = AT_LEAST_DEFAULT
    guarded: frozenset[Kind] = frozenset(Kind)


class Left(NamedTuple):
    """Items of one slot that left without an approval and have not come back."""

    removals: int = 0
    zeroings: int = 0


@dataclass(frozen=True, slots=True)
class Base:
    """What a channel showed at the start of the window: what it shows now and what left since.

    `complete`: everything was counted; otherwise there are at least so many."""

    items: int
    complete: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class Window:
    """What is remembered of a channel. Slots are minutes since 1970."""

    slots: Mapping[int, Left] = field(default_factory=dict)
    base: Base | None = None


class Charge(NamedTuple):
    slot: int
    kind: Kind


@dataclass(frozen=True, slots=True)
class Ask:
    """`charge`: it has already left within the window, so its going again costs nothing. `told`: the platform shows it
    as sold out already (a restock that was never sent): there is nothing to hold, but it counts."""

    item_id: str
    kind: Kind
    charge: Charge | None = None
    told: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """`charges`: what the passed items are charged with; those of unguarded kinds are not. `limit`: in items."""

    passed: tuple[Ask, ...]
    held: tuple[Ask, ...]
    charges: Mapping[str, Charge]
    window: Window
    limit: int


def slot_of(now: datetime) -> int:
    return int(now.timestamp()) // SLOT_S


def first_slot(now: datetime) -> int:
    """The oldest slot that still counts."""
    return slot_of(now) - WINDOW_SLOTS


def current(window: Window, now: datetime) -> Window:
    """Without the slots that no longer count."""
    since = first_slot(now)
    return replace(
        window, slots={slot: left for slot, left in window.slots.items() if slot >= since and any(left)}
    )


def left_in(window: Window) -> Left:
    """Of all slots. The window must be `current`."""
    return Left(
        sum(left.removals for left in window.slots.values()),
        sum(left.zeroings for left in window.slots.values()),
    )


def limit_of(policy: Policy, shown: int) -> int:
    return max(policy.at_least, shown * policy.percent // 100)


def paid_back(window: Window, returned: Iterable[Charge], now: datetime) -> Window:
    """Items that had left came back."""
    slots = dict(current(window, now).slots)
    for slot, kind in returned:
        if slot in slots:
            slots[slot] = _plus(slots[slot], kind, -1)
    return current(replace(window, slots=slots), now)


def count_up_to(policy: Policy, window: Window, asks: Sequence[Ask], now: datetime) -> int | None:
    """How many items that the channel shows have to be counted before `judge`; None: what is known is enough.

    Twice as many as needed, so that a wave of removals counts in proportion to what it removes, whatever the size of
    the catalog. The window must be `current`."""
    left = left_in(window)
    total = sum(left) + len([ask for ask in asks if _costs(policy, ask)])
    if total <= policy.at_least or policy.percent == 0:
        return None
    needed = -(-total * 100 // policy.percent)
    base = window.base
    if (
        base is not None
        and timedelta(0) <= now - base.at < BASE_FRESH
        and (base.complete or base.items >= needed)
    ):
        return None
    return 2 * needed


def counted(window: Window, shown: int, *, up_to: int, now: datetime) -> Window:
    """The channel shows `shown` items (asked for removal or not), counted no further than `up_to`."""
    return replace(window, base=Base(shown + left_in(window).removals, shown < up_to, now))


def judge(policy: Policy, window: Window, asks: Sequence[Ask], now: datetime) -> Judgement:
    """Which asks pass and which are held. The window must be `current`, with a count where `count_up_to` wanted one.

    Sold-out items come first: showing them a while longer may sell what is not there. Then by item id."""
    slots, today = dict(window.slots), slot_of(now)
    limit = limit_of(policy, window.base.items if window.base else 0)
    spent = sum(left_in(window))
    passed: list[Ask] = []
    held: list[Ask] = []
    charges: dict[str, Charge] = {}
    for ask in sorted(asks, key=lambda ask: (ask.kind is Kind.REMOVAL, ask.item_id)):
        if ask.kind not in policy.guarded:
            passed.append(ask)
        elif ask.charge is not None:
            charge = Charge(ask.charge.slot, ask.kind)
            slots[charge.slot] = _plus(
                _plus(slots.get(charge.slot, Left()), ask.charge.kind, -1), ask.kind, 1
            )
            charges[ask.item_id] = charge
            passed.append(ask)
        elif spent < limit or ask.told:
            spent += 1
            slots[today] = _plus(slots.get(today, Left()), ask.kind, 1)
            charges[ask.item_id] = Charge(today, ask.kind)
            passed.append(ask)
        else:
            held.append(ask)
    return Judgement(tuple(passed), tuple(held), charges, replace(window, slots=slots), limit)


def _costs(policy: Policy, ask: Ask) -> bool:
    return ask.charge is None and ask.kind in policy.guarded


def _plus(left: Left, kind: Kind, items: int) -> Left:
    if kind is Kind.REMOVAL:
        return left._replace(removals=max(0, left.removals + items))
    return left._replace(zeroings=max(0, left.zeroings + items))


RequestState = Literal["open", "approved", "rejected", "withdrawn"]
"""withdrawn: everything came back by itself, or the channel was closed."""


class Standing(StrEnum):
    """What becomes of an item whose removal was held before."""

    BACK = "back"
    """The shop wants it shown again: released without anybody's word."""
    STAYS = "stays"
    GOES = "goes"
    """Approved."""
    KEPT = "kept"
    """Rejected: shown until the catalog changes it again."""
    ASKS = "asks"
    """A new ask like any other."""


def standing(*, code: str, state: RequestState | None, asks: bool, newer: bool) -> Standing:
    """`code`: why it is held now. `state`: of the request it waits in, None where there is none. `asks`: the shop
    still wants it gone. `newer`: the catalog changed it since the channel last looked."""
    if not asks:
        return Standing.BACK
    if state == "approved":
        return Standing.GOES
    if state == "open":
        return Standing.STAYS
    if code == REJECTED_CODE or state == "rejected":
        return Standing.ASKS if newer else Standing.KEPT
    return Standing.ASKS


Decision = Literal["approved", "rejected"]


def may_decide(state: RequestState, decision: Decision) -> bool:
    """A rejection may be taken back by a later approval; what was approved may be gone already."""
    return state == "open" or (state == "rejected" and decision == "approved")


def ask_of(*, shown: bool, absent: bool, was_sellable: bool, sellable: bool) -> Kind | None:
    """What a change wants of an item: taken down, marked as sold out, or neither. Only what is shown can leave."""
    if not shown:
        return None
    if absent:
        return Kind.REMOVAL
    return Kind.ZEROING if was_sellable and not sellable else None


def keep_stock(
    new: Mapping[str, object], shown: Mapping[str, object], stock_fields: Collection[str]
) -> dict[str, object]:
    """`new` with the stock as it is shown: everything else of a held item goes on."""
    kept = {name: value for name, value in new.items() if name not in stock_fields}
    return kept | {name: shown[name] for name in stock_fields if name in shown}
